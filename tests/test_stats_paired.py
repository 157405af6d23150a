"""Paired differences worked out by hand: ends of intervals, clipping, what so few tasks can show."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evals.stats.paired import (
    Discordant,
    clustered_difference,
    mcnemar,
    mean_difference,
    paired_difference,
    sign_flip,
    tango,
    tango_score,
)
from evals.stats.sequential import critical_values

Z95 = 1.959964


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_an_end_of_tangos_interval_is_where_the_score_reaches_its_quantile(n: int) -> None:
    for b in range(n + 1):
        for c in range(n + 1 - b):
            pairs = Discordant(b, c, n)
            low, high = tango(pairs)
            assert -1 <= low <= pairs.difference <= high <= 1
            if b < n and c < n:
                assert tango_score(pairs, low) == pytest.approx(Z95, abs=1e-4)
                assert tango_score(pairs, high) == pytest.approx(-Z95, abs=1e-4)


def test_tangos_score_without_a_discordant_task_and_at_the_ends() -> None:
    """None discordant: the restricted estimate is 0, and the variance n δ (1 − δ)."""
    for delta in (0.01, 0.1, 0.5):
        assert tango_score(Discordant(0, 0, 10), delta) == pytest.approx(-math.sqrt(10 * delta / (1 - delta)))
    assert tango_score(Discordant(3, 0, 10), 1.0) == -math.inf
    assert tango_score(Discordant(0, 3, 10), -1.0) == math.inf
    assert tango_score(Discordant(10, 0, 10), 1.0) == tango_score(Discordant(0, 10, 10), -1.0) == 0.0


def test_an_even_score_is_no_evidence() -> None:
    """One of two either way: twice the lower tail would be 1.5."""
    assert mcnemar(Discordant(1, 1, 2)) == 1.0
    assert mcnemar(Discordant(0, 0, 5)) == 1.0


def test_a_mean_difference_over_tasks_has_students_error() -> None:
    """Gaps of 1/2, 0 and 1: mean 1/2, standard deviation 1/2."""
    first, second = np.array([[1.0, 0.0], [1.0, np.nan], [1.0, 1.0]]), np.array([[0.0], [1.0], [0.0]])
    assert mean_difference(first, second) == pytest.approx((0.5, 0.5 / math.sqrt(3), 2))


@pytest.mark.parametrize(("tasks", "p"), [(1, 1.0), (2, 2 / 4), (3, 2 / 8), (13, 2 / 8192), (20, 2 / 10_000)])
def test_sign_flips_of_gaps_that_all_go_one_way(tasks: int, p: float) -> None:
    """Two of all the ways to choose signs are as extreme; from 14 tasks on, 9,999 ways are drawn, and the one seen counts."""
    first, second = np.ones((tasks + 3, 1)), np.zeros((tasks + 3, 1))
    second[tasks:] = 1.0
    assert sign_flip(first, second, seed=1) == pytest.approx(p)


def test_a_difference_is_drawn_alike_each_time() -> None:
    rng = np.random.default_rng(5)
    one, two = rng.integers(0, 5, 30) / 4, rng.integers(0, 5, 30) / 4
    found = paired_difference(one.tolist(), two.tolist())
    assert found.p_value == sign_flip(one[:, None], two[:, None], seed=0)
    assert found.method == "Student over tasks, sign flips"
    test = stats.ttest_rel(one, two)
    assert (found.low, found.high) == pytest.approx(test.confidence_interval(0.95))


def test_one_attempt_each_has_tangos_interval_at_95_percent() -> None:
    found = paired_difference([1.0] * 8 + [0.0] * 32, [0.0] * 38 + [1.0] * 2)
    assert (found.low, found.high) == tango(Discordant(8, 2, 40), 0.95)
    assert found.method == "Tango, McNemar"


@pytest.mark.parametrize("n", [2, 20])
def test_gaps_that_are_all_alike_are_as_unsure_as_tasks_that_all_agree(n: int) -> None:
    """z² / (n + z²) to either side, as far as a difference can go."""
    wide = Z95**2 / (n + Z95**2)
    found = paired_difference([0.75] * n, [0.25] * n)
    assert (found.low, found.high) == pytest.approx((0.5 - wide, min(0.5 + wide, 1.0)), abs=1e-5)
    assert found.method == "Tango, sign flips"


@pytest.mark.parametrize(
    ("first", "second"), [([0.95] * 2, [0.05] * 2), ([1.0, 1.0, 0.5], [0.0] * 3), ([0.5], [0.0])]
)
def test_no_difference_lies_beyond_what_two_rates_can_differ(first: list[float], second: list[float]) -> None:
    found, flipped = paired_difference(first, second), paired_difference(second, first)
    assert found.high == 1.0
    assert flipped.low == -1.0
    assert flipped.difference == pytest.approx(-found.difference)
    assert flipped.high == pytest.approx(-found.low)


def test_no_common_task_says_nothing() -> None:
    for found in (paired_difference([], []), clustered_difference([], [], [])):
        assert found == (0.0, -1.0, 1.0, None, "no common task")


def test_a_difference_over_repositories_is_students() -> None:
    """Two repositories, one better by 1 and one by 0: t = 1 with one degree of freedom, of which p is a half."""
    found = clustered_difference([1.0] * 4, [0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"])
    assert (found.difference, found.p_value) == pytest.approx((0.5, 0.5))
    assert (found.low, found.high, found.method) == (-1.0, 1.0, "Student over 2 repositories")
    narrow = clustered_difference([1.0] * 4, [0.0, 0.0, 1.0, 1.0], ["a", "a", "b", "b"], 0.5)
    assert (narrow.low, narrow.high) == pytest.approx((0.0, 1.0)), "half the mass lies within ±1 error"


def test_repositories_that_all_show_the_same_leave_the_tasks_own_interval() -> None:
    first, second, clusters = [1.0, 0.0] * 10, [0.0, 0.0] * 10, [n // 2 for n in range(20)]
    assert clustered_difference(first, second, clusters) == paired_difference(first, second)
    alone = clustered_difference([1.0, 0.0], [0.0, 0.0], ["a", "a"])
    assert alone == (0.5, -1.0, 1.0, 1.0, "a single repository")


def test_boundaries_of_two_looks_are_those_of_the_bivariate_normal() -> None:
    for time in (0.1, 0.5, 0.8):
        first, last = critical_values([time, 1.0])
        assert first == pytest.approx(stats.norm.isf(0.05 * time**3), abs=1e-9)
        stayed = stats.multivariate_normal(cov=[[1, time**0.5], [time**0.5, 1]]).cdf([first, last])
        assert 1 - stayed == pytest.approx(0.05, abs=2e-7)


@pytest.mark.parametrize("fractions", [[], [0.0], [1.1], [0.5, 0.4], [0.5, 0.5]])
def test_looks_follow_each_other_within_the_run(fractions: list[float]) -> None:
    with pytest.raises(AssertionError):
        critical_values(fractions)
