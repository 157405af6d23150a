"""The statistics that verdicts rest on: published values, brute force, and simulation with a fixed seed."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from evals.stats import components, eprocess, noise, paired, sequential
from evals.stats.equivalence import Decision, error_for_power, power_inside, tost
from evals.stats.intervals import Estimate, clustered_mean, clustered_wilson, wilson
from evals.stats.paired import Discordant

RNG = 20260401


def outcomes_of(data: Path, *names: str) -> list[np.ndarray]:
    """Outcome vectors of public submissions over the 500 tasks."""
    collection = json.loads((data / "verified_submissions.json").read_text())
    resolved = {entry["id"]: set(entry["resolved_ids"]) for entry in collection["submissions"]}
    return [np.array([task in resolved[name] for task in collection["instances"]]) for name in names]


@pytest.mark.parametrize(
    ("first", "second", "rates", "counts", "p"),
    [
        (
            "20250802_mini-v1.0.0_qwen3-coder-480b-a35b-instruct",
            "20250805_openhands-Qwen3-Coder-480B-A35B-Instruct",
            (0.554, 0.696),
            (21, 92),
            9e-12,
        ),
        (
            "20250726_mini-v1.0.0_claude-sonnet-4-20250514",
            "20250522_tools_claude-4-sonnet",
            (0.648, 0.724),
            (17, 55),
            8e-6,
        ),
    ],
)
def test_known_answers(
    shared_data: Path, first: str, second: str, rates: tuple[float, float], counts: tuple[int, int], p: float
) -> None:
    one, two = outcomes_of(shared_data, first, second)
    assert (one.mean(), two.mean()) == pytest.approx(rates)
    pairs = paired.discordant(one, two)
    assert pairs[:2] == counts
    assert paired.mcnemar(pairs) == pytest.approx(p, rel=0.05)
    assert paired.tango(pairs).high < 0


def restricted_score(b: int, c: int, n: int, delta: float) -> float:
    """Tango's statistic with the restricted estimate found by brute force."""

    def loss(q: float) -> float:
        return -(b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - delta))

    bounds = (max(0.0, -delta) + 1e-13, (1 - delta) / 2 - 1e-13)
    q = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-14}).x
    return float((b - c - n * delta) / np.sqrt(n * (2 * q + delta - delta**2)))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 2, 50), (5, 9, 40), (92, 21, 500)])
def test_tango_matches_brute_force(b: int, c: int, n: int) -> None:
    for delta in (-0.3, 0.05, 0.2):
        closed = paired.tango_score(Discordant(b, c, n), delta)
        assert closed == pytest.approx(restricted_score(b, c, n, delta), abs=1e-5)


def test_tango_at_the_edges() -> None:
    """No discordant task: z² / (n + z²). All discordant: up to 1."""
    low, high = paired.tango(Discordant(0, 0, 20))
    assert (low, high) == pytest.approx((-0.16113, 0.16113), abs=1e-5)
    assert paired.tango(Discordant(20, 0, 20)).high == 1.0
    assert paired.tango(Discordant(0, 20, 20)).low == -1.0
    assert paired.mcnemar(Discordant(0, 0, 20)) == 1.0


def test_proportions_at_the_edges() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10).low == 0.0
    assert wilson(10, 10).high == pytest.approx(1.0)
    assert wilson(4, 10) == pytest.approx(
        (0.1682, 0.6873), abs=1e-4
    )  # Brown, Cai, DasGupta's formula by hand


def test_clustered_mean_without_clusters_is_the_usual_one() -> None:
    values = np.random.default_rng(RNG).random(60)
    estimate = clustered_mean(values, range(60))
    assert estimate.error == pytest.approx(values.std(ddof=1) / np.sqrt(60))
    assert estimate.df == pytest.approx(59)


def test_clustered_mean_with_one_cluster_says_nothing() -> None:
    assert clustered_mean(np.array([0.0, 1.0, 1.0]), ["a"] * 3).interval() == (-np.inf, np.inf)


