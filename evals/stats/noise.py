"""Run-to-run noise: how far a second run of the same system on the same tasks would land from the first.

The unit is the variance of one attempt, averaged over tasks: mean of p(1 − p), where p is a task's own chance to be
solved. As a share of P(1 − P), P the rate over all tasks, it is 1 when tasks do not differ and 0 when every task is
either always or never solved. Where nothing was repeated, public results of the benchmark say what to expect, and how
unsure that is. A single attempt at each task does not show its noise: what a verdict goes by then is the most that
systems are known to have (`reckoned`). Not covered: noise that attempts share (a bad night of the server).
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TYPICAL_SHARE = 0.37
CAUTIOUS_SHARE = 0.48
"""Mean and 95th percentile of the share over 48 systems that solve more than 30 % of Terminal-Bench 2.0, five trials a
task (public trials collected by agent-psychometrics). Recomputed from the trials by a test."""
CAUTIOUS_SHARE_WEAK = 0.63
"""95th percentile over all 83 systems: below 30 % solved, the few tasks that are solved are solved by luck more often."""
WEAK_BELOW = 0.30
PRIOR_TASKS = 10
"""Weight of the expected noise beside what was measured."""
Z95 = 1.645
"""One-sided: a system with more noise than the mean plus so many standard deviations is one of twenty."""


class AttemptNoise(NamedTuple):
    """Variance of one attempt's outcome around its task's own chance, averaged over the tasks."""

    variance: float
    basis: str
    """One line for people: measured, or what is expected and why."""
    df: float = float("inf")
    """How well the variance is known, as degrees of freedom: 2 / (relative standard error)²."""
    most: float | None = None
    """The most that one of twenty systems exceeds, where nothing was repeated; None for measured noise."""

    @property
    def reckoned(self) -> AttemptNoise:
        """What a verdict goes by. Measured noise as it is; else the most, so that a noisier run errs no more often."""
        if self.most is None:
            return self
        more = f"{self.basis}; a verdict reckons with {self.most / self.variance:.1f} times that until some are repeated"
        return AttemptNoise(self.most, more if self.most > self.variance else self.basis)

    @property
    def as_expected(self) -> AttemptNoise:
        """What further attempts will show, as a rule."""
        return self._replace(most=None)

    def times(self, factor: float) -> AttemptNoise:
        """Noise that is `factor` times as much."""
        most = None if self.most is None else factor * self.most
        return self._replace(variance=factor * self.variance, most=most)


class Line(NamedTuple):
    """The share of P(1 − P) to expect at a rate, as public pairs of runs show it (`fit_noise`)."""

    intercept: float
    slope: float
    sd: float
    """Of one system around the line."""
    low: float
    high: float
    """Rates that the pairs span; beyond them the nearest counts."""
    pairs: int

    def share(self, rate: float) -> float:
        return self.intercept + self.slope * min(max(rate, self.low), self.high)


@cache
def line(benchmark: str) -> Line | None:
    """What was fitted for a benchmark, in any of its spellings; None where nobody published pairs."""
    text = (files("evals.stats") / "data" / "run_noise.json").read_text("utf-8")
    key = re.sub(r"[^a-z0-9]", "", benchmark.lower().split("@")[0].rpartition("/")[2])
    found = json.loads(text).get(key)
    if found is None:
        return None
    low, high = found["rates"]
    return Line(found["intercept"], found["slope"], found["sd"], low, high, found["pairs"])


def within_tasks(outcomes: NDArray[np.float64]) -> float | None:
    """Mean within-task variance of `outcomes` (tasks, attempts), NaN where there was no attempt.

    Unbiased for the mean of p(1 − p) when attempts of a task are independent. Tasks with one attempt say nothing;
    None when no task has two.
    """
    counts = np.sum(~np.isnan(outcomes), axis=1)
    repeated = outcomes[counts >= 2]
    return float(np.mean(np.nanvar(repeated, axis=1, ddof=1))) if len(repeated) else None


def prior(rate: float, benchmark: str = "") -> AttemptNoise:
    """What to expect of one attempt when nothing was repeated, and the most to reckon with.

    For a benchmark with public pairs of runs their line and the spread around it; at most the 95th percentile around
    the line, or that of Terminal-Bench's systems where it is more, which strong runs on the benchmark have not shown,
    but a new one may. Else the latter alone. `rate` near 0 or 1 is moved inwards by a little, because a handful of tasks all
    solved is not a noiseless system.
    """
    inner = min(max(rate, 0.02), 0.98)
    whole = inner * (1 - inner)
    fitted = line(benchmark)
    if fitted:
        share = fitted.share(rate)
        basis = f"{share:.0%} of P(1 − P), from {fitted.pairs} pairs of public runs at about this rate"
        most = max(share + Z95 * fitted.sd, CAUTIOUS_SHARE)
        return AttemptNoise(share * whole, basis, 2 * (share / fitted.sd) ** 2, most * whole)
    share = CAUTIOUS_SHARE_WEAK if rate < WEAK_BELOW else CAUTIOUS_SHARE
    basis = (
        f"cautious prior from public trials of another benchmark (95th percentile, {share:.0%} of P(1 − P))"
    )
    return AttemptNoise(share * whole, basis, most=share * whole)


def drawn_inwards(outcomes: NDArray[np.float64]) -> float:
    """The rate of `outcomes` (tasks, attempts) by Agresti and Coull: two tasks of two are no rate of 100 %."""
    counts = np.sum(~np.isnan(outcomes), axis=1)
    means = np.nanmean(outcomes[counts > 0], axis=1)
    return float((means.sum() + 2) / (len(means) + 4))


def attempt_noise(
    outcomes: NDArray[np.float64], benchmark: str = "", expected: AttemptNoise | None = None
) -> AttemptNoise:
    """Noise of one attempt from `outcomes` (tasks, attempts): what was measured, as soon as anything was repeated.

    What is expected (the `prior` at this rate, if not given) weighs as much as `PRIOR_TASKS` repeated tasks, so that a
    handful that agree is not a noiseless system; few repeated tasks leave the noise unsure, and `df` says how much.
    """
    counts = np.sum(~np.isnan(outcomes), axis=1)
    repeated, expected = int(np.sum(counts >= 2)), expected or prior(drawn_inwards(outcomes), benchmark)
    measured = within_tasks(outcomes)
    if measured is None:
        return expected._replace(basis=f"one attempt: {expected.basis}")
    mixed = (repeated * measured + PRIOR_TASKS * expected.variance) / (repeated + PRIOR_TASKS)
    error = measured_error(outcomes[counts >= 2], mixed, expected.variance)
    basis = f"measured on {repeated} tasks with repeated attempts, and a prior worth {PRIOR_TASKS}"
    return AttemptNoise(mixed, basis, max(2 * (mixed / error) ** 2, 1.0))


def measured_error(repeated: NDArray[np.float64], mixed: float, expected: float) -> float:
    """Standard error of a mean within-task variance over so many tasks, the prior's among them."""
    each = np.nanvar(repeated, axis=1, ddof=1)
    squares = float(np.sum(each**2)) + PRIOR_TASKS * expected / 2  # two attempts: a half where they disagree
    count = len(each) + PRIOR_TASKS
    return float(np.sqrt(max(squares / count - mixed**2, 1e-12) / count))


def df_of(total: float, noisy: float, noise: AttemptNoise) -> float:
    """Degrees of freedom of a variance `total` of which the part `noisy` is known as well as `noise` (Satterthwaite)."""
    return noise.df * (total / noisy) ** 2 if noisy > 0 else float("inf")
