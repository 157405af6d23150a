"""The parts of a verdict, worked out by hand: what a rate errs by, what is carried over, what the words say, what a plan costs."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from evals.claims.catalog import find
from evals.claims.tasks_of import about_tasks, tasks_option
from evals.record import Decision, Outcome
from evals.results.table import Drawn, Results, Row, System
from evals.run.lock import run_lock
from evals.run.trajectory import read_steps
from evals.stats.intervals import Interval
from evals.stats.irt import ABILITY_PRECISION, Items
from evals.stats.noise import AttemptNoise, attempt_noise, df_of, line, prior
from evals.stats.paired import Discordant, clustered_difference, tango_score
from evals.stats.power import Design, accrual, design, repeated_df
from evals.stats.rebase import bounds, unexplained
from evals.stats.sequential import Accrual, critical_values
from evals.stats.subset import draw_fitted, parameters
from evals.verdict import scaffold_share
from evals.verdict.cost import Cost
from evals.verdict.crossed import shares
from evals.verdict.difference import Question, compared, evaluate, look_bound, steps
from evals.verdict.measure import (
    Estimand,
    at_rate,
    attempts_each,
    benchmark_size,
    between_tasks,
    from_estimate,
    from_subset,
    measured,
)
from evals.verdict.plan import Aim, basics, choice, plan, repeated_in_part
from evals.verdict.rates import RateFound, difference_of, rate_of
from evals.verdict.reference import Reference, exactly, without_model
from evals.verdict.scaffold_range import place, scaffold_range
from evals.verdict.verify import Line, certain, unjudged
from evals.verdict.words import certainty, grader_of, points, what_it_takes
from tasks.errors import UserError

VERIFIED = "swe-bench-verified"
SCAFFOLDS = {"a": 20, "b": 27, "c": 40}
"""What each solves of 60."""


def results(*passes: tuple[int, ...], name: str = "bash", **facts: object) -> Results:
    """One tuple a task: 1 for each attempt that passes."""
    rows = tuple(
        Row(System("m", name), f"t{t}", f"r{t % 3}", n, Outcome.RESOLVED if passed else Outcome.UNRESOLVED)
        for t, attempts in enumerate(passes)
        for n, passed in enumerate(attempts, 1)
    )
    return Results(source="s", benchmark="b", rows=rows, **facts)  # type: ignore[arg-type]


def test_attempts_at_a_task_are_averaged_harmonically() -> None:
    table = results((1, 1, 0, 0), (1,)).table()
    assert attempts_each(table) == pytest.approx(2 / (1 / 4 + 1 / 1))


def test_noise_is_carried_to_another_rate_as_a_share() -> None:
    table = results(*[(1,)] * 5, *[(0,)] * 5).table()
    assert at_rate(0.1, table, 0.8) == pytest.approx(0.1 / 0.25 * 0.16)
    assert at_rate(0.4, table, 0.8) == pytest.approx(0.16), "at most all of it"
    assert at_rate(0.1, table, 1.0) == pytest.approx(0.4 * 0.98 * 0.02)
    assert at_rate(0.1, table, 0.0) == pytest.approx(0.4 * 0.98 * 0.02)


def test_the_spread_between_tasks_is_mixed_with_what_is_expected() -> None:
    table = results((1,), (1,), (0,), (0,)).table()
    assert between_tasks(table, 0.5) == pytest.approx((3 * (1 / 3) + 10 * 0.25) / 13)
    assert between_tasks(results((1,)).table(), 0.5) == pytest.approx(0.25)
    assert between_tasks(results((1,)).table(), 1.0) == pytest.approx(0.98 * 0.02)


def test_a_measured_rate_and_its_parts() -> None:
    done = results((1, 1), (1, 0), (0, 0), (0, 0))
    found = measured(done, done.table(), AttemptNoise(0.1, "x"), Estimand.FIXED, 0.5)
    assert (found.rate, found.tasks, found.parts.tasks) == (pytest.approx(3 / 8), 4, 4)
    assert found.parts.within == pytest.approx(0.05)
    assert found.noisy == pytest.approx(0.05 / 4)
    assert found.parts.variance(4) == pytest.approx(0.05 / 4), "all tasks were run: only run noise is left"


@pytest.mark.parametrize(
    ("facts", "size"),
    [({}, 2), ({"drawn": Drawn.SAMPLE}, 2), ({"drawn": Drawn.SAMPLE, "excluded": {"t9": "fails"}}, 2),
     ({"planned": 7}, 7)],
)  # fmt: skip
def test_the_benchmark_has_the_planned_tasks_where_its_size_is_not_known(
    facts: dict[str, object], size: int
) -> None:
    assert benchmark_size(results((1,), (0,), **facts)) == size


def test_a_sample_stands_for_the_whole_benchmark_without_what_was_excluded() -> None:
    part = Results("s", VERIFIED, results((1,)).rows, drawn=Drawn.SAMPLE, excluded={"x": "", "y": ""})
    assert benchmark_size(part) == 498


def test_accrual_shrinks_with_what_is_left_to_run() -> None:
    parts = Accrual(tasks=100, between=0.2, within=0.05, shared=0.001, fixed=True)
    assert parts.variance(50) == pytest.approx(0.15 * (1 / 50 - 1 / 100) + 0.05 / 50 + 0.001)
    assert parts._replace(fixed=False).variance(50) == pytest.approx(0.15 / 50 + 0.05 / 50 + 0.001)
    assert parts._replace(between=0.01).variance(50) == pytest.approx(0.05 / 50 + 0.001)
    assert parts.fractions([50, 100], 100) == pytest.approx([parts.variance(100) / parts.variance(50), 1.0])


def test_two_equal_looks_have_the_known_boundaries() -> None:
    """α · t³ at t = ½ is 0.00625: z = 2.4977; what is left is spent at the end."""
    first, last = critical_values([0.5, 1.0])
    assert first == pytest.approx(2.4977, abs=1e-3)
    assert 1.6449 < last < 1.68
    assert critical_values([1.0], alpha=0.025) == pytest.approx([1.95996], abs=1e-3)


def test_noise_that_is_expected() -> None:
    assert prior(0.5).variance == pytest.approx(0.48 * 0.25)
    assert prior(0.2).variance == pytest.approx(0.63 * 0.16), "weak systems solve by luck more often"
    assert prior(0.3).variance == pytest.approx(0.48 * 0.21)
    assert prior(1.0).variance == pytest.approx(0.48 * 0.98 * 0.02)
    assert prior(0.0).variance == pytest.approx(0.63 * 0.98 * 0.02)


def test_a_verdict_reckons_with_more_noise_than_is_expected_until_it_is_measured() -> None:
    """At least the 48 % of the noisiest systems, or what one of twenty exceeds around the line; intervals elsewhere do not."""
    for rate in (0.3, 0.5, 0.7):
        expected, fitted = prior(rate, VERIFIED), line(VERIFIED)
        assert fitted is not None
        most = max(0.48, fitted.share(rate) + 1.645 * fitted.sd)
        assert expected.reckoned.variance == pytest.approx(most * rate * (1 - rate))
        assert expected.reckoned.variance > expected.variance
        assert expected.times(2).reckoned.variance == pytest.approx(2 * expected.reckoned.variance)
    assert "1.6 times that until some are repeated" in prior(0.7, VERIFIED).reckoned.basis
    once, twice = np.array([[1.0], [0.0]] * 50), np.array([[1.0, 1.0], [0.0, 1.0]] * 50)
    measured_noise = attempt_noise(twice, VERIFIED)
    assert attempt_noise(once, VERIFIED).reckoned.variance == pytest.approx(0.2475 * 0.4945, rel=0.02)
    assert measured_noise.reckoned == measured_noise
    alone = results(*[(1,)] * 70, *[(0,)] * 30)
    asked, noise = question(VERIFIED, 100), attempt_noise(alone.table().values, VERIFIED)
    found = compared(asked, alone, alone.table(), noise)
    assert found.parts.within == pytest.approx(noise.reckoned.variance)


def test_noise_that_was_measured_weighs_with_its_tasks() -> None:
    outcomes = np.array([[1.0, 0.0]] * 10 + [[1.0, 1.0]] * 10)
    rate = (15 + 2) / (20 + 4)
    mixed = (20 * 0.25 + 10 * 0.48 * rate * (1 - rate)) / 30
    assert attempt_noise(outcomes).variance == pytest.approx(mixed)
    assert attempt_noise(outcomes).basis.startswith("measured on 20 tasks")
    assert attempt_noise(outcomes).df >= 1


def test_degrees_of_freedom_of_a_part() -> None:
    known = AttemptNoise(0.1, "x", df=10)
    assert df_of(0.3, 0.1, known) == pytest.approx(90)
    assert df_of(0.3, 0.0, known) == math.inf


def test_a_claim_on_other_tasks_without_a_model_is_bounded() -> None:
    """50 of 100; without 10 of them between 40 and 50 of 90; with 10 more between 50 and 60 of 110."""
    assert bounds(0.5, 100, 10)[2:4] == pytest.approx((40 / 90, 50 / 90))
    assert bounds(0.5, 100, 0, 10)[2:4] == pytest.approx((50 / 110, 60 / 110))
    assert bounds(0.05, 100, 10).low == 0.0
    assert bounds(0.95, 100, 10).high == 1.0
    assert exactly(0.5, 9)[:4] == (0.5, 0.0, 0.0, 0.5)
    assert exactly(0.5, 9).line == ""
    told = Reference(0.7, 0.01, 0.005, 0.6, 0.8, 90, 10).line
    assert told == (
        "the claim counts 10 tasks otherwise: on these 90 it is predicted 70.0% ± 2.5%, possible 60.0% to 80.0%"
    )


def test_a_claim_of_unknown_benchmark_is_held_against_what_is_possible() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"benchmark": "b", "n_tasks": 4})
    less = without_model(claim, 0.5, results((1,), (1,), (0,)))
    assert (less.low, less.high, less.slack) == pytest.approx((1 / 3, 2 / 3, 1 / 6))
    assert (less.rate, less.error, less.tasks, less.moved) == (pytest.approx(0.5), 0.0, 3, 1)
    assert without_model(claim, 0.5, results(*[(1,)] * 4)) == exactly(0.5, 4)
    more = without_model(claim, 0.5, results(*[(1,)] * 5))
    assert (more.low, more.high, more.moved) == (pytest.approx(2 / 5), pytest.approx(3 / 5), 1)


def test_what_is_possible_widens_every_interval() -> None:
    """A claim on 10 tasks more than were run, without a model: 5 points to either side, beyond what chance does."""
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"benchmark": "b", "n_tasks": 110})
    run = results(*[(1,), (0,)] * 50)
    table, noise = run.table(), AttemptNoise(0.1, "x")
    question = Question(claim, 0.5, 0.1, Estimand.FIXED, 0.05)
    found = compared(question, run, table, noise)
    assert found.against.slack == pytest.approx(0.05)
    half = 1.6449 * math.sqrt(found.parts.variance(100)) + steps(claim, table) + 0.05
    low, high = evaluate(question, run, table, noise).interval
    assert (low, high) == pytest.approx((found.difference - half, found.difference + half), abs=1e-4)


def test_a_look_pays_for_the_looks_before_it_and_for_none_after() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"benchmark": "b", "n_tasks": 100})
    run = results(*[(1,), (0,)] * 25, looks=(20, 50, 80), planned=100)
    question = Question(claim, 0.5, 0.1, Estimand.FIXED, 0.05)
    found = compared(question, run, run.table(), AttemptNoise(0.1, "x"))
    bound = look_bound(question, run, found.parts, math.inf)
    assert bound == pytest.approx(critical_values(found.parts.fractions([20, 50], 100), 0.05)[-1], abs=1e-6)
    assert look_bound(question, run, found.parts, 5) > bound
    of_more = question._replace(estimand=Estimand.LIKE_THESE)
    assert look_bound(of_more, run, found.parts, math.inf) == pytest.approx(
        critical_values([0.2, 0.5], 0.05)[-1], abs=1e-6
    )


def test_a_range_over_three_scaffolds_pays_for_three_differences() -> None:
    runs = [results(*[(1,)] * count, *[(0,)] * (60 - count), name=name) for name, count in SCAFFOLDS.items()]
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(
        update={"benchmark": "b", "n_tasks": 60, "model": "m"}
    )
    both = replace(runs[0], rows=tuple(row for run in runs for row in run.rows))
    found = scaffold_range(claim, both)
    assert found is not None
    assert (found.lowest, found.highest) == ("a", "c")
    assert found.range == pytest.approx(100 * 20 / 60, abs=1e-3)
    halves = {}
    for one, two in combinations(runs, 2):
        gap = difference_of(one, two)
        halves[abs(gap.value)] = (gap.interval.high - gap.interval.low) / 2 * 2.3940 / 1.9600
    low, high = max(g - h for g, h in halves.items()), max(g + h for g, h in halves.items())
    assert found.interval == pytest.approx((100 * low, 100 * high), abs=0.02)


def test_several_attempts_on_a_subset_hold_the_run_noise_once() -> None:
    """The estimate's error has it already; it is taken out of what is widened, and counted at its own size."""
    known = parameters("swebench-verified")
    assert known is not None
    subset = draw_fitted("swebench-verified", known, 100, 3)
    rows = tuple(
        Row(System("m", "bash"), task, "r", n, Outcome.RESOLVED if (place + n) % 3 else Outcome.UNRESOLVED)
        for place, task in enumerate(subset.ids)
        for n in (1, 2)
    )
    table = Results("s", VERIFIED, rows, subset=subset).table()
    noise = AttemptNoise(0.1, "x")
    found, estimate = from_estimate(subset, table, noise), from_subset(subset, table)
    run = at_rate(0.1, table, estimate.value) / 2 / 500
    assert found.noisy == pytest.approx(run)
    assert found.parts.variance(100) == pytest.approx(1.3**2 * (estimate.error**2 - run) + run)


