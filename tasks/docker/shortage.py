"""Whether the machine around a container had no memory left: what it then refuses (`fork`, `malloc`) is nobody's bug.

A container's own limit is not looked at: what meets that is the tested code's doing. What is: memory that the kernel could
hand out, what it may still promise where it keeps count (`vm.overcommit_memory=2`), and every group above the container that
has a limit (a slice, the pod that the daemon lives in). Ten looks a second, for the kernel keeps no count of refusals.
Not covered: a shortage shorter than that; a group that may not swap on a machine that can; one allocation larger than
all that is left (only where the kernel keeps count: elsewhere it is handed out, and killed for later); a daemon on another
machine.
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from docker.models.containers import Container

from tasks.docker.oom import CGROUPS, cgroup_file
from tasks.sandbox import SandboxError

SECONDS = 0.1
LEAST_BYTES = 32 << 20
"""A machine with less is about to kill or to refuse, whoever asks."""
NO_LIMIT = 1 << 60
"""cgroup v1 writes a number near 2**63 for none."""
FIELD = re.compile(r"^(\w+)(?: |: +)(\d+)", re.MULTILINE)
KEEPS_COUNT = "2"


class Shortage:
    """Looks around one running container until `stop`."""

    def __init__(self, container: Container, proc: Path = Path("/proc")) -> None:
        """`container` runs, and its attributes are fresh."""
        pid = int(container.attrs["State"]["Pid"])
        own = cgroup_file(pid, str(container.id), "memory", "memory.stat", "memory.stat")
        self._proc, self._groups = proc, above(own) if own else ()
        self._stopped, self._seen = threading.Event(), False
        if own:  # ours to look at: the daemon is on this machine
            threading.Thread(target=self._watch, name="memory", daemon=True).start()

    def check(self) -> None:
        """Raises `SandboxError` once the machine had no memory left."""
        if self._seen:
            raise SandboxError("this machine ran out of memory: what it refused is not the tests' failure")

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._seen and not self._stopped.wait(SECONDS):
            self._seen = left(self._proc, self._groups) < LEAST_BYTES


def above(file: Path) -> tuple[Path, ...]:
    """The groups that a container's is in, the top one included: inside a container that has a limit, too."""
    return tuple(group for group in file.parent.parents if CGROUPS in (group, *group.parents))


def left(proc: Path, groups: tuple[Path, ...]) -> int:
    """Bytes that could still be handed out here, by whichever bound is nearest."""
    machine = fields(proc / "meminfo")
    swap = machine.get("SwapFree", 0) << 10
    bounds = [(machine.get("MemAvailable", NO_LIMIT) << 10) + swap]
    if text(proc / "sys/vm/overcommit_memory").strip() == KEEPS_COUNT:
        bounds.append((machine["CommitLimit"] - machine["Committed_AS"]) << 10)
    return min(*bounds, *(left_in(group) + swap for group in groups), NO_LIMIT)


def left_in(group: Path) -> int:
    """Of a group's limit, files that it would drop first included (cgroup v1 or v2)."""
    limit = text(group / "memory.limit_in_bytes") or text(group / "memory.max")
    used = text(group / "memory.usage_in_bytes") or text(group / "memory.current")
    if not limit.strip().isdigit() or not used or int(limit) >= NO_LIMIT:
        return NO_LIMIT
    held = fields(group / "memory.stat")
    prefix = "total_" if "total_inactive_file" in held else ""
    return int(limit) - int(used) + held[f"{prefix}inactive_file"] + held[f"{prefix}active_file"]


def fields(file: Path) -> dict[str, int]:
    return {name: int(number) for name, number in FIELD.findall(text(file))}


def text(file: Path) -> str:
    """Empty where there is no such file, or no more."""
    try:
        return file.read_text()
    except OSError:
        return ""
