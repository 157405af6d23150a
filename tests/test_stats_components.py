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


def test_intervals_of_a_spread_cover() -> None:
    """5 models × 4 scaffolds with main effects, an interaction of 4 points and run noise of 2."""
    rng = np.random.default_rng(RNG)
    tables = (
        rng.normal(0, 0.1, (4000, 5, 1))
        + rng.normal(0, 0.05, (4000, 1, 4))
        + rng.normal(0, 0.04, (4000, 5, 4))
        + rng.normal(0, 0.02, (4000, 5, 4))
    )
    inside = [components.interaction(table, 0.02**2).interval for table in tables]
    assert np.mean([low <= 0.04 <= high for low, high in inside]) == pytest.approx(0.95, abs=0.012)
    rows = rng.normal(0.5, np.hypot(0.06, 0.02), (4000, 6))
    found = [components.sensitivity(row, 0.02**2) for row in rows]
    assert np.mean([f.interval.low <= 0.06 <= f.interval.high for f in found]) == pytest.approx(
        0.95, abs=0.012
    )
    assert np.mean([f.sd**2 for f in found]) == pytest.approx(0.06**2, rel=0.05)


def test_order_changes_as_often_as_it_says() -> None:
    rng = np.random.default_rng(RNG)
    model, interaction = rng.normal(0, 0.05, (2, 200_000)), rng.normal(0, 0.03, (2, 2, 200_000))
    under = (
        model[:, None] + interaction
    )  # model, scaffold, draw; a scaffold's own effect does not change the order
    changed = np.mean((under[0, 0] > under[1, 0]) != (under[0, 1] > under[1, 1]))
    assert components.order_change(0.05, 0.03) == pytest.approx(changed, abs=0.004)


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