def test_half_an_attempt_and_the_rounding_are_held_against_the_difference() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified")
    assert steps(claim, results(*[(1, 0)] * 10).table()) == pytest.approx(0.0005 + 0.5 / 20)


@pytest.mark.parametrize(
    ("direction", "low", "high", "above", "below", "sided", "words"),
    [
        ("certainly lower", -9.5, -3.2, 9.5, 3.2, False,
         "certainly lower than the claim, by 3.2 to 9.5 points; reproduced for any margin above 9.5, not reproduced for any below 3.2"),
        ("certainly higher", 0.5, 6.0, 6.0, 0.5, False,
         "certainly higher than the claim, by 0.5 to 6.0 points; reproduced for any margin above 6.0, exceeded for any below 0.5"),
        ("", -1.0, 2.0, 2.0, 0.0, False,
         "not told apart from the claim: -1.0 to +2.0 points; reproduced for any margin above 2.0"),
        ("certainly lower", -9.5, -3.2, 9.5, 3.2, True,
         "certainly lower than the claim, by 3.2 to 9.5 points; at least as claimed for any margin above 9.5, below it for any below 3.2"),
    ],
)  # fmt: skip
def test_what_is_certain_in_words(
    direction: str, low: float, high: float, above: float, below: float, sided: bool, words: str
) -> None:
    assert certainty(direction, low, high, above, below, at_least=sided) == words


