"""Rates and differences of systems with their intervals: the one place that `compare` and every report take them from.

*Fixed* is what `verify` calls fixed: these tasks and no others, so that run noise alone counts, and more attempts
narrow the interval. *Like these*: repositories are a sample. Tasks that were drawn (`--sample`, a subset) stand for
their benchmark: rates and differences are estimates for all of it. Not covered: several comparisons at once (`compare`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from evals.results.table import Results, Table
from evals.stats.intervals import Estimate, Interval, clustered_wilson
from evals.stats.noise import AttemptNoise, df_of
from evals.stats.paired import clustered_difference, discordant, mcnemar
from evals.stats.sequential import Accrual
from evals.stats.subset import estimated_difference
from evals.verdict.measure import (
    Estimand,
    answers_of,
    at_rate,
    attempts_each,
    benchmark_size,
    measured,
)
from evals.verdict.reference import run_noise
from tasks.errors import UserError


class RateFound(NamedTuple):
    """A system's rate in [0, 1] with its 95 % interval."""

    value: float
    interval: Interval


class DifferenceFound(NamedTuple):
    """First minus second in [−1, 1] with its 95 % interval."""

    value: float
    interval: Interval
    p: float | None
    """Of no difference in what the interval is about."""
    tasks: int
    """Judged under both."""
    method: str


def rate_of(part: Results, estimand: Estimand = Estimand.FIXED, table: Table | None = None) -> RateFound:
    """One system's rate; `table`: another reading of its outcomes. All of [0, 1] where nothing was judged."""
    table = part.table() if table is None else table
    if not len(table.tasks):
        return RateFound(0.0, Interval(0.0, 1.0))
    value = float(table.means.mean())
    if estimand is Estimand.LIKE_THESE and not part.subset:
        return RateFound(value, clustered_wilson(table.means, table.repos))
    noise = run_noise(part, table)
    found = measured(part, table, noise, Estimand.FIXED, value)
    variance = found.parts.variance(found.tasks)
    estimate = Estimate(found.rate, float(np.sqrt(variance)), df_of(variance, found.noisy, noise))
    low, high = estimate.interval()
    return RateFound(found.rate, Interval(max(low, 0.0), min(high, 1.0)))


def difference_of(first: Results, second: Results, estimand: Estimand = Estimand.FIXED) -> DifferenceFound:
    """Two systems on the tasks that both were judged on. Raises `UserError` where there is none."""
    one, two = on_common(first, second)
    if estimand is Estimand.LIKE_THESE and not first.subset:
        found = clustered_difference(one.means.tolist(), two.means.tolist(), one.repos)
        return DifferenceFound(
            found.difference, Interval(found.low, found.high), found.p_value, len(one.tasks), found.method
        )
    noises = [run_noise(part, table) for part, table in ((first, one), (second, two))]
    if first.subset:
        estimate, method = on_subset(first, one, two, noises), "weighted for the whole benchmark"
    else:
        estimate, method = on_fixed(first, one, two, noises), "run noise on these tasks"
    low, high = estimate.interval()
    return DifferenceFound(
        estimate.value,
        Interval(max(low, -1.0), min(high, 1.0)),
        no_difference(one, two, estimate, weighted=bool(first.subset)),
        len(one.tasks),
        method,
    )


def no_difference(one: Table, two: Table, estimate: Estimate, *, weighted: bool) -> float:
    """p of no difference. With one attempt each it is exact and needs no word of how noisy a run is (McNemar)."""
    if not weighted and attempts_each(one) == attempts_each(two) == 1:
        return mcnemar(discordant(one.means == 1, two.means == 1))
    return 2 * float(special.stdtr(estimate.df, -abs(estimate.value) / max(estimate.error, 1e-12)))


def on_common(first: Results, second: Results) -> tuple[Table, Table]:
    """Both systems' outcomes on the tasks that both were judged on, in the same order."""
    one, two = first.table(), second.table()
    place = {task: index for index, task in enumerate(two.tasks)}
    rows = [index for index, task in enumerate(one.tasks) if task in place]
    if not rows:
        names = " and ".join(part.systems[0].name for part in (first, second))
        raise UserError(f"{names} have no judged task in common: there is nothing to compare")
    return only(one, rows), only(two, [place[one.tasks[index]] for index in rows])


def only(table: Table, rows: list[int]) -> Table:
    return Table(
        tuple(table.tasks[row] for row in rows), tuple(table.repos[row] for row in rows), table.values[rows]
    )


def on_fixed(part: Results, one: Table, two: Table, noises: list[AttemptNoise]) -> Estimate:
    """The plain difference; where the tasks are a sample of a benchmark, with what was not run."""
    done = len(one.tasks)
    whole = max(benchmark_size(part), done)
    gaps = one.means - two.means
    within = [noise.variance / attempts_each(t) for noise, t in zip(noises, (one, two), strict=True)]
    spread = float(gaps.var(ddof=1)) if done > 1 else 1.0
    parts = Accrual(whole, max(spread, sum(within)), sum(within), 0.0, fixed=True)
    return known_as_well(float(gaps.mean()), parts.variance(done), [one / done for one in within], noises)


def on_subset(part: Results, one: Table, two: Table, noises: list[AttemptNoise]) -> Estimate:
    """The weighted difference on the whole benchmark; with one attempt each, of two runs that have noise of their own."""
    assert part.subset is not None
    drawn, answers, once = answers_of(part.subset, one)
    _, others, also_once = answers_of(part.subset, two)
    value, error = estimated_difference(drawn, answers, others)
    runs = [
        at_rate(noise.variance, table, float(table.means.mean())) / drawn.benchmark_size
        for noise, table in zip(noises, (one, two), strict=True)
    ]
    own = [run if alone else 0.0 for run, alone in zip(runs, (once, also_once), strict=True)]
    return known_as_well(value, error**2 + sum(own), own, noises)


def known_as_well(value: float, variance: float, noisy: list[float], noises: list[AttemptNoise]) -> Estimate:
    """The estimate with the degrees of freedom that two separately known noises leave it (Satterthwaite)."""
    shares = [1 / df_of(variance, part, noise) for part, noise in zip(noisy, noises, strict=True)]
    return Estimate(value, float(np.sqrt(variance)), 1 / sum(shares) if sum(shares) > 0 else float("inf"))
