"""How many attempts may be under way: as many as bring most tokens a second, and whose conversations the KV cache holds.

Started attempts finish before new ones begin: where there is no room for all, those that began last wait between two
steps. Waiting is nobody's time: an attempt's clock stands still. Not here: how the best number is found (`climber`), when
attempts at one task are kept together (`prefix`), what the server is asked (`evals.run.load`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

from evals.record import AttemptKey
from evals.run.climber import Climber
from evals.run.prefix import SharedPrefix
from scaffolds.base import Metrics, Step

KV_SHARE = 0.9
"""Of the cache; the rest is for answers under way."""
FIRST_CONTEXT = 4000
"""Tokens that a new attempt counts for until the first call of another one has been seen."""
MOST, OF_EACH_CORE = 64, 8
"""Attempts at once whatever the server may take: sandboxes need this machine, too."""
AT_FIRST = 4
"""Where the server does not say how many requests it works on at once."""
QUICK_READ = 256
"""Tokens to be read under which the time to the first token says more of the way than of the reading."""
LOOK_SECONDS = 1.0


def most_at_once() -> int:
    return min(MOST, OF_EACH_CORE * (os.cpu_count() or 1))


class Admission:
    """One run's; threads share it."""

    def __init__(
        self,
        most: int | None = None,
        *,
        first: int | None = None,
        streams: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`most`: attempts at once; None: as many as ask. `first`: with how many to begin where the best number is to be
        found; None: always `most`.

        `streams`: answers are streamed, so that the time to their first byte is that to the first token.
        """
        self.most = most
        self._climber = None if first is None or most is None else Climber(first, most)
        self._streams, self._clock = streams, clock
        self._contexts: dict[AttemptKey, int] = {}
        """Tokens of each conversation under way; who began first comes first."""
        self._paused: set[AttemptKey] = set()
        self._begun: list[int] = []
        """Of attempts' first calls."""
        self._prefix = SharedPrefix()
        self._server: Mapping[str, float] = {}
        self._changed = threading.Condition()

    @property
    def level(self) -> float:
        """Attempts that may be under way at once, as far as speed goes."""
        return self._climber.level if self._climber else self.most or inf

    @property
    def going(self) -> int:
        """Attempts under way that wait for nobody."""
        return len(self._contexts) - len(self._paused)

    @property
    def paused(self) -> int:
        """Attempts under way that wait for room."""
        return len(self._paused)

    def take(self, keys: Sequence[AttemptKey]) -> AttemptKey | None:
        """Begin one of these attempts, if there is room for one more: the first, or one that finds its beginning in the
        server's cache.

        They come in the order of work, and are not none.
        """
        with self._changed:
            if not self._has_room():
                return None
            key = self._prefix.first_of(keys)
            self._prefix.begun(key)
            self._contexts[key] = 0
            return key

    def ended(self, key: AttemptKey) -> None:
        with self._changed:
            self._contexts.pop(key, None)
            self._changed.notify_all()

    def disturbed(self) -> None:
        """Something went away or came back: what is being measured says nothing of the number at once."""
        with self._changed:
            if self._climber:
                self._climber.forget()

    def wait(self) -> None:
        """Until there may be room, or a while."""
        with self._changed:
            self._changed.wait(LOOK_SECONDS)

    def stepped(self, key: AttemptKey, step: Step) -> None:
        """A call of the model ended."""
        metrics = step.metrics
        if metrics is None:
            return
        with self._changed:
            if key in self._contexts:
                self._talked(key, metrics)
            if self._climber:
                self._climb(self._climber, step)

    def _talked(self, key: AttemptKey, metrics: Metrics) -> None:
        before = self._contexts[key]
        if not before:
            self._begun.append(metrics.prompt_tokens)
        self._prefix.called(before, metrics)
        self._contexts[key] = metrics.prompt_tokens + metrics.completion_tokens

    def _climb(self, climber: Climber, step: Step) -> None:
        if sum(1 for _ in self._with_room()) < climber.level:
            climber.forget()  # so many are not under way: nothing is learned of that number
            return
        before, metrics = climber.level, step.metrics
        assert metrics is not None
        to_read = metrics.prompt_tokens - (metrics.cached_tokens or 0)
        slowness = step.first_byte / (max(to_read, 0) + QUICK_READ) if self._streams else None
        climber.ended(self._clock(), metrics.completion_tokens or 1, slowness)
        if climber.level != before:
            self._changed.notify_all()

    def pause(self, key: AttemptKey, ends: Callable[[], bool]) -> None:
        """Between two steps of an attempt: block while there is no room for it, or until `ends`."""
        with self._changed:
            while not self.has_room(key) and not ends():
                self._paused.add(key)
                self._changed.wait(LOOK_SECONDS)
            self._paused.discard(key)

    def has_room(self, key: AttemptKey) -> bool:
        """Whether an attempt under way may go on."""
        with self._changed:
            return key in self._with_room()

    def heard(self, counters: Mapping[str, float]) -> None:
        """What the server's own page tells (`scaffolds.openai.metrics`). The first preemption calls for fewer."""
        with self._changed:
            preemptions = counters.get("preemptions", 0)
            if self._climber and preemptions > self._server.get("preemptions", preemptions):
                self._climber.back_off(self.going)
            self._server = counters
            self._changed.notify_all()

    def _with_room(self) -> Iterator[AttemptKey]:
        """Attempts under way that may go on: those that began first, and one at least."""
        used = 0
        for number, (key, tokens) in enumerate(self._contexts.items()):
            used += tokens
            if number and (number >= self.level or not self._fits(used)):
                return
            yield key

    def _has_room(self) -> bool:
        """Whether one more fits; one always does where there is none."""
        if not self._contexts:
            return True
        new = sum(self._begun[-20:]) / len(self._begun[-20:]) if self._begun else FIRST_CONTEXT
        unseen = sum(new for tokens in self._contexts.values() if not tokens)
        used = sum(self._contexts.values()) + unseen + new
        return len(self._contexts) < self.level and self._fits(used) and not self._is_full()

    def _fits(self, tokens: float) -> bool:
        capacity = self._server.get("kv tokens")
        return self._climber is None or not capacity or tokens <= KV_SHARE * capacity

    def _is_full(self) -> bool:
        """By the server's own word, where it does not say how many tokens it holds."""
        return self._climber is not None and self._server.get("kv share", 0.0) >= KV_SHARE