def line_between(low: float, high: float) -> Line:
    return Line(
        name="x",
        tasks=9,
        claimed=50,
        rate=50,
        difference=0,
        low=low,
        high=high,
        decision=Decision.UNDECIDED,
    )


@pytest.mark.parametrize(
    ("ends", "direction", "above", "below", "above_sided", "below_sided"),
    [
        ([(-5, -1)], "certainly lower", 5, 1, 5, 1),
        ([(-5, 3)], "not told apart", 5, 0, 5, 0),
        ([(-3, 5)], "not told apart", 5, 0, 3, 0),
        ([(1, 5)], "certainly higher", 5, 1, 0, 0),
        ([(-5, 0)], "not told apart", 5, 0, 5, 0),
        ([(0, 5)], "not told apart", 5, 0, 0, 0),
        ([(-5, -1), (-7, -3)], "certainly lower", 7, 1, 7, 1),
        ([(-5, -1), (-2, 2)], "not told apart", 5, 0, 5, 0),
    ],
)
def test_certain_is_what_holds_in_every_reading(
    ends: list[tuple[float, float]],
    direction: str,
    above: float,
    below: float,
    above_sided: float,
    below_sided: float,
) -> None:
    lines = tuple(line_between(*each) for each in ends)
    two, one = certain(lines, at_least=False), certain(lines, at_least=True)
    assert (two.direction, two.reproduced_above, two.refuted_below) == (direction, above, below)
    assert (one.direction, one.reproduced_above, one.refuted_below) == (direction, above_sided, below_sided)


