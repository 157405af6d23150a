"""What stands beside a verdict, and when: its limits, its readings, its reasons, the points of its protocol table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from evals.claims.catalog import find
from evals.claims.claim import Claim, MeasuredBy, Protocol, Status
from evals.claims.network import network_dependent
from evals.record import Decision, Outcome
from evals.results.table import Drawn, Results, Row, System
from evals.run.conditions import Condition
from evals.stats.intervals import clustered_wilson
from evals.stats.noise import AttemptNoise, attempt_noise, drawn_inwards, prior
from evals.stats.rebase import carried, seen_as_part
from evals.stats.subset import Parameters, draw_fitted, draw_stratified, estimated_difference, parameters
from evals.verdict.difference import Question
from evals.verdict.measure import Estimand, answers_of, at_rate, benchmark_size, full_size
from evals.verdict.protocol_match import Match, match, named, same_model
from evals.verdict.rates import difference_of, on_subset, rate_of
from evals.verdict.readings import readings
from evals.verdict.reference import asked_of, counted_by, problem_lists, reference, run_noise
from evals.verdict.verify import Verdict, another_model, is_own_run, verify
from evals.verdict.words import basis, limits, what_it_takes
from tasks.errors import UserError

VERIFIED = "swe-bench-verified"
OURS = System("Qwen3.6-27B", "bash")
CLAIM = find("qwen3.6-27b/swe-bench-verified")
BROKEN = sorted(frozenset[str]().union(*(entry.ids for entry in problem_lists())))
OFFLINE = sorted(network_dependent().keys() - set(BROKEN))
NOISE = AttemptNoise(0.1, "x")


def run(passed: int = 15, tasks: int = 20, attempts: int = 2, **facts: object) -> Results:
    """So many tasks pass at each attempt."""
    return named_tasks([f"t{n}" for n in range(tasks)], passed, attempts, **facts)


def named_tasks(names: list[str], passed: int, attempts: int = 1, **facts: object) -> Results:
    rows = tuple(
        Row(OURS, name, f"r{n % 3}", tried, Outcome.RESOLVED if n < passed else Outcome.UNRESOLVED)
        for n, name in enumerate(names)
        for tried in range(1, attempts + 1)
    )
    given = {"source": "a run", "benchmark": VERIFIED, "margin": 0.05, **facts}
    return Results(rows=rows, **given)  # type: ignore[arg-type]


def rows_with(results: Results, change: Callable[[Row], Row]) -> Results:
    return replace(results, rows=tuple(map(change, results.rows)))


def question(claim: Claim = CLAIM, margin: float = 0.05, *, at_least: bool = False) -> Question:
    return Question(claim, 0.772, margin, Estimand.FIXED, 0.05, at_least)


def said(results: Results, **claim: object) -> list[str]:
    return limits(question(CLAIM.model_copy(update=claim)), results, results.table())


PLAIN = {
    "n_tasks": 20,
    "status": Status.VERIFIED,
    "party": MeasuredBy.VENDOR,
    "contradicted_by": None,
    "subset": None,
}
"""A claim of which nothing has to be said."""


def test_a_plain_verdict_has_no_limits() -> None:
    assert said(run(), **PLAIN) == []


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"n_tasks": None}, "the claim gives no n; taken as 500"),
        ({"n_tasks": None, "benchmark": "somebody's"}, "the claim gives no n; taken as that of the run"),
        ({"subset": "hard"}, "the claim is about a subset: hard"),
        ({"status": Status.SECONDARY}, "the claim is secondary, not read at its source"),
        ({"contradicted_by": "a card"}, "the claim is contradicted: a card"),
        ({"party": MeasuredBy.COMPETITOR, "claimed_by": "X"}, "the number is by X, not by the model's maker"),
    ],
)
def test_what_is_said_of_a_claim(claim: dict[str, object], words: str) -> None:
    assert said(run(), **{**PLAIN, **claim}) == [words]


def unjudged(row: Row) -> Row:
    return row._replace(outcome=Outcome.NOT_JUDGED) if row.task == "t0" else row


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (run(margin=None), "the margin was chosen after the run"),
        (run(attempts=1), "one attempt at each task: run-to-run noise is expected, not measured"),
        (run(planned=21), "stopped at a planned look after 20 of 21 tasks"),
        (rows_with(run(), unjudged), "1 of 20 tasks have no judged attempt"),
        (run(excluded={"t99": "gold fails"}), "1 tasks count for nobody (their own check fails here)"),
        (run(drawn=Drawn.SAMPLE), "a sample of 20 tasks stands for 500"),
        (rows_with(run(), lambda row: row._replace(grader=f"g{row.attempt}")),
         "attempts were judged by different graders: g1, g2"),
        (rows_with(run(), lambda row: row._replace(grader="g" * (row.attempt - 1))), None),
        (run(passed=0), "all tasks ended alike, so noise is not visible in them"),
        (run(passed=20), "all tasks ended alike, so noise is not visible in them"),
        (run(passed=1), None),
        (run(passed=19), None),
    ],
)  # fmt: skip
def test_what_is_said_of_a_run(results: Results, words: str | None) -> None:
    assert said(results, **PLAIN) == ([words] if words else [])


def test_a_subset_is_an_estimate_and_a_system_unlike_all_others_is_said_to_be_one() -> None:
    known = parameters("swebench-verified")
    assert known
    subset = draw_fitted("swebench-verified", known, 100, 3)
    ability = dict(zip(known.ids, known.items.mean[:, 0], strict=True))
    by_ease = sorted(subset.ids, key=lambda task: -ability[task])
    usual = named_tasks(by_ease, 60, subset=subset)
    odd = named_tasks(by_ease[::-1], 60, subset=subset)
    estimate = "rates are estimates for the whole benchmark, from tasks drawn with unequal chances"
    unlike = "this system is unlike the public submissions, hence the wide interval"
    found = [set(said(part, **PLAIN)) & {estimate, unlike} for part in (usual, odd)]
    assert found == [{estimate}, {estimate, unlike}]


def test_what_it_takes_is_told_by_the_distance_to_the_margin() -> None:
    """One-sidedly the other end is of no matter; a difference beyond the margin has as far to go as one within."""
    claim = CLAIM.model_copy(update={"n_tasks": 20, "benchmark": "b"})
    part = run(benchmark="b")
    table = part.table()

    def takes(difference: float, *, at_least: bool = False) -> str:
        return what_it_takes(question(claim, 0.3, at_least=at_least), part, table, NOISE, difference)

    assert takes(0.0) == takes(0.0, at_least=True) == takes(-0.6)
    assert takes(0.3) == takes(-0.3) == takes(-0.3, at_least=True)
    assert "no number of runs decides" in takes(0.3)
    assert takes(0.3, at_least=True) == "run 1 more attempt at each task"
    assert takes(0.1) == "run 1 more attempt at each task"
    assert takes(0.105) == "run 2 more attempts at each task"
    assert takes(0.11) == takes(-0.11) == "run 3 more attempts at each task"
    claim = claim.model_copy(update={"score": Decimal(77)})
    assert takes(0.11) == "run 4 more attempts at each task", "half a point may have been rounded away"


def test_what_it_takes_counts_tasks_where_some_are_left() -> None:
    part = run(attempts=1, tasks=100, passed=77, drawn=Drawn.SAMPLE)
    found = what_it_takes(question(margin=0.08), part, part.table(), AttemptNoise(0.05, "x"), 0.0)
    assert found.startswith("run about ")
    assert found.endswith(" of the 500 tasks")
    assert 100 < int(found.split()[2]) < 500


def test_repositories_not_attempts_decide_of_tasks_like_these() -> None:
    asked = question()._replace(estimand=Estimand.LIKE_THESE)
    assert "more repositories" in what_it_takes(asked, run(), run().table(), NOISE, 0.0)


def views(results: Results, claim: Claim = CLAIM) -> list[str]:
    return [view.name for view in readings(claim, results)]


def test_a_reading_needs_tasks_on_both_sides() -> None:
    others = [f"t{n}" for n in range(9)]
    assert views(named_tasks(others, 5)) == []
    assert views(named_tasks([BROKEN[0], *others], 5)) == ["without 1 task known as broken"]
    assert views(named_tasks([*BROKEN[:2], *others], 5)) == ["without 2 tasks known as broken"]
    assert views(named_tasks(BROKEN[:2], 1)) == []


def test_tasks_that_need_a_network_are_left_out_where_it_was_off() -> None:
    names = [OFFLINE[0], *(f"t{n}" for n in range(9))]
    off, on = (Protocol(grading_network=network) for network in ("off", "on"))
    assert views(named_tasks(names, 5, protocol=off)) == ["without 1 task whose grading needs a network"]
    assert views(named_tasks(names, 5, protocol=on)) == []
    assert views(named_tasks(names[1:], 5, protocol=off)) == []
    assert views(named_tasks(names[:1], 1, protocol=off)) == []


def test_the_official_grader_is_read_alone_where_it_judged_one() -> None:
    graded = rows_with(run(), lambda row: row._replace(official=True if row.task == "t3" else None))
    (view,) = readings(CLAIM, graded)
    assert views(run()) == [], "of no grader is that said"
    assert views(rows_with(run(), lambda row: row._replace(official=False))) == [view.name]
    assert view.name == "official grader alone"
    assert view.results.table(view.reading).tasks == ("t3",)


def test_the_vendors_n_is_read_where_it_leaves_listed_tasks_out() -> None:
    listed = sorted(next(entry.ids for entry in problem_lists() if entry.source.startswith("Anthropic")))
    part = named_tasks([*listed, *(f"t{n}" for n in range(9))], 5)
    same, other = (CLAIM.model_copy(update={"n_tasks": n}) for n in (9, 10))
    assert "the vendor's n of 9" in views(part, same)
    assert not [name for name in views(part, other) if "vendor" in name]
    assert views(named_tasks([f"t{n}" for n in range(9)], 5), same) == [], "of which none was run"


def test_a_verdict_has_two_bounds_and_says_what_it_hangs_on() -> None:
    lost = rows_with(
        run(passed=386, tasks=500, attempts=1),
        lambda row: row._replace(
            outcome=Outcome.NOT_JUDGED if int(row.task[1:]) % 10 == 0 else row.outcome,
            failure="server" if int(row.task[1:]) % 10 == 0 else "",
            flagged=row.task in ("t1", "t2"),
        ),
    )
    found = verify(CLAIM, replace(lost, margin=0.08))
    assert [line.name for line in found.bounds] == [
        "unjudged and flagged attempts failed", "unjudged attempts passed",
    ]  # fmt: skip
    assert found.decision is Decision.UNDECIDED
    assert found.reason == "it hangs on 50 attempts that were not judged and 2 passes that are flagged"
    assert found.retry_first == 50
    imported = rows_with(lost, lambda row: row._replace(grader="imported: a.json"))
    assert verify(CLAIM, imported).retry_first == 0, "nobody can retry what others published"
    assert found.margin == 8.0
    assert (found.bounds[0].tasks, found.bounds[0].claimed) == (500, 77.2)
    main = replace(lost, rows=tuple(row for row in lost.rows if row.outcome is not Outcome.NOT_JUDGED))
    rate = 100 * float(main.table().means.mean())
    assert (found.claimed, found.measured) == (77.2, pytest.approx(rate, abs=1e-3))
    assert found.difference == pytest.approx(rate - 77.2, abs=1e-3)
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.bounds[0].low < found.interval[0] < found.interval[1] < found.bounds[1].high
    assert found.margin_fixed_before
    assert f"{found.difference:+.1f}" in found.scaffold_share


def decided(**facts: object) -> Verdict:
    return verify(CLAIM, run(passed=386, tasks=500, attempts=1, **{"margin": 0.08, **facts}))


def test_a_list_that_was_chosen_whole_is_no_choice() -> None:
    whole = decided(drawn=Drawn.CHOSEN)
    assert whole.decision is decided().decision is Decision.REPRODUCED
    assert whole.reason == "the whole 90 % interval of the difference lies inside the margin"
    part = verify(CLAIM, run(passed=385, tasks=499, attempts=1, drawn=Drawn.CHOSEN, margin=0.2))
    assert (part.decision, "chosen, not drawn" in part.reason) == (Decision.UNDECIDED, True)
    unknown = CLAIM.model_copy(update={"benchmark": "b"})
    assert verify(unknown, run(drawn=Drawn.CHOSEN, benchmark="b")).decision is Decision.UNDECIDED


def test_the_interval_is_of_five_percent_a_side() -> None:
    low, high = decided().interval
    narrow, wide = (
        verify(CLAIM, run(passed=386, tasks=500, attempts=1), alpha=alpha).interval for alpha in (0.05, 0.025)
    )
    assert (low, high) == narrow
    assert wide[0] < low
    assert decided().estimand is Estimand.FIXED
    assert not decided().at_least


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1])
def test_a_margin_lies_between_nothing_and_everything(margin: float) -> None:
    with pytest.raises(UserError, match="between 0 and 100 points"):
        verify(CLAIM, run(margin=None), margin=margin)


def test_a_single_judged_task_is_enough_for_a_verdict_on_it() -> None:
    found = verify(CLAIM, run(passed=1, tasks=1, attempts=1))
    assert (found.measured, found.decision) == (100.0, Decision.UNDECIDED)
    assert found.limits[-1] == "all tasks ended alike, so noise is not visible in them"


def test_one_system_at_a_time() -> None:
    both = run()
    both = replace(both, rows=(*both.rows, *(row._replace(system=System("m", "s")) for row in both.rows)))
    with pytest.raises(UserError, match="holds 2 systems"):
        verify(CLAIM, both)


@pytest.mark.parametrize(
    ("model", "called", "why"),
    [("Qwen3.6-27B", None, False), ("local", None, True), ("local", "LOCAL", False),
     ("local", "qwen3.6 27b", False), ("local", "third", True), ("unknown", None, False), ("", None, False)],
)  # fmt: skip
def test_another_model_is_one_until_somebody_answers_for_it(
    model: str, called: str | None, *, why: bool
) -> None:
    part = rows_with(run(), lambda row: row._replace(system=System(model, "bash")))
    assert bool(another_model(CLAIM, part, called)) is why


def test_a_public_run_is_the_claims_own_by_a_submissions_whole_name() -> None:
    claim = CLAIM.model_copy(update={"evidence": "see 20250805_openhands-Qwen3 and 20240101_other"})

    def own(grader: str) -> bool:
        return is_own_run(claim, rows_with(run(), lambda row: row._replace(grader=grader)))

    assert own("imported: 20250805_openhands-Qwen3")
    assert own("imported: 20240101_other.json")
    assert not own("imported: 20250805_openhands-Qwen3-Coder")
    assert not own("swebench 20240101_other")
    assert not is_own_run(CLAIM.model_copy(update={"evidence": None}), run())


def test_runs_without_a_model_have_no_name() -> None:
    assert [named(name) for name in ("", "none", "unknown", "Qwen")] == [None, None, None, "Qwen"]
    assert not same_model("---", "---")
    assert same_model("GLM-4", "GLM-4.6/GLM-4")
    assert not same_model("GLM-4", "GLM-4.6/GLM-4.5")


def test_points_of_the_protocol_table() -> None:
    same, other = (Condition(name="memory", theirs="2g", ours="4g", same=same) for same in (True, False))
    for condition, verdict in ((same, Match.MATCH), (other, Match.MISMATCH)):
        *_, last = match(CLAIM, run(conditions=(condition,)), OURS)
        assert (last.name, last.claimed, last.measured, last.match) == (
            "memory (the tasks' own)", "2g", "4g", verdict,
        )  # fmt: skip
    absent = {point.name: point for point in match(CLAIM, run(), System("Qwen3.6-27B", "edit"))}
    assert (absent["runs"].measured, absent["tasks"].measured) == ("0", "0")


def test_a_predicted_claim_errs_by_nearly_half_as_much_again_as_the_model_says() -> None:
    known = parameters("swebench-verified")
    assert known
    dropped = dict.fromkeys(BROKEN, "broken")
    kept = [task for task in known.ids if task not in dropped]
    found = reference(CLAIM, 0.772, named_tasks(kept, 300, excluded=dropped))
    mask = np.array([task not in dropped for task in known.ids])
    by_model = carried(known.items, 0.772, np.ones(len(known.ids), bool), mask)
    assert found.error == pytest.approx(1.45 * by_model.error)
    assert (found.rate, found.tasks, found.moved) == (pytest.approx(by_model.rate), len(kept), len(BROKEN))
    assert f"counts {len(BROKEN)} tasks otherwise" in found.line
    whole = reference(CLAIM, 0.772, named_tasks(list(known.ids), 300))
    assert (whole.rate, whole.error, whole.moved, whole.line) == (0.772, 0.0, 0, "")


def test_a_benchmark_of_unknown_size_is_as_large_as_was_planned() -> None:
    assert full_size("SWE-bench Verified") == 500
    assert full_size("somebody's") is None
    assert benchmark_size(run(benchmark="b", drawn=Drawn.SAMPLE, excluded={"x": ""})) == 20
    assert benchmark_size(run(drawn=Drawn.CHOSEN, planned=600)) == 600


@pytest.mark.parametrize("attempts", [1, 2])
def test_two_systems_on_a_subset_err_by_their_runs_noise_once(attempts: int) -> None:
    """With several attempts the estimate's own error holds it."""
    known = parameters("swebench-verified")
    assert known
    subset = draw_fitted("swebench-verified", known, 100, 3)
    first, second = (named_tasks(list(subset.ids), n, attempts, subset=subset) for n in (60, 70))
    one, two = first.table(), second.table()
    found = on_subset(first, one, two, [NOISE, AttemptNoise(0.05, "y")])
    drawn, answers, once = answers_of(subset, one)
    value, error = estimated_difference(drawn, answers, answers_of(subset, two)[1])
    assert once is (attempts == 1)
    own = at_rate(0.1, one, 0.6) / 500 + at_rate(0.05, two, 0.7) / 500
    assert found.value == pytest.approx(value)
    assert found.error**2 == pytest.approx(error**2 + (own if once else 0.0))
    whole = difference_of(first, second)
    assert (whole.method, whole.tasks) == ("weighted for the whole benchmark", 100)
    noises = [run_noise(part, table) for part, table in ((first, one), (second, two))]
    estimate = on_subset(first, one, two, noises)
    p = 2 * stats.t.sf(abs(estimate.value) / estimate.error, estimate.df)
    assert whole.p == pytest.approx(p), "of the weighted difference, also with one attempt each"


