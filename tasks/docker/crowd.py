"""Whether a container's processes crowd the machine: a fork bomb starves the host for as long as it may live.

The sign is the kernel's own: forks that the limit on processes refused, second after second. A suite with many
workers meets its limit once, if at all. Not covered: a daemon on another machine, whose cgroups we cannot read (the
limits and the CPU quota hold there too); load without forks, which the quota bounds.
"""

from __future__ import annotations

import re
from collections import deque

from docker.models.containers import Container

from tasks.docker.oom import cgroup_file, read_counter

WINDOW, STRIKES = 12, 8
"""Of so many looks, one a second, so many that saw new refusals end the container."""
REFUSED = re.compile(r"^max (\d+)$", re.MULTILINE)
CROWDED = "its processes crowded the machine: forks were refused for seconds on end, and it was ended"


class Crowd:
    """A check of `watch`."""

    def __init__(self, container: Container) -> None:
        pid = int(container.attrs["State"]["Pid"])
        self._file = cgroup_file(pid, str(container.id), "pids", "pids.events", "pids.events")
        self._grew: deque[bool] = deque(maxlen=WINDOW)
        self._before = 0
        self.crowds = False
        """Whether the limit on processes ever refused a fork: then what starves is home-made."""

    def __call__(self) -> str | None:
        refused = read_counter(self._file, REFUSED) if self._file else None
        if refused is None:
            return None
        self._grew.append(refused > self._before)
        self.crowds |= refused > self._before
        self._before = refused
        return CROWDED if sum(self._grew) >= STRIKES else None
