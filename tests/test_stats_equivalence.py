"""Two one-sided tests against numbers worked out by hand: at which level, on which side of the margin, how sure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evals.record import Decision
from evals.stats.equivalence import at_least_of, decision_of, error_for_power, power_inside, tost
from evals.stats.intervals import Estimate, Interval, clustered_mean, clustered_wilson, wilson

Z95, Z90 = 1.959964, 1.644854


def phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


@pytest.mark.parametrize(
    ("interval", "decision", "one_sided"),
    [
        ((-0.02, 0.03), Decision.REPRODUCED, Decision.AT_LEAST),
        ((-0.06, 0.03), Decision.UNDECIDED, Decision.UNDECIDED),
        ((-0.02, 0.06), Decision.UNDECIDED, Decision.AT_LEAST),
        ((0.06, 0.09), Decision.EXCEEDS, Decision.AT_LEAST),
        ((-0.09, -0.06), Decision.NOT_REPRODUCED, Decision.BELOW),
        ((-0.05, 0.03), Decision.UNDECIDED, Decision.UNDECIDED),
        ((-0.03, 0.05), Decision.UNDECIDED, Decision.AT_LEAST),
        ((-0.09, -0.05), Decision.UNDECIDED, Decision.UNDECIDED),
    ],
)
def test_where_the_interval_lies_decides(
    interval: tuple[float, float], decision: Decision, one_sided: Decision
) -> None:
    assert decision_of(Interval(*interval), 0.05) is decision
    assert at_least_of(Interval(*interval), 0.05) is one_sided


def test_the_level_is_five_percent_a_side() -> None:
    """1.645 errors reach 0.0493, inside the margin; a two-sided 95 % interval would reach 0.0588."""
    found = tost(Estimate(0.0, 0.03), 0.05)
    assert found.decision is Decision.REPRODUCED
    assert found.interval == pytest.approx((-Z90 * 0.03, Z90 * 0.03), abs=1e-6)
    assert found.p_inside == pytest.approx(phi(-0.05 / 0.03), abs=1e-6)
    assert found.p_outside == pytest.approx(phi(0.05 / 0.03), abs=1e-6)
    assert tost(Estimate(0.0, 0.031), 0.05).decision is Decision.UNDECIDED
    assert tost(Estimate(0.0, 0.03), 0.05, alpha=0.025).decision is Decision.UNDECIDED


def test_what_was_rounded_away_is_held_against_us_on_both_sides() -> None:
    found = tost(Estimate(0.01, 0.02), 0.05, rounding=0.005)
    assert found.interval == pytest.approx((0.01 - Z90 * 0.02 - 0.005, 0.01 + Z90 * 0.02 + 0.005), abs=1e-6)
    assert found.p_inside == pytest.approx(phi((0.015 - 0.05) / 0.02), abs=1e-6)
    assert found.p_outside == pytest.approx(phi((0.055 - 0.01) / 0.02), abs=1e-6)
    assert tost(Estimate(0.10, 0.02), 0.05).p_outside == pytest.approx(phi(-2.5), abs=1e-6)


def test_a_planned_look_has_its_own_quantile() -> None:
    assert tost(Estimate(0.0, 0.02), 0.05, critical=2.6).interval == pytest.approx((-0.052, 0.052))


def test_an_error_that_is_itself_estimated_widens_the_interval() -> None:
    assert tost(Estimate(0.0, 0.02, df=4), 1).interval.high == pytest.approx(2.131847 * 0.02, abs=1e-6)


def test_power_of_a_true_claim() -> None:
    room = 0.05 - Z90 * 0.02
    assert power_inside(0.02, 0.05) == pytest.approx(2 * phi(room / 0.02) - 1, abs=1e-6)
    off = phi((room - 0.01) / 0.02) - phi((-room - 0.01) / 0.02)
    assert power_inside(0.02, 0.05, 0.01) == pytest.approx(off, abs=1e-6)
    assert power_inside(0.02, 0.05, at_least=True) == pytest.approx(phi(room / 0.02), abs=1e-6)
    assert power_inside(0.04, 0.05) == 0.0
    assert power_inside(0.02, 0.05, open_=(0.02, 0.02)) == 0.0
    assert power_inside(0.02, 0.05, open_=(0.005, 0.0)) == pytest.approx(
        phi(room / 0.02) - phi((0.005 - room) / 0.02), abs=1e-6
    )


def test_the_error_that_a_power_needs() -> None:
    error = error_for_power(0.05, 0.8)
    assert error == pytest.approx(0.05 / (Z90 + 1.281552), abs=1e-6)
    assert power_inside(error, 0.05) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(
    ("low", "high", "within", "beyond"),
    [(-0.02, 0.02, True, False), (-0.05, 0.02, False, False), (0.06, 0.08, False, True), (-0.08, -0.06, False, True),
     (-0.08, 0.08, False, False)],
)  # fmt: skip
def test_intervals_against_a_bound(low: float, high: float, within: bool, beyond: bool) -> None:
    assert Interval(low, high).within(0.05) is within
    assert Interval(low, high).beyond(0.05) is beyond


def test_intervals_at_their_default_level() -> None:
    assert Interval(0.1, 0.2).widened(0.05) == pytest.approx((0.05, 0.25))
    assert Estimate(0.5, 0.1).interval() == pytest.approx((0.5 - Z95 * 0.1, 0.5 + Z95 * 0.1), abs=1e-6)
    assert wilson(7, 10) == pytest.approx((0.396770, 0.892209), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(11 - 1e-10, 11) == pytest.approx((0.741165, 1.0), abs=1e-5)


def test_no_interval_says_more_than_two_rates_can_differ() -> None:
    found = tost(Estimate(0.3, 0.8), 0.05)
    assert found.interval == Interval(-1.0, 1.0)
    assert found.decision is Decision.UNDECIDED


def test_no_pass_is_a_rate_of_nothing_and_all_passes_one_of_everything() -> None:
    """Exactly, whatever rounding leaves of the formula; a sum of task means may be off by rounding, and by no more."""
    for n in range(1, 200):
        assert wilson(0, n).low == 0.0
        assert wilson(n, n).high == 1.0
    assert wilson(-1e-10, 10) == wilson(0, 10)
    assert wilson(10 + 1e-10, 10) == wilson(10, 10)
    for passes in (-0.5, 10.5):
        with pytest.raises(AssertionError, match="is not a proportion"):
            wilson(passes, 10)


@pytest.mark.parametrize(("confidence", "student", "normal"), [(0.95, 1.990450, Z95), (0.9, 1.664371, Z90)])
def test_tasks_alone_in_their_clusters_are_worth_themselves_but_for_students_quantile(
    confidence: float, student: float, normal: float
) -> None:
    """80 tasks, half of them solved: s² = 20/79, of which 79 degrees of freedom are left."""
    worth = 79 * (normal / student) ** 2
    found = clustered_wilson(np.array([1.0, 0.0] * 40), range(80), confidence)
    assert found == pytest.approx(wilson(worth / 2, worth, confidence), abs=1e-6)


def test_clusters_that_all_do_alike_are_worth_no_more_than_their_tasks() -> None:
    values = np.array([1.0, 0.0] * 10)
    assert clustered_wilson(values, [n // 2 for n in range(20)]) == wilson(10, 20)


def test_two_clusters_are_enough_to_say_something() -> None:
    """Residuals of ±1/2, √2 as large for what the mean took of them: √(2 · 1/2) / 4, with one degree of freedom."""
    found = clustered_mean(np.array([1.0, 0.0, 0.0, 0.0]), ["a", "a", "b", "b"])
    assert found == pytest.approx((0.25, 0.25, 1.0))
