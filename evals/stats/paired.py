"""Two or more systems on the same tasks: differences, tests, and several tests at once.

What is a line or two in `scipy.special` is written so: `scipy.stats`, `scipy.optimize` and statsmodels take 100 MB and
a second to load, which every report would pay. The few cases that need the first two load them where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evals.stats.intervals import Estimate, Interval, clustered_mean, student


class Discordant(NamedTuple):
    """Tasks on which two systems disagree, of `n` that both tried."""

    only_first: int
    only_second: int
    n: int

    @property
    def difference(self) -> float:
        """Rate of the first minus rate of the second."""
        return (self.only_first - self.only_second) / self.n


def discordant(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Discordant:
    """Count where two outcome vectors (n,) differ."""
    assert first.shape == second.shape
    return Discordant(int(np.sum(first & ~second)), int(np.sum(second & ~first)), len(first))


def mcnemar(pairs: Discordant) -> float:
    """Exact two-sided p: each discordant task is as likely to favour either system.

    Assumes tasks are independent given the systems. No discordant task gives 1. McNemar 1947, exact binomial form.
    """
    total = pairs.only_first + pairs.only_second
    fewer = min(pairs.only_first, pairs.only_second)
    return min(1.0, 2 * float(special.bdtr(fewer, total, 0.5))) if total else 1.0


def tango(pairs: Discordant, confidence: float = 0.95) -> Interval:
    """Score interval for the difference of two paired rates.

    Never empty, never degenerate, also without any discordant task. Assumes independent tasks.
    Tango, Statistics in Medicine 17 (1998) 891-908; the restricted estimate is his closed form.
    """
    z = student((1 + confidence) / 2)
    d = pairs.difference
    low = -1.0 if d <= -1 else bracketed(lambda t: tango_score(pairs, t) - z, -1.0, d)
    high = 1.0 if d >= 1 else bracketed(lambda t: tango_score(pairs, t) + z, d, 1.0)
    return Interval(low, high)


def tango_score(pairs: Discordant, delta: float) -> float:
    """Tango's statistic for the hypothesis that the difference is `delta`; falls as `delta` grows."""
    b, c, n = pairs
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    second_only = (np.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * second_only + delta * (1 - delta))
    excess = b - c - n * delta
    if variance <= 1e-15:
        return 0.0 if abs(excess) < 1e-12 else float(np.sign(excess) * np.inf)
    return float(excess / np.sqrt(variance))


def bracketed(function: Callable[[float], float], low: float, high: float) -> float:
    """Root of a falling function on [low, high] whose ends may be infinite or touch zero."""
    from scipy import optimize

    inner = 1e-12
    try:
        return float(optimize.brentq(function, low + inner, high - inner))
    except ValueError:  # no change of sign inside: the bound is the end of the parameter space
        return low if low <= -1 else high


def mean_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """Difference of mean pass rates over tasks, from outcomes (tasks, attempts), NaN = no attempt.

    Attempts are nested in tasks: each task counts once, with its own mean. Tasks are a sample; with `clusters`,
    clusters are. Needs two tasks.
    """
    gaps = np.nanmean(first, axis=1) - np.nanmean(second, axis=1)
    if clusters is not None:
        return clustered_mean(gaps, clusters)
    n = len(gaps)
    return Estimate(float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(n)), n - 1)


def sign_flip(first: NDArray[np.float64], second: NDArray[np.float64], seed: int, draws: int = 9999) -> float:
    """Two-sided permutation p for several attempts: under no difference the two names of a task can be swapped.

    Exact for up to 13 tasks with a gap, sampled (seeded) above. Pitman 1937.
    """
    from scipy import stats

    gaps = np.nanmean(first, axis=1) - np.nanmean(second, axis=1)
    gaps = gaps[gaps != 0]
    if len(gaps) < 2:  # one gap is as large with either sign
        return 1.0
    test = stats.permutation_test(
        (gaps,),
        np.sum,
        permutation_type="samples",
        n_resamples=draws,
        random_state=np.random.default_rng(seed),
    )
    return float(test.pvalue)


