"""Where a task's image comes from: present → pulled → built; and the base of the bundled tasks.

The base is Debian bookworm either way: from the registry where one answers, else debootstrapped from the
machine's own apt mirror. The `asclaimed.base` label of every image that we build says which.

Not covered: credentials for private registries (log in with `docker login`).
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

from tasks.backend import Progress, quiet
from tasks.disk import exclusive
from tasks.docker import debian
from tasks.docker.daemon import LABEL, architecture, client, daemon_errors
from tasks.docker.endpoint import one_line
from tasks.docker.pull import Unreachable, pull_image
from tasks.docker.pulled import note_pull
from tasks.errors import TaskError
from tasks.mirrors import names as names_of
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec

DOCKERFILE = Path(__file__).parents[1] / "image" / "Dockerfile"
OURS = "asclaimed/"
"""Names under this prefix are on no registry."""
REGISTRY_BASE = "debian:bookworm-slim"


class ImageInfo(NamedTuple):
    """An image that is on this machine, and how it came here."""

    id: str
    """`sha256:…` of the configuration: what the daemon runs."""
    reference: str
    digest: str | None
    """`name@sha256:…` in a registry; None for an image built here."""
    origin: str
    """`present`, `pulled` or `built`."""
    base: str | None
    """For an image built here: `debootstrap` or the registry's digest of its base."""


def resolve(spec: ImageSpec, progress: Progress = quiet, *, patience: float | None = None) -> ImageInfo:
    """Make the image of a task available. `patience` as `pull_image` has it.

    Raises `TaskError` naming the image when there is no way to it, `RegistryError` when there may be one later,
    `DiskFullError`, `SandboxError`. What can be built is built when no registry has it or none is in reach, never
    because one is busy: that would give some attempts another image than others.
    """
    if spec.context is not None and spec.reference.startswith(OURS):
        return build_context(spec.reference, spec.context, progress, spec.dockerfile)
    names = names_of(spec, architecture())
    if found := next(filter(None, map(present, names)), None):
        return found
    for name in names:
        try:
            return pull(name, progress, tag=spec.reference if spec.digest else "", patience=patience)
        except (TaskError, Unreachable):
            if spec.context is None and name == names[-1]:
                raise
    assert spec.context is not None
    name = f"{OURS}{spec.reference.partition(':')[0].lower()}"
    return build_context(name, spec.context, progress, spec.dockerfile)


def present(reference: str) -> ImageInfo | None:
    """The image as the daemon has it now; None when it has not."""
    with daemon_errors(f"cannot look for image {reference}"):
        try:
            return describe(client().images.get(reference), reference, "present")
        except ImageNotFound:
            return None
        except APIError as error:
            if error.status_code == 400:
                raise TaskError(f"{reference!r} is not an image name") from error
            raise


def pull(
    reference: str, progress: Progress = quiet, *, tag: str = "", patience: float | None = None
) -> ImageInfo:
    """Fetch an image from its registry, under a lock: two processes pull it once. Raises as `pull_image` does.

    One that is pulled by its digest gets `tag` as well, if nothing has it: Docker takes an image without a tag for refuse.
    """
    waits = f"waiting for another asclaimed that pulls {reference}"
    with (
        exclusive(f"image-{reference}", lambda: progress(waits, None)),
        daemon_errors(f"cannot pull image {reference}"),
    ):
        if found := present(reference):
            return found
        began = time.monotonic()
        sent = pull_image(reference, progress, patience=patience)
        info = describe(client().images.get(reference), reference, "pulled")
        tagged = bool(tag) and present(tag) is None and client().images.get(info.id).tag(tag)
        note_pull(info.id, (reference, tag) if tagged else (reference,), sent, time.monotonic() - began)
        return info