def test_clustered_wilson_is_wilson_for_as_many_tasks_as_the_clusters_are_worth() -> None:
    """Alone in their clusters, tasks are worth themselves but for Student's quantile; as twins, half of it."""
    alone = np.array([1.0, 0.0] * 40)
    single = clustered_wilson(alone, range(80))
    assert single.low < wilson(40, 80).low < single.low + 0.005
    twins = clustered_wilson(np.repeat(alone, 2), list(np.repeat(np.arange(80), 2)))
    assert twins == pytest.approx(single, abs=1e-9)
    assert clustered_wilson(np.zeros(30), list(range(3)) * 10) == wilson(0, 30)
    assert clustered_wilson(alone, ["a"] * 80) == (0.0, 1.0)


def test_cr2_matches_its_matrix_definition() -> None:
    """Bell and McCaffrey's A = (I − H)^(−1/2), built as a matrix."""
    rng = np.random.default_rng(RNG)
    clusters = np.repeat(np.arange(5), [20, 3, 8, 1, 9])
    values = rng.random(41) + clusters * 0.1
    n, residual, variance = 41, values - values.mean(), 0.0
    for cluster in range(5):
        inside = clusters == cluster
        eye_minus_hat = np.eye(inside.sum()) - 1 / n
        eigen, vectors = np.linalg.eigh(eye_minus_hat)
        adjust = vectors @ np.diag(eigen**-0.5) @ vectors.T
        variance += float(np.ones(inside.sum()) @ adjust @ residual[inside]) ** 2 / n**2
    assert clustered_mean(values, list(clusters)).error == pytest.approx(np.sqrt(variance))


def test_holm_and_cochran() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired.holm([]) == []
    same = np.ones((10, 3), dtype=bool)
    assert paired.cochran_q(same) == 1.0
    mixed = np.array([[1, 0, 0]] * 12 + [[1, 1, 0]] * 4, dtype=bool)
    assert paired.cochran_q(mixed) < 0.001


def test_sign_flip_agrees_with_mcnemar_on_one_attempt() -> None:
    first = np.array([1.0] * 8 + [0.0] * 2 + [1.0] * 30)[:, None]
    second = np.array([0.0] * 8 + [1.0] * 2 + [1.0] * 30)[:, None]
    exact = paired.mcnemar(Discordant(8, 2, 40))
    assert paired.sign_flip(first, second, seed=1) == pytest.approx(exact)


def test_paired_difference_chooses_by_the_data() -> None:
    single = paired.paired_difference([1.0] * 8 + [0.0] * 32, [0.0] * 40)
    assert (single.difference, single.p_value) == pytest.approx((0.2, paired.mcnemar(Discordant(8, 0, 40))))
    several = paired.paired_difference([0.5, 1.0, 0.75, 0.25] * 10, [0.5, 0.75, 0.5, 0.25] * 10)
    assert several.method.startswith("Student")
    assert several.difference == pytest.approx(0.125)
    assert several.low < 0.125 < several.high
    assert paired.paired_difference([], []).p_value is None
    assert paired.paired_difference([0.5], [0.0])[1:3] == (-1.0, 1.0)
    same = paired.paired_difference([0.5] * 20, [0.5] * 20)
    assert same.low < 0 < same.high


def test_noise_prior_is_what_public_trials_say(shared_data: Path) -> None:
    systems: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    with (shared_data / "terminal_bench2_trials.csv").open() as handle:
        for row in csv.DictReader(handle):
            if int(row["trials"]) >= 2:
                systems[row["scaffold"], row["model"]].append((int(row["successes"]), int(row["trials"])))
    shares, rates = [], []
    for counts in systems.values():
        k, n = np.array(counts, dtype=float).T
        p = k / n
        rates.append(p.mean())
        shares.append((p * (1 - p) * n / (n - 1)).mean() / (p.mean() * (1 - p.mean())))
    strong = np.array(shares)[np.array(rates) > noise.WEAK_BELOW]
    assert len(shares) == 83
    assert strong.mean() == pytest.approx(noise.TYPICAL_SHARE, abs=0.01)
    assert np.percentile(strong, 95) == pytest.approx(noise.CAUTIOUS_SHARE, abs=0.01)
    assert np.percentile(shares, 95) == pytest.approx(noise.CAUTIOUS_SHARE_WEAK, abs=0.01)