def test_a_subset_of_everything_leaves_only_its_runs_noise() -> None:
    names = tuple(f"t{n}" for n in range(30))
    subset = draw_stratified("b", dict.fromkeys(names, "all"), 30, 0)
    part = named_tasks(list(subset.ids), 15, 1, subset=subset, benchmark="b")
    claim = CLAIM.model_copy(update={"benchmark": "b", "n_tasks": 30, "score": Decimal("50.0")})
    found = verify(claim, replace(part, margin=0.3))
    assert found.difference == 0.0
    assert found.bounds[0].tasks == 30


def test_a_scaffold_without_a_name_is_unknown() -> None:
    stated = CLAIM.model_copy(update={"protocol": Protocol(scaffold="bash")})
    for name, verdict in (("bash", Match.MATCH), ("edit", Match.MISMATCH), ("", Match.UNKNOWN)):
        system = System("Qwen3.6-27B", name)
        (point,) = [one for one in match(stated, run(), system) if one.name == "scaffold"]
        assert point.match is verdict


def test_like_these_is_about_repositories_and_a_subset_about_its_benchmark() -> None:
    part = run(attempts=1)
    table = part.table()
    found = rate_of(part, Estimand.LIKE_THESE)
    assert found.interval == clustered_wilson(table.means, table.repos)
    assert rate_of(part).interval != found.interval
    other = rows_with(run(passed=10, attempts=1), lambda row: row._replace(system=System("m", "s")))
    assert difference_of(part, other, Estimand.LIKE_THESE).method == "Student over 3 repositories"
    assert difference_of(part, other).method == "run noise on these tasks"
    assert difference_of(part, other).p == 2 / 2**5, "McNemar: five tasks, all one way"


