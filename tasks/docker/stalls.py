"""When this machine or its daemon stood still: a time limit that passed meanwhile is nobody's failure to be quick.

One beat a second, a sleep and a ping: what it takes beyond that second, we and the daemon were kept waiting by whatever
starves the machine. It needs no cgroups and sees a daemon elsewhere as well. Not covered: a container that is starved while
we and the daemon are not (its own quota bounds it; another tenant's weight may too), and which container starves the
others where `crowd` cannot look: there the starving one's limit is not judged either.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache

from tasks.docker.daemon import answers
from tasks.sandbox import SandboxError

BEAT_SECONDS = 1.0
LATE_SECONDS = 5.0
"""From which on a late beat is no mere load."""
SHARE = 0.1
"""Of a time limit: so much of it lost, and its end says nothing."""
KEPT = 10_000


class StallWatch:
    """Beats for as long as the process lives."""

    def __init__(
        self,
        ping: Callable[[], object] = answers,
        *,
        beat: float = BEAT_SECONDS,
        late: float = LATE_SECONDS,
    ) -> None:
        self._ping, self._beat, self._late = ping, beat, late
        self._stalls: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._began = time.monotonic()
        threading.Thread(target=self._run, name="stall-watch", daemon=True).start()

    def since(self, moment: float) -> float:
        """Seconds lost since a moment of the monotonic clock, with what is being lost now."""
        now = time.monotonic()
        stalls = [*self._stalls, (self._began, now)]
        return sum(self._lost(max(began, moment), end) for began, end in stalls if end > moment)

    def check(self, moment: float, limit: float, what: str) -> None:
        """Raises `SandboxError` when too much of a limit of so many seconds, which has passed, was lost since then."""
        lost = self.since(moment)
        if lost >= SHARE * limit:
            raise SandboxError(f"this machine or its daemon stood still for {lost:.0f} s while {what}")

    def _lost(self, began: float, end: float) -> float:
        late = end - began - self._beat
        return late if late >= self._late else 0.0

    def _run(self) -> None:
        while True:
            time.sleep(self._beat)
            self._ping()
            end = time.monotonic()
            if self._lost(self._began, end):
                self._stalls.append((self._began, end))
            self._began = end


@cache
def stalls() -> StallWatch:
    """The process's one watch, from the first container on."""
    return StallWatch()
