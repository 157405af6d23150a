"""Whose doing the end of a container was: by what the daemon and the host's process list say, never by text from inside."""

from __future__ import annotations

from docker.models.containers import Container

from tasks.docker.daemon import events_of

STARVING = 32
"""Running processes of one container from which on a silent supervisor is its own container's doing."""


def died_by_itself(container: Container) -> bool:
    """True when the daemon saw it die and nobody asked for that.

    A daemon that was restarted meanwhile has forgotten the death: then it was the daemon's doing.
    """
    actions = [event["Action"] for event in events_of(container, type="container")]
    return "die" in actions and "kill" not in actions


def supervisor_is_well(container: Container) -> bool:
    """Whether a silent supervisor is only kept waiting, by the host's own list of processes.

    False when it is gone or was stopped, or when its container runs so much that the starvation is home-made.
    """
    if not container.attrs["State"]["Running"]:
        return False
    listed = container.top(ps_args="-eo pid,ppid,stat")["Processes"]
    init = str(container.attrs["State"]["Pid"])
    children = sorted((int(pid), state) for pid, parent, state in listed if parent == init)
    busy = sum(state[0] in "RD" for _, _, state in listed)
    return bool(children) and children[0][1][0] not in "TtZX" and busy < STARVING
