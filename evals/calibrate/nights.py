"""Section of `calibrate` about nights: false alarms over a month, and how soon a drop is caught."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evals.calibrate.section import Bench, Section, share, table
from evals.calibrate.verdicts import World, world
from evals.stats import eprocess
from evals.stats.intervals import student
from evals.stats.noise import TYPICAL_SHARE

NIGHTS, TASKS, RATE, ALPHA = 30, 100, 0.6, 0.05
DROP = 0.08
QUIET, DROPPED, LATE = 200, 60, 25
"""Simulated months for each of the bench's draws: without a drop, with one from the first night, with one later."""
BEGINS_LATE = 11
BASELINES = (1, 2, 3, 5)


def nights(bench: Bench) -> Section:
    """At 100 tasks a night, for a drop of 8 points."""
    rows = []
    for attempts in BASELINES:
        rng = np.random.default_rng((bench.seed, attempts))
        same, lower = (world(TYPICAL_SHARE, change, TASKS, RATE) for change in (0.0, -DROP))
        quiet = np.array([month(same, attempts, 1, rng) for _ in range(QUIET * bench.draws)])
        found = np.array([month(lower, attempts, 1, rng) for _ in range(DROPPED * bench.draws)])
        late = np.array([month(lower, attempts, BEGINS_LATE, rng) for _ in range(LATE * bench.draws)])
        in_time = late[late >= BEGINS_LATE] - BEGINS_LATE + 1
        rows.append(
            (
                attempts,
                share(float(np.mean(quiet <= NIGHTS)), len(quiet)),
                night(float(np.median(found))),
                share(float(np.mean(found <= 5)), len(found)),
                share(best_possible(attempts)),
                night(float(np.median(in_time))),
            )
        )
    head = (
        "baseline attempts",
        f"false alarms in {NIGHTS} nights",
        "median night that catches 8 points",
        "caught by night 5",
        "the best test for night 5 alone",
        f"median nights, drop on night {BEGINS_LATE}",
    )
    return Section(f"Nightly: {TASKS} tasks, alpha 5 %", table(head, rows))


def night(median: float) -> str:
    return "later" if median > NIGHTS else f"{median:g}"


def best_possible(attempts: int, nights_used: int = 5) -> float:
    """Power of the test that knows the noise, the size of the drop and when it is asked; only the baseline is random."""
    one_night = TYPICAL_SHARE * RATE * (1 - RATE) / TASKS
    error = float(np.sqrt(one_night / attempts + one_night / nights_used))
    return float(special.ndtr(DROP / error - student(1 - ALPHA)))


def month(between: World, attempts: int, begins: int, rng: np.random.Generator) -> int:
    """The night of the first alarm when the vendor's chances become ours; one more than `NIGHTS` without any."""
    before, after = between
    passes = passed(before, attempts, rng)
    made = np.full((1, TASKS), attempts)
    history = []
    for number in range(1, NIGHTS + 1):
        tonight = passed(after if number >= begins else before, 1, rng)
        passes, made = passes + tonight, np.vstack([made, np.ones((1, TASKS), int)])
        rank = eprocess.rank(tonight, passes, made.sum(0), made[-1])
        history.append(eprocess.Night(rank, eprocess.shifts(made)))
    alarms = np.flatnonzero(eprocess.evidence(history) >= eprocess.threshold(ALPHA))
    return int(alarms[0]) + 1 if len(alarms) else NIGHTS + 1


def passed(chances: NDArray[np.float64], attempts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Passes (tasks,) in so many attempts."""
    return np.asarray(np.sum(rng.random((attempts, len(chances))) < chances, axis=0))


SECTIONS: list[Callable[[Bench], Section]] = [nights]
