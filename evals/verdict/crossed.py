"""Models × scaffolds: how far a model's score moves with its scaffold, and where the variance of scores comes from.

Needs a complete table and says nothing without one. Not covered: differences of single pairs (`compare`), and
scaffolds or models that were not run.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from evals.results.table import Results, System, Table
from evals.stats import components
from evals.stats.noise import attempt_noise
from evals.verdict.words import points
from tasks.task import Frozen


class Range(Frozen):
    """The largest difference of several, in points, with its 95 % interval over all of them together."""

    name: str
    value: float
    low: float
    high: float


class Crossed(Frozen):
    """What a complete table of models × scaffolds tells."""

    models: int
    scaffolds: int
    tasks: int
    noise: str
    over_scaffolds: tuple[Range, ...]
    """For each model: its best scaffold minus its worst."""
    gap_moves: Range | None
    """How far the gap between two models moves with the scaffold, at most; None with a single model."""
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
    """Ranges and variance split; None unless every model ran under every scaffold on whole lists of tasks."""
    models = list(dict.fromkeys(system.model for system in parts))
    scaffolds = list(dict.fromkeys(system.scaffold for system in parts))
    systems = [System(*names) for names in product(models, scaffolds)]
    if len(scaffolds) < 2 or any(system not in parts or parts[system].subset for system in systems):
        return None
    stacked = common_outcomes([parts[system].table() for system in systems])
    if stacked.shape[1] < 2:
        return None
    outcomes = stacked.reshape(len(models), len(scaffolds), *stacked.shape[1:])
    attempts = stacked.reshape(-1, stacked.shape[2])
    expected = attempt_noise(attempts, next(iter(parts.values())).benchmark)
    table = np.nanmean(outcomes, axis=3).mean(axis=2)
    error = expected.variance / (stacked.shape[1] * float(np.mean(np.sum(~np.isnan(stacked), axis=2))))
    return Crossed(
        models=len(models),
        scaffolds=len(scaffolds),
        tasks=stacked.shape[1],
        noise=expected.basis,
        over_scaffolds=tuple(
            named(model, components.over_scaffolds(scores, error, expected.df))
            for model, scores in zip(models, table, strict=True)
        ),
        gap_moves=named("gap between two models", components.gap_moves(table, error, expected.df))
        if len(models) > 1
        else None,
        variance=shares(outcomes, expected.variance),
    )


def shares(outcomes: NDArray[np.float64], noise: float) -> dict[str, float]:
    """Of one attempt's variance; without repeated attempts, run noise cannot be told from task × system."""
    found = components.split(outcomes, noise)
    repeated = bool(np.any(np.sum(~np.isnan(outcomes), axis=3) > 1))
    parts = {
        "model": found.model,
        "scaffold": found.scaffold,
        "model × scaffold": found.interaction,
        "task": found.task,
        "task × system": found.task_by_system,
        "run-to-run noise": found.noise,
    }
    if not repeated:
        together = parts.pop("task × system") + parts.pop("run-to-run noise")
        parts["task × system and run-to-run noise"] = together
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()} if total else {}


def named(name: str, found: components.Range) -> Range:
    return Range(
        name=name,
        value=points(found.value),
        low=points(found.interval.low),
        high=points(min(found.interval.high, 2.0)),
    )
