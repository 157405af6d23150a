"""Which tasks to run: samples of fixed size with known inclusion probabilities, balanced on what predicts success.

Probabilities follow the predicted spread of the outcome over plausible abilities (Neyman 1934; Isaki, Fuller 1982);
the cube method (Deville, Tillé 2004) keeps them exact and makes the sample reproduce the benchmark's totals of the
balancing variables. Randomness is a parameter.

Not covered: designs that choose the next task from the answers so far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evals.stats.irt import Abilities, Array, Items, predict_all

Index = NDArray[np.intp]

SPREAD_FLOOR = 0.04
"""Added (in squares) to every predicted spread: no task is so sure that it is never drawn."""
LEAST_RATE = 0.15
"""Submissions below it say little of what a new one will find hard."""
LEVELS = (0.05, 0.35, 0.65, 0.95)
"""Quantiles of the known submissions' rates around which the sample is balanced."""
NEIGHBOURS = 7
NEAR_WIDTH = 0.1
"""Standard deviation in rate within which a known submission tells what one near the expected rate will find hard."""
NEAR_REST = 0.2
"""Share of the predicted spread that still comes from all plausible submissions, should the expectation be wrong."""
EPSILON = 1e-9


def inclusion(items: Items, abilities: Abilities, n: int, near: float | None = None) -> Array:
    """Probabilities (N,) in (0, 1] that sum to `n`.

    `near` is the rate in [0, 1] that is expected, such as a claimed one: tasks that are sure for those who reach it
    are drawn less. A wrong expectation costs width, never honesty, since the probabilities stay known.
    """
    predicted = plausible(items, abilities)
    spread = likely(predicted.mean(1), near) @ (predicted * (1 - predicted)) + SPREAD_FLOOR**2
    return proportional(np.sqrt(spread), n)


def likely(rates: Array, near: float | None) -> Array:
    """Weights (M,) of submissions with `rates` (M,), sum 1: alike, or most for those with about the rate `near`."""
    alike = np.full(len(rates), 1 / len(rates))
    if near is None:
        return alike
    away = ((rates - near) / NEAR_WIDTH) ** 2 / 2
    close = np.exp(away.min() - away)
    return np.asarray(NEAR_REST * alike + (1 - NEAR_REST) * close / close.sum(), float)


def proportional(size: Array, n: int) -> Array:
    """Probabilities proportional to `size` (N,) > 0, at most 1, with sum `n` ≤ N."""
    assert 0 < n <= len(size), f"cannot draw {n} of {len(size)}"
    sure = np.zeros(len(size), bool)
    while True:
        chance = np.ones(len(size))
        if sure.all():
            return chance
        chance[~sure] = (n - sure.sum()) * size[~sure] / size[~sure].sum()
        if (chance <= 1).all():
            return chance
        sure |= chance >= 1


def plausible(items: Items, abilities: Abilities) -> Array:
    """Predicted chances (M', N) of the known submissions that are not far below what is measured today."""
    predicted = predict_all(items, abilities)
    strong = predicted.mean(1) > LEAST_RATE
    return predicted[strong] if strong.any() else predicted


def balance(items: Items, abilities: Abilities) -> Array:
    """Variables (N, Q) whose benchmark totals the sample should reproduce.

    The chance of success at four levels of ability, and how it changes with each dimension of ability at two of
    them: with these balanced, a wrong ability moves the sampled and the whole benchmark's prediction alike.
    """
    predicted = plausible(items, abilities)
    rates = predicted.mean(1)
    near = [np.abs(rates - level).argsort()[:NEIGHBOURS] for level in np.quantile(rates, LEVELS)]
    chance = [predicted[rows].mean(0) for rows in near]
    slope = [(predicted[rows] * (1 - predicted[rows])).mean(0) for rows in (near[1], near[3])]
    loadings = items.mean[:, 1:].T
    return np.column_stack([*chance, *(loading * s for loading in loadings for s in slope)])


def draw(chance: Array, variables: Array, rng: np.random.Generator) -> Index:
    """A sample of exactly sum(chance) tasks in which task i is with probability `chance[i]`; sorted.

    `variables` (N, Q) are balanced as far as whole tasks allow, the first columns best.
    """
    return np.flatnonzero(_cube(chance, np.column_stack([chance, variables]), rng) > 0.5)


def ordered(sample: Index, variables: Array, rng: np.random.Generator) -> Index:
    """The sample in an order whose every prefix is a sample of its own.

    Halved again and again by balanced draws with equal chances: over the draws each task has each rank equally
    often, so that a prefix of m of n holds task i with probability chance[i] · m / n. `variables` (N, Q).
    """
    if len(sample) <= 2 * variables.shape[1]:
        return rng.permutation(sample)
    first = (len(sample) + 1) // 2
    chance = np.full(len(sample), first / len(sample))
    left = draw(chance, variables[sample] * chance[:, None], rng)
    right = np.setdiff1d(np.arange(len(sample)), left)
    return np.concatenate([ordered(sample[half], variables, rng) for half in (left, right)])


def _cube(chance: Array, variables: Array, rng: np.random.Generator) -> Array:
    """Flight phase on q+1 tasks at a time; landing by dropping the last variable again and again."""
    position = np.where(chance > 1 - EPSILON, 1.0, chance)
    scaled = variables / np.maximum(position, EPSILON)[:, None]
    scaled /= np.abs(scaled).max(0).clip(EPSILON)
    waiting = [int(i) for i in rng.permutation(len(chance)) if EPSILON < position[i] < 1 - EPSILON]
    for width in range(variables.shape[1], 0, -1):
        waiting = _flight(position, scaled[:, :width], waiting, rng)
    for i in waiting:
        position[i] = float(rng.random() < position[i])
    return position


def _flight(position: Array, scaled: Array, waiting: list[int], rng: np.random.Generator) -> list[int]:
    """Move along the null space of the balancing equations until at most q tasks are undecided."""
    size = scaled.shape[1] + 1
    active, rest = waiting[:size], waiting[size:]
    rest.reverse()
    while len(active) == size:
        direction = np.linalg.svd(scaled[active].T)[2][-1]
        position[active] = _step(position[active], direction, rng)
        active = [i for i in active if EPSILON < position[i] < 1 - EPSILON]
        while rest and len(active) < size:
            active.append(rest.pop())
    return active + rest[::-1]


def _step(position: Array, direction: Array, rng: np.random.Generator) -> Array:
    """One random step to a face of the cube, forward or backward, with the mean left where it was."""
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where(direction > 0, (1 - position) / direction, -position / direction)
        down = np.where(direction > 0, position / direction, (position - 1) / direction)
    still = np.abs(direction) < EPSILON
    forward, backward = up[~still].min(), down[~still].min()
    ahead = rng.random() < backward / (forward + backward)
    moved = position + direction * (forward if ahead else -backward)
    moved[moved < EPSILON] = 0.0
    moved[moved > 1 - EPSILON] = 1.0
    return np.asarray(moved, float)
