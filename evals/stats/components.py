"""Where the variance of scores comes from: model, scaffold, their interaction, task, run noise.

Method of moments on a complete table of models × scaffolds × tasks: each observed sum of squares minus what run noise
alone would put there, so that noise is never sold as an effect. Intervals invert the chi-squared law of a sum of
squares of normal effects with known noise (Searle, Casella, McCulloch 1992). Few models or scaffolds give wide
intervals: that is the message, not a defect. Not covered: incomplete tables.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.stats.intervals import Interval

LARGEST_SD = 0.5
"""No law of rates between 0 and 1 spreads wider; two systems alone would allow any width."""


class Spread(NamedTuple):
    """A standard deviation of true effects, run noise taken out."""

    sd: float
    interval: Interval
    """95 %."""


class Split(NamedTuple):
    """Variances of one attempt's outcome; they add up to its whole variance, up to clipping at zero."""

    model: float
    scaffold: float
    interaction: float
    task: float
    task_by_system: float
    noise: float


def spread(effects: NDArray[np.float64], df: int, noise: float, confidence: float = 0.95) -> Spread:
    """SD of true effects from observed ones (centred, with `df` free), each observed with variance `noise`."""
    squares = float(np.sum(effects**2))
    tail = (1 - confidence) / 2

    def true(variance: float) -> float:
        return min(float(np.sqrt(max(variance - noise, 0.0))), LARGEST_SD)

    low, high = (squares / float(stats.chi2.isf(p, df)) for p in (tail, 1 - tail))
    return Spread(true(squares / df), Interval(true(low), true(high)))


def sensitivity(scores: NDArray[np.float64], noise: float) -> Spread:
    """How much one model's score depends on the scaffold: SD over scaffolds (S,), S ≥ 2, run noise taken out."""
    return spread(scores - scores.mean(), len(scores) - 1, noise)


def interaction_effects(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of scores (models, scaffolds) after the two main effects."""
    centred: NDArray[np.float64] = (
        table - table.mean(axis=1, keepdims=True) - table.mean(axis=0, keepdims=True) + table.mean()
    )
    return centred


def interaction(table: NDArray[np.float64], noise: float) -> Spread:
    """SD of the scaffold × model interaction of scores (M ≥ 2, S ≥ 2), each with error variance `noise`."""
    models, scaffolds = table.shape
    return spread(interaction_effects(table), (models - 1) * (scaffolds - 1), noise)


def order_change(model_sd: float, interaction_sd: float) -> float | None:
    """Chance that two models change order when the scaffold changes, all effects normal; None when both are 0.

    Their difference under two scaffolds has correlation m²/(m² + i²); the sign of a bivariate normal pair differs
    with chance arccos(correlation)/π (Sheppard 1899). 0 = never, 1/2 = the order is the scaffold's alone.
    """
    total = model_sd**2 + interaction_sd**2
    return float(np.arccos(model_sd**2 / total) / np.pi) if total > 0 else None


def split(outcomes: NDArray[np.float64], noise: float) -> Split:
    """Variance split of outcomes (models, scaffolds, tasks, attempts), NaN = no attempt; `noise` of one attempt.

    Effects are those of these tasks (fixed benchmark). With one attempt a task, `noise` is a prior, and what it
    leaves over is `task_by_system`.
    """
    models, scaffolds, tasks, _ = outcomes.shape
    means = np.nanmean(outcomes, axis=3)
    attempts = float(np.mean(np.sum(~np.isnan(outcomes), axis=3)))
    cell = noise / attempts
    table = means.mean(axis=2)
    crossed = between(interaction_effects(table), (models - 1) * (scaffolds - 1), cell / tasks)
    rows = between(table.mean(axis=1), models - 1, crossed / scaffolds + cell / (tasks * scaffolds))
    columns = between(table.mean(axis=0), scaffolds - 1, crossed / models + cell / (tasks * models))
    systems = models * scaffolds
    residual = means - table[:, :, None] - means.mean(axis=(0, 1)) + table.mean()
    by_system = between(residual, (systems - 1) * (tasks - 1), cell)
    task = between(means.mean(axis=(0, 1)), tasks - 1, (by_system + cell) / systems)
    return Split(rows, columns, crossed, task, by_system, noise)


def between(effects: NDArray[np.float64], df: int, noise: float) -> float:
    """Variance of true effects; 0 when there is nothing to compare or noise explains it all."""
    if df < 1:
        return 0.0
    return max(float(np.sum((effects - effects.mean()) ** 2)) / df - noise, 0.0)
