"""The line of a scaffold, number by number: what a reader of the table reads, worked out by hand."""

from __future__ import annotations

import pytest

from evals.record import AttemptKey, Failure, Grade, GraderVerdict, Outcome, Party, Record
from evals.results.score import Attempt, ScaffoldScore, score
from scaffolds.base import Stop
from scaffolds.model import EmptyTurn

PASS, FAIL = Outcome.RESOLVED, Outcome.UNRESOLVED


def record(key: AttemptKey, **facts: object) -> Record:
    given = {
        "stop": Stop.SUBMITTED,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "active_seconds": 2.0,
        **facts,
    }
    return Record.model_validate(
        {
            "key": key,
            "task_hash": "h",
            "image": "i",
            "patch_sha256": "p",
            "patch_bytes": 1,
            "started": "s",
            **given,
        }
    )


def graded(
    task: str,
    n: int,
    official: Outcome,
    strict: Outcome | None = None,
    final: Outcome | None = None,
    **facts: object,
) -> Attempt:
    """An attempt whose grade is `final`, or the official verdict where that is all that there is."""
    key = AttemptKey(scaffold="bash", task_id=task, attempt=n)
    grade = Grade(
        outcome=final or official,
        party=Party.TASK if final is Outcome.NOT_JUDGED else None,
        official=GraderVerdict(outcome=official, reason="why"),
        strict=GraderVerdict(outcome=strict) if strict else None,
        grader="swebench==5.0.2",
        key="k",
    )
    return Attempt(key, record(key, **facts), grade)


def spoiled(task: str, n: int, party: Party) -> Attempt:
    key = AttemptKey(scaffold="bash", task_id=task, attempt=n)
    return Attempt(key, record(key, stop=None, failure=Failure(party=party, message="gone")), None)


MIXED = [
    graded("a", 1, PASS, PASS, flags=("looked for the answer",)),
    graded("a", 2, PASS, Outcome.VIOLATION, final=Outcome.VIOLATION),
    graded("b", 1, PASS, FAIL, final=FAIL, stop=Stop.STEP_LIMIT),
    graded("b", 2, FAIL, FAIL, calls_native=3, calls_recovered=2, calls_malformed=1),
    graded("c", 1, Outcome.NO_PATCH, stop=Stop.TIME_LIMIT),
    graded("c", 2, FAIL, final=Outcome.NOT_JUDGED),
    spoiled("d", 1, Party.SERVER),
    Attempt(AttemptKey(scaffold="bash", task_id="d", attempt=2), None, None),
]
"""Five judged: one passes, three pass officially. Two not judged, one not made."""


def test_the_counts_of_a_run_in_which_everything_happens() -> None:
    line = score("bash", MIXED)
    assert (line.tasks, line.attempts, line.judged, line.missing) == (4, 8, 5, 1)
    assert (line.resolved, line.official_resolved) == (1, 3)
    assert line.rate == pytest.approx(1 / 5)
    assert line.official_rate == pytest.approx(3 / 5)
    assert line.bounds == pytest.approx((1 / 8, 4 / 8))
    assert line.outcomes == {
        PASS: 1,
        FAIL: 2,
        Outcome.NO_PATCH: 1,
        Outcome.VIOLATION: 1,
        Outcome.NOT_JUDGED: 2,
    }
    assert line.unjudged_by == {"task": 1, "server": 1}
    assert line.differing == ("a#2", "b#1")
    assert not line.estimated


def test_the_sums_are_over_attempts_that_were_made() -> None:
    line = score("bash", MIXED)
    assert (line.prompt_tokens, line.completion_tokens, line.active_seconds) == (600, 60, 12.0)
    assert (line.calls_native, line.calls_recovered, line.calls_malformed) == (3, 2, 1)
    assert line.stops == {"submitted": 4, "step_limit": 1, "time_limit": 1}
    assert (line.flagged, line.tool_calls) == (1, ("native",))


def test_a_run_without_a_verdict_has_no_rate_and_knows_nothing() -> None:
    line = score("bash", [spoiled("a", 1, Party.SANDBOX)])
    assert (line.rate, line.official_rate, line.interval) == (None, None, None)
    assert line.bounds == (0.0, 1.0)
    assert score("bash", []).bounds == (0.0, 1.0)


def test_a_line_that_says_no_more_claims_no_more() -> None:
    """Defaults are what is read from a report of an older version."""
    bare = {"scaffold": "s", "tasks": 1, "attempts": 1, "judged": 1, "resolved": 1, "official_resolved": 1, "rate": 1.0,
            "interval": None, "bounds": (1, 1), "outcomes": {}, "unjudged_by": {}, "missing": 0, "stops": {},
            "prompt_tokens": 0, "completion_tokens": 0, "active_seconds": 0}  # fmt: skip
    line = ScaffoldScore.model_validate(bare)
    assert (line.estimated, line.flagged, line.calls_native, line.calls_recovered, line.calls_malformed) == (
        *(False, 0, 0, 0, 0),
    )
    assert (line.model_calls, line.ended_empty, line.empty_turns, line.empty_share) == (0, 0, {}, 0.0)
    assert (line.rate_without_empty, line.official_rate, line.tool_calls, line.differing) == (
        None,
        None,
        (),
        (),
    )


def test_turns_that_brought_nothing_are_shared_out_over_all_calls() -> None:
    """Three judged, one of which ended on such a turn; of the other two one passes. What was spoiled counts for nothing."""
    line = score("bash", [
        graded("a", 1, PASS, steps=6, empty_turns={EmptyTurn.CUT: 2}),
        graded("b", 1, FAIL, steps=4, empty_turns={EmptyTurn.NOTHING: 1, EmptyTurn.CUT: 1}, ended_empty=EmptyTurn.CUT),
        graded("c", 1, FAIL, steps=6, active_seconds=0.26),
        spoiled("d", 1, Party.SERVER),
    ])  # fmt: skip
    assert (line.model_calls, line.empty_turns) == (16, {"cut": 3, "nothing": 1})
    assert (line.empty_share, line.empty_words) == (0.25, "4/16")
    assert (line.ended_empty, line.rate_without_empty) == (1, 0.5)
    assert (line.rate, line.active_seconds) == (pytest.approx(1 / 3), 4.3)


def test_without_such_turns_there_is_no_second_rate() -> None:
    none = score("bash", [graded("a", 1, PASS, steps=3)])
    assert (none.ended_empty, none.rate_without_empty, none.empty_share) == (0, None, 0.0)
    only = score("bash", [graded("a", 1, PASS, steps=3, ended_empty=EmptyTurn.CUT)])
    assert (only.ended_empty, only.rate_without_empty) == (1, None)
    assert score("bash", []).empty_share == 0.0


def test_an_attempt_is_told_by_its_failure_before_its_grade() -> None:
    made, lost = graded("a", 1, PASS), spoiled("a", 1, Party.SANDBOX)
    both = made._replace(record=lost.record)
    assert (both.outcome, both.party, both.reason) == (Outcome.NOT_JUDGED, Party.SANDBOX, "gone")
    assert (made.outcome, made.party, made.reason) == (PASS, None, "why")
    bare = Attempt(made.key, None, None)
    assert (bare.outcome, bare.party, bare.reason, bare.fix_not_shown) == (None, None, "", False)
    shown = [graded("a", 1, FAIL, fix_shown=seen).fix_not_shown for seen in (None, True, False)]
    assert shown == [False, False, True]
