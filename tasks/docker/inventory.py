"""The images that asclaimed made and keeps: bases, bundled tasks, cleaned copies. Pulled ones are the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from docker.errors import APIError, ImageNotFound

from tasks.docker.daemon import LABEL, client, daemon_errors
from tasks.docker.endpoint import one_line
from tasks.docker.images import OURS


class KeptImage(NamedTuple):
    """One tag of ours."""

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
        shared = {image["Id"]: max(0, image.get("SharedSize", 0)) for image in api.df()["Images"] or ()}
    for image in listed:
        own = max(0, image["Size"] - shared.get(image["Id"], 0))
        for tag in image["RepoTags"] or ():
            if tag.startswith(OURS):
                yield KeptImage(tag, own, float(image["Created"]))


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