@pytest.mark.parametrize(
    ("claimed", "where"),
    [
        (0.5, "inside it"),
        (0.7, "inside it"),
        (0.73, "above all of them, within the noise of the nearest"),
        (0.77, "above all of them, by more than run noise"),
        (0.47, "below all of them, within the noise of the nearest"),
        (0.43, "below all of them, by more than run noise"),
    ],
)
def test_where_a_claim_lies_among_scaffolds(claimed: float, where: str) -> None:
    """Half-widths of 4 points, 1.5 times as wide for several pairs: 6 points."""
    low, high = (RateFound(rate, Interval(rate - 0.04, rate + 0.04)) for rate in (0.5, 0.7))
    assert place(claimed, low, high, 1.5) == where


def test_what_a_scaffold_may_account_for() -> None:
    """Six gaps: mean −11.6, SD 6.3, one more model between −29 and +6 (Student, 5 degrees of freedom)."""
    found = scaffold_share.share(scaffold_share.public_pairs().gaps)
    assert (found.mean, found.sd) == pytest.approx((-11.567, 6.282), abs=1e-3)
    assert found.predicted == pytest.approx((-29.01, 5.88), abs=0.01)
    assert "a gap of -12.8 says nothing against the claim" in scaffold_share.sentence(VERIFIED, -12.8)
    assert "a gap of -30.0 is more than a scaffold is known to take" in scaffold_share.sentence(VERIFIED, -30)
    assert "+3.0 is no gap that speaks against the claim" in scaffold_share.sentence(VERIFIED, 3)
    assert scaffold_share.sentence("terminal-bench-2.0", -12.8) == ""


