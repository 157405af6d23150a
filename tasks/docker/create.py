"""How every container of ours is made: what keeps inside what is inside, and which daemon can do how much of it.

Not here: what runs in a container (`sandbox`, `testing`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from tasks.docker import confine
from tasks.docker.confine import security_options
from tasks.docker.cpu import runs
from tasks.docker.daemon import (
    LABEL,
    architecture,
    client,
    cores,
    daemon_errors,
    facts,
    owner_labels,
    require_limits,
)
from tasks.docker.events import listener
from tasks.errors import TaskError
from tasks.sandbox import Limits

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
SPARED_CPUS = 0.5
"""What no container gets unless it is asked for: the daemon, the run and the model server need to go on."""
CPU_SHARES = 512
"""Half the weight of anything else on the machine."""
ROOT = ("", "0", "root")
NO_QUOTA = threading.Event()
"""Set once the daemon's storage driver turned out to have no limit for a container."""


@cache
def image_config(image_id: str) -> Mapping[str, Any]:
    """An image's configuration. Raises `TaskError` when it is not here, or is for a processor that this machine has not."""
    with daemon_errors(f"cannot inspect image {image_id}"):
        try:
            found: dict[str, Any] = client().images.get(image_id).attrs
        except ImageNotFound as error:
            raise TaskError(f"image {image_id} is not on this machine") from error
    made_for = str(found.get("Architecture") or "")
    if not runs(made_for):
        raise TaskError(
            f"image {image_id[:19]} is for {made_for}, and Docker's machine is {architecture()}: use a machine of that "
            "processor, or let this one emulate it (binfmt)"
        )
    return found["Config"] or {}


def container_options(
    limits: Limits, labels: Mapping[str, str], user: str, network: bool, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that keeps what is inside inside. Raises `MachineError` when the daemon cannot."""
    require_limits(limits)
    return {
        "user": user,
        "environment": dict(environment),
        "labels": {**owner_labels(), **{f"{LABEL}{name}": value for name, value in labels.items()}},
        "init": True,
        "network_mode": "bridge" if network else "none",
        "cap_drop": ["ALL"],
        "cap_add": list(CAPABILITIES),
        "security_opt": security_options(),
        "pids_limit": limits.pids,
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "nano_cpus": int(min(limits.cpus or cores() - SPARED_CPUS, cores()) * 1e9),
        "cpu_shares": CPU_SHARES,
        "ulimits": [
            Ulimit(name="fsize", soft=limits.file, hard=limits.file),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "storage_opt": {"size": str(limits.disk)},
        "log_config": LogConfig(type="none"),
        "healthcheck": {"test": ["NONE"]},
    }


def create(image: str, command: list[str], options: dict[str, Any]) -> Container:
    """A container that has not started. Raises `TaskError` when the image is not on this machine, `SandboxError`."""
    user = options["user"] or str(image_config(image).get("User") or "")
    if user.partition(":")[0] not in ROOT:
        options = {**options, "cap_add": []}  # Podman would give them to that user, too
    if not may_have_quota():
        options = {**options, "storage_opt": None}
    with daemon_errors(f"cannot create a container of {image}"):
        try:
            return followed(image, command, options)
        except ImageNotFound as error:
            raise TaskError(f"image {image} is not on this machine") from error
        except APIError as error:
            if options["storage_opt"] is None or not is_about_quota(error):
                raise
        NO_QUOTA.set()  # `written` watches
    return create(image, command, options)


def followed(image: str, command: list[str], options: dict[str, Any]) -> Container:
    """A container whose events are listened to, before anything can happen to it. Raises what docker raises."""
    listening = listener()
    container = confine.create(image, command, **options)
    listening.follow(str(container.id))
    return container


def may_have_quota() -> bool:
    """Whether the storage driver may limit what a container writes; the daemon only tells when it is asked to."""
    status = dict(facts().get("DriverStatus") or ())
    return not NO_QUOTA.is_set() and status.get("Backing Filesystem") == "xfs"


def is_about_quota(error: APIError) -> bool:
    said = str(error.explanation).lower()
    return "storage" in said or "quota" in said
