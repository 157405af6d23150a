"""The statistics that verdicts rest on: published values, brute force, and simulation with a fixed seed."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from evals.record import Decision
from evals.stats import noise, paired, sequential
from evals.stats.equivalence import error_for_power, power_inside, tost
from evals.stats.intervals import Estimate, clustered_mean, clustered_wilson, wilson
from evals.stats.paired import Discordant, bracketed

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
    """Bell and McCaffrey's A = (I − H)^(−1/2), built as a matrix, and Satterthwaite's degrees of freedom of what comes of it."""
    rng = np.random.default_rng(RNG)
    clusters = np.repeat(np.arange(5), [20, 3, 8, 1, 9])
    values = rng.random(41) + clusters * 0.1
    n, residual, variance, rows = 41, values - values.mean(), 0.0, []
    for cluster in range(5):
        inside = clusters == cluster
        eye_minus_hat = np.eye(inside.sum()) - 1 / n
        eigen, vectors = np.linalg.eigh(eye_minus_hat)
        adjust = vectors @ np.diag(eigen**-0.5) @ vectors.T
        variance += float(np.ones(inside.sum()) @ adjust @ residual[inside]) ** 2 / n**2
        rows.append(np.ones(inside.sum()) @ adjust @ (np.eye(n) - 1 / n)[inside])
    found = clustered_mean(values, list(clusters))
    assert found.error == pytest.approx(np.sqrt(variance))
    eigen = np.linalg.eigvalsh(np.array(rows) @ np.array(rows).T)
    assert found.df == pytest.approx(eigen.sum() ** 2 / np.sum(eigen**2))


def test_holm_and_cochran() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired.holm([]) == []
    same = np.ones((10, 3), dtype=bool)
    assert paired.cochran_q(same) == 1.0
    mixed = np.array([[1, 0, 0]] * 12 + [[1, 1, 0]] * 4, dtype=bool)
    assert paired.cochran_q(mixed) == pytest.approx(np.exp(-26 / 2)), "Q = 26, two degrees of freedom"
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]


def test_what_is_written_here_is_what_the_libraries_say() -> None:
    """They are too heavy to load for every report."""
    from scipy import stats
    from statsmodels.stats.contingency_tables import cochrans_q
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    rng = np.random.default_rng(RNG)
    for n in (1, 2, 7, 40, 500):
        for passes in {0, 1, n // 3, n - 1, n}:
            assert wilson(passes, n, 0.9) == pytest.approx(
                proportion_confint(passes, n, alpha=0.1, method="wilson"), abs=1e-12
            )
            assert paired.mcnemar(Discordant(passes, n - passes, n)) == pytest.approx(
                stats.binomtest(passes, n).pvalue
            )
        p_values = rng.choice([0.001, 0.02, 0.3, 0.9, 1.0], n) * rng.choice([1.0, 0.5], n)
        assert paired.holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])
    for systems in (2, 3, 7):
        outcomes = rng.random((60, systems)) < np.linspace(0.3, 0.6, systems)
        assert paired.cochran_q(outcomes) == pytest.approx(cochrans_q(outcomes.astype(int)).pvalue)


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


def test_a_single_task_with_a_gap_proves_nothing() -> None:
    found = paired.paired_difference([1 / 3, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0])
    assert found.p_value == 1.0
    assert found.low < 0 < found.difference < found.high


def test_a_bound_without_a_root_is_the_end_of_the_parameter_space() -> None:
    assert bracketed(lambda _: 1.0, -1.0, 0.25) == -1.0
    assert bracketed(lambda _: 1.0, 0.25, 1.0) == 1.0
    assert bracketed(lambda x: 0.5 - x, 0.0, 1.0) == pytest.approx(0.5)
