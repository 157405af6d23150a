"""A published rate carried over to other tasks of its benchmark: without some that it counted, or with some more.

A run that leaves tasks out may not be set against a rate that counts them: without the tasks that hardly anybody solves
everybody scores higher. The difficulty model (`irt`) predicts what the claimant did on the tasks in question; how far
that may be off is the spread of submissions with this rate, which differ along the model's other dimensions, and luck.
All of it to first order in the ability, given the published total. Measured on left-out submissions by `calibrate`.
Not covered: benchmarks without fitted difficulties, for which only the bounds hold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.stats.irt import ABILITY_PRECISION, Items, general_ability, predict

Mask = NDArray[np.bool_]


class Carried(NamedTuple):
    """A rate on other tasks, its standard error, and what is possible at all."""

    rate: float
    error: float
    low: float
    high: float


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
    return Carried(inside, float(spread), possible.low, possible.high)


def unexplained(
    items: Items, chance: NDArray[np.float64], moved: NDArray[np.float64], total: NDArray[np.float64]
) -> float:
    """Variance of the weighted number `moved` (N,) of solved tasks, given the number `total` (N,)."""
    luck = chance * (1 - chance)
    slopes = luck[:, None] * items.mean[:, 1:]
    prior = np.ones(slopes.shape[1])
    prior[0] = 1 / ABILITY_PRECISION

    def covariance(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
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
