"""Sections of `calibrate` about plain intervals: tasks drawn one by one, and tasks that come by the repository."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.calibrate.section import SIZES, Bench, Section, share, table
from evals.stats.intervals import Interval, clustered_mean, clustered_wilson, wilson
from evals.stats.irt import Array

CLUSTERS = ((10, 10), (20, 10), (40, 5))
"""Repositories, and tasks in each."""
DRAWS = 30_000
"""Simulated samples for each row at `FULL` draws: standard errors near 0.13 points, and 0.2 at the usual number."""
FULL = 12
PAIRS = 100


def independent_draws(bench: Bench) -> Section:
    """Tasks drawn one by one with replacement: Wilson's interval, summed over all outcomes and submissions."""
    rates, rows = bench.public.solved.mean(1), []
    for n in SIZES:
        intervals = [wilson(passes, n) for passes in range(n + 1)]
        chance = stats.binom.pmf(np.arange(n + 1), n, rates[:, None])
        covered = np.array([[covers(one, rate) for one in intervals] for rate in rates])
        half = float(chance.mean(0) @ [(high - low) / 2 for low, high in intervals])
        by_rate = (chance * covered).sum(1)
        rows.append((n, share(float(by_rate.mean())), share(float(by_rate.min())), f"{100 * half:.2f}"))
    head = ("n", "coverage, mean of the submissions", "least", "half-width")
    return Section("Independent draws, Wilson", table(head, rows))


def covers(found: Interval, truth: float) -> bool:
    return found.low <= truth + 1e-9 and found.high >= truth - 1e-9


def clustered_draws(bench: Bench) -> Section:
    """Repositories drawn with replacement in proportion to their size, then tasks inside each.

    The rate of each submission, and the difference of pairs of submissions.
    """
    rng = np.random.default_rng(bench.seed)
    solved, each = bench.public.solved, DRAWS * bench.draws // FULL
    pairs = list(combinations(range(len(solved)), 2))
    chosen = [pairs[k] for k in rng.choice(len(pairs), PAIRS, replace=False)]
    gaps = np.array([solved[first] - solved[second] for first, second in chosen])
    rows = []
    for clusters, size in CLUSTERS:
        for what, truths, method in (("rate", solved, rate_interval), ("difference", gaps, gap_interval)):
            samples = Samples(bench.public.repositories, clusters, size, rng)
            found = [
                (covers(one, float(truth.mean())), one.high - one.low)
                for truth in truths
                for values in samples.of(truth, each // len(truths))
                for one in [method(values, samples.labels)]
            ]
            covered, width = np.mean(found, axis=0)
            rows.append((what, clusters, size, share(covered, len(found)), f"{50 * width:.2f}"))
    head = ("of", "repositories", "tasks in each", "coverage", "half-width")
    return Section(
        "Clustered draws: Wilson at the effective size, Student for differences", table(head, rows)
    )


def rate_interval(values: Array, labels: list[int]) -> Interval:
    return clustered_wilson(values, labels)


def gap_interval(values: Array, labels: list[int]) -> Interval:
    return clustered_mean(values, labels).interval()


class Samples:
    """Draws of whole repositories, each again and again with tasks of its own."""

    def __init__(
        self, repositories: tuple[str, ...], clusters: int, size: int, rng: np.random.Generator
    ) -> None:
        names, members = np.unique(repositories, return_inverse=True)
        self.members: list[NDArray[np.intp]] = [np.flatnonzero(members == k) for k in range(len(names))]
        self.chance = np.bincount(members) / len(members)
        self.clusters, self.size, self.rng = clusters, size, rng
        self.labels: list[int] = np.repeat(np.arange(clusters), size).tolist()

    def of(self, truth: Array, draws: int) -> Array:
        """Values (draws, clusters · size) of `truth` (N,)."""
        drawn = self.rng.choice(len(self.members), (draws, self.clusters), p=self.chance)
        values = np.empty((draws, self.clusters, self.size))
        for k, tasks in enumerate(self.members):
            at = drawn == k
            values[at] = truth[self.rng.choice(tasks, (int(at.sum()), self.size))]
        return values.reshape(draws, -1)


SECTIONS: list[Callable[[Bench], Section]] = [independent_draws, clustered_draws]
