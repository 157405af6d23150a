"""Measured minus claimed, with the error of both, and the test that reads it. Verdicts are `verify`'s business.

Two estimands, chosen openly. *Fixed*: these tasks and no others, so that only run-to-run noise counts, the vendor's
included. *Like these*: repositories are a sample, so that tasks of one repository count as the relatives they are; the
claim is then read as a statement about such tasks. A subset with its inclusion probabilities stands for its benchmark
(`stats.estimate`). Not covered: the vendor's results task by task, which are unknown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from scipy import special

from evals.claims.claim import FULL_SIZE, Claim
from evals.results.table import Drawn, Results, Table
from evals.stats.drawn import Subset
from evals.stats.equivalence import Equivalence, tost
from evals.stats.estimate import one_run, several_runs
from evals.stats.intervals import Estimate, clustered_mean, student
from evals.stats.noise import AttemptNoise
from evals.stats.power import half_attempt
from evals.stats.sequential import Accrual, critical_values
from evals.stats.subset import Estimated, estimated

PRIOR_TASKS = 10
"""Weight of the claim's own variance beside the spread between tasks: a handful that all ended alike is no certainty."""


class Estimand(StrEnum):
    """What the rate is taken to be about."""

    FIXED = "fixed"
    """These tasks and no others: only run-to-run noise counts."""
    LIKE_THESE = "like-these"
    """Tasks like these: repositories are a sample of those one cares about."""


class Question(NamedTuple):
    """A claim, and how it is asked."""

    claim: Claim
    claimed: float
    """The claimed rate."""
    margin: float
    estimand: Estimand
    alpha: float


class Measured(NamedTuple):
    """The rate on the whole benchmark as far as the results tell, and what its distance from the claim errs by."""

    rate: float
    parts: Accrual
    tasks: int
    """So many of the benchmark's were run."""


def evaluate(question: Question, results: Results, table: Table, noise: AttemptNoise) -> Equivalence:
    """The test for one way to read the results."""
    return tested(question, results, table, measure(question, results, table, noise))


def tested(question: Question, results: Results, table: Table, found: Measured) -> Equivalence:
    """The same for what was measured already."""
    difference = difference_of(question, table, found)
    critical = look_bound(question, results, found.parts, difference.df) if results.looks else None
    return tost(difference, question.margin, question.alpha, steps(question.claim, table), critical)


def steps(claim: Claim, table: Table) -> float:
    """How far rounding can move the difference: the claim's, and half of one attempt (continuity; Yates 1934)."""
    return claim.rounding + half_attempt(int(np.sum(~np.isnan(table.values))))


def difference_of(question: Question, table: Table, found: Measured) -> Estimate:
    """Measured minus claimed, with the error of both."""
    if question.estimand is Estimand.FIXED:
        return Estimate(found.rate - question.claimed, float(np.sqrt(found.parts.variance(found.tasks))))
    ours = clustered_mean(table.means, table.repos)
    error = float(np.hypot(ours.error, np.sqrt(found.parts.shared)))
    df = ours.df * (error / ours.error) ** 4 if 0 < ours.error < np.inf else ours.df
    return Estimate(ours.value - question.claimed, error, df)


def from_subset(subset: Subset, table: Table) -> Estimated:
    """The benchmark's rate from those tasks of a subset that have an answer; one run's, or the mean over runs.

    A task without one counts as not drawn: the bounds of a verdict are for the case that this is no chance.
    """
    place = {task: index for index, task in enumerate(table.tasks)}
    part = subset.keeping(place)
    order = [place[task] for task in part.ids]
    means, attempts = table.means[order], np.sum(~np.isnan(table.values), axis=1)[order].astype(float)
    once = bool((attempts == 1).all())
    return estimated(part, one_run(means) if once else several_runs(means, attempts), fixed_run=once)


def measure(question: Question, results: Results, table: Table, noise: AttemptNoise) -> Measured:
    """The rate, and the parts of its error: tasks not run, run noise, and the claim's own runs."""
    claim, done = question.claim, len(table.tasks)
    whole = max(benchmark_size(claim, results), done)
    claimed_attempts = (claim.tasks_assumed or whole) * (claim.protocol.runs or 1)
    shared = at_rate(noise.variance, table, question.claimed) / claimed_attempts
    if results.subset:
        return measure_subset(results.subset, table, noise, shared)
    parts = Accrual(
        tasks=whole,
        between=between_tasks(table, question.claimed),
        within=noise.variance / attempts_each(table),
        shared=shared,
        fixed=question.estimand is Estimand.FIXED,
    )
    return Measured(float(table.means.mean()), parts, done)


def measure_subset(subset: Subset, table: Table, noise: AttemptNoise, shared: float) -> Measured:
    """The same for a subset: what its estimate leaves open shrinks as the tasks not run do.

    With one attempt the estimate is of what this run would score on all tasks, and such a run has noise of its own.
    With several it is of the mean over runs, and its error holds that noise already.
    """
    whole, done, found = subset.benchmark_size, len(table.tasks), from_subset(subset, table)
    run = at_rate(noise.variance, table, found.value) / attempts_each(table) / whole
    sampled = found.error**2 - (run if attempts_each(table) > 1 else 0.0)
    left = 1 / done - 1 / whole
    between = max(sampled, 0.0) / left if left else 0.0
    return Measured(found.value, Accrual(whole, between, 0.0, shared + run, fixed=True), done)


def attempts_each(table: Table) -> float:
    """Attempts at a task: the harmonic mean, because the variances of the tasks' means add up."""
    return len(table.tasks) / float(np.sum(1 / np.sum(~np.isnan(table.values), axis=1)))


def between_tasks(table: Table, claimed: float) -> float:
    """Variance of the tasks' means, with the claim's own Bernoulli variance mixed in: a first look sees few tasks."""
    rate, done = min(max(claimed, 0.02), 0.98), len(table.tasks)
    own = float(table.means.var(ddof=1)) if done > 1 else 0.0
    return ((done - 1) * own + PRIOR_TASKS * rate * (1 - rate)) / (done - 1 + PRIOR_TASKS)


def at_rate(variance: float, table: Table, rate: float) -> float:
    """The noise in `table` carried over to another rate: the same share of rate · (1 − rate), at most all of it."""
    ours, theirs = (min(max(one, 0.02), 0.98) for one in (float(table.means.mean()), rate))
    return min(variance / (ours * (1 - ours)), 1.0) * theirs * (1 - theirs)


def benchmark_size(claim: Claim, results: Results) -> int:
    """Tasks of the whole benchmark, those that count for nobody taken out."""
    if results.subset:
        return results.subset.benchmark_size
    if results.drawn is Drawn.WHOLE:
        return results.planned
    return max(FULL_SIZE.get(claim.benchmark, 0) - len(results.excluded), results.planned)


def look_bound(question: Question, results: Results, parts: Accrual, df: float) -> float:
    """Critical value at this look for an estimate with `df`, so that all planned looks together keep the size.

    For tasks like these, information is taken to grow with the number of tasks.
    """
    done = len(results.tasks)
    looks = sorted({*(look for look in results.looks if look < done), done})
    if question.estimand is Estimand.FIXED:
        fractions = parts.fractions(looks, results.planned)
    else:
        fractions = [look / results.planned for look in looks]
    normal = critical_values(fractions, question.alpha)[-1]
    return -student(float(special.ndtr(-normal)), df)