def test_a_margin_that_was_not_fixed_before_is_called_that() -> None:
    assert not verify(CLAIM, run(margin=None), margin=0.05).margin_fixed_before
    assert verify(CLAIM, run(), margin=0.05 + 1e-10).margin_fixed_before
    for later in (0.049, 0.051):
        with pytest.raises(UserError, match="fixed at 5 points before the run"):
            verify(CLAIM, run(), margin=later)


def difficulties() -> Parameters:
    known = parameters("swebench-verified")
    assert known
    return known


def test_a_claims_n_tells_whether_it_leaves_the_listed_tasks_out() -> None:
    known = difficulties()
    listed = next(entry.ids for entry in problem_lists() if entry.source.startswith("Anthropic"))
    assert [int(counted_by(CLAIM.model_copy(update={"n_tasks": n}), known).sum()) for n in (500, 490, 489)] == [
        500, 500, 489,
    ]  # fmt: skip
    less = counted_by(CLAIM.model_copy(update={"n_tasks": 489}), known)
    assert {task for task, there in zip(known.ids, less, strict=True) if not there} == listed


def test_a_sample_stands_for_all_and_a_whole_list_for_itself() -> None:
    """A list that was not run to its end is not whole, nor is a subset."""
    known = difficulties()
    place = {task: index for index, task in enumerate(known.ids)}
    ids, dropped = list(known.ids[:300]), dict.fromkeys(known.ids[300:310], "broken")

    def asked(**facts: object) -> int:
        part = named_tasks(ids, 200, excluded=dropped, **facts)
        return int(asked_of(part, known, place).sum())

    assert asked() == 300
    assert asked(drawn=Drawn.SAMPLE) == asked(planned=400) == 490
    subset = draw_fitted("swebench-verified", known, 300, 3)
    drawn = named_tasks(list(subset.ids), 200, subset=subset)
    assert int(asked_of(drawn, known, place).sum()) == 500