def test_two_files_are_not_two_graders() -> None:
    assert grader_of("imported: a.json") == grader_of("imported: b.json") == "imported"
    assert grader_of("swebench==5.0.2") == "swebench==5.0.2"


@pytest.mark.parametrize(
    ("outcome", "failed", "counts"),
    [
        (Outcome.NOT_JUDGED, "server", True),
        (Outcome.NOT_JUDGED, "missing", False),
        (Outcome.NOT_JUDGED, "task", False),
        (Outcome.UNRESOLVED, "", False),
    ],
)
def test_an_attempt_that_was_never_made_is_missing_and_not_unjudged(
    outcome: Outcome, failed: str, counts: bool
) -> None:
    assert unjudged(Row(System("m", "s"), "t", "r", 1, outcome, failure=failed)) is counts


def test_a_rate_of_these_tasks_errs_by_run_noise_alone_and_stays_a_rate() -> None:
    sure = rate_of(results(*[(1,)] * 4))
    assert (sure.value, sure.interval.high) == (1.0, 1.0)
    none = rate_of(results(*[(0,)] * 4))
    assert (none.value, none.interval.low) == (0.0, 0.0)
    half = rate_of(results(*[(1,)] * 50, *[(0,)] * 50))
    assert half.interval == pytest.approx(
        (0.5 - 1.96 * (0.12 / 100) ** 0.5, 0.5 + 1.96 * (0.12 / 100) ** 0.5), abs=1e-3
    )
    assert rate_of(results()) == (0.0, (0.0, 1.0))


def test_a_difference_stays_within_what_a_difference_can_be() -> None:
    best, worst = results(*[(1,)] * 3), results(*[(0,)] * 3, name="edit")
    found = difference_of(best, worst)
    assert (found.value, found.interval.high, found.tasks) == (1.0, 1.0, 3)
    assert difference_of(worst, best).interval.low == -1.0
    alike = difference_of(best, best)
    assert (alike.value, alike.p) == (0.0, 1.0)


def test_differences_over_repositories_are_clipped() -> None:
    first, second = [1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]
    found = clustered_difference(first, second, ["a", "a", "b", "c"])
    assert found.low >= -1.0
    assert found.high == 1.0
    flipped = clustered_difference(second, first, ["a", "a", "b", "c"])
    assert flipped.low == -1.0
    assert flipped.difference == -found.difference == -0.75


def test_shares_of_the_variance_make_a_whole() -> None:
    rng = np.random.default_rng(3)
    outcomes = (rng.random((2, 2, 40, 1)) < 0.5).astype(float)
    found = shares(outcomes, 0.1)
    assert sum(found.values()) == pytest.approx(1.0)
    assert "task × system and run-to-run noise" in found
    assert "run-to-run noise" in shares(np.repeat(outcomes, 2, axis=3), 0.1)


def test_points_have_four_places() -> None:
    assert points(0.123456789) == 12.3457


