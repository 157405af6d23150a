"""Section of `calibrate`: coverage and width of subset estimates by the true rate, and for the newest submissions.

Each submission is left out of the fit with its whole team, and its subset is drawn for its own rate, as one draws it for
a claim; the multiplier is the one that `estimate` uses. Submissions of a small group are sampled more often. Standard
errors are over submissions: samples of one are no independent evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from evals.calibrate.section import SIZES, Bench, Section, shipped, summary, table
from evals.stats import leftout
from evals.stats.intervals import Interval
from evals.stats.leftout import Error

STRATA = ((0.0, 0.4), (0.4, 0.6), (0.6, 0.75), (0.75, 1.0))
NEWEST = 12
SAMPLES, LEAST = 60, 2
"""For each of the bench's draws: of a group together at least, and of a submission at least."""


def strata(bench: Bench) -> Section:
    everyone = groups(bench)
    each = draws_of(everyone)
    rows = []
    for n in SIZES:
        found = [(one.submission, Interval(*one.reach(shipped(n)))) for one in near_claims(bench, n, each)]
        rows += [
            (name, n, len(group), *summary([one for one in found if one[0] in group]))
            for name, group in everyone.items()
        ]
    head = ("true rate", "n", "submissions", "coverage", "half-width")
    return Section("Subsets near the claim, by the true rate", table(head, rows))


def groups(bench: Bench) -> dict[str, set[int]]:
    rates = bench.public.solved.mean(1)
    newest = set(np.argsort([one.date for one in bench.public.submissions])[-NEWEST:].tolist())
    by_rate = {f"{100 * low:g}–{100 * high:g} %": members(rates, low, high) for low, high in STRATA}
    return by_rate | {f"newest {NEWEST}": newest, "all": set(range(len(rates)))}


def draws_of(everyone: Mapping[str, set[int]]) -> dict[int, int]:
    """Samples of each submission, by the smallest group that it is in."""
    sizes: defaultdict[int, list[int]] = defaultdict(list)
    for group in everyone.values():
        for one in group:
            sizes[one].append(len(group))
    return {one: max(LEAST, -(-SAMPLES // min(found))) for one, found in sizes.items()}


def near_claims(bench: Bench, n: int, each: Mapping[int, int]) -> Iterator[Error]:
    for fold, world in enumerate(bench.fits):
        for one in world.out.tolist():
            truth, draws = bench.public.solved[one], bench.draws * each[one]
            drawn = leftout.samples(world, n, draws, bench.seed + 1000 * one, float(truth.mean()))
            for sample, chance in drawn:
                yield leftout.error_of(world, sample, chance, truth, (one, fold))


def members(rates: np.ndarray, low: float, high: float) -> set[int]:
    return set(np.flatnonzero((rates >= low) & (rates < high)).tolist())


SECTIONS: list[Callable[[Bench], Section]] = [strata]
