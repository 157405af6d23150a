"""The rate on a whole benchmark from a sample of its tasks, with an interval that does not need the model to be right.

`fitted` predicts every task from the sampled answers (`irt`) and corrects the prediction with the weighted surprises
of the sample (difference estimator: Cassel, Särndal, Wretman 1976; "prediction-powered", Angelopoulos et al. 2023),
each surprise measured against a prediction that has not seen it. The correction is never shrunk, so that no run is drawn
towards what the model predicts of it. While the surprises look as the model says, the model's variance is averaged in,
which is steadier; as they grow, it fades and the plain design-based variance is left. The width's multiplier is the
conformal quantile over public submissions that were left out of the fit (`fit`).

`stratified` needs no public results: the weighted mean of an equal-probability sample, balanced by repository.

Not covered: answers missing from the sample.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from evals.stats.intervals import Interval
from evals.stats.irt import Array, Items, posterior, predict

Index = NDArray[np.intp]

FITS, FAILS = 1.2, 2.0
"""Surprise (1 = as predicted) up to which the model is believed in full, and from which not at all."""

SPLIT = 0.6
"""Estimated rate at which weak submissions and strong ones part."""


class Answers(NamedTuple):
    """What one submission did on the sampled tasks."""

    mean: Array
    """(n,) share of the attempts that solved the task: 0 or 1 for one attempt."""
    noise: Array
    """(n,) variance of that share over further runs; zeros when this one run is what is asked about."""


class Rate(NamedTuple):
    """A rate in [0, 1] on the whole benchmark and its standard error, before any multiplier."""

    value: float
    error: float
    surprise: float
    """Squared errors of prediction on the sample over what the model expects: about 1 when it fits."""


class Multiplier(NamedTuple):
    """Of the standard error for 95 %, by the estimated rate: the difficulty model describes strong submissions better."""

    weak: float
    strong: float

    def at(self, rate: float) -> float:
        """Between the two near `SPLIT`, so that no interval jumps."""
        return float(np.interp(rate, (SPLIT - 0.05, SPLIT + 0.05), self))


def one_run(solved: Array) -> Answers:
    """One attempt at each task; the question is what this run would score on all tasks."""
    return Answers(solved, np.zeros(len(solved)))


def several_runs(means: Array, attempts: Array) -> Answers:
    """`attempts` (n,) at each task; the question is the mean rate over many runs.

    A task tried once lends the mean variance of the others; when all were tried once, use `one_run`.
    """
    repeated = attempts > 1
    assert repeated.any(), "no task was tried twice"
    own = means * (1 - means) * attempts / np.maximum(attempts - 1, 1)
    return Answers(means, np.where(repeated, own, own[repeated].mean()) / attempts)


class Prediction(NamedTuple):
    """One submission as the difficulty model sees it after its answers."""

    chance: Array
    """(N,) of solving each task of the benchmark."""
    residual: Array
    """(n,) answers minus what was predicted of each without it."""


def prediction(items: Items, sample: Index, answers: Answers) -> Prediction:
    seen = posterior(items, sample, answers.mean)
    return Prediction(predict(items, seen.ability, seen.cov), answers.mean - seen.held_out)


def fitted(items: Items, sample: Index, chance: Array, answers: Answers) -> Rate:
    """Estimate from tasks `sample` (n,) drawn with inclusion probabilities `chance` (N,)."""
    predicted, residual = prediction(items, sample, answers)
    weight, spread = 1 / chance, predicted * (1 - predicted)
    own = weight[sample]
    surprise = float((own * residual**2).sum() / spread.sum())
    trust = float(np.clip((FAILS - surprise) / (FAILS - FITS), 0, 1))

    unseen = np.ones(len(predicted), bool)
    unseen[sample] = False
    correction = ((own - 1) * residual).sum()
    by_design = (own * (own - 1) * residual**2).sum()
    calm = min(surprise, 1.0) if answers.noise.any() else 1.0  # means of runs spread less than one run
    by_model = calm * (spread * (weight - 1)).sum()
    variance = (1 - trust / 2) * by_design + trust / 2 * by_model + (own * answers.noise).sum()
    total = answers.mean.sum() + predicted[unseen].sum() + correction
    return Rate(total / len(predicted), float(np.sqrt(variance)) / len(predicted), surprise)


def fitted_difference(
    items: Items, sample: Index, chance: Array, first: Answers, second: Answers
) -> tuple[float, float]:
    """First minus second on all tasks, and its standard error, from answers of both on one sample.

    The difference of two predictions, corrected with the weighted difference of their surprises (Horvitz, Thompson
    1952 on what the predictions leave over): what both find surprising at a task cancels.
    """
    one, two = (prediction(items, sample, answers) for answers in (first, second))
    own, count = 1 / chance[sample], len(chance)
    unseen = np.ones(count, bool)
    unseen[sample] = False
    gap = one.residual - two.residual
    total = (
        (first.mean - second.mean).sum() + (one.chance - two.chance)[unseen].sum() + ((own - 1) * gap).sum()
    )
    variance = (own * (own - 1) * gap**2).sum() + (own * (first.noise + second.noise)).sum()
    return float(total) / count, float(np.sqrt(variance)) / count


def stratified(strata: NDArray[np.intp], size: int, answers: Answers) -> Rate:
    """Estimate from an equal-probability sample, `strata` (n,) the repository of each of its tasks, of `size` in all.

    The error uses the spread within repositories, each mean shrunk to the overall one by a weight of two tasks and
    taken without the task itself, so that a repository seen once still counts as a surprise.
    """
    count, mean = len(answers.mean), float(answers.mean.mean())
    inside = np.bincount(strata)[strata] - 1
    others = np.bincount(strata, weights=answers.mean)[strata] - answers.mean
    residual = answers.mean - (others + 2 * mean) / (inside + 2)
    noise = answers.noise.sum() / count / size
    variance = (1 - count / size) * (residual**2).sum() / count / max(count - 1, 1) + noise
    plain = mean * (1 - mean)
    return Rate(mean, float(np.sqrt(variance)), float((residual**2).mean() / plain) if plain else 1.0)


def interval(rate: Rate, multiplier: float) -> Interval:
    """value ± multiplier · error, within [0, 1]."""
    reach = multiplier * rate.error
    return Interval(max(0.0, rate.value - reach), min(1.0, rate.value + reach))


def score_interval(rate: Rate, count: float) -> Interval:
    """Wilson's interval with as many independent tasks as give this error; at no or all successes, `count`.

    For `stratified`, whose error is zero at the ends. Wilson 1927; Korn, Graubard 1998 for the effective count.
    """
    plain = rate.value * (1 - rate.value)
    effective = max(count, plain / rate.error**2) if plain and rate.error else count
    z2 = float(chdtri(1, 0.05)) / effective
    centre = (rate.value + z2 / 2) / (1 + z2)
    reach = np.sqrt(z2 * (plain + z2 / 4)) / (1 + z2)
    return Interval(max(0.0, centre - float(reach)), min(1.0, centre + float(reach)))


def bounded(found: Interval, answers: Answers, size: int) -> Interval:
    """The interval cut to what this one run can still score: its sampled successes and failures are facts."""
    solved, failed = float(answers.mean.sum()), float((1 - answers.mean).sum())
    low, high = solved / size, 1 - failed / size
    return Interval(min(max(found.low, low), high), max(min(found.high, high), low))
