"""Before a run: how many tasks and attempts a verdict needs, and how many more when one is undecided.

Normal approximations, with Student's law where the noise is unsure; the noise is what is expected or was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from evals.stats.equivalence import error_for_power, power_inside
from evals.stats.intervals import student
from evals.stats.noise import AttemptNoise, df_of
from evals.stats.sequential import Accrual, critical_values

MOST_ATTEMPTS = 200


class Design(NamedTuple):
    """A way to run a benchmark, and what it can decide."""

    tasks: int
    attempts: int
    error: float
    """Standard error of measured − claimed that the test goes by."""
    power: float
    """Chance to say "reproduced" when the claim is true."""
    least: float
    """The same for runs as noisy as the test reckons with."""


class Aim(NamedTuple):
    """What is asked of a run. Rates in [0, 1]."""

    margin: float
    alpha: float
    rounding: float
    """Of the claim."""
    open_: tuple[float, float] = (0.0, 0.0)
    """How far attempts that will not be judged move the difference, down and up."""
    at_least: bool = False
    """Ask only whether it is at least the claim less the margin."""
    looks: tuple[float, ...] = ()
    """Shares of the tasks at which to look before the end."""


def accrual(
    rate: float, whole: int, attempts: int, claim_runs: int, claim_tasks: int, noise: AttemptNoise
) -> Accrual:
    """The error's parts for a run that is still to come, on a fixed benchmark of `whole` tasks.

    `rate` as claimed. Between tasks there is what the Bernoulli variance leaves after the noise.
    """
    each = noise.variance / attempts
    spread = max(rate * (1 - rate) - noise.variance, 0.0) + each
    return Accrual(whole, spread, each, noise.variance / (claim_tasks * claim_runs), fixed=True)


def half_attempt(attempts: int) -> float:
    """Half of the step in which a rate over so many attempts moves: the correction for continuity."""
    return 0.5 / attempts


def design(
    parts: Accrual,
    tasks: int,
    attempts: int,
    aim: Aim,
    noise: AttemptNoise,
    likely: Accrual | None = None,
) -> Design:
    """What `tasks` drawn at random, with the attempts that `parts` was made for, can decide, looks included.

    `likely`: the parts with the noise to expect, where `parts` has the most that the test reckons with.
    """
    variance = parts.variance(tasks)
    room = aim.margin - aim.rounding - half_attempt(tasks * attempts)
    known = (
        noise.reckoned if attempts == 1 else noise._replace(df=repeated_df(noise.variance, tasks, attempts))
    )
    df = df_of(variance, parts.within / tasks + parts.shared, known)
    critical = critical_values(parts.fractions(looks_of(tasks, aim.looks), tasks), aim.alpha)[-1]
    error, alpha = float(np.sqrt(variance)), float(special.ndtr(-critical))

    def power(spread: float) -> float:
        return power_inside(
            error, room, alpha=alpha, df=df, open_=aim.open_, at_least=aim.at_least, spread=spread
        )

    expected = float(np.sqrt(likely.variance(tasks))) if likely else error
    return Design(tasks, attempts, error, power(expected), power(error))


def looks_of(tasks: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Numbers of tasks at which to look; the last is `tasks`."""
    return tuple(sorted({*(max(int(tasks * share), 1) for share in shares), tasks}))


def repeated_df(variance: float, tasks: int, attempts: int) -> float:
    """How well so many attempts at so many tasks will tell the noise: chances are near 0, 1/2 or 1, as a rule."""
    pairs = tasks * attempts * (attempts - 1) / 2
    disagree = min(2 * variance, 0.99)
    return max(2 * pairs * disagree / (1 - disagree), 1.0)


def smallest(designs: list[Design], power: float) -> Design | None:
    """The design with the fewest attempts in all that reaches `power`; None when none does."""
    enough = [one for one in designs if one.power >= power]
    return min(enough, key=lambda one: (one.tasks * one.attempts, one.attempts), default=None)


def least_margin(parts: Accrual, tasks: int, power: float, alpha: float) -> float:
    """The narrowest margin that a design can confirm with chance `power`, as a fraction, with the noise well known."""
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
