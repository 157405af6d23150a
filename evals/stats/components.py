"""How far scores move with the scaffold, and where their variance comes from: model, scaffold, task, run noise.

Ranges with intervals that hold for every pair of scaffolds together (Bonferroni), so that picking the largest is
allowed for. Variance components by the method of moments on a complete table of models × scaffolds × tasks: each
observed sum of squares minus what run noise alone would put there, and never more noise than there is. A handful of
models and scaffolds says little of others: nothing here speaks of scaffolds that were not run. Not covered: incomplete
tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.stats.intervals import Interval, student


class Range(NamedTuple):
    """The largest of several differences, as a distance, with its 95 % interval."""

    value: float
    interval: Interval


class Split(NamedTuple):
    """Variances of one attempt's outcome; they add up to its whole variance, up to clipping at zero."""

    model: float
    scaffold: float
    interaction: float
    task: float
    task_by_system: float
    noise: float


def largest(
    differences: Sequence[float], error: float, df: float = float("inf"), confidence: float = 0.95
) -> Range:
    """The largest distance among true `differences`, each observed with the standard error `error`.

    All intervals hold together, so that the largest lies between the largest lower end and the largest upper one.
    """
    found = np.abs(np.asarray(differences, float))
    reach = student(1 - (1 - confidence) / 2 / len(found), df) * error
    top = float(found.max())
    return Range(top, Interval(max(top - reach, 0.0), top + reach))


def over_scaffolds(scores: NDArray[np.float64], noise: float, df: float = float("inf")) -> Range:
    """How far apart one model's scores (S ≥ 2,) under its scaffolds are, each observed with variance `noise`."""
    return largest([a - b for a, b in combinations(scores, 2)], float(np.sqrt(2 * noise)), df)


def gap_moves(table: NDArray[np.float64], noise: float, df: float = float("inf")) -> Range:
    """How far the gap between two models moves from one scaffold to another, of scores (M ≥ 2, S ≥ 2)."""
    gaps = [one - two for one, two in combinations(table, 2)]
    moves = [a - b for gap in gaps for a, b in combinations(gap, 2)]
    return largest(moves, float(np.sqrt(4 * noise)), df)


def interaction_effects(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of scores (models, scaffolds) after the two main effects."""
    centred: NDArray[np.float64] = (
        table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    )
    return centred


def noise_there(outcomes: NDArray[np.float64], noise: float) -> float:
    """`noise` of one attempt, at most what outcomes (models, scaffolds, tasks, attempts) leave over for it."""
    means = np.nanmean(outcomes, axis=3)
    attempts = float(np.mean(np.sum(~np.isnan(outcomes), axis=3)))
    left, df = residual(means)
    return min(noise, float(np.sum(left**2)) / df * attempts) if df else noise


def residual(means: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """What systems and tasks leave over of task means (models, scaffolds, tasks), and its degrees of freedom."""
    models, scaffolds, tasks = means.shape
    table = means.mean(axis=2)
    left: NDArray[np.float64] = means - table[:, :, None] - means.mean(axis=(0, 1)) + table.mean()
    return left, (models * scaffolds - 1) * (tasks - 1)


def split(outcomes: NDArray[np.float64], noise: float) -> Split:
    """Variance split of outcomes (models, scaffolds, tasks, attempts), NaN = no attempt; `noise` of one attempt.

    Effects are those of these tasks (fixed benchmark). `noise` counts up to what there is.
    """
    models, scaffolds, tasks, _ = outcomes.shape
    means, noise = np.nanmean(outcomes, axis=3), noise_there(outcomes, noise)
    attempts = float(np.mean(np.sum(~np.isnan(outcomes), axis=3)))
    cell = noise / attempts
    table = means.mean(axis=2)
    crossed = between(interaction_effects(table), (models - 1) * (scaffolds - 1), cell / tasks)
    rows = between(table.mean(axis=1), models - 1, crossed / scaffolds + cell / (tasks * scaffolds))
    columns = between(table.mean(axis=0), scaffolds - 1, crossed / models + cell / (tasks * models))
    left, df = residual(means)
    by_system = between(left, df, cell)
    task = between(means.mean(axis=(0, 1)), tasks - 1, (by_system + cell) / (models * scaffolds))
    return Split(rows, columns, crossed, task, by_system, noise)


def between(effects: NDArray[np.float64], df: int, noise: float) -> float:
    """Variance of true effects; 0 when there is nothing to compare or noise explains it all."""
    if df < 1:
        return 0.0
    return max(float(np.sum((effects - effects.mean()) ** 2)) / df - noise, 0.0)
