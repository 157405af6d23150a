"""The image that llama-server runs in where the machine has none of its own: Debian's package `llama.cpp-tools`.

The same package either way: on top of the registry's Debian where a registry answers, else debootstrapped from the
apt mirror. Not covered: GPU builds; give `asclaimed serve` a `llama-server` on PATH for those.
"""

from __future__ import annotations

import io

from tasks.backend import Progress
from tasks.disk import exclusive
from tasks.docker.images import OURS, ImageInfo, build, import_debian, present, pull
from tasks.errors import TaskError
from tasks.sandbox import RegistryError

SUITE = "forky"
"""The first suite that has the package."""
PACKAGE = "llama.cpp-tools"
REFERENCE = f"{OURS}llama-server:{SUITE}"
DOCKERFILE = f"""\
ARG BASE
FROM $BASE
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends {PACKAGE} && rm -rf /var/lib/apt/lists/*
"""


def server_image(progress: Progress) -> ImageInfo:
    """The image, built on the first call. Raises `MachineError` where neither way is open, `SandboxError`."""
    with exclusive(
        f"image-{REFERENCE}", lambda: progress("waiting for another asclaimed that builds the image", None)
    ):
        return (
            present(REFERENCE)
            or _from_registry(progress)
            or import_debian(REFERENCE, progress, SUITE, ("ca-certificates", PACKAGE))
        )


def _from_registry(progress: Progress) -> ImageInfo | None:
    """Built on the registry's Debian; None where there is no registry to ask."""
    try:
        base = pull(f"debian:{SUITE}-slim", progress)
        progress(f"installing {PACKAGE}", None)
        return build(
            REFERENCE, {"BASE": base.reference}, base.digest, fileobj=io.BytesIO(DOCKERFILE.encode())
        )
    except (TaskError, RegistryError):
        return None
