"""Models × scaffolds: how much a model's score hangs on its scaffold, and where the variance of scores comes from.

Needs a complete table and says nothing without one. Not covered: differences of single pairs (`compare`).
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from evals.results.table import Results, System, Table
from evals.stats import components
from evals.stats.intervals import Interval
from evals.stats.noise import attempt_noise
from tasks.task import Frozen


class Spread(Frozen):
    """A standard deviation in points, run noise taken out, with its 95 % interval."""

    name: str
    sd: float
    low: float
    high: float


class Crossed(Frozen):
    """What a complete table of models × scaffolds tells."""

    models: int
    scaffolds: int
    tasks: int
    noise: str
    sensitivity: tuple[Spread, ...]
    """For each model: how much its score depends on the scaffold."""
    interaction: Spread | None
    order_change: float | None
    """Chance that a pair of models changes order with the scaffold."""
    variance: dict[str, float]
    """Shares of one attempt's variance, summing to 1."""


def common_outcomes(tables: list[Table]) -> NDArray[np.float64]:
    """Outcomes (systems, common tasks, attempts), NaN where one system made fewer attempts."""
    common = [task for task in tables[0].tasks if all(task in table.tasks for table in tables)]
    width = max(table.values.shape[1] for table in tables)
    stacked = np.full((len(tables), len(common), width), np.nan)
    for index, table in enumerate(tables):
        place = {task: row for row, task in enumerate(table.tasks)}
        stacked[index, :, : table.values.shape[1]] = table.values[[place[task] for task in common]]
    return stacked


def crossed(parts: dict[System, Results]) -> Crossed | None:
    """Sensitivity, interaction and variance split; None unless every model ran under every scaffold."""
    models = list(dict.fromkeys(system.model for system in parts))
    scaffolds = list(dict.fromkeys(system.scaffold for system in parts))
    systems = [System(*names) for names in product(models, scaffolds)]
    if len(scaffolds) < 2 or any(system not in parts for system in systems):
        return None
    stacked = common_outcomes([parts[system].table() for system in systems])
    if stacked.shape[1] < 2:
        return None
    outcomes = stacked.reshape(len(models), len(scaffolds), *stacked.shape[1:])
    noise = attempt_noise(stacked.reshape(-1, stacked.shape[2]))
    table = np.nanmean(outcomes, axis=3).mean(axis=2)
    error = noise.variance / (stacked.shape[1] * float(np.mean(np.sum(~np.isnan(stacked), axis=2))))
    split = components.split(outcomes, noise.variance)._asdict()
    total = sum(split.values())
    several = len(models) > 1
    return Crossed(
        models=len(models),
        scaffolds=len(scaffolds),
        tasks=stacked.shape[1],
        noise=noise.basis,
        sensitivity=tuple(
            named(model, components.sensitivity(scores, error))
            for model, scores in zip(models, table, strict=True)
        ),
        interaction=named("scaffold × model", components.interaction(table, error)) if several else None,
        order_change=order_change(split) if several else None,
        variance={name: share / total for name, share in split.items()} if total else {},
    )


def order_change(split: dict[str, float]) -> float | None:
    return components.order_change(float(np.sqrt(split["model"])), float(np.sqrt(split["interaction"])))


def named(name: str, found: components.Spread) -> Spread:
    low, high = Interval(*found.interval)
    return Spread(name=name, sd=points(found.sd), low=points(low), high=points(high))


def points(fraction: float) -> float:
    return round(100 * fraction, 4)
