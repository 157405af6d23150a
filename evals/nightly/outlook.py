"""What this set-up can see at all, and by when; and what it cannot tell from a regression. Printed by every night.

From the design and the baseline's noise alone, never from tonight's outcomes. Not covered: how sure an alarm is (that is
the evidence's business).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import special

from evals.nightly.evidence import Watched
from evals.record import Outcome
from evals.results.table import Results
from evals.stats import eprocess
from evals.stats.noise import attempt_noise

NIGHTS = (1, 5, 30)
LEAST_NIGHTS = 5
"""Fewer say nothing of how much nights scatter."""


def outlook(baseline: Results, nights: Sequence[Watched], alpha: float) -> Iterator[str]:
    """Lines for one scaffold; `nights`: all so far, tonight's last."""
    tonight = nights[-1]
    if not tonight.tasks:
        return
    rows = [row for row in baseline.rows if row.system.scaffold == tonight.scaffold]
    tried = Counter(row.task for row in rows if row.outcome is not Outcome.NOT_JUDGED)
    made = Counter(tonight.tasks)
    before, now = (np.array([count[task] for task in made]) for count in (tried, made))
    (system,) = {row.system for row in rows}
    noise = attempt_noise(baseline.of(system).table().values, baseline.benchmark)
    points = 100 * float(np.sqrt(noise.variance))
    seen = [f"{points * eprocess.visible(before, now, n, alpha):.1f} by night {n}" for n in NIGHTS]
    yield (
        f"{tonight.scaffold}: with {int(now.sum())} attempts a night this set-up sees a drop of {', '.join(seen)} "
        "(points, 4 times in 5)"
    )
    if before.max() == 1:
        better = [points * eprocess.visible(before * 3, now, n, alpha) for n in NIGHTS[1:]]
        yield (
            f"warning: {tonight.scaffold} has a baseline of one attempt at each task, whose luck counts in every night: "
            f"three would see {better[0]:.1f} by night {NIGHTS[1]} and {better[1]:.1f} by night {NIGHTS[2]}"
        )
    yield shared_noise(nights)


def shared_noise(nights: Sequence[Watched]) -> str:
    """Noise that a whole night shares is a change like any other: how much there seems to be, once nights tell."""
    said = (
        "what a whole night shares (another server load, another build) cannot be told from a regression: "
        "after an alarm, run one more night before you believe it"
    )
    ranks = [one.best.rank for one in nights if one.tasks]
    if len(ranks) < LEAST_NIGHTS:
        return said
    scores = special.ndtri(np.clip(ranks, eprocess.FINEST, 1 - eprocess.FINEST))
    return f"{said}; {len(ranks)} nights scatter {np.std(scores, ddof=1):.1f} times as much as luck alone would (1.0)"
