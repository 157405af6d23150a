"""Comparisons of several systems: what the intervals and tests say where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from evals.stats import components, noise, paired
from evals.stats.paired import Discordant

RNG = 20260402


def test_cochran_by_hand() -> None:
    """Columns 16, 4, 0; rows 12 of 1 and 4 of 2: Q = 2 (3 · 272 − 400) / (60 − 28) = 26, p = exp(−13)."""
    outcomes = np.array([[1, 0, 0]] * 12 + [[1, 1, 0]] * 4 + [[1, 1, 1]] * 5, dtype=bool)
    assert paired.cochran_q(outcomes) == pytest.approx(np.exp(-13))


def test_tango_covers() -> None:
    """Exact, over all outcomes of 60 tasks of which 20 % and 10 % are discordant."""
    from scipy.stats import multinomial

    first, second, n = 0.2, 0.1, 60
    covered = 0.0
    for b in range(31):
        for c in range(24):
            low, high = paired.tango(Discordant(b, c, n))
            chance = multinomial.pmf([b, c, n - b - c], n, [first, second, 1 - first - second])
            covered += float(chance) * (low <= first - second <= high)
    assert 0.94 <= covered <= 0.97


def test_clustered_difference_allows_for_relatives() -> None:
    """Repositories of 10 whose tasks agree are worth one task each; unrelated tasks lose little."""
    rng = np.random.default_rng(RNG)
    repositories = list(np.repeat(np.arange(12), 10))
    gap = np.repeat((rng.random(12) < 0.5).astype(float), 10)
    nothing = np.zeros(120)
    alone = paired.paired_difference(gap.tolist(), nothing.tolist())
    together = paired.clustered_difference(gap.tolist(), nothing.tolist(), repositories)
    assert together.high - together.low > 2.5 * (alone.high - alone.low)
    assert (together.p_value or 0) > (alone.p_value or 1)
    mixed = rng.permutation(gap).tolist()
    assert paired.clustered_difference(mixed, nothing.tolist(), repositories).method.startswith("Student")


def test_tasks_without_relatives_are_students_paired_test() -> None:
    from scipy.stats import ttest_1samp

    first, second = [1.0, 0.5, 1.0, 0.0, 0.5, 1.0], [0.5, 0.5, 0.0, 0.5, 0.0, 0.5]
    found = paired.clustered_difference(first, second, list("abcdef"))
    known = ttest_1samp(np.subtract(first, second), 0.0)
    assert found.p_value == pytest.approx(float(known.pvalue))
    assert (found.low, found.high) == pytest.approx(tuple(map(float, known.confidence_interval(0.95))))


def test_clustered_difference_at_the_edges() -> None:
    rates = [1.0, 0.0, 1.0]
    assert paired.clustered_difference(rates, rates, ["a", "b", "b"]).p_value == 1.0
    single = paired.clustered_difference([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], ["a"] * 3)
    assert (single.low, single.high, single.p_value) == (-1.0, 1.0, 1.0)
    assert paired.clustered_difference([], [], []).p_value is None


def test_one_gap_at_every_task_is_no_certainty() -> None:
    found = paired.paired_difference([0.75] * 4, [0.25] * 4)
    assert (found.difference, found.p_value) == (0.5, pytest.approx(2 / 16))
    assert found.low < 0.2 < 0.5 < found.high
    alone = paired.paired_difference([0.5], [0.25])
    assert (alone.low, alone.high, alone.p_value) == (-1.0, 1.0, 1.0)


def test_intervals_of_a_range_cover() -> None:
    """True scores of 4 scaffolds, 8 points apart at most, seen with run noise of 2; and gaps of 3 models."""
    rng = np.random.default_rng(RNG)
    scores = np.array([0.5, 0.52, 0.56, 0.58])
    found = [components.over_scaffolds(scores + rng.normal(0, 0.02, 4), 0.02**2) for _ in range(2000)]
    covered = np.mean([one.interval.low <= 0.08 <= one.interval.high for one in found])
    assert 0.945 <= covered <= 1
    table = scores + np.array([[0.0] * 4, [0.1, 0.1, 0.04, 0.1], [0.2] * 4])
    moves = [components.gap_moves(table + rng.normal(0, 0.02, (3, 4)), 0.02**2) for _ in range(2000)]
    covered = np.mean([one.interval.low <= 0.06 <= one.interval.high for one in moves])
    assert 0.945 <= covered <= 1


def test_a_gap_that_does_not_move() -> None:
    table = np.array([[0.5, 0.6], [0.7, 0.8], [0.3, 0.4]])
    assert components.gap_moves(table, noise=0.0).value == pytest.approx(0.0, abs=1e-9)


def test_noise_is_not_sold_as_a_range() -> None:
    """Scores that differ by run noise alone have an interval that holds 0."""
    rng = np.random.default_rng(RNG)
    found = [components.over_scaffolds(rng.normal(0.5, 0.02, 4), noise=0.02**2) for _ in range(400)]
    assert np.mean([f.interval.low == 0 for f in found]) > 0.94
    real = components.over_scaffolds(np.array([0.3, 0.5, 0.7, 0.6]), noise=0.02**2)
    assert real.interval.low > 0.3


def test_noise_is_never_more_than_there_is() -> None:
    """Four systems that agree on every task: an expected noise cannot be taken out of nothing."""
    outcomes = np.tile((np.arange(50) < 25).astype(float)[None, None, :, None], (2, 2, 1, 1))
    parts = components.split(outcomes, noise=0.12)
    assert parts.noise == pytest.approx(0)
    assert parts.task > 0.2


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
