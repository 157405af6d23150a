"""How often the kernel killed for memory in a container: from the cgroup and the daemon, never from text.

Not covered: a daemon on another machine, whose cgroups we cannot read; there the daemon's own word counts.
"""

from __future__ import annotations

import re
from pathlib import Path

from docker.models.containers import Container

from tasks.docker.daemon import events_of

CGROUPS = Path("/sys/fs/cgroup")


class OomWatch:
    """Counts out-of-memory kills in one running container; remembers the highest count it saw."""

    def __init__(self, container: Container) -> None:
        """`container` runs, and its attributes are fresh."""
        self._container = container
        self._seen = 0
        self._counter = oom_counter(int(container.attrs["State"]["Pid"]), str(container.id))

    def count(self) -> int:
        """Kills so far; asks the daemon too when the cgroup is unreadable or gone."""
        counted = read_counter(self._counter) if self._counter else None
        if counted is None:
            counted = max(self._events(), int(bool(self._container.attrs["State"].get("OOMKilled"))))
        self._seen = max(self._seen, counted)
        return self._seen

    def _events(self) -> int:
        return len(events_of(self._container, event="oom"))


def oom_counter(pid: int, container_id: str) -> Path | None:
    """The file in which the kernel counts for the container of this process (cgroup v1 or v2)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().split("\n")
    except OSError:
        return None
    for line in lines:
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if container_id not in path:
            continue  # another machine's pid, a nested view, or a process that ended this moment
        if "memory" in controllers.split(","):
            return CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
        if not controllers and (CGROUPS / "cgroup.controllers").exists():
            return CGROUPS / path.lstrip("/") / "memory.events"
    return None


def read_counter(file: Path) -> int | None:
    try:
        found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
