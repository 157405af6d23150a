"""Evidence of a regression that may be looked at every night, for ever.

While nothing changes, a task's attempts are exchangeable: which of them passed is a matter of order alone. So tonight's
passes, given how many of all attempts at each task passed so far and tonight together, follow a law that holds no
unknown: no model of noise, no estimate of the baseline. On the first night, with one attempt of the baseline, it is
McNemar's (discordant pairs point either way alike); later nights use the baseline again, and the nights before too.
The ranks under that law are independent from night to night, however the tasks were solved, and a bet against each is
fair: the product is a conformal test martingale, an e-process. It starts at 1 and, while nothing got worse, exceeds
1/alpha at any time with chance ≤ alpha (Ville 1939; Vovk, Gammerman, Shafer 2005; Ramdas et al. 2023).
Ties count against an alarm; to have few of them, passes are weighed almost, not quite, alike.
Not covered: noise that a whole night shares (a slow server): such a night is a change like any other, and every night's
output says so, with how much the nights scatter beyond luck.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

EFFECTS = (0.08, 0.13, 0.2, 0.3, 0.45)
"""Drops of a task's chance that are bet on, with equal stakes, in standard deviations of one attempt: 2 to 13 points
where that is 30 points, as for typical noise at a rate of 60 %. Bets are fair whatever the noise is."""
AT_ONCE = 0.8
"""Share of the stake on a drop since the baseline; the rest is spread over later nights, 1/(k (k − 1)) on night k + 1."""
STAKES_WON = 2.0
"""Of the bets on several sizes, so few share the stake by then: neighbours of the true size win nearly as much."""
CAUGHT = 0.84
"""Normal quantile of 4/5."""
WEIGHTS = (7, 8, 9)
"""Of tasks in turn."""
FINEST = 1e-12
"""Chances nearer to 0 or 1 are rounding errors."""

Counts = NDArray[np.int64]


class Night(NamedTuple):
    """How tonight's passes rank among all orders of the attempts made so far, and how far a drop would move them."""

    rank: float
    """Chance of as few or fewer, if nothing changed."""
    shifts: tuple[float, ...]
    """See `shifts`: entry k is for a drop that began on night k + 1."""


def weights(tasks: int) -> Counts:
    return np.resize(np.array(WEIGHTS), tasks)


def rank(tonight: Counts, passes: Counts, attempts: Counts, made: Counts) -> float:
    """Chance that tonight's weighed passes come out as low or lower if nothing changed.

    For each task (T,): passes tonight, all passes and all attempts, tonight's included, and the attempts tonight.
    """
    law = law_of_passes(passes, attempts, made)
    found = float(law[: int(tonight @ weights(len(tonight))) + 1].sum())
    return 1.0 if found > 1 - FINEST else max(found, FINEST)


def law_of_passes(passes: Counts, attempts: Counts, made: Counts) -> NDArray[np.float64]:
    """Probabilities of tonight's weighed number of passes, from 0 on, if nothing changed; see `rank`."""
    law = np.ones(1)
    for turn, weight in enumerate(WEIGHTS):
        alike = slice(turn, None, len(WEIGHTS))
        if len(made[alike]):
            counts = law_of_counts(passes[alike], attempts[alike], made[alike])
            spread = np.zeros((len(counts) - 1) * weight + 1)
            spread[::weight] = counts
            law = np.convolve(law, spread)
    return law


def law_of_counts(passes: Counts, attempts: Counts, made: Counts) -> NDArray[np.float64]:
    """The same unweighed: hypergeometric at each task, convolved over tasks by way of Fourier transforms."""
    most = int(made.sum())
    size = 1 << most.bit_length()
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    counts = np.arange(made.max() + 1)
    drawn, passed, tried = made[:, None], passes[:, None], attempts[:, None]
    ways = special.binom(passed, counts) * special.binom(tried - passed, drawn - counts)
    chances = ways / special.binom(tried, drawn)
    each = chances @ turn ** counts[:, None]
    return np.clip(np.fft.irfft(np.prod(each, axis=0), size)[: most + 1], 0.0, 1.0)


def shifts(made: Counts) -> tuple[float, ...]:
    """How many standard deviations an effect of 1 (see `EFFECTS`) moves tonight's passes, for a drop since each night so far.

    `made` (nights + 1, T): attempts at each task, the baseline's first, tonight's last. A drop is diluted in all that
    was made since it began; the more was made before, the farther it shows. By design alone, never by outcomes.
    """
    tonight, total, weight = made[-1], made.sum(0), weights(made.shape[1])
    spread = np.sqrt(np.sum(weight**2 * tonight * (total - tonight) / total))
    before = np.cumsum(made, axis=0)[:-1]
    return tuple((np.sum(weight * tonight * before / total, axis=1) / spread).tolist())


def evidence(nights: Sequence[Night]) -> NDArray[np.float64]:
    """log e-value of a drop after each of these nights, (nights,); a single 0 before the first.

    Each rank, as a normal score, is bet against one whose mean is shifted. A mixture over the size of the drop and the
    night on which it began; those still to come keep their stake.
    """
    if not nights:
        return np.zeros(1)
    count = len(nights)
    began = np.arange(1, count + 1)
    shift = np.array([[*night.shifts, *[0.0] * (count - len(night.shifts))] for night in nights])
    moved = np.array(EFFECTS)[:, None, None] * shift
    scores = special.ndtri([[night.rank] for night in nights])
    bets = np.zeros(moved.shape)
    np.multiply(-moved, scores + moved / 2, out=bets, where=began <= began[:, None])
    stakes = np.where(began == 1, AT_ONCE, (1 - AT_ONCE) / (np.maximum(began - 1, 1) * began))
    won = np.logaddexp.reduce(np.cumsum(bets, axis=1) + np.log(stakes / len(EFFECTS)), axis=(0, 2))
    return np.asarray(np.logaddexp(won, np.log((1 - AT_ONCE) / count)))


def visible(baseline: Counts, tonight: Counts, nights: int, alpha: float) -> float:
    """The smallest drop since the baseline that `nights` like this one catch with chance 4/5, in standard deviations
    of one attempt.

    `baseline` and `tonight` (T,): attempts at each task. The scores add up to a normal whose mean grows as its variance;
    a bet of about the right size has to win back its share of the stakes. To be checked by simulation (`calibrate`).
    """
    made = [baseline]
    information = 0.0
    for _ in range(nights):
        made.append(tonight)
        information += shifts(np.array(made))[0] ** 2
    needed = threshold(alpha) + np.log(STAKES_WON / AT_ONCE)
    reach = CAUGHT + np.sqrt(CAUGHT**2 + 2 * needed)
    return float(reach / np.sqrt(information))


def threshold(alpha: float) -> float:
    """log evidence above which an alarm is raised; over all nights together a false one has chance ≤ alpha."""
    return float(-np.log(alpha))
