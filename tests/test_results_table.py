"""Rows as a verdict reads them: what each outcome counts for in each reading, what is taken out, what is put together."""

from __future__ import annotations

import math

import pytest

from evals.claims.claim import Protocol
from evals.record import AttemptKey, Failure, Flag, FlagKind, Grade, GraderVerdict, Outcome, Party, Record
from evals.results.failures import failed_by, failure
from evals.results.load import number, row_of
from evals.results.score import Attempt
from evals.results.table import Drawn, Reading, Results, Row, System, merge, outcome_as
from scaffolds.base import Stop
from tasks.errors import UserError

BASH, EDIT = System("m", "bash"), System("m", "edit")
NAN = math.nan
READINGS = (Reading.JUDGED, Reading.WORST, Reading.BEST, Reading.OFFICIAL)


def row(task: str = "t", n: int = 1, outcome: Outcome = Outcome.RESOLVED, **facts: object) -> Row:
    return Row(BASH, task, "r", n, outcome, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "values"),
    [
        (row(official=True), (1, 1, 1, 1)),
        (row(official=True, flagged=True), (1, 0, 1, 1)),
        (row(outcome=Outcome.UNRESOLVED, official=False), (0, 0, 0, 0)),
        (row(outcome=Outcome.UNRESOLVED, official=True), (0, 0, 0, 1)),
        (row(outcome=Outcome.VIOLATION, official=True), (0, 0, 0, 1)),
        (row(outcome=Outcome.NO_PATCH, official=False, flagged=True), (0, 0, 0, 0)),
        (row(outcome=Outcome.NOT_JUDGED), (NAN, 0, 1, NAN)),
    ],
)
def test_what_an_attempt_counts_for(one: Row, values: tuple[float, ...]) -> None:
    assert [one.value(reading) for reading in READINGS] == pytest.approx(values, nan_ok=True)


def test_reading_an_outcome_keeps_why_it_failed() -> None:
    cheat = row(outcome=Outcome.VIOLATION, official=True)
    assert outcome_as(cheat, Reading.JUDGED) is Outcome.VIOLATION
    assert outcome_as(cheat, Reading.OFFICIAL) is Outcome.RESOLVED
    assert outcome_as(row(flagged=True), Reading.WORST) is Outcome.UNRESOLVED
    unjudged = row(outcome=Outcome.NOT_JUDGED)
    assert [outcome_as(unjudged, r) for r in READINGS] == [
        *(Outcome.NOT_JUDGED, Outcome.UNRESOLVED, Outcome.RESOLVED, Outcome.NOT_JUDGED)
    ]


def results(*rows: Row, **facts: object) -> Results:
    return Results(source="a run", benchmark="b", rows=rows, **facts)  # type: ignore[arg-type]


def test_a_table_has_a_line_a_task_and_a_gap_where_nothing_counts() -> None:
    table = results(
        row("a", 1), row("a", 2, Outcome.UNRESOLVED), row("b", 1, Outcome.NOT_JUDGED), row("c", 1)
    ).table()
    assert table.tasks == ("a", "c")
    assert table.values.tolist() == [[1, 0], [1, pytest.approx(NAN, nan_ok=True)]]
    assert table.means.tolist() == [0.5, 1.0]


def test_looks_end_before_the_first_task_that_is_not_done() -> None:
    rows = [row(f"t{n}", failure="missing" if n == 5 else "") for n in range(8)]
    planned = results(*rows, looks=(6, 2, 4))
    assert planned.at_look().tasks == ("t0", "t1", "t2", "t3")
    assert planned.at_look().planned == 8
    assert len(results(*rows[:5], looks=(2, 4)).at_look().tasks) == 5, "the end of the run is the last look"
    with pytest.raises(UserError, match="0 tasks are done; the first look is planned at 2"):
        results(row("t", failure="missing"), looks=(4, 2)).at_look()


def test_speed_is_of_the_tokens_that_the_model_wrote() -> None:
    assert (
        results(
            row(tokens=500, tokens_out=30, seconds=2.0), row(tokens_out=10, seconds=2.0)
        ).tokens_per_second
        == 10
    )
    assert results(row()).tokens_per_second is None


