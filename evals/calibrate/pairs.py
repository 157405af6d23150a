"""Section of `calibrate` about `compare` on a subset: pairs of public submissions, left out of the fit, on one sample.

As they ran, all of the error is the subset's. With run noise either has its own chances (`exclusions.with_noise`); made
equally good, their difference is zero and every interval without it is a false alarm. Standard errors are over first
submissions of the pairs. Not covered: more than one attempt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from evals.calibrate.exclusions import BENCHMARK, moved, with_noise
from evals.calibrate.section import SIZES, Z95, Bench, Section, percent, shipped, table
from evals.stats import irt, leftout
from evals.stats.estimate import fitted_difference, one_run
from evals.stats.intervals import Estimate
from evals.stats.irt import Array
from evals.stats.leftout import Index, World
from evals.stats.noise import prior
from evals.stats.subset import DIFFERENCE_WIDENING
from evals.verdict.rates import known_as_well

EACH, LEAST_RATE = 12, 0.2
"""Pairs of one fit at most, and what either solves at least."""
NOISES = (0.3, 0.48)


class Chances(NamedTuple):
    """Two systems' chances at each task, (N,) each."""

    first: Array
    second: Array


def pairs(bench: Bench) -> Section:
    rows: list[tuple[object, ...]] = []
    for n in SIZES:
        found: defaultdict[str, list[tuple[int, bool, float]]] = defaultdict(list)
        for kind, first, covered, half in over_pairs(bench, n):
            found[kind].append((first, covered, half))
        rows += [(n, kind, *summary(each)) for kind, each in found.items()]
    head = ("n", "pairs", "coverage", "half-width")
    return Section("compare on subsets: pairs of left-out submissions", table(head, rows))


def summary(found: list[tuple[int, bool, float]]) -> tuple[str, str]:
    first, covered, half = (np.array(column) for column in zip(*found, strict=True))
    each = [covered[first == one].mean() for one in np.unique(first)]
    error = float(np.std(each, ddof=1) / np.sqrt(len(each)))
    return percent(float(np.mean(covered)), error), f"{100 * half.mean():.2f}"


def over_pairs(bench: Bench, n: int) -> Iterator[tuple[str, int, bool, float]]:
    """Kind, first submission, whether the interval covers, its half-width in rates."""
    rates = bench.public.solved.mean(1)
    for fold, world in enumerate(bench.fits):
        rng = np.random.default_rng((bench.seed, n, fold))
        every = list(combinations([int(one) for one in world.out if rates[one] >= LEAST_RATE], 2))
        chosen = [every[k] for k in rng.permutation(len(every))[:EACH]]
        predicted = irt.predict_all(world.items, world.abilities)
        kinds = [(pair, dict(kinds_of(bench, pair, predicted))) for pair in chosen]
        for sample, chance in leftout.samples(world, n, max(bench.draws // 2, 1), bench.seed + 4):
            for pair, named in kinds:
                for kind, chances in named.items():
                    covered, half = one_sample(
                        world, sample, chance, chances, rng, sure=kind == "as they ran"
                    )
                    yield kind, pair[0], covered, half


def kinds_of(bench: Bench, pair: tuple[int, int], predicted: Array) -> Iterator[tuple[str, Chances]]:
    rows = [bench.public.solved[one] for one in pair]
    yield "as they ran", Chances(*rows)
    alike = [predicted[np.abs(predicted.mean(1) - row.mean()).argmin()] for row in rows]
    for noise in NOISES:
        one, two = (with_noise(row, like, noise) for row, like in zip(rows, alike, strict=True))
        yield f"noise share {noise:g}", Chances(one, two)
        same = moved(two, np.ones(len(two), bool), float(one.mean() - two.mean()))
        yield f"noise share {noise:g}, equally good", Chances(one, same)


def one_sample(
    world: World, sample: Index, chance: Array, chances: Chances, rng: np.random.Generator, *, sure: bool
) -> tuple[bool, float]:
    """As `rates.on_subset` does it; where the runs are `sure`, without the noise of two runs."""
    ran = [(rng.random(len(one)) < one)[sample].astype(float) for one in chances]
    value, error = fitted_difference(world.items, sample, chance, *(one_run(one) for one in ran))
    noises = [prior(float(one.mean()), BENCHMARK) for one in ran]
    own = [0.0 if sure else noise.variance / len(chance) for noise in noises]
    sampled = DIFFERENCE_WIDENING * error * shipped(len(sample)).weak / Z95
    found: Estimate = known_as_well(value, sampled**2 + sum(own), own, noises)
    low, high = found.interval()
    truth = float(chances.first.mean() - chances.second.mean())
    return bool(low <= truth <= high), (high - low) / 2


SECTIONS: list[Callable[[Bench], Section]] = [pairs]