def test_noise_without_some_tasks_is_that_of_the_whole_benchmark_spread_over_the_rest() -> None:
    known = difficulties()
    whole = named_tasks(list(known.ids), 350)
    assert run_noise(whole, whole.table()) == attempt_noise(whole.table().values, VERIFIED)
    left = named_tasks(
        [task for task in known.ids if task not in BROKEN], 350, excluded=dict.fromkeys(BROKEN, "")
    )
    values = left.table().values
    mask = np.array([task not in BROKEN for task in known.ids])
    part = seen_as_part(known.items, drawn_inwards(values), mask)
    expected = prior(part.rate, VERIFIED).times(part.luck)
    assert run_noise(left, left.table()).variance == pytest.approx(expected.variance)
    assert run_noise(left, left.table()).variance != attempt_noise(values, VERIFIED).variance
    strange = named_tasks(["t0", *known.ids[:300]], 200)
    assert run_noise(strange, strange.table()) == attempt_noise(strange.table().values, VERIFIED)
    unknown = run(benchmark="b")
    assert run_noise(unknown, unknown.table()) == attempt_noise(unknown.table().values, "b")


def test_a_claim_without_n_on_an_unknown_benchmark_is_about_the_tasks_of_the_run() -> None:
    claim = CLAIM.model_copy(update={"benchmark": "b", "n_tasks": None})
    found = reference(claim, 0.5, run(benchmark="b"))
    assert (found.rate, found.slack, found.tasks, found.moved) == (0.5, 0.0, 20, 0)