def test_runs_put_together_number_their_attempts_on() -> None:
    both = merge(
        [
            results(row("a"), margin=0.05, planned=3),
            results(row("a", outcome=Outcome.UNRESOLVED), margin=0.05),
        ]
    )
    assert [(one.attempt, one.outcome) for one in both.rows] == [
        (1, Outcome.RESOLVED),
        (2, Outcome.UNRESOLVED),
    ]
    assert (both.margin, both.planned, both.drawn) == (0.05, 3, Drawn.WHOLE)
    apart = merge([results(row("a"), margin=0.05), results(row("b"), margin=0.08, drawn=Drawn.SAMPLE)])
    assert (apart.margin, apart.planned, apart.drawn) == (None, 2, Drawn.CHOSEN)
    with pytest.raises(UserError, match="another version"):
        merge([results(row("a", task_hash="1")), results(row("a", task_hash="2"))])


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (row(outcome=Outcome.NOT_JUDGED, stop="step_limit"), "not judged"),
        (row(outcome=Outcome.VIOLATION, stop="step_limit"), "violation"),
        (row(outcome=Outcome.NO_PATCH, stop="step_limit"), "turn cap"),
        (row(outcome=Outcome.NO_PATCH, stop="submitted"), "no patch"),
        (row(outcome=Outcome.UNRESOLVED, stop="submitted"), "wrong patch"),
        (row(outcome=Outcome.UNRESOLVED), "unknown"),
    ],
)
def test_why_an_attempt_failed(one: Row, kind: str) -> None:
    assert failure(one) == kind


def test_failures_are_counted_over_what_was_not_solved() -> None:
    rows = (row("a"), row("a", 2, Outcome.UNRESOLVED, stop="submitted"), row("b", 1, Outcome.UNRESOLVED))
    assert failed_by(results(*rows), ("a",)) == {"wrong patch": 1}


LOOKED = Flag(kind=FlagKind.LOOKS_FOR_ANSWERS, what="history beyond the start")
NOTED = Flag(kind=FlagKind.SERVER, what="context_truncated")


def attempt(
    outcome: Outcome | None,
    official: Outcome,
    failed: Party | None = None,
    flags: tuple[Flag, ...] = (LOOKED, NOTED),
) -> Attempt:
    key = AttemptKey(scaffold="bash", task_id="t", attempt=3)
    record = Record(
        key=key, task_hash="h", image="i", stop=Stop.SUBMITTED, patch_sha256="p", patch_bytes=1, started="s",
        prompt_tokens=70, completion_tokens=7, active_seconds=3.5, calls_malformed=2, flags=flags,
        failure=Failure(party=failed, message="gone") if failed else None,
    )  # fmt: skip
    grade = outcome and Grade(outcome=outcome, official=GraderVerdict(outcome=official), grader="g", key="k")
    return Attempt(key, record, grade)


@pytest.mark.parametrize(
    ("made", "outcome", "official", "failed"),
    [
        (attempt(Outcome.UNRESOLVED, Outcome.RESOLVED), Outcome.UNRESOLVED, True, ""),
        (attempt(Outcome.UNRESOLVED, Outcome.UNRESOLVED), Outcome.UNRESOLVED, False, ""),
        (attempt(Outcome.NOT_JUDGED, Outcome.NOT_JUDGED), Outcome.NOT_JUDGED, None, ""),
        (attempt(None, Outcome.RESOLVED), Outcome.NOT_JUDGED, None, "missing"),
        (attempt(None, Outcome.RESOLVED, Party.SERVER), Outcome.NOT_JUDGED, None, "server"),
        (Attempt(attempt(None, Outcome.RESOLVED).key, None, None), Outcome.NOT_JUDGED, None, "missing"),
    ],
)
def test_an_attempt_on_disk_becomes_a_row(
    made: Attempt, outcome: Outcome, official: bool | None, failed: str
) -> None:
    one = row_of(made, "m", "r", "h")
    assert (one.system, one.task, one.attempt) == (BASH, "t", 3)
    assert (one.outcome, one.official, one.failure) == (outcome, official, failed)
    facts = (one.flagged, one.stop, one.malformed, one.tokens, one.tokens_out, one.seconds)
    assert facts == ((True, "submitted", 2, 77, 7, 3.5) if made.record else (False, "", 0, 0, 0, 0.0))


