"""The rate of one system from its results, and what its error is made of. Read by `difference` and by `compare`.

Two estimands, chosen openly. *Fixed*: these tasks and no others, so that only run-to-run noise counts. *Like these*:
repositories are a sample, so that tasks of one repository count as the relatives they are. A subset with its inclusion
probabilities stands for its benchmark (`stats.estimate`). Not covered: what the rate is compared with.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from evals.claims.claim import FULL_SIZE, same_benchmark
from evals.results.table import Drawn, Results, Table
from evals.stats.drawn import Subset
from evals.stats.estimate import Answers, one_run, several_runs
from evals.stats.noise import AttemptNoise
from evals.stats.sequential import Accrual
from evals.stats.subset import Estimated, estimated, verdict_widening

PRIOR_TASKS = 10
"""Weight of the expected variance beside the spread between tasks: a handful that all ended alike is no certainty."""


class Estimand(StrEnum):
    """What the rate is taken to be about."""

    FIXED = "fixed"
    """These tasks and no others: only run-to-run noise counts."""
    LIKE_THESE = "like-these"
    """Tasks like these: repositories are a sample of those one cares about."""


class Measured(NamedTuple):
    """The rate on the whole benchmark as far as the results tell, and what it errs by."""

    rate: float
    parts: Accrual
    tasks: int
    """So many of the benchmark's were run."""
    noisy: float
    """The part of the variance that rests on the run noise."""


def measured(
    results: Results, table: Table, noise: AttemptNoise, estimand: Estimand, expected: float
) -> Measured:
    """The rate and the parts of its error: tasks not run, and run noise. `expected`: a rate to go by at first."""
    done = len(table.tasks)
    if results.subset:
        return from_estimate(results.subset, table, noise)
    parts = Accrual(
        tasks=max(benchmark_size(results), done),
        between=between_tasks(table, expected),
        within=noise.variance / attempts_each(table),
        shared=0.0,
        fixed=estimand is Estimand.FIXED,
    )
    return Measured(float(table.means.mean()), parts, done, parts.within / done)


def from_estimate(subset: Subset, table: Table, noise: AttemptNoise) -> Measured:
    """The same for a subset: what its estimate leaves open shrinks as the tasks not run do.

    With one attempt the estimate is of what this run would score on all tasks, and such a run has noise of its own.
    With several it is of the mean over runs, and its error holds that noise already. What is left is widened for runs
    that the difficulty model describes badly.
    """
    whole, done, found = subset.benchmark_size, len(table.tasks), from_subset(subset, table)
    run = at_rate(noise.variance, table, found.value) / attempts_each(table) / whole
    sampled = found.error**2 - (run if attempts_each(table) > 1 else 0.0)
    left = 1 / done - 1 / whole
    between = verdict_widening(subset.design) ** 2 * max(sampled, 0.0) / left if left else 0.0
    return Measured(found.value, Accrual(whole, between, 0.0, run, fixed=True), done, run)


def from_subset(subset: Subset, table: Table) -> Estimated:
    """The benchmark's rate from those tasks of a subset that have an answer; one run's, or the mean over runs.

    A task without one counts as not drawn: the bounds of a verdict are for the case that this is no chance.
    """
    part, answers, once = answers_of(subset, table)
    return estimated(part, answers, fixed_run=once)


def answers_of(subset: Subset, table: Table) -> tuple[Subset, Answers, bool]:
    """The part of the subset that has answers, these in its order, and whether they are of a single run."""
    place = {task: index for index, task in enumerate(table.tasks)}
    part = subset.keeping(place)
    order = [place[task] for task in part.ids]
    means, attempts = table.means[order], np.sum(~np.isnan(table.values), axis=1)[order].astype(float)
    once = bool((attempts == 1).all())
    return part, one_run(means) if once else several_runs(means, attempts), once


def attempts_each(table: Table) -> float:
    """Attempts at a task: the harmonic mean, because the variances of the tasks' means add up."""
    return len(table.tasks) / float(np.sum(1 / np.sum(~np.isnan(table.values), axis=1)))


def between_tasks(table: Table, expected: float) -> float:
    """Variance of the tasks' means, with the expected rate's Bernoulli variance mixed in: a first look sees few tasks."""
    rate, done = min(max(expected, 0.02), 0.98), len(table.tasks)
    squares = float(done * table.means.var())
    return (squares + PRIOR_TASKS * rate * (1 - rate)) / (done - 1 + PRIOR_TASKS)


def at_rate(variance: float, table: Table, rate: float) -> float:
    """The noise in `table` carried over to another rate: the same share of rate · (1 − rate), at most all of it."""
    ours, theirs = (min(max(one, 0.02), 0.98) for one in (float(table.means.mean()), rate))
    return min(variance / (ours * (1 - ours)), 1.0) * theirs * (1 - theirs)


def benchmark_size(results: Results) -> int:
    """Tasks of the whole benchmark, those that count for nobody taken out."""
    if results.subset:
        return results.subset.benchmark_size
    if results.drawn is Drawn.WHOLE:
        return results.planned
    whole = full_size(results.benchmark)
    return results.planned if whole is None else max(whole - len(results.dropped), results.planned)


def full_size(benchmark: str) -> int | None:
    """Tasks of a public benchmark, in any spelling of its name."""
    return next((size for name, size in FULL_SIZE.items() if same_benchmark(name, benchmark)), None)
