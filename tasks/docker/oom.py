"""How often the kernel killed for memory in a container, and whether for want of the host's: from the cgroup and the
daemon, never from text.

Not covered: a daemon on another machine, whose cgroups we cannot read; there the daemon's own word counts, and it does
not say whose memory it was. The same holds once a container's last process is gone, and its cgroup with it.
"""

from __future__ import annotations

import re
from pathlib import Path

from docker.models.containers import Container

from tasks.docker.events import times

CGROUPS = Path("/sys/fs/cgroup")
KILLED = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
AT_LIMIT = re.compile(r"^(?:max )?(\d+)$", re.MULTILINE)
"""How often a container's use ran against its limit: all of `memory.failcnt` (v1), a line of `memory.events` (v2)."""
BYTES = re.compile(r"^(\d+)$", re.MULTILINE)
NEAR = 0.95
"""Of the limit. `memory.failcnt` stays 0 on Linux 6.18 also when the limit kills; the highest use tells there."""


class OomWatch:
    """Counts out-of-memory kills in one running container; remembers the highest count it saw."""

    def __init__(self, container: Container) -> None:
        """`container` runs, and its attributes are fresh."""
        self._container = container
        self._seen = 0
        pid = int(container.attrs["State"]["Pid"])
        self._counter = cgroup_file(pid, str(container.id), "memory", "memory.oom_control", "memory.events")
        self._at_limit = cgroup_file(pid, str(container.id), "memory", "memory.failcnt", "memory.events")
        self._peak = cgroup_file(pid, str(container.id), "memory", "memory.max_usage_in_bytes", "memory.peak")
        self._limit = cgroup_file(pid, str(container.id), "memory", "memory.limit_in_bytes", "memory.max")

    def count(self) -> int:
        """Kills so far; asks the daemon too when the cgroup is unreadable or gone."""
        counted = read_counter(self._counter, KILLED) if self._counter else None
        if counted is None:
            said = bool(self._container.attrs["State"].get("OOMKilled"))
            counted = max(times(self._container, "oom"), int(said))
        self._seen = max(self._seen, counted)
        return self._seen

    def by_the_host(self) -> bool:
        """Whether it killed in a container that never came near its own limit: then the machine's memory ran out."""
        if not self.count() or self._at_limit is None:
            return False
        return read_counter(self._at_limit, AT_LIMIT) == 0 and not self._came_near()

    def _came_near(self) -> bool:
        peak, limit = (read_counter(file, BYTES) if file else None for file in (self._peak, self._limit))
        return peak is not None and limit is not None and peak >= NEAR * limit


def cgroup_file(pid: int, container_id: str, controller: str, name_v1: str, name_v2: str) -> Path | None:
    """A file in which the kernel counts for the container of this process (cgroup v1 or v2)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().split("\n")
    except OSError:
        return None
    for line in lines:
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if container_id not in path:
            continue  # another machine's pid, a nested view, or a process that ended this moment
        if controller in controllers.split(","):
            return CGROUPS / controller / path.lstrip("/") / name_v1
        if not controllers and (CGROUPS / "cgroup.controllers").exists():
            return CGROUPS / path.lstrip("/") / name_v2
    return None


def read_counter(file: Path, pattern: re.Pattern[str]) -> int | None:
    try:
        found = pattern.search(file.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None
