"""Several systems at once, worked out by hand: a complete table's ranges, shares and first attempts; a claim among scaffolds."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from evals.claims.catalog import find
from evals.claims.claim import Claim
from evals.record import Decision, Outcome
from evals.results.table import Results, Row, System
from evals.stats.components import split
from evals.stats.noise import AttemptNoise, attempt_noise
from evals.stats.paired import cochran_q
from evals.verdict.compare import By, compare
from evals.verdict.crossed import Crossed, common_outcomes, crossed, shares
from evals.verdict.difference import Question, compared, evaluate, look_bound, steps
from evals.verdict.measure import Estimand, at_rate, between_tasks
from evals.verdict.scaffold_range import ScaffoldRange, scaffold_range
from evals.verdict.scaffold_share import PublicPair, PublicPairs, sentence

NAN = math.nan
CLAIM = find("qwen3.6-27b/swe-bench-verified").model_copy(
    update={"benchmark": "b", "n_tasks": 4, "model": "m"}
)
Passes = dict[str, tuple[int, ...]]
"""Task → its attempts, 1 for a pass."""


def together(table: dict[tuple[str, str], Passes], **facts: object) -> Results:
    """Systems (model, scaffold) on the tasks that each tried."""
    rows = tuple(
        Row(System(*system), task, "r", n, Outcome.RESOLVED if passed else Outcome.UNRESOLVED)
        for system, tasks in table.items()
        for task, attempts in tasks.items()
        for n, passed in enumerate(attempts, 1)
    )
    return Results(source="s", benchmark="b", rows=rows, **facts)  # type: ignore[arg-type]


def crossed_of(table: dict[tuple[str, str], Passes]) -> Crossed | None:
    results = together(table)
    return crossed({system: results.of(system) for system in results.systems})


WEAK: Passes = {"a": (1, 0, 0), "b": (0, 0, 0)}
STRONG: Passes = {"a": (1, 1, 1), "b": (1, 1, 1)}
FOUR = {("m", "x"): WEAK, ("m", "y"): STRONG, ("n", "x"): STRONG, ("n", "y"): WEAK}
"""Two models whose scaffolds do the opposite, on two tasks."""


def test_common_tasks_come_in_the_first_ones_order_with_gaps_for_attempts_not_made() -> None:
    results = together(
        {("m", "x"): {"a": (1,), "b": (0,), "z": (1,)}, ("m", "y"): {"b": (1, 0), "a": (0, 1)}}
    )
    found = common_outcomes([results.of(system).table() for system in results.systems])
    assert found.tolist() == pytest.approx(np.array([[[1, NAN], [0, NAN]], [[0, 1], [1, 0]]]), nan_ok=True), (
        "z was tried by one alone"
    )


def test_ranges_of_a_complete_table() -> None:
    """Rates 1/6 and 1, turned round for the other model: ranges of 83.3 points, and a gap that moves by twice that."""
    found = crossed_of(FOUR)
    assert found
    assert (found.models, found.scaffolds, found.tasks) == (2, 2, 2)
    noise = attempt_noise(np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]] * 2, float), "b")
    assert found.noise == noise.basis
    each = noise.variance / (2 * 3)
    for one, name in zip(found.over_scaffolds, ("m", "n"), strict=True):
        assert (one.name, one.value) == (name, 83.3333)
        assert one.high - one.low == pytest.approx(
            2 * 100 * math.sqrt(2 * each) * _student(noise.df, 0.975), abs=1e-3
        )
    assert found.gap_moves
    assert found.gap_moves.value == 166.6667
    assert found.gap_moves.high == 200.0, "no more than two rates each way"
    assert found.variance["model × scaffold"] > 0.3


def _student(df: float, chance: float) -> float:
    from scipy import stats

    return float(stats.t.ppf(chance, df))


def test_one_model_has_a_range_and_no_gap() -> None:
    found = crossed_of({system: passes for system, passes in FOUR.items() if system[0] == "m"})
    assert found
    assert (found.models, found.gap_moves) == (1, None)
    assert found.over_scaffolds[0].value == 83.3333


def test_an_incomplete_table_tells_nothing() -> None:
    assert crossed_of({system: FOUR[system] for system in [("m", "x"), ("m", "y"), ("n", "x")]}) is None
    assert crossed_of({system: FOUR[system] for system in [("m", "x"), ("n", "x")]}) is None
    one_task = {system: {"a": passes["a"]} for system, passes in FOUR.items()}
    assert crossed_of(one_task) is None


def test_shares_are_the_components_and_noise_that_was_not_repeated_is_told_with_task_by_system() -> None:
    rng = np.random.default_rng(7)
    outcomes = (rng.random((2, 2, 40, 2)) < rng.random((1, 1, 40, 1))).astype(float)
    parts = split(outcomes, 0.1)
    assert shares(outcomes, 0.1) == pytest.approx({
        "model": parts.model / sum(parts), "scaffold": parts.scaffold / sum(parts),
        "model × scaffold": parts.interaction / sum(parts), "task": parts.task / sum(parts),
        "task × system": parts.task_by_system / sum(parts), "run-to-run noise": parts.noise / sum(parts),
    })  # fmt: skip
    once = split(outcomes[..., :1], 0.1)
    assert once.noise > 0
    assert shares(outcomes[..., :1], 0.1)["task × system and run-to-run noise"] == pytest.approx(
        (once.task_by_system + once.noise) / sum(once)
    )
    assert shares(np.ones((2, 2, 3, 2)), 0.0) == {}


def test_cochrans_q_is_of_the_first_attempts() -> None:
    def passes(first: int) -> Passes:
        return {f"t{n}": (int(n < first), 1) for n in range(12)}

    table = {("m", name): passes(first) for name, first in (("x", 3), ("y", 6), ("z", 11))}
    first = np.array([[n < 3, n < 6, n < 11] for n in range(12)])
    found = compare(together(table), By.SCAFFOLD)
    assert found.cochran == {"m": pytest.approx(cochran_q(first))}
    assert found.cochran["m"] < 0.05
    assert compare(together(dict(list(table.items())[:2]))).cochran == {}, "two are a pair"


def test_what_a_comparison_counts_of_each_system() -> None:
    results = together({("m", "x"): WEAK, ("m", "y"): STRONG})
    rows = tuple(
        row._replace(tokens=100, seconds=1.26, stop="submitted" if row.attempt == 1 else "")
        for row in results.rows
    )
    first, second = compare(replace(results, rows=rows)).systems
    assert (first.tasks, first.attempts, first.rate, first.tokens, first.seconds) == (
        *(2, 6, 16.6667, 600, 7.6),
    )
    assert (first.stops, first.failures) == ({"submitted": 2}, {"unknown": 4, "wrong patch": 1})
    assert (second.rate, second.failures) == (100.0, {})


def test_one_attempt_a_task_is_said_of_a_comparison() -> None:
    def limits(n: int) -> str:
        once = {("m", s): {"a": (1,) * n, "b": (0,) * n} for s in "xy"}
        return " ".join(compare(together(once)).limits)

    assert "one attempt at each task" in limits(1)
    assert "one attempt" not in limits(2)
    assert "judged tasks differ" not in limits(1)
    assert "were not judged" not in limits(1)


def of_scaffolds(passed: dict[str, int], tasks: int = 60, model: str = "m") -> Results:
    return together(
        {(model, name): {f"t{n}": (int(n < count),) for n in range(tasks)} for name, count in passed.items()}
    )


def in_range(passed: dict[str, int], claim: Claim = CLAIM) -> ScaffoldRange | None:
    return scaffold_range(claim.model_copy(update={"n_tasks": 60}), of_scaffolds(passed))


def test_a_range_takes_two_scaffolds_of_one_model_that_is_the_claims() -> None:
    found = in_range({"x": 30, "y": 31})
    assert found
    assert (found.model, found.lowest, found.highest, found.claimed) == ("m", "x", "y", 77.2)
    assert (found.low_rate, found.high_rate) == (50.0, pytest.approx(51.6667))
    assert found.interval[0] == 0.0, "as far as noise goes there is none"
    assert in_range({"x": 30}) is None
    assert in_range({"x": 30, "gold": 60, "nop": 0}) is None, "controls are no scaffolds"
    assert in_range({"x": 30, "y": 31}, CLAIM.model_copy(update={"score": None})) is None
    assert in_range({"x": 30, "y": 31}, CLAIM.model_copy(update={"model": "other"})) is None
    two = together({("m", "x"): STRONG, ("n", "x"): WEAK, ("n", "y"): WEAK})
    assert scaffold_range(CLAIM, two) is None
    apart = together({("m", "x"): {"a": (1,)}, ("m", "y"): {"b": (1,)}})
    assert scaffold_range(CLAIM, apart) is None, "no task that both were judged on"


def test_gaps_of_public_pairs_are_told_to_a_tenth_of_a_point() -> None:
    pair = PublicPair(model="m", vendor=70.26, other=60.0, sources=())
    assert PublicPairs(benchmark="b", other="o", pairs=(pair,)).gaps == (-10.3,)


@pytest.mark.parametrize(
    ("gap", "says"),
    [(-0.5, "says nothing against"), (0.0, "is no gap that speaks"), (0.5, "is no gap that speaks"),
     (-29.0, "says nothing against"), (-29.1, "is more than a scaffold")],
)  # fmt: skip
def test_where_a_gap_ends_that_a_scaffold_may_account_for(gap: float, says: str) -> None:
    assert says in sentence("swe-bench-verified", gap)


def test_a_question_is_two_sided_unless_it_is_said() -> None:
    run = of_scaffolds({"x": 55})
    claim = CLAIM.model_copy(update={"n_tasks": 60, "score": Decimal("50.0")})
    asked = Question(claim, 0.5, 0.05, Estimand.FIXED, 0.05)
    noise = AttemptNoise(0.05, "x")
    assert evaluate(asked, run, run.table(), noise).decision is Decision.EXCEEDS
    assert evaluate(asked._replace(at_least=True), run, run.table(), noise).decision is Decision.AT_LEAST


def test_noise_of_a_rate_near_an_end_is_a_share_of_a_rate_within() -> None:
    """Of 0 or 1 nothing is a share: 2 % or 98 % stand for them."""
    for passed in (0, 60):
        table = of_scaffolds({"x": passed}).table()
        assert at_rate(0.0049, table, 0.5) == pytest.approx(0.0049 / 0.0196 * 0.25)
    two = together({("m", "x"): {"a": (1,), "b": (0,)}}).table()
    assert between_tasks(two, 0.5) == pytest.approx((0.5 + 10 * 0.25) / 11)
    assert between_tasks(two, 0.0) == between_tasks(two, 0.01) == pytest.approx((0.5 + 10 * 0.0196) / 11)


def test_the_claims_own_noise_is_that_of_all_its_runs_and_the_error_is_known_as_well_as_the_noise() -> None:
    """All tasks were run: noise is all that there is, ours over 60 attempts and the claim's over 60 tasks four times."""
    run, noise = of_scaffolds({"x": 30}), AttemptNoise(0.1, "x", df=20.0)
    four = CLAIM.model_copy(update={"n_tasks": 60, "protocol": CLAIM.protocol.model_copy(update={"runs": 4})})
    found = compared(Question(four, 0.5, 0.1, Estimand.FIXED, 0.05), run, run.table(), noise)
    assert found.parts.shared == pytest.approx(0.1 / 240)
    assert found.df == pytest.approx(20.0)


def test_a_planned_look_has_its_bound_and_a_whole_run_none() -> None:
    run, noise = of_scaffolds({"x": 30}), AttemptNoise(0.1, "x")
    claim = CLAIM.model_copy(update={"n_tasks": 60})
    asked = Question(claim, 0.5, 0.1, Estimand.FIXED, 0.05)
    looked = replace(run, looks=(30, 60))
    found = compared(asked, run, run.table(), noise)
    error, slack = math.sqrt(found.parts.variance(60)), steps(claim, run.table())
    assert evaluate(asked, run, run.table(), noise).interval.high == pytest.approx(1.644854 * error + slack)
    bound = look_bound(asked, looked, found.parts, math.inf)
    assert bound > 1.645
    assert evaluate(asked, looked, run.table(), noise).interval.high == pytest.approx(bound * error + slack)