def test_what_a_plan_costs() -> None:
    way = choice(
        Design(tasks=100, attempts=3, error=0.02, power=0.81, least=0.7), Cost(12_000, 50.0), subset=True
    )
    assert (way.tokens, way.hours) == (3_600_000, 20.0)
    assert (way.error, way.power, way.subset) == (2.0, 0.81, True)
    assert choice(Design(1, 1, 0.1, 0.5, 0.5), Cost(10, None), subset=False).hours is None


def test_a_plan_asks_for_numbers_that_mean_something() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified")
    assert basics(claim, 0.05, 0.8, 0.0) == (pytest.approx(0.772), 500)
    for margin, power in [(0.0, 0.8), (1.0, 0.8), (0.05, 0.0), (0.05, 1.0)]:
        with pytest.raises(UserError, match="a margin lies between"):
            basics(claim, margin, power, 0.0)
    for share in (-0.1, 1.0):
        with pytest.raises(UserError, match="a share of unjudged attempts lies between"):
            basics(claim, 0.05, 0.8, share)
    assert tasks_option("SWE-bench Verified") == "swebench-verified"
    assert tasks_option("terminal-bench-2.0") == "terminal-bench-2.0=DIR"
    assert about_tasks("livecodebench-v6").startswith("missing here: the problems of release 6")
    assert "--tasks aime-2026=DIR --scaffold oneshot" in about_tasks("aime-2026")
    assert about_tasks("swe-bench-pro") == "--tasks swebench-pro (Hugging Face)"
    assert about_tasks("somebody's").startswith("asclaimed knows of no tasks")


def test_a_lock_names_its_owner_and_nobody_before(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("99999999999")
    code = f"from pathlib import Path\nfrom evals.run.lock import run_lock\nwith run_lock(Path({str(tmp_path)!r})): pass"
    with run_lock(tmp_path):
        owner = (tmp_path / ".lock").read_text()
        other = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
        )
    assert f"another asclaimed (process {owner}) works on" in other.stderr
    assert len(owner) < 11


def test_a_torn_last_step_is_not_a_step_yet(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text('{"source": "agent", "message": "a"}\n{"source": "agent", "mess')
    assert [step.message for step in read_steps(tmp_path / "steps")] == ["a"]


def question(benchmark: str, n: int, margin: float = 0.2) -> Question:
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"benchmark": benchmark, "n_tasks": n})
    return Question(claim, 0.5, margin, Estimand.FIXED, 0.05)


def test_a_claim_that_had_to_be_predicted_brings_its_error() -> None:
    known = parameters("swebench-verified")
    assert known is not None
    left_out = dict.fromkeys(known.ids[::25], "broken")
    kept = [task for task in known.ids if task not in left_out]
    rows = tuple(
        Row(System("m", "s"), task, "r", 1, Outcome.RESOLVED if n % 2 else Outcome.UNRESOLVED)
        for n, task in enumerate(kept)
    )
    part = Results("s", VERIFIED, rows, excluded=left_out)
    asked, noise = question(VERIFIED, 500), AttemptNoise(0.05, "x")
    found = compared(asked, part, part.table(), noise)
    assert found.against.error > 0.001
    own = at_rate(0.05, part.table(), found.against.rate) / len(kept)
    assert found.parts.shared == pytest.approx(own + found.against.error**2, rel=1e-9)


def test_what_is_possible_of_a_claim_is_room_that_no_attempt_wins_back() -> None:
    part = results(*[(1,)] * 30, *[(0,)] * 30)
    noise = AttemptNoise(0.05, "x")
    assert "no number of runs decides" in what_it_takes(question("b", 100), part, part.table(), noise, 0.0)
    assert "more attempt" in what_it_takes(question("b", 60), part, part.table(), noise, 0.0)


def test_rounding_of_the_claim_is_a_part_of_the_least_margin() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified")
    finer = claim.model_copy(update={"score": Decimal("77.200")})
    assert 0.03 < plan(claim, margin=0.08).least_margin - plan(finer, margin=0.08).least_margin < 0.07


def test_what_will_not_be_judged_lifts_a_rate_by_less_than_it_lowers_it() -> None:
    """Of 3 % unjudged a rate of 77.2 % takes 2.3 points down and 0.7 up: of 8 points both leave room enough."""
    planned = plan(find("qwen3.6-27b/swe-bench-verified"), margin=0.08, unjudged=0.03)
    (whole,) = [one for one in planned.options if (one.tasks, one.attempts) == (500, 1)]
    assert 0.95 < whole.power < 0.96


