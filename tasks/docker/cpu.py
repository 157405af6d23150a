"""Which processors' programs a daemon's machine runs: its own, and those that it emulates (binfmt, Rosetta).

Not covered: how slow emulation is, and tests that behave otherwise under it.
"""

from __future__ import annotations

from functools import cache

from docker.errors import APIError

from tasks import supervisor
from tasks.docker.daemon import MACHINES, architecture, client, daemon_errors, owner_labels, remove
from tasks.supervisor.build import ARCHITECTURES

USAGE = 2
"""What the supervisor ends with when it gets no arguments."""
PROBE = "asclaimed/probe"


def runs(made_for: str) -> bool:
    """Whether images for this processor (as Docker names it; "" is not known) run here."""
    machine = MACHINES.get(made_for, made_for)
    return machine in ("", architecture()) or emulates(machine)


def is_emulated(made_for: str) -> bool:
    return MACHINES.get(made_for, made_for) not in ("", architecture())


@cache
def emulates(machine: str) -> bool:
    """Tried out: the supervisor's program for that processor is all that there is in an image."""
    if machine not in ARCHITECTURES:
        return False
    with daemon_errors(f"cannot find out whether programs for {machine} run here"):
        client().api.import_image_from_data(supervisor.archive(machine), PROBE, machine)
        container = client().containers.create(
            f"{PROBE}:{machine}", [supervisor.PATH], network_mode="none", labels=owner_labels()
        )
        try:
            container.start()
            return bool(container.wait(timeout=60)["StatusCode"] == USAGE)
        except APIError:  # the runtime cannot execute it
            return False
        finally:
            remove(container)
            client().images.remove(f"{PROBE}:{machine}", force=True)
