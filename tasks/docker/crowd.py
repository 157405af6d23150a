"""Ends a container whose processes crowd the machine: a fork bomb starves the host for as long as it may live.

The sign is the kernel's own: forks that the limit on processes refused, second after second. A suite with many
workers meets its limit once, if at all. Not covered: a daemon on another machine, whose cgroups we cannot read (the
limits and the CPU quota hold there too); load without forks, which the quota bounds.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from contextlib import suppress

from docker.models.containers import Container

from tasks.docker.daemon import DAEMON_ERRORS
from tasks.docker.oom import cgroup_file, read_counter

WINDOW, STRIKES = 12, 8
"""Of so many looks, one a second, so many that saw new refusals end the container."""
REFUSED = re.compile(r"^max (\d+)$", re.MULTILINE)


class CrowdWatch:
    """Looks at one running container until `stop` or its end; `fired` once it was ended."""

    def __init__(self, container: Container, pid: int, *, seconds: float = 1.0) -> None:
        self._container, self._seconds = container, seconds
        self._file = cgroup_file(pid, str(container.id), "pids", "pids.events", "pids.events")
        self._stopped, self._fired = threading.Event(), threading.Event()
        self.crowds = False
        """Whether the limit on processes ever refused a fork: then what starves is home-made."""
        if self._file is not None:
            threading.Thread(target=self._watch, name="crowd-watch", daemon=True).start()

    @property
    def fired(self) -> bool:
        return self._fired.is_set()

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        grew: deque[bool] = deque(maxlen=WINDOW)
        before = 0
        while not self._stopped.wait(self._seconds):
            refused = read_counter(self._file, REFUSED) if self._file else None
            if refused is None:
                return
            grew.append(refused > before)
            self.crowds |= refused > before
            before = refused
            if sum(grew) >= STRIKES:
                self._fired.set()
                with suppress(*DAEMON_ERRORS):
                    self._container.kill()
                return
