"""Is a measured rate the same as a claimed one, within a margin? Two one-sided tests, and their power.

Failing to find a difference is never a reproduction: the interval has to lie inside the margin. It has to lie
outside for the opposite. Schuirmann 1987. Not covered: looking more than once (`sequential`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from evals.record import Decision
from evals.stats.intervals import Estimate, Interval, student


class Equivalence(NamedTuple):
    """Outcome of the two one-sided tests."""

    decision: Decision
    interval: Interval
    """1 − 2α interval of the difference, widened by the claim's rounding; two rates differ by 1 at most."""
    p_inside: float
    """p against "the difference is at least the margin"; small supports the claim."""
    p_outside: float
    """p against "the difference is at most the margin"; small speaks against the claim."""


def tost(
    difference: Estimate,
    margin: float,
    alpha: float = 0.05,
    rounding: float = 0.0,
    critical: float | None = None,
    *,
    at_least: bool = False,
) -> Equivalence:
    """Test `difference` (measured − claimed) against ±`margin`, or, with `at_least`, against −`margin` alone.

    Each wrong statement has probability ≤ `alpha` when the estimate is normal (Student with `df`) with the error
    given. `rounding` is the most by which the published number can be off; the worst case is taken.
    `critical` replaces the quantile of a single look.
    """
    assert margin > 0, "a margin is a positive fraction"
    reach = -student(alpha, difference.df) if critical is None else critical
    gap, error = abs(difference.value), max(difference.error, 1e-12)
    half = reach * error + rounding
    interval = Interval(max(difference.value - half, -1.0), min(difference.value + half, 1.0))
    return Equivalence(
        at_least_of(interval, margin) if at_least else decision_of(interval, margin),
        interval,
        float(special.stdtr(difference.df, (gap + rounding - margin) / error)),
        float(special.stdtr(difference.df, (margin + rounding - gap) / error)),
    )


def decision_of(interval: Interval, margin: float) -> Decision:
    if interval.within(margin):
        return Decision.REPRODUCED
    if interval.low > margin:
        return Decision.EXCEEDS
    return Decision.NOT_REPRODUCED if interval.high < -margin else Decision.UNDECIDED


def at_least_of(interval: Interval, margin: float) -> Decision:
    """The one-sided question: better than claimed is as good as claimed."""
    if interval.low > -margin:
        return Decision.AT_LEAST
    return Decision.BELOW if interval.high < -margin else Decision.UNDECIDED


def power_inside(
    error: float,
    margin: float,
    true_difference: float = 0.0,
    alpha: float = 0.05,
    *,
    df: float = float("inf"),
    open_: tuple[float, float] = (0.0, 0.0),
    at_least: bool = False,
    spread: float | None = None,
) -> float:
    """Chance to confirm a claim when the true difference is `true_difference` and the standard error is `error`.

    `spread`: the estimate's own, where the test goes by a larger `error`. `df`: how well the error will be known. `open_`: how far attempts that will not be judged move the difference down
    and up; the claim has to stand both ways. Normal approximation; 0 when the margin is narrower than the interval can
    ever be.
    """
    room = margin - student(1 - alpha, df) * error
    low, high = open_[0] - room, np.inf if at_least else room - open_[1]
    if low >= high:
        return 0.0
    spread = error if spread is None else spread
    ends = special.ndtr([(low - true_difference) / spread, (high - true_difference) / spread])
    return float(ends[1] - ends[0])


def error_for_power(margin: float, power: float, alpha: float = 0.05) -> float:
    """The largest standard error with which a true claim is confirmed with chance `power`; in closed form."""
    return margin / (student(1 - alpha) + student((1 + power) / 2))
