"""What asclaimed made and keeps in Docker: images (bases, tasks, cleaned copies, states of machines) and verifier kits.

Pulled images are the user's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from docker.errors import APIError, ImageNotFound, NotFound

from tasks.docker.daemon import LABEL, client, daemon_errors, disk_usage
from tasks.docker.endpoint import one_line
from tasks.docker.images import OURS


class KeptImage(NamedTuple):
    """One tag of ours, or one volume."""

    reference: str
    size: int
    """Bytes that no other image shares."""
    created: float
    """Seconds since the epoch."""


def kept_images() -> Iterator[KeptImage]:
    """Raises `MachineError` without a daemon, `SandboxError` where it fails."""
    with daemon_errors("cannot list images"):
        api: Any = client().api
        listed = api.images(filters={"reference": f"{OURS}*"})
        shared = {image["Id"]: max(0, image.get("SharedSize", 0)) for image in disk_usage()["Images"] or ()}
    for image in listed:
        own = max(0, image["Size"] - shared.get(image["Id"], 0))
        for tag in image["RepoTags"] or ():
            if tag.startswith(OURS):
                yield KeptImage(tag, own, float(image["Created"]))


def kept_kits() -> Iterator[KeptImage]:
    """The volumes that verifiers run with. Raises as `kept_images`."""
    with daemon_errors("cannot list volumes"):
        listed = disk_usage()["Volumes"] or ()
    for volume in listed:
        if f"{LABEL}kit" in (volume.get("Labels") or {}):
            size = max(0, (volume.get("UsageData") or {}).get("Size", 0))
            yield KeptImage(volume["Name"], size, datetime.fromisoformat(volume["CreatedAt"]).timestamp())


def drop_kit(name: str) -> str:
    """Remove one; why it stays when it does, else ""."""
    with daemon_errors(f"cannot remove volume {name}"):
        try:
            client().volumes.get(name).remove()
        except NotFound:
            return ""
        except APIError as error:
            if error.status_code != 409:  # 409: a container uses it
                raise
            return one_line(error.explanation)
    return ""


def is_working() -> bool:
    """Whether a container of ours exists: somebody may be about to start another one from any of these images."""
    with daemon_errors("cannot list containers"):
        return bool(client().containers.list(filters={"label": f"{LABEL}pid"}, ignore_removed=True))


def drop_image(reference: str) -> str:
    """Remove one tag, and the image with its last; why it stays when it does, else ""."""
    with daemon_errors(f"cannot remove image {reference}"):
        try:
            client().images.remove(reference)
        except ImageNotFound:
            return ""
        except APIError as error:
            if error.status_code != 409:  # 409: a container uses it
                raise
            return one_line(error.explanation)
    return ""
