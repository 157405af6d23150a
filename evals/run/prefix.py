"""Whether a conversation finds in the server's cache what another one left there, told by the cached tokens of its answers.

Attempts at one task begin with the same words: where those are found again they are made one after another, while the
server still holds them. Elsewhere attempts stay spread over the tasks, so that a run cut short has seen most of them.
Not here: how much a cache that misses costs (`evals.serve.doctor`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median

from evals.record import AttemptKey
from scaffolds.base import Metrics

LEAST_SHARED = 64
"""Tokens that a first call must find; a chat template alone, which all conversations begin with, is shorter."""
GOOD_SHARE = 0.5
"""Of the conversation so far, found again at its next call: else one conversation drives out another."""
FIRSTS, LATER = 8, 24
"""Calls that are looked back on."""
LEAST_SEEN = 4
"""Of each kind, before anything is said."""


class SharedPrefix:
    """One session's; the caller holds a lock."""

    def __init__(self) -> None:
        self._firsts: deque[int] = deque(maxlen=FIRSTS)
        """Tokens that first calls of attempts found in the cache."""
        self._later: deque[float] = deque(maxlen=LATER)
        """Of what a conversation had, the share that its next call found."""
        self._last: AttemptKey | None = None

    @property
    def is_shared(self) -> bool:
        """Both: others' words are found, and a conversation does not lose its own to them."""
        if min(len(self._firsts), len(self._later)) < LEAST_SEEN:
            return False
        return median(self._firsts) >= LEAST_SHARED and median(self._later) >= GOOD_SHARE

    def called(self, before: int, metrics: Metrics) -> None:
        """A call of an attempt ended, whose conversation had so many tokens `before`; 0: its first."""
        if metrics.cached_tokens is None:
            return
        if before:
            self._later.append(metrics.cached_tokens / before)
        else:
            self._firsts.append(metrics.cached_tokens)

    def begun(self, key: AttemptKey) -> None:
        self._last = key

    def first_of(self, keys: Sequence[AttemptKey]) -> AttemptKey:
        """Which of these, in the order of work and not empty, to begin next: one that begins as the last one did, or the first."""
        last = self._last if self.is_shared else None
        alike = (key for key in keys if last and (key.scaffold, key.task_id) == (last.scaffold, last.task_id))
        return next(alike, keys[0])
