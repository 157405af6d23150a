"""The number of attempts at once that brings most tokens a second, found by trying: a step up or down, and back where it is worse.

More at once can be slower (the cache thrashes, requests are preempted), and the best number falls as conversations grow,
so the search never ends. A level is judged by the calls of a window in which so many were really under way.
Not here: what is under way, what fits the server's memory (`admission`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from statistics import median

CALLS_OF_EACH = 6
"""Calls that each attempt at once ends in a window, on average."""
CALLS_AT_FIRST = 2
"""The same while steps double, where differences are large."""
LEAST_CALLS = 12
BETTER, AS_GOOD, WORTH_DOUBLING = 1.05, 0.98, 1.15
"""Tokens a second against those of the level before: what a step up must bring, what a step down may cost."""
STEP = 1.5
CROWDED = 2.0
"""Growth of the time to the first token that tells of a queue, or of a cache that thrashes."""
BACK_OFF = 0.75
LONGEST_REST = 8
"""Windows between two trials that brought nothing."""


@dataclass
class Window:
    """Calls that ended at one level. The first of each attempt began at the level before, and do not count."""

    ended: int = 0
    began: float = nan
    tokens: int = 0
    slowness: list[float] = field(default_factory=list)


class Climber:
    """One run's. Not thread-safe."""

    def __init__(self, first: int, most: int) -> None:
        self.level = max(1, min(first, most))
        """Attempts at once, now."""
        self._most = most
        self._home = self.level
        """The best level known."""
        self._rate = self._slowness = 0.0
        """What was measured there."""
        self._rising, self._doubling = True, True
        self._rest = self._left = 0
        self._window = Window()

    def forget(self) -> None:
        """Something else than the number at once made the difference: measure anew."""
        self._window = Window()

    def ended(self, now: float, tokens: int, slowness: float | None) -> None:
        """A call ended, of so many tokens written; `slowness`: seconds to the first token, for each token to be read."""
        window = self._window
        window.ended += 1
        if window.ended == self.level:
            window.began = now
        if window.ended <= self.level:
            return
        window.tokens += tokens
        window.slowness += [] if slowness is None else [slowness]
        each = CALLS_AT_FIRST if self._doubling else CALLS_OF_EACH
        if window.ended >= self.level + max(each * self.level, LEAST_CALLS) and now > window.began:
            self._judge(window.tokens / (now - window.began), window.slowness)

    def back_off(self, under_way: int) -> None:
        """The server has too much at once: fewer than are under way, and no more for a while.

        Until those are that few it may well say so again, which is no news.
        """
        if under_way > self.level:
            return
        self._home = max(1, int(BACK_OFF * under_way))
        self._rate = self._slowness = 0.0
        self._rising, self._doubling = False, False
        self._rest = self._left = LONGEST_REST
        self._move(self._home)

    def _judge(self, rate: float, slowness: Sequence[float]) -> None:
        slow = median(slowness) if slowness else 0.0
        if self.level == self._home:
            self._at_home(rate, slow)
        else:
            self._after_trial(rate, slow)

    def _at_home(self, rate: float, slow: float) -> None:
        """Rest, and then try another level; back off where the first token takes twice as long, for no more tokens."""
        is_crowded = 0 < CROWDED * self._slowness < slow and rate < BETTER * self._rate
        if is_crowded and self._home > 1:
            self.back_off(self._home)
            return
        self._rate, self._slowness = rate, min(self._slowness or slow, slow)
        self._left -= 1
        if self._left < 0:
            self._try()
        else:
            self.forget()

    def _after_trial(self, rate: float, slow: float) -> None:
        gain = (WORTH_DOUBLING if self._doubling else BETTER) if self._rising else AS_GOOD
        if rate >= gain * self._rate:
            self._home, self._rate, self._slowness, self._rest = self.level, rate, slow, 0
            self._try()
            return
        self._rising, self._doubling = not self._rising, False
        self._rest = self._left = min(max(1, 2 * self._rest), LONGEST_REST)
        self._move(self._home)

    def _try(self) -> None:
        """The next level in the direction that was good; the other one where there is none."""
        if self._next(rising=self._rising) == self._home:
            self._rising = not self._rising
        self._move(self._next(rising=self._rising))

    def _next(self, *, rising: bool) -> int:
        factor = 2.0 if self._doubling else STEP
        if rising:
            return min(self._most, max(self._home + 1, int(factor * self._home)))
        return max(1, round(self._home / STEP))

    def _move(self, level: int) -> None:
        self.level = level
        self.forget()