class PairedDifference(NamedTuple):
    """First minus second, over the tasks that both tried, as fractions."""

    difference: float
    low: float
    high: float
    p_value: float | None
    """Of no difference; None when there is no common task."""
    method: str


def paired_difference(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> PairedDifference:
    """Difference of two systems from their pass rates, one for each common task, in the same order.

    One attempt a task: Tango's interval and the exact McNemar test. Several: Student's interval over the tasks'
    mean gaps and the sign-flip test, because attempts of one task are not tasks. Tasks are a sample in both.
    """
    one, two = (np.asarray(rates, dtype=float) for rates in (first, second))
    if len(one) == 0:
        return PairedDifference(0.0, -1.0, 1.0, None, "no common task")
    if np.all(np.isin([one, two], [0.0, 1.0])):
        pairs = discordant(one == 1, two == 1)
        return PairedDifference(pairs.difference, *tango(pairs, confidence), mcnemar(pairs), "Tango, McNemar")
    gaps = one - two
    if (
        np.ptp(gaps) == 0
    ):  # no spread to go by: as wide as without any discordant task, around the one gap there is
        low, high = (
            tango(Discordant(0, 0, len(gaps)), confidence) if len(gaps) > 1 else Interval(-np.inf, np.inf)
        )
        gap, p = float(gaps[0]), sign_flip(one[:, None], two[:, None], seed)
        return PairedDifference(gap, max(gap + low, -1.0), min(gap + high, 1.0), p, "Tango, sign flips")
    estimate = mean_difference(one[:, None], two[:, None])
    low, high = estimate.interval(confidence)
    p = sign_flip(one[:, None], two[:, None], seed)
    return PairedDifference(
        estimate.value, max(low, -1.0), min(high, 1.0), p, "Student over tasks, sign flips"
    )


def clustered_difference(
    first: Sequence[float], second: Sequence[float], clusters: Sequence[Hashable], confidence: float = 0.95
) -> PairedDifference:
    """The same for tasks like these: `clusters` (their repositories) are a sample, and tasks of one are relatives.

    Student's interval and test with the CR2 error of `clustered_mean`. One cluster says nothing; where all
    clusters show the same there is no error to go by, and the tasks' own interval stands.
    """
    if len(first) == 0:
        return paired_difference(first, second, confidence)
    one, two = (np.asarray(rates, dtype=float)[:, None] for rates in (first, second))
    estimate = mean_difference(one, two, clusters)
    if np.isinf(estimate.error):
        return PairedDifference(estimate.value, -1.0, 1.0, 1.0, "a single repository")
    if estimate.error == 0:
        return paired_difference(first, second, confidence)
    low, high = estimate.interval(confidence)
    p = 2 * float(special.stdtr(estimate.df, -abs(estimate.value) / estimate.error))
    method = f"Student over {len(set(clusters))} repositories"
    return PairedDifference(estimate.value, max(low, -1.0), min(high, 1.0), p, method)


def cochran_q(outcomes: NDArray[np.bool_]) -> float:
    """p that all systems (columns) solve the tasks (rows) equally often; 1 when no task tells them apart.

    Assumes many informative tasks (chi-squared). Cochran 1950.
    """
    systems = outcomes.shape[1]
    informative = outcomes[(outcomes.sum(axis=1) % systems) != 0].astype(float)
    if not len(informative):
        return 1.0
    solved, solvers = informative.sum(axis=0), informative.sum(axis=1)
    between = systems * np.sum((solved - solved.mean()) ** 2)
    q = (systems - 1) * between / np.sum(solvers * (systems - solvers))
    return float(special.chdtrc(systems - 1, q))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted so that all statements hold together. Holm 1979."""
    order = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in adjusted]
