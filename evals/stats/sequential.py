"""Deciding before the run is complete, with error rates that allow for looking.

Group sequential design: the error of each one-sided test is spent as information accrues (Lan, DeMets 1983), with
the power family alpha · t^rho (Kim, DeMets 1987). Boundaries come from the recursion of Armitage, McPherson and Rowe
(1969), which holds whenever an estimate's increments in information are independent: true for means over tasks in
random order, with or without replacement, also with an error shared by all looks.
Not covered: tasks in an order chosen by difficulty or by outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evals.stats.intervals import student

RHO = 3.0
"""Near O'Brien and Fleming: hardly any error is spent early, so that a full run keeps almost all of its power."""
GRID = 201
"""Points of Simpson's rule: an odd number."""


class Accrual(NamedTuple):
    """What makes up the variance of (rate over the first n tasks, in random order) − (claimed rate)."""

    tasks: int
    """N, tasks of the whole benchmark."""
    between: float
    """Variance between tasks of their mean outcome; the part that vanishes at n = N on a fixed benchmark."""
    within: float
    """Variance of a task's mean outcome around its own chance: attempt noise / attempts."""
    shared: float
    """The claim's own variance: the same at every look."""
    fixed: bool
    """Whether the N tasks are all that matters, or a sample of tasks like these."""

    def variance(self, n: int) -> float:
        """Of the difference after n tasks. Without replacement on a fixed benchmark."""
        sampled = max(self.between - self.within, 0.0) * (1 / n - (1 / self.tasks if self.fixed else 0.0))
        return sampled + self.within / n + self.shared

    def fractions(self, looks: Sequence[int], last: int) -> list[float]:
        """Information at each look as a fraction of that after the `last` task that is planned."""
        return [self.variance(last) / self.variance(n) for n in looks]


def critical_values(fractions: Sequence[float], alpha: float = 0.05, rho: float = RHO) -> list[float]:
    """One-sided z boundaries at looks with information `fractions` (rising, in (0, 1]).

    The chance that a null z-process crosses any of them is alpha · (last fraction)^rho.
    """
    assert fractions, "at least one look"
    assert all(0 < a < b <= 1 + 1e-9 for a, b in zip([1e-12, *fractions], fractions, strict=False)), fractions
    times = np.asarray(fractions, dtype=float)
    spend = np.diff(alpha * times**rho, prepend=0.0)
    bounds = [-student(float(spend[0])) * float(np.sqrt(times[0]))]
    points, weights = start(times[0], bounds[0])
    for before, now, budget in zip(times, times[1:], spend[1:], strict=False):
        step, scale = float(np.sqrt(now - before)), float(np.sqrt(now))
        bounds.append(next_bound(points, weights, step, float(budget), scale))
        if len(bounds) < len(times):
            points, weights = advance(points, weights, step, bounds[-1], scale)
    return [bound / float(np.sqrt(time)) for bound, time in zip(bounds, times, strict=True)]


Grid = np.ndarray[tuple[int], np.dtype[np.float64]]


def start(time: float, bound: float) -> tuple[Grid, Grid]:
    """Grid and probability masses of the process at the first look, where it did not cross."""
    scale = float(np.sqrt(time))
    points = np.linspace(-8 * scale, bound, GRID)
    return points, density(points, scale) * simpson(points)


def advance(points: Grid, masses: Grid, step: float, bound: float, scale: float) -> tuple[Grid, Grid]:
    """The same one look later."""
    later = np.linspace(-8 * scale, bound, GRID)
    return later, (density(later[:, None] - points, step) @ masses) * simpson(later)


def next_bound(points: Grid, masses: Grid, step: float, budget: float, scale: float) -> float:
    """Where the chance to cross now, not having crossed before, equals `budget`."""
    from scipy import optimize  # slow to load, and most runs have no looks

    def excess(bound: float) -> float:
        return float(special.ndtr((points - bound) / step) @ masses) - budget

    return float(optimize.brentq(excess, -8 * scale, 12 * scale))


def density(points: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Of a normal with standard deviation `scale`."""
    found: NDArray[np.float64] = np.exp(-((points / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi))
    return found


def simpson(points: Grid) -> Grid:
    """Weights of Simpson's rule."""
    weights = np.full(len(points), 2 * (points[1] - points[0]) / 3)
    weights[1::2] *= 2
    weights[[0, -1]] /= 2
    return weights
