"""The attempts that have no record yet, in the order of work, and the scaffolds that need no more of them.

Not here: why one comes back (`queue`, `spoiled`), how many are made at once and which one first (`admission`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator

from evals.record import AttemptKey
from evals.run.admission import Admission
from evals.run.tally import Tally


class Backlog:
    """One run's, shared by its threads under the tally's lock; what is dropped is no longer in the tally's total."""

    def __init__(self, tally: Tally, stopping: threading.Event, admission: Admission) -> None:
        self._tally, self._stopping, self._admission = tally, stopping, admission
        self._keys: deque[AttemptKey] = deque()
        self.settled: set[str] = set()
        """Scaffolds of which enough is measured."""
        self._dropped: list[AttemptKey] = []
        """Theirs."""

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[AttemptKey]:
        return iter(tuple(self._keys))

    def take(self) -> AttemptKey | None:
        """The next attempt, which counts as under way from here on, once there is room for it.

        None when there is none or the run stops.
        """
        while True:
            with self._tally.lock:
                if self._stopping.is_set() or not self._keys:
                    return None
                if key := self._admission.take(self._keys):
                    self._tally.began(key)
                    self._keys.remove(key)
                    return key
            self._admission.wait()

    def append(self, key: AttemptKey) -> None:
        """To the end. The caller holds the tally's lock."""
        self._keys.append(key)

    def put_back(self, key: AttemptKey) -> None:
        """To the front, unless its scaffold was settled while it was made."""
        with self._tally.lock:
            self._keys.appendleft(key)
        self.settle(())

    def extend(self, keys: Iterable[AttemptKey]) -> None:
        """To the end."""
        with self._tally.lock:
            self._keys.extend(keys)

    def settle(self, scaffolds: Collection[str]) -> None:
        """Start no more attempts of these, nor of those settled before."""
        with self._tally.lock:
            self.settled |= set(scaffolds)
            kept = [key for key in self._keys if key.scaffold not in self.settled]
            self._dropped += [key for key in self._keys if key.scaffold in self.settled]
            self._tally.total -= len(self._keys) - len(kept)
            self._keys = deque(kept)

    def reopen(self, scaffolds: Collection[str], keys: Iterable[AttemptKey]) -> None:
        """These attempts again, and those of scaffolds that were settled too early."""
        with self._tally.lock:
            self.settled -= set(scaffolds)
            back = [key for key in self._dropped if key.scaffold not in self.settled]
            self._dropped = [key for key in self._dropped if key.scaffold in self.settled]
            self._tally.total += len(back)
            self._keys.extend([*keys, *back])
        self.settle(())  # some of them may be of a scaffold that was decided meanwhile
