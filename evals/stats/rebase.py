"""A published rate carried over to other tasks of its benchmark: without some that it counted, or with some more.

A run that leaves tasks out may not be set against a rate that counts them: without the tasks that hardly anybody solves
everybody scores higher. The difficulty model (`irt`) predicts what the claimant did on the tasks in question; how far
that may be off is the spread of submissions with this rate, which differ along the model's other dimensions, and luck.
All of it to first order in the ability, given the published total. Measured on left-out submissions by `calibrate`.
A claimant whose runs are noisier than the model says solves hard tasks more often than predicted, and easy ones less: by
so much the rate may be `off`, in any run.
Not covered: benchmarks without fitted difficulties, for which only the bounds hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evals.stats.irt import ABILITY_PRECISION, Items, general_ability, predict
from evals.stats.noise import CAUTIOUS_SHARE

Mask = NDArray[np.bool_]
Chances = NDArray[np.float64]


class Carried(NamedTuple):
    """A rate on other tasks, its standard error, and what is possible at all."""

    rate: float
    error: float
    low: float
    high: float
    off: float = 0.0
    """How far the rate is off where runs have as much noise as a verdict reckons with."""


def bounds(rate: float, counted: int, dropped: int, added: int = 0) -> Carried:
    """What a rate over `counted` tasks leaves possible without `dropped` of them and with `added` others."""
    left = counted - dropped + added
    low = max(rate * counted - dropped, 0.0) / left
    high = min(rate * counted + added, left) / left
    return Carried((low + high) / 2, 0.0, low, high)


def carried(items: Items, rate: float, counted: Mask, wanted: Mask) -> Carried:
    """`rate` over the tasks `counted` (N,), on the tasks `wanted` (N,)."""
    known = Items(items.mean[counted], items.cov[counted])
    ability, unsure = general_ability(known, rate, np.ones(int(counted.sum())))
    chance = predict(items, ability, np.zeros_like(unsure))
    possible = bounds(
        rate, int(counted.sum()), int(np.sum(counted & ~wanted)), int(np.sum(wanted & ~counted))
    )
    moved = wanted.astype(float) - counted
    size = int(wanted.sum())
    guess = (rate * counted.sum() + moved @ chance) / size
    spread = np.sqrt(unexplained(items, chance, moved, counted.astype(float))) / size
    inside = min(max(float(guess), possible.low), possible.high)
    off = abs(float(moved @ (noisier(chance, CAUTIOUS_SHARE, counted) - chance))) / size
    return Carried(inside, float(spread), possible.low, possible.high, off)


def noise_share(chances: Chances) -> float:
    """Mean of p(1 − p) over P(1 − P)."""
    mean = float(chances.mean())
    return float(np.mean(chances * (1 - chances))) / (mean * (1 - mean))


def noisier(chances: Chances, share: float, over: Mask) -> Chances:
    """Chances (N,) of which difficulty tells less: with run noise of that share and the same rate on the tasks `over`.

    As they are where they have so much.
    """
    from scipy import optimize  # slow to load, and most claims are about the same tasks as the run

    if noise_share(chances[over]) >= share:
        return chances
    part = optimize.brentq(lambda one: noise_share(flattened(chances, one, over)[over]) - share, 0.0, 1.0)
    return flattened(chances, float(part), over)


def flattened(chances: Chances, part: float, over: Mask) -> Chances:
    """Log-odds less that part of them, moved so that the rate on `over` stays."""
    from scipy import optimize

    odds, rate = (1 - part) * special.logit(chances), float(chances[over].mean())
    by = optimize.brentq(lambda one: float(special.expit(odds[over] + one).mean()) - rate, -20.0, 20.0)
    return np.asarray(special.expit(odds + by), float)


def unexplained(items: Items, chance: Chances, moved: Chances, total: Chances) -> float:
    """Variance of the weighted number `moved` (N,) of solved tasks, given the number `total` (N,)."""
    luck = chance * (1 - chance)
    slopes = luck[:, None] * items.mean[:, 1:]
    prior = np.ones(slopes.shape[1])
    prior[0] = 1 / ABILITY_PRECISION

    def covariance(one: Chances, two: Chances) -> float:
        return float((one @ slopes * prior) @ (two @ slopes) + (one * two) @ luck)

    return max(covariance(moved, moved) - covariance(moved, total) ** 2 / covariance(total, total), 0.0)


class Part(NamedTuple):
    """What a rate on some tasks of a benchmark says of all of them."""

    rate: float
    """On all tasks."""
    luck: float
    """Mean of p(1 − p) on those tasks over that on all: more than 1 where the sure ones are the others."""


def seen_as_part(items: Items, rate: float, counted: Mask) -> Part:
    """`rate` over the tasks `counted` (N,), as a part of all N."""
    known = Items(items.mean[counted], items.cov[counted])
    ability, unsure = general_ability(known, rate, np.ones(int(counted.sum())))
    chance = predict(items, ability, np.zeros_like(unsure))
    luck = chance * (1 - chance)
    return Part(float(np.where(counted, rate, chance).mean()), float(luck[counted].mean() / luck.mean()))
