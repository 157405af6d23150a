"""What the images of some tasks are, so that a run can hold on to them: a digest in a registry, or the id of a local image.

Images that are built from a task's directory are not in here: their tag is a hash of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from docker.errors import ImageNotFound

from tasks.docker.availability import ImageState, look
from tasks.docker.daemon import architecture, client, daemon_errors
from tasks.docker.images import OURS
from tasks.docker.pull_plan import AT_ONCE
from tasks.docker.registry import digest_of
from tasks.errors import TaskError
from tasks.mirrors import names
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec, Task

LOCAL = "image "
"""Before the id of an image that no registry is known to have."""


def identities(tasks: Sequence[Task]) -> dict[str, str]:
    """By image name: `sha256:…` in a registry, or `image sha256:…`. What no registry tells now is left out.

    Raises `SandboxError` and `MachineError` where the daemon fails.
    """
    specs = {image.reference: image for image in images_of(tasks) if not is_built(image)}
    found: dict[str, str] = {}
    absent: list[ImageSpec] = []
    with daemon_errors("cannot look for images"):
        for reference, spec in specs.items():
            here = look(spec)
            if here.state is ImageState.PRESENT:
                found[reference] = next(iter(digests_of(here.image)), LOCAL + here.image)
            else:
                absent.append(spec)
        silent: list[RegistryError] = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = pool.map(partial(ask, silent), absent)
            found |= {spec.reference: digest for spec, digest in zip(absent, asked, strict=True) if digest}
    return found


def images_of(tasks: Sequence[Task]) -> Iterator[ImageSpec]:
    """Those of services included; some more than once."""
    return (image for task in tasks for image in task.images)


def is_built(spec: ImageSpec) -> bool:
    return spec.context is not None and spec.reference.startswith(OURS)


def ask(silent: list[RegistryError], spec: ImageSpec) -> str:
    """Of the first name that a registry knows; nobody is asked once one did not answer."""
    for name in names(spec, architecture()):
        if silent:
            return ""
        try:
            return digest_of(name)
        except TaskError:
            continue
        except RegistryError as error:
            silent.append(error)
    return ""


def digests_of(image: str) -> list[str]:
    """In registries, of an image that is here (name or id); none where it is not."""
    try:
        listed = client().images.get(image).attrs.get("RepoDigests") or ()
    except ImageNotFound:
        return []
    return [each.partition("@")[2] for each in listed if not each.startswith(OURS)]


def others_here(tasks: Sequence[Task]) -> Iterator[tuple[str, str]]:
    """Names of pinned images that stand for another one here now, each with what it is pinned to."""
    with daemon_errors("cannot look for images"):
        for spec in {image.reference: image for image in images_of(tasks) if image.digest}.values():
            free = spec.model_copy(update={"digest": ""})
            here = look(free)
            if here.state is ImageState.PRESENT and spec.digest not in digests_of(here.image):
                yield spec.reference, spec.digest


def local_changes(tasks: Sequence[Task], known: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Images that no registry is known to have and that are not what they were: name, id then, id now ("" = gone)."""
    with daemon_errors("cannot look for images"):
        for spec in {image.reference: image for image in images_of(tasks)}.values():
            was = known.get(spec.reference, "")
            if was.startswith(LOCAL):
                now = look(spec).image
                if now != was.removeprefix(LOCAL):
                    yield spec.reference, was.removeprefix(LOCAL), now