def test_a_drawn_run_is_read_as_the_benchmark_it_stands_for() -> None:
    """All 33 tasks known as broken count, also those that were not drawn; of tasks that nobody knows only what was run."""
    known = difficulties()
    sampled = named_tasks(list(known.ids[:100]), 70, drawn=Drawn.SAMPLE)
    assert "without 33 tasks known as broken" in views(sampled)
    broken = len(set(BROKEN) & set(known.ids[:100]))
    assert 0 < broken < 33
    assert f"without {broken} tasks known as broken" in views(named_tasks(list(known.ids[:100]), 70))
    strange = named_tasks([BROKEN[0], "t0", "t1"], 2, drawn=Drawn.SAMPLE)
    assert views(strange) == ["without 1 task known as broken"]
    subset = draw_fitted("swebench-verified", known, 100, 3)
    assert "without 33 tasks known as broken" in views(named_tasks(list(subset.ids), 70, subset=subset))


def test_the_claims_noise_is_that_of_its_runs() -> None:
    stated = CLAIM.model_copy(update={"protocol": Protocol(runs=4)})
    assert basis(question(stated), NOISE) == (
        "run-to-run noise: x", "the claim's noise: 4 runs", "rounding of the claim: ±0.05 points",
    )  # fmt: skip
    assert basis(question(), NOISE)[1] == "the claim's noise: runs not stated, taken as one run"
