"""Whose doing the end of a container was: by what the daemon and the host's process list say, never by text from inside."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from docker.models.containers import Container

from tasks import supervisor
from tasks.docker.daemon import is_local
from tasks.docker.events import actions_of

STARVING = 32
"""Running processes of one container from which on a silent supervisor is its own container's doing."""


def died_by_itself(container: Container) -> bool:
    """True when the daemon saw it die and nobody asked for that.

    A daemon that was restarted meanwhile has forgotten the death: then it was the daemon's doing. Never true on half a memory.
    """
    actions = actions_of(container)
    return "die" in actions and "kill" not in actions


def supervisor_is_well(container: Container) -> bool:
    """Whether a silent supervisor is only kept waiting, by the host's own list of processes.

    False when it is gone or was stopped, or when its container runs so much that the starvation is home-made.
    """
    state = container.attrs["State"]
    if state.get("Paused"):
        return True  # from outside
    if not state["Running"]:
        return False
    init, listed = int(state["Pid"]), processes(container)
    children = sorted((one.pid, one.state) for one in listed if one.parent == init)
    busy = sum(one.state in "RD" for one in listed)
    return bool(children) and children[0][1] not in "TtZX" and busy < STARVING


class Listed(NamedTuple):
    """One process of a container, its numbers the host's."""

    pid: int
    parent: int
    state: str


def processes(container: Container) -> list[Listed]:
    """From this machine's /proc where its daemon is ours, else as the daemon lists them.

    A rootless daemon cannot list them, and Podman asks the container itself.
    """
    init = int(container.attrs["State"]["Pid"])
    if is_local() and runs_supervisor(init):
        return below(init)
    listed = container.top(ps_args="-eo pid,ppid,stat")["Processes"]
    return [Listed(int(pid), int(parent), state[0]) for pid, parent, state in listed]


def runs_supervisor(init: int) -> bool:
    """Whether this is a process of this machine, and the first one of a sandbox."""
    try:
        return supervisor.PATH.encode() in Path(f"/proc/{init}/cmdline").read_bytes()
    except OSError:
        return False


def below(init: int) -> list[Listed]:
    """All descendants of a process."""
    everything = [one for path in Path("/proc").glob("[0-9]*/stat") if (one := parse(path))]
    family = {init}
    while more := {one.pid for one in everything if one.parent in family} - family:
        family |= more
    return [one for one in everything if one.pid in family]


def parse(stat: Path) -> Listed | None:
    try:
        state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
    except (OSError, ValueError):  # it ended meanwhile
        return None
    return Listed(int(stat.parent.name), int(parent), state)