def test_only_flags_that_bear_on_the_pass_count_against_it() -> None:
    made = attempt(Outcome.RESOLVED, Outcome.RESOLVED, flags=(NOTED,))
    assert not row_of(made, "m", "r", "h").flagged


def test_a_fresh_row_says_nothing_that_was_not_given() -> None:
    one = row()
    assert (one.official, one.flagged, one.malformed, one.tokens, one.tokens_out, one.seconds) == (
        *(None, False, 0, 0, 0, 0.0),
    )
    assert (results(row("a"), row("a", 2), row("b")).planned, results(row("a"), planned=9).planned) == (2, 9)


def test_stop_reasons_are_sorted_by_what_they_mean() -> None:
    kinds = {stop: failure(row(outcome=Outcome.UNRESOLVED, stop=stop.value)) for stop in Stop}
    assert kinds[Stop.CONTEXT_OVERFLOW] == "context overflow"
    assert {kinds[Stop.MALFORMED], kinds[Stop.NO_TOOL_CALL]} == {"format errors"}
    assert {kinds[Stop.TOKEN_LIMIT], kinds[Stop.TIME_LIMIT]} == {"token or time limit"}
    assert kinds[Stop.SANDBOX_BROKEN] == "broke its sandbox"
    assert kinds[Stop.SUBMITTED] == "wrong patch"


def test_without_some_tasks_the_rest_is_a_whole_of_its_own() -> None:
    part = results(row("a"), row("b"), row("c"), looks=(1, 2), planned=3, excluded={"x": "broken"})
    left = part.without(["b"])
    assert (left.tasks, left.looks, left.planned) == (("a", "c"), (), 2)
    assert left.dropped == {"b", "x"}
    assert left.without(["c"]).dropped == {"b", "c", "x"}
    assert part.first(2).tasks == ("a", "b")
    assert part.first(2).planned == 3


def test_a_look_that_was_reached_exactly_counts() -> None:
    rows = [row("a"), row("b"), row("c", failure="missing")]
    assert results(*rows, looks=(2,)).at_look().tasks == ("a", "b")
    assert results(*rows).at_look().tasks == ("a", "b", "c"), "without looks all of it"


def test_readings_as_outcomes_leave_no_flag() -> None:
    read = results(row(flagged=True), row("b", outcome=Outcome.NOT_JUDGED)).read_as(Reading.WORST)
    assert [(one.outcome, one.flagged) for one in read.rows] == [(Outcome.UNRESOLVED, False)] * 2


def test_a_table_of_nothing_has_no_task() -> None:
    table = results(row(outcome=Outcome.NOT_JUDGED)).table()
    assert (table.tasks, table.values.shape) == ((), (0, 1))


def test_runs_that_may_not_be_put_together() -> None:
    whole, sample = results(row("a"), row("b")), results(row("a"), drawn=Drawn.SAMPLE)
    assert merge([whole, sample]).drawn is Drawn.WHOLE, "some of its tasks again"
    assert merge([sample, sample]).drawn is Drawn.SAMPLE
    assert merge([sample, results(row("b"), drawn=Drawn.CHOSEN)]).drawn is Drawn.CHOSEN
    assert merge([results(row("a"), excluded={"x": "1"}), results(row("a"), excluded={"y": "2"})]).excluded == {
        "x": "1", "y": "2",
    }  # fmt: skip
    skilled = [results(row("a"), protocol=Protocol(skills=word)) for word in ("with", "without")]
    with pytest.raises(UserError, match="with and without skills"):
        merge(skilled)
    other = results(Row(EDIT, "a", "r", 1, Outcome.RESOLVED), protocol=Protocol(skills="without"))
    assert len(merge([skilled[0], other]).systems) == 2
    assert merge([skilled[0], skilled[0]]).rows[1].attempt == 2


@pytest.mark.parametrize(
    ("said", "read"), [(1, 1.0), (0.5, 0.5), (True, None), ("1", None), (None, None), ([], None)]
)
def test_a_servers_word_is_a_number_if_it_is_one(said: object, read: float | None) -> None:
    assert number(said) == read