def test_noise_is_unbiased_and_says_where_it_comes_from() -> None:
    rng = np.random.default_rng(RNG)
    chances = rng.beta(0.3, 0.3, 4000)
    tries = (rng.random((4000, 3)) < chances[:, None]).astype(float)
    assert noise.within_tasks(tries) == pytest.approx(np.mean(chances * (1 - chances)), rel=0.05)
    assert noise.attempt_noise(tries).basis.startswith("measured on 4000")
    single = noise.attempt_noise(tries[:, :1])
    assert single.basis.startswith("one attempt")
    assert single.variance > noise.attempt_noise(tries).variance / 2
    assert noise.attempt_noise(np.zeros((30, 1))).variance > 0


def test_tost_decides_both_ways_and_abstains() -> None:
    assert tost(Estimate(0.001, 0.01), 0.03).decision is Decision.REPRODUCED
    assert tost(Estimate(-0.2, 0.01), 0.03).decision is Decision.NOT_REPRODUCED
    assert tost(Estimate(0.02, 0.01), 0.03).decision is Decision.UNDECIDED
    assert tost(Estimate(0.0, float("inf"), 1.0), 0.03).decision is Decision.UNDECIDED
    tight = Estimate(0.0130, 0.01)
    assert tost(tight, 0.03).decision is Decision.REPRODUCED
    assert tost(tight, 0.03, rounding=0.005).decision is Decision.UNDECIDED


def test_power_and_its_inverse_agree() -> None:
    error = error_for_power(margin=0.05, power=0.8)
    assert power_inside(error, 0.05) == pytest.approx(0.8)
    assert power_inside(0.05, 0.05) == 0.0


def test_boundaries_spend_alpha_exactly() -> None:
    fractions = [0.1, 0.25, 0.5, 0.75, 1.0]
    bounds = np.array(sequential.critical_values(fractions, alpha=0.05))
    rng = np.random.default_rng(RNG)
    steps = rng.normal(size=(200_000, 5)) * np.sqrt(np.diff([0.0, *fractions]))
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)
    assert np.mean((z > bounds).any(axis=1)) == pytest.approx(0.05, abs=0.002)
    assert np.mean((z[:, :3] > bounds[:3]).any(axis=1)) == pytest.approx(
        0.05 * 0.5**sequential.RHO, abs=0.001
    )


def test_one_look_is_the_fixed_test() -> None:
    assert sequential.critical_values([1.0], 0.05) == pytest.approx([1.6449], abs=1e-3)


def test_accrual_leaves_only_run_noise_at_the_end() -> None:
    accrual = sequential.Accrual(tasks=500, between=0.2, within=0.08, shared=0.0001, fixed=True)
    assert accrual.variance(500) == pytest.approx(0.08 / 500 + 0.0001)
    assert accrual.fractions([100, 500], 500)[1] == 1.0
    sample = accrual._replace(fixed=False)
    assert sample.variance(500) == pytest.approx(0.2 / 500 + 0.0001)


def test_the_first_night_after_one_attempt_is_mcnemar() -> None:
    """Three tasks passed before and not tonight, one the other way, five alike: 16 ways to order them."""
    tonight, before = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0]), np.array([1, 1, 1, 0, 1, 1, 0, 0, 0])
    weight = eprocess.weights(9)
    found = eprocess.rank(tonight, tonight + before, np.full(9, 2), np.ones(9, int))
    ways = [np.dot(signs, weight[:4]) for signs in product((0, 1), repeat=4)]
    assert found == pytest.approx(np.mean(np.array(ways) <= weight[3]))
    assert 1 / 16 < found < 5 / 16 + 1e-9  # McNemar's one-sided p, ties taken apart


def test_several_attempts_a_night_are_drawn_from_all_that_were_made() -> None:
    """Two tasks by brute force: every order of the outcomes is as likely."""
    law = np.zeros(7 * 2 + 8 + 1)
    for first, second in product(permutations([1, 1, 0, 0, 0]), permutations([1, 0, 0])):
        law[7 * sum(first[:2]) + 8 * second[0]] += 1 / (120 * 6)
    found = eprocess.law_of_passes(np.array([2, 1]), np.array([5, 3]), np.array([2, 1]))
    assert found == pytest.approx(law, abs=1e-12)