def test_what_was_rounded_away_is_a_part_of_the_margin() -> None:
    noise = AttemptNoise(0.05, "x")
    parts, aim = accrual(0.7, 500, 1, 1, 500, noise), Aim(0.08, 0.05, 0.01)
    assert design(parts, 200, 1, aim, noise).power == pytest.approx(
        design(parts, 200, 1, aim._replace(margin=0.07, rounding=0.0), noise).power
    )


def test_what_the_sum_of_passes_leaves_open_of_a_part_of_them() -> None:
    """Two tasks with chance 1/2, the first with slope 1/2 to an ability of variance v: c = (1 + v)/4 is the variance of
    the first, and its covariance with the sum; that of the sum is c + 1/4."""
    chance, moved, total = np.full(2, 0.5), np.array([1.0, 0.0]), np.ones(2)
    items = Items(np.array([[0.0, 2.0], [0.0, 0.0]]), np.zeros((2, 2, 2)))
    c = (1 + 1 / ABILITY_PRECISION) / 4
    assert unexplained(items, chance, moved, total) == pytest.approx(c - c**2 / (c + 0.25))
    assert unexplained(items, chance, 3 * total, total) == pytest.approx(0, abs=1e-9)


def test_two_systems_that_agree_everywhere_differ_by_nothing() -> None:
    assert tango_score(Discordant(0, 0, 10), 0.0) == 0.0
    assert tango_score(Discordant(0, 0, 10), 0.1) == pytest.approx(
        -10 * 0.1 / math.sqrt(10 * 0.1 * 0.9), abs=0.5
    )


def test_a_handful_of_tasks_is_no_certainty() -> None:
    """Two tasks of two against none of two: the exact p of so few is 0.5, and the intervals are wide."""
    best, worst = results((1,), (1,)), results((0,), (0,))
    assert difference_of(best, worst).p == 0.5
    for part in (best, worst):
        low, high = rate_of(part).interval
        assert high - low > 0.25


def test_a_second_attempt_at_some_tasks_leaves_both_runs_their_noise_and_costs_what_it_adds() -> None:
    claim, rate = find("qwen3.6-27b/swe-bench-verified"), 0.772
    aim = Aim(0.08, 0.05, claim.rounding, (0.0, 0.0), looks=())
    found = repeated_in_part(claim, rate, 500, aim, Cost(1000, 50.0))
    share = line(VERIFIED)
    assert found
    assert share
    noise = share.share(rate) * rate * (1 - rate)
    assert found.error == pytest.approx(100 * math.sqrt(noise / 500 + noise / 500), abs=6e-4)
    assert (found.tasks, found.attempts, found.repeated, found.tokens) == (500, 1, 60, 560_000)
    known = AttemptNoise(noise, "as well as two attempts at 60 tasks tell", repeated_df(noise, 60, 2))
    narrow = aim._replace(margin=0.05)
    planned = repeated_in_part(claim, rate, 500, narrow, Cost(1000, 50.0))
    assert planned
    by_hand = design(accrual(rate, 500, 1, 1, 500, known), 500, 1, narrow, known)
    assert planned.power == pytest.approx(by_hand.power, abs=1e-4)
    assert 0.5 < planned.power < 0.95
    thrice = claim.model_copy(update={"protocol": claim.protocol.model_copy(update={"runs": 3})})
    again = repeated_in_part(thrice, rate, 500, aim, Cost(1000, 50.0))
    assert again
    assert again.error == pytest.approx(100 * math.sqrt(noise / 500 + noise / 1500), abs=6e-4)
    assert repeated_in_part(claim, rate, 60, aim, Cost(1000, 50.0)) is None


def test_a_difference_has_a_p_below_five_per_cent_just_where_its_interval_leaves_zero_out() -> None:
    """More than one attempt each: not McNemar's test, but the one that the interval belongs to."""
    for gap, tasks in ((30, 60), (4, 60), (1, 60), (60, 60)):
        first = results(*[(1, 1)] * gap, *[(1, 0)] * (tasks - gap), name="a")
        second = results(*[(0, 1)] * gap, *[(1, 0)] * (tasks - gap), name="b")
        found = difference_of(first, second)
        assert (found.p < 0.05) == (found.interval.low > 0), (gap, found)
    assert found.p < 1e-9
