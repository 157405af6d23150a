"""A subset of a benchmark as a file of its own: drawn here, run anywhere, read back by `estimate`.

A benchmark with fitted parameters in `data/` gets unequal probabilities and the item-response estimate; any other
one an equal-probability sample balanced by repository. How the parameters were made: `fit`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import NamedTuple

import numpy as np

from evals.stats import design
from evals.stats.drawn import DrawnTask, Subset
from evals.stats.estimate import (
    Answers,
    Multiplier,
    Rate,
    bounded,
    fitted,
    fitted_difference,
    interval,
    score_interval,
    stratified,
)
from evals.stats.intervals import Interval
from evals.stats.irt import Abilities, Array, Items, general_ability, predict
from tasks.errors import UserError

FITTED_FILES = {"swebench-verified": "swebench_verified"}
LEAST_FITTED, LEAST_STRATIFIED = 20, 2
STRATIFIED_DESIGN = "stratified/1"
Z95 = 1.96
"""Half-width of a 95 % interval over its standard error, for a normal estimate."""
VERDICT_WIDENING = 1.3
"""What a verdict multiplies the fitted estimate's error by.

The multiplier is made for submissions that the difficulty model describes about as well as it does the public ones. A
run that fails easy tasks or solves hard ones by chance errs least in its own eyes where it errs most: with this at 1, up
to 8 % of claims that were off by exactly the margin were said to be reproduced (n = 50, 100 and 200, drawn near the
claim, left-out teams, noise shares 0, 0.17, 0.3 and 0.48); at 1.2, up to 6.5 %; at 1.3, 1 to 5 %, with standard errors of
1 point. `python -m evals.calibrate --only subset_misfit` measures it.
"""
DIFFERENCE_WIDENING = 1.1
"""The same for a difference of two systems, whose error is not made steadier by the model's variance: at 1, 92 to 98 % of
the 95 % intervals covered; at 1.1, 92.6 to 99.3 % do, with standard errors of 0.4 to 1.9 points: least, 92.6 (1.5), of 200
tasks at a noise share of 0.48 (`--only pairs`)."""


class Parameters(NamedTuple):
    """What `fit` left in `data/` of one benchmark."""

    ids: tuple[str, ...]
    items: Items
    abilities: Abilities
    multipliers: Mapping[int, Multiplier]
    """Sample size → multiplier of the standard error for 95 %."""
    design: str
    """Changes whenever the parameters do: a subset is only read by the parameters that drew it."""

    def multiplier(self, n: int) -> Multiplier:
        """Interpolated in log n; constant beyond the calibrated sizes."""
        sizes = sorted(self.multipliers)
        weak, strong = zip(*(self.multipliers[size] for size in sizes), strict=True)
        return Multiplier(*(float(np.interp(np.log(n), np.log(sizes), side)) for side in (weak, strong)))


class Estimated(NamedTuple):
    """A rate on the whole benchmark with its 95 % interval, in [0, 1]."""

    value: float
    interval: Interval
    surprise: float
    error: float
    """Standard error that the calibrated 95 % stand for: what a normal test may use."""


@cache
def parameters(benchmark: str) -> Parameters | None:
    """The shipped parameters of a benchmark, None when there are none."""
    stem = FITTED_FILES.get(benchmark)
    if stem is None:
        return None
    folder = files("evals.stats") / "data"
    blob = (folder / f"{stem}.npz").read_bytes()
    meta = json.loads((folder / f"{stem}.json").read_text())
    with np.load(BytesIO(blob)) as arrays:
        items = Items(arrays["item_mean"].astype(float), _full(arrays["item_cov"]))
        abilities = Abilities(arrays["ability_mean"].astype(float), _full(arrays["ability_cov"]))
    multipliers = {int(size): Multiplier(*both) for size, both in meta["multipliers"].items()}
    digest = hashlib.sha256(blob).hexdigest()[:8]
    return Parameters(tuple(meta["ids"]), items, abilities, multipliers, f"irt/1:{digest}")


def packed(cov: Array) -> Array:
    """The lower triangles of symmetric matrices (N, D, D), as (N, D(D+1)/2), for storing."""
    rows, columns = np.tril_indices(cov.shape[1])
    return cov[:, rows, columns]


def _full(triangles: Array) -> Array:
    """Undoes `packed`."""
    size = int(np.sqrt(2 * triangles.shape[1]))
    rows, columns = np.tril_indices(size)
    cov = np.zeros((len(triangles), size, size))
    cov[:, rows, columns] = cov[:, columns, rows] = triangles
    return cov


def draw_fitted(benchmark: str, known: Parameters, n: int, seed: int, near: float | None = None) -> Subset:
    """`n` tasks with the fitted design, chosen for a rate `near` in [0, 1] when one is expected.

    Raises `UserError` when `n` or `near` is out of range.
    """
    size = len(known.ids)
    check_size(benchmark, n, LEAST_FITTED, size)
    check_rate(near)
    rng = np.random.default_rng(seed)
    chance = design.inclusion(known.items, known.abilities, n, near)
    variables = design.balance(known.items, known.abilities)
    sample = design.draw(chance, variables, rng)
    sample = design.ordered(sample, variables[:, :4] / chance[:, None], rng)
    tasks = tuple(DrawnTask(id=known.ids[i], inclusion_probability=chance[i]) for i in sample)
    return Subset(
        benchmark=benchmark, design=known.design, seed=seed, n=n, benchmark_size=size, near=near, tasks=tasks
    )


def draw_stratified(benchmark: str, repositories: Mapping[str, str], n: int, seed: int) -> Subset:
    """`n` of the tasks (id → repository), equal chances, repositories in proportion."""
    ids = sorted(repositories)
    check_size(benchmark, n, LEAST_STRATIFIED, len(ids))
    names = [name for name, _ in Counter(repositories.values()).most_common()]
    member = np.array([[repositories[i] == name for name in names] for i in ids], float)
    rng = np.random.default_rng(seed)
    chance = np.full(len(ids), n / len(ids))
    sample = design.draw(chance, member[:, 1:] * chance[:, None], rng)
    tasks = tuple(
        DrawnTask(id=ids[i], inclusion_probability=chance[i], stratum=repositories[ids[i]])
        for i in rng.permutation(sample)
    )
    return Subset(
        benchmark=benchmark, design=STRATIFIED_DESIGN, seed=seed, n=n, benchmark_size=len(ids), tasks=tasks
    )


def expected_error(known: Parameters, rate: float, n: int, near: float | None = None) -> float:
    """The standard error to expect from `n` tasks for a system that solves `rate` of all, before any run.

    Rates are fractions, `near` as in `draw_fitted`; 1.96 times the answer is the half-width to expect, the calibrated multiplier included. For
    one run of one attempt, which the item-response model describes: one unlike the public submissions errs more.
    Raises `UserError` when `n` or a rate is out of range.
    """
    check_size("this benchmark", n, LEAST_FITTED, len(known.ids))
    check_rate(rate)
    check_rate(near)
    chance = design.inclusion(known.items, known.abilities, n, near)
    predicted = predict(known.items, *general_ability(known.items, rate, chance))
    variance = (predicted * (1 - predicted) * (1 / chance - 1)).sum()
    return float(known.multiplier(n).at(rate) / Z95 * np.sqrt(variance)) / len(known.ids)


def check_rate(rate: float | None) -> None:
    if rate is not None and not 0 <= rate <= 1:
        raise UserError(f"a rate of {rate} is none: give a fraction between 0 and 1")


def check_size(benchmark: str, n: int, least: int, size: int) -> None:
    if not min(least, size) <= n <= size:
        raise UserError(
            f"--n {n} is out of range: {benchmark} has {size} tasks, and at least {least} are needed"
        )


def drawn_by(subset: Subset) -> Parameters | None:
    """The parameters that drew it; None for strata. Raises `UserError` when these are not at hand."""
    if subset.design == STRATIFIED_DESIGN:
        return None
    known = parameters(subset.benchmark)
    if known is None or known.design != subset.design:
        ours = known.design if known else STRATIFIED_DESIGN
        raise UserError(
            f"the subset was drawn by design {subset.design!r}, and this asclaimed has {ours!r} for "
            f"{subset.benchmark!r}: draw it again, or use the version that drew it"
        )
    return known


def check_drawn(subset: Subset) -> None:
    """Raises `UserError` for a subset that cannot be read: parameters not at hand, a foreign task, another size."""
    if (known := drawn_by(subset)) is None:
        return
    positions(subset, {name: index for index, name in enumerate(known.ids)})
    if subset.benchmark_size != len(known.ids):
        raise UserError(
            f"the subset says that {subset.benchmark} has {subset.benchmark_size} tasks, and it has "
            f"{len(known.ids)}: draw it again"
        )


def estimated(subset: Subset, answers: Answers, *, fixed_run: bool = True) -> Estimated:
    """The benchmark's rate from answers in the subset's order.

    `fixed_run` says that one run is asked about, so that what it solved is a fact and bounds the rate. Raises
    `UserError` for a subset that these parameters did not draw.
    """
    if subset.design == STRATIFIED_DESIGN:
        rate, found, error = _from_strata(subset, answers)
    else:
        rate, found, error = _from_items(subset, answers)
    if fixed_run:
        found = bounded(found, answers, subset.benchmark_size)
    return Estimated(min(max(rate.value, found.low), found.high), found, rate.surprise, error)


def estimated_difference(subset: Subset, first: Answers, second: Answers) -> tuple[float, float]:
    """First minus second on the whole benchmark and its standard error, from answers of both in the subset's order.

    Raises `UserError` for a subset that these parameters did not draw.
    """
    if subset.design == STRATIFIED_DESIGN:
        gap, left = first.mean - second.mean, 1 - subset.n / subset.benchmark_size
        noise = (first.noise + second.noise).sum() / subset.n / subset.benchmark_size
        variance = left * gap.var(ddof=1) / subset.n + noise if subset.n > 1 else 1.0
        return float(gap.mean()), float(np.sqrt(variance))
    known, items, sample, chance = _placed(subset)
    value, error = fitted_difference(items, sample, chance, first, second)
    return value, DIFFERENCE_WIDENING * error * known.multiplier(subset.n).weak / Z95


def verdict_widening(design: str) -> float:
    """By how much a verdict widens the error of an estimate: strata rest on no model that could be wrong."""
    return 1.0 if design == STRATIFIED_DESIGN else VERDICT_WIDENING


def _from_items(subset: Subset, answers: Answers) -> tuple[Rate, Interval, float]:
    known, items, sample, chance = _placed(subset)
    rate = fitted(items, sample, chance, answers)
    multiplier = known.multiplier(subset.n).at(rate.value)
    return rate, interval(rate, multiplier), rate.error * multiplier / Z95


def _placed(subset: Subset) -> tuple[Parameters, Items, design.Index, Array]:
    """The parameters, the tasks that are asked about, where the subset's are among them, and all chances."""
    known = drawn_by(subset)
    assert known is not None, "strata need no parameters"
    asked = [index for index, name in enumerate(known.ids) if name not in subset.dropped]
    sample = positions(subset, {known.ids[index]: place for place, index in enumerate(asked)})
    chance = design.inclusion(known.items, known.abilities, subset.n, subset.near)[asked]
    chance[sample] = [task.inclusion_probability for task in subset.tasks]
    return known, Items(known.items.mean[asked], known.items.cov[asked]), sample, chance


def positions(subset: Subset, place: Mapping[str, int]) -> design.Index:
    unknown = [name for name in subset.ids if name not in place]
    if unknown:
        raise UserError(f"{unknown[0]!r} of the subset is no task of {subset.benchmark}")
    return np.array([place[name] for name in subset.ids], np.intp)


def _from_strata(subset: Subset, answers: Answers) -> tuple[Rate, Interval, float]:
    names = sorted({task.stratum for task in subset.tasks})
    index = np.array([names.index(task.stratum) for task in subset.tasks], np.intp)
    rate = stratified(index, subset.benchmark_size, answers)
    left = 1 - subset.n / subset.benchmark_size
    whole = score_interval(rate, subset.n / left if left else subset.n)
    if not left:
        return rate, Interval(rate.value, rate.value), 0.0
    return rate, whole, max(whole.high - rate.value, rate.value - whole.low) / Z95