def month_of(outcomes: np.ndarray) -> np.ndarray:
    """Evidence from outcomes (baseline and nights, tasks), one attempt each."""
    nights = []
    for last in range(2, len(outcomes) + 1):
        made, tonight = np.ones((last, outcomes.shape[1]), int), outcomes[last - 1]
        rank = eprocess.rank(tonight, outcomes[:last].sum(0), made.sum(0), made[-1])
        nights.append(eprocess.Night(rank, eprocess.shifts(made)))
    return eprocess.evidence(nights)


def test_evidence_is_fair_whatever_the_tasks_are() -> None:
    """Exact, over all outcomes of 3 unlike tasks in a baseline and 3 nights: each night, and Ville's bound over all."""
    chances = np.array([0.2, 0.5, 0.9])
    each, bounds, crossed = np.zeros(3), np.array([1.02, 1.1, 1.2, 1.5]), np.zeros(4)
    for flat in product((0, 1), repeat=12):
        outcomes = np.array(flat).reshape(4, 3)
        chance = float(np.prod(np.where(outcomes, chances, 1 - chances)))
        path = np.exp(month_of(outcomes))
        each += chance * path
        crossed += chance * (path.max() >= bounds)
    assert np.all(each <= 1)
    assert np.all(crossed <= 1 / bounds)
    assert crossed[0] > 0.05


def test_evidence_grows_with_a_drop_now_or_later() -> None:
    rng = np.random.default_rng(RNG)
    steady = (rng.random((13, 100)) < 0.7).astype(int)
    now, later = steady.copy(), steady.copy()
    now[1:], later[10:] = rng.random((12, 100)) < 0.45, rng.random((3, 100)) < 0.4
    bound = eprocess.threshold(0.05)
    assert month_of(steady).max() < 1 < bound
    assert month_of(now)[2] > bound
    assert month_of(later)[:9].max() < bound < month_of(later)[-1]
    assert eprocess.evidence([]) == [0.0]


def test_interaction_of_an_additive_table_is_zero() -> None:
    table = np.array([[0.5, 0.6], [0.7, 0.8], [0.3, 0.4]])
    assert components.interaction(table, noise=0.0).sd == pytest.approx(0.0, abs=1e-9)
    assert components.order_change(0.1, 0.0) == 0.0
    assert components.order_change(0.0, 0.1) == 0.5
    assert components.order_change(0.0, 0.0) is None


def test_noise_is_not_sold_as_sensitivity() -> None:
    """Scores that differ by run noise alone have an index of about 0, and an interval that holds 0."""
    rng = np.random.default_rng(RNG)
    found = [components.sensitivity(rng.normal(0.5, 0.02, 4), noise=0.02**2) for _ in range(400)]
    assert np.mean([f.interval.low == 0 for f in found]) > 0.95
    assert np.median([f.sd for f in found]) < 0.01
    real = components.sensitivity(np.array([0.3, 0.5, 0.7, 0.6]), noise=0.02**2)
    assert real.interval.low > 0.05


def test_split_recovers_what_was_put_in() -> None:
    rng = np.random.default_rng(RNG)
    models, scaffolds, tasks, attempts = 12, 10, 300, 3
    latent = (
        0.5
        + rng.normal(0, 0.05, (models, 1, 1))
        + rng.normal(0, 0.04, (1, scaffolds, 1))
        + rng.normal(0, 0.03, (models, scaffolds, 1))
        + rng.normal(0, 0.1, (1, 1, tasks))
    )
    outcomes = (rng.random((models, scaffolds, tasks, attempts)) < latent[..., None]).astype(float)
    measured = noise.within_tasks(outcomes.reshape(-1, attempts))
    assert measured is not None
    parts = components.split(outcomes, measured)
    assert np.sqrt(parts.task) == pytest.approx(0.1, rel=0.15)
    assert np.sqrt(parts.interaction) == pytest.approx(0.03, rel=0.25)
    assert np.sqrt(parts.model) == pytest.approx(0.05, rel=0.5)
    assert np.sqrt(parts.scaffold) == pytest.approx(0.04, rel=0.5)
    assert parts.task_by_system < 0.003
    assert sum(parts) == pytest.approx(outcomes.var(), rel=0.05)


def test_a_single_task_with_a_gap_proves_nothing() -> None:
    found = paired.paired_difference([1 / 3, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])
    assert found.p_value == 1.0
    assert found.low < 0 < found.difference < found.high
