"""Intervals for one rate: independent tasks, and tasks that cluster by repository.

Not covered: intervals from subsets drawn with unequal probabilities (`estimate`), paired differences (`paired`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A closed interval; ends may be infinite where nothing can be said."""

    low: float
    high: float

    def within(self, bound: float) -> bool:
        """Whether all of it lies strictly between −bound and +bound."""
        return -bound < self.low and self.high < bound

    def beyond(self, bound: float) -> bool:
        """Whether all of it lies outside [−bound, +bound], on one side."""
        return self.low > bound or self.high < -bound

    def widened(self, by: float) -> Interval:
        return Interval(self.low - by, self.high + by)


class Estimate(NamedTuple):
    """A value, its standard error, and the degrees of freedom of that error (inf = treated as known)."""

    value: float
    error: float
    df: float = float("inf")

    def interval(self, confidence: float = 0.95) -> Interval:
        """Two-sided Student interval."""
        reach = student(1 - (1 - confidence) / 2, self.df) * self.error
        return Interval(self.value - reach, self.value + reach)


def student(chance: float, df: float = float("inf")) -> float:
    """Quantile of Student's law; normal for infinite `df`."""
    from scipy import special  # slow to import, and most callers only want the types

    return float(special.stdtrit(df, chance))


def wilson(successes: float, n: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval: n independent tasks with one common rate.

    Good for any n, also at no and at all successes; n = 0 gives [0, 1]. `successes` may be a sum of task means.
    Over the rates of the public submissions it covers 95.0 to 95.2 % (exact sums, `calibrate`).
    Wilson 1927; Brown, Cai, DasGupta 2001.
    """
    assert -1e-9 <= successes <= n + 1e-9, f"{successes} of {n} is not a proportion"
    if n == 0:
        return Interval(0.0, 1.0)
    rate, z = min(max(successes / n, 0.0), 1.0), student((1 + confidence) / 2)
    spread = z**2 / n
    reach = z * float(np.sqrt((rate * (1 - rate) + spread / 4) / n))
    low, high = ((rate + spread / 2 + side * reach) / (1 + spread) for side in (-1, 1))
    return Interval(low if rate > 0 else 0.0, high if rate < 1 else 1.0)


def clustered_wilson(
    values: NDArray[np.float64], clusters: Sequence[Hashable], confidence: float = 0.95
) -> Interval:
    """Interval for a rate over tasks like these, from task means (n,) in [0, 1] and cluster labels (n,).

    Wilson's interval for as many independent tasks as would have the error of `clustered_mean`; fewer, by Student's
    quantile, because that error is itself an estimate; never more than n. Student's interval on the plain scale
    misses rates near 0 and 1 (`calibrate`). Korn, Graubard 1998; Franco, Little, Louis, Slud 2019.
    """
    found, n = clustered_mean(values, clusters), len(values)
    tail = (1 + confidence) / 2
    reach = found.error * student(tail, found.df) / student(tail)
    spread = found.value * (1 - found.value)
    effective = min(n, spread / reach**2) if reach > 0 else n
    return wilson(found.value * effective, effective, confidence)


def clustered_mean(values: NDArray[np.float64], clusters: Sequence[Hashable]) -> Estimate:
    """Mean of `values` (n,) when tasks of one cluster (n,) are alike, for tasks like these.

    Cluster-robust with the CR2 correction and Satterthwaite degrees of freedom, both in closed form for a plain
    mean; they keep the size near nominal with few clusters of unequal size, which 12 repositories are.
    Assumes that the clusters are a sample of those one cares about. A single cluster gives an
    infinite error. Bell, McCaffrey 2002; Pustejovsky, Tipton 2018.
    """
    n = len(values)
    assert n == len(clusters) > 0, "one cluster label for each value"
    labels = {cluster: index for index, cluster in enumerate(dict.fromkeys(clusters))}
    index = np.array([labels[cluster] for cluster in clusters])
    mean = float(np.mean(values))
    if len(labels) < 2:
        return Estimate(mean, float("inf"), 1.0)
    sizes = np.bincount(index).astype(float)
    residuals = np.bincount(index, weights=values - mean)
    shrink = 1 / np.sqrt(1 - sizes / n)
    error = float(np.sqrt(np.sum((residuals * shrink) ** 2))) / n
    return Estimate(mean, error, satterthwaite(sizes, shrink))


def satterthwaite(sizes: NDArray[np.float64], shrink: NDArray[np.float64]) -> float:
    """Degrees of freedom of the CR2 variance of a mean under independent errors (the usual working model)."""
    n = sizes.sum()
    gram = (np.diag(sizes) - np.outer(sizes, sizes) / n) * np.outer(shrink, shrink)
    return float(np.trace(gram) ** 2 / np.sum(gram**2))
