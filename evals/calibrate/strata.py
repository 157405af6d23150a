"""Section of `calibrate`: coverage and width of subset estimates by the true rate, and for the newest submissions.

Each submission is left out of the fit with its whole team, and its subset is drawn for its own rate, as one draws it for
a claim; the multiplier is the one that `estimate` uses. Standard errors are over submissions: samples of one are no independent evidence.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evals.calibrate.section import SIZES, Bench, Section, shipped, summary, table
from evals.stats import leftout
from evals.stats.intervals import Interval

STRATA = ((0.0, 0.4), (0.4, 0.6), (0.6, 0.75), (0.75, 1.0))
NEWEST = 12


def strata(bench: Bench) -> Section:
    rates = bench.public.solved.mean(1)
    newest = set(np.argsort([one.date for one in bench.public.submissions])[-NEWEST:].tolist())
    groups = {f"{100 * low:g}–{100 * high:g} %": members(rates, low, high) for low, high in STRATA}
    groups |= {f"newest {NEWEST}": newest, "all": set(range(len(rates)))}
    rows = []
    for n in SIZES:
        near = [
            one
            for draw in range(bench.draws)
            for one in leftout.errors_near(bench.public, bench.fits, n, 0.0, bench.seed + 1000 * draw)
        ]
        intervals = [(one.submission, Interval(*one.reach(shipped(n)))) for one in near]
        rows += [
            (name, n, len(group), *summary([one for one in intervals if one[0] in group]))
            for name, group in groups.items()
        ]
    head = ("true rate", "n", "submissions", "coverage", "half-width")
    return Section("Subsets near the claim, by the true rate", table(head, rows))


def members(rates: np.ndarray, low: float, high: float) -> set[int]:
    return set(np.flatnonzero((rates >= low) & (rates < high)).tolist())


SECTIONS: list[Callable[[Bench], Section]] = [strata]
