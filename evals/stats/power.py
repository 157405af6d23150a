"""Before a run: how many tasks and attempts a verdict needs, and how many more when one is undecided.

Normal approximations throughout; the noise is the cautious prior, or what was measured.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evals.stats.equivalence import error_for_power, power_inside
from evals.stats.intervals import student
from evals.stats.noise import prior
from evals.stats.sequential import Accrual

MOST_ATTEMPTS = 200


class Design(NamedTuple):
    """A way to run a benchmark, and what it can decide."""

    tasks: int
    attempts: int
    error: float
    """Standard error of measured − claimed."""
    power: float
    """Chance to say "reproduced" when the claim is true."""


def accrual(
    rate: float, whole: int, attempts: int, claim_runs: int, claim_tasks: int, noise: float | None = None
) -> Accrual:
    """The error's parts for a run that is still to come, on a fixed benchmark of `whole` tasks.

    `rate` as claimed. Between tasks there is what the Bernoulli variance leaves after the noise.
    """
    noise = prior(rate) if noise is None else noise
    spread = max(rate * (1 - rate) - noise, 0.0) + noise / attempts
    return Accrual(whole, spread, noise / attempts, noise / (claim_tasks * claim_runs), fixed=True)


def half_attempt(attempts: int) -> float:
    """Half of the step in which a rate over so many attempts moves: the correction for continuity."""
    return 0.5 / attempts


def design(parts: Accrual, tasks: int, attempts: int, margin: float, alpha: float, rounding: float) -> Design:
    """What `tasks` drawn at random, with the attempts that `parts` was made for, can decide."""
    error = float(np.sqrt(parts.variance(tasks)))
    room = margin - rounding - half_attempt(tasks * attempts)
    return Design(tasks, attempts, error, power_inside(error, room, 0.0, alpha))


def smallest(designs: list[Design], power: float) -> Design | None:
    """The design with the fewest attempts in all that reaches `power`; None when none does."""
    enough = [one for one in designs if one.power >= power]
    return min(enough, key=lambda one: (one.tasks * one.attempts, one.attempts), default=None)


def least_margin(parts: Accrual, tasks: int, power: float, alpha: float) -> float:
    """The narrowest margin that a design can confirm with chance `power`, as a fraction."""
    return float(np.sqrt(parts.variance(tasks))) / error_for_power(1.0, power, alpha)


def tasks_needed(parts: Accrual, have: int, room: float, alpha: float, power: float = 0.8) -> int | None:
    """How many of the tasks, more than `have`, bring the interval into `room` with chance `power`; None when not all do."""
    reach = student(1 - alpha) + student(power)
    enough = (n for n in range(have + 1, parts.tasks + 1) if reach * np.sqrt(parts.variance(n)) <= room)
    return next(enough, None)


def more_attempts(
    parts: Accrual, tasks: int, noise: float, room: float, alpha: float, power: float = 0.8
) -> int | None:
    """Attempts at each task to add so that the interval fits into `room` with chance `power`; None when none do.

    `room`: distance from the difference, taken as true, to the margin. `parts.within` is the noise as it stands.
    """
    if room <= 0:
        return None
    reach = student(1 - alpha) + student(power)
    have = max(round(noise / parts.within), 1) if parts.within > 0 else 1
    for more in range(1, MOST_ATTEMPTS + 1):
        within = noise / (have + more)
        later = parts._replace(within=within, between=max(parts.between - parts.within, 0.0) + within)
        if reach * np.sqrt(later.variance(tasks)) <= room:
            return more
    return None
