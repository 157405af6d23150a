"""A stopped container kept as an image, and what in it differs from the image that it came from: by the daemon's word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from docker.models.containers import Container

from tasks import supervisor
from tasks.docker.daemon import client

CONFIGURATION = ("Cmd", "Entrypoint", "Env", "User", "WorkingDir", "Labels")
OURS = (supervisor.PATH, "/sbin/docker-init", "/usr/sbin/docker-init")
"""What a sandbox puts into its container, or the daemon does for it."""
KINDS = ("changed", "added", "deleted")


def stop(container: Container) -> None:
    """Kill a container, and wait until nothing in it runs any more. A dead one is fine."""
    container.reload()
    if container.attrs["State"]["Running"]:
        container.kill()
    container.wait(timeout=60)


def commit_stopped(
    container: Container, image_id: str, repository: str, tag: str, labels: Mapping[str, str] | None = None
) -> str:
    """Its files as an image with the configuration of the one that it came from; returns the new id."""
    original = client().images.get(image_id).attrs["Config"]
    settings = {name: original.get(name) for name in CONFIGURATION}
    if labels:
        settings["Labels"] = {**(settings["Labels"] or {}), **labels}
    made = container.commit(repository=repository, tag=tag, pause=False, conf=settings)
    return str(made.id)


def changed_paths(container: Container) -> Iterator[str]:
    """As `MachineState.changed`, less what is ours. A directory in which something changed is not named."""
    listed: Any = container.diff()  # docker's stubs know neither None nor the shape
    changes = {change["Path"]: KINDS[change["Kind"]] for change in listed or ()}
    above = {path.rpartition("/")[0] for path in changes}
    for path in sorted(changes):
        is_ours = any(ours == path or ours.startswith(f"{path}/") for ours in OURS)
        if not (is_ours or (changes[path] == "changed" and path in above)):
            yield f"{changes[path]} {path}"