def build_context(
    repository: str, context: Path, progress: Progress, name: str = DOCKERFILE.name
) -> ImageInfo:
    """Build a directory with a Dockerfile; the tag is a hash of its contents, so a second call finds it."""
    dockerfile = context / name
    if not dockerfile.is_file():
        raise TaskError(f"{context} has no {name} to build image {repository} from")
    base = sandbox_base(progress) if stands_on_base(dockerfile) else None
    reference = built_reference(repository, context, name)
    with exclusive(f"image-{reference}"):
        if found := present(reference):
            return found
        progress(f"building {reference}", None)
        arguments = {"BASE": base.reference} if base else {}
        label = base.base if base else None
        return build(reference, arguments, label, path=str(context), dockerfile=name)


def built_reference(repository: str, context: Path, name: str = DOCKERFILE.name) -> str:
    """What the image of a directory is called once it is built."""
    dockerfile = context / name
    base = base_reference() if dockerfile.is_file() and stands_on_base(dockerfile) else ""
    base += "" if name == DOCKERFILE.name else f"\0{name}"
    return f"{repository.partition(':')[0]}:{context_hash(context, base)}"


def stands_on_base(dockerfile: Path) -> bool:
    return "ARG BASE" in dockerfile.read_text()


def base_reference() -> str:
    return f"{OURS}sandbox:{hashlib.sha256(DOCKERFILE.read_bytes()).hexdigest()[:16]}"


def sandbox_base(progress: Progress = quiet) -> ImageInfo:
    """The image that bundled tasks start from, `asclaimed/sandbox:<hash of its Dockerfile>`."""
    reference = base_reference()
    if found := present(reference):
        return found
    with exclusive(f"image-{reference}"):
        if found := present(reference):
            return found
        root = debian_root(progress)
        progress(f"building {reference}", None)
        file = io.BytesIO(DOCKERFILE.read_bytes())
        return build(
            reference, {"BASE": root.reference}, root.digest or "debootstrap", fileobj=file, target="sandbox"
        )


def debian_root(progress: Progress) -> ImageInfo:
    """Bookworm from the registry, or else from the apt mirror."""
    try:
        return resolve(ImageSpec(reference=REGISTRY_BASE), progress)
    except (TaskError, RegistryError):
        reference = f"{OURS}debian:bookworm"
    return present(reference) or import_debian(reference, progress)


def import_debian(
    reference: str,
    progress: Progress,
    suite: str = debian.SUITE,
    packages: Sequence[str] = debian.PACKAGES,
) -> ImageInfo:
    """A Debian of the apt mirror as an image. Raises `MachineError` where it cannot be bootstrapped."""
    with (
        tempfile.TemporaryDirectory(prefix="asclaimed-debian-") as directory,
        debian.root(directory, progress, suite, packages) as tar,
        daemon_errors(f"cannot import {reference}"),
    ):
        progress(f"importing {reference}", None)
        client().api.import_image_from_stream(tar, *reference.split(":"))
        return describe(client().images.get(reference), reference, "built")


def build(reference: str, arguments: dict[str, str], base: str | None, **source: Any) -> ImageInfo:
    """One `docker build` through the API; the last line of a failed one is in the error."""
    labels = {f"{LABEL}base": base} if base else {}
    with daemon_errors(f"cannot build image {reference}"):
        events = client().api.build(
            tag=reference, buildargs=arguments, labels=labels, rm=True, forcerm=True, decode=True, **source
        )
        for event in events:
            if "error" in event:
                raise TaskError(f"image {reference} cannot be built: {one_line(event['error'])}")
        return describe(client().images.get(reference), reference, "built")


def describe(image: Image, reference: str, origin: str) -> ImageInfo:
    """The containerd store gives every image a digest, also one that no registry ever saw; ours are on none."""
    digests = (each for each in image.attrs.get("RepoDigests") or () if not each.startswith(OURS))
    return ImageInfo(str(image.id), reference, next(digests, None), origin, image.labels.get(f"{LABEL}base"))


def context_hash(context: Path, base: str) -> str:
    """Names, executable bits and contents of every file of a build context, and what it is built on."""
    digest = hashlib.sha256(base.encode())
    for file in sorted(
        path for path in context.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ):
        data = file.read_bytes()
        head = f"\0{file.relative_to(context)}\0{file.stat().st_mode & 0o111:o}\0{len(data)}\0"
        digest.update(head.encode() + data)
    return digest.hexdigest()[:16]
