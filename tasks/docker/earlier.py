"""Images of tasks that were on this machine before asclaimed pulled any: they go only where somebody asks for that.

And only where a registry still gives the very same one: what was built or loaded here, nobody could bring back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.docker.availability import ImageState, look, names_here
from tasks.docker.daemon import architecture, daemon_errors
from tasks.docker.images import present
from tasks.docker.pinned import digests_of, is_built
from tasks.docker.pulled import Leftover, Stored, drop, note_of
from tasks.docker.registry import digest_of
from tasks.errors import TaskError
from tasks.mirrors import by_digest, names
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec, Task

NOWHERE = "no registry says that it has it"


def earlier(tasks: Sequence[Task]) -> Iterator[tuple[ImageSpec, Leftover]]:
    """Images of these tasks that are here and that asclaimed did not pull; since when, Docker does not say (0 days).

    Raises as `Stored.now`.
    """
    stored = Stored.now()
    for spec in {task.image.reference: task.image for task in tasks}.values():
        with daemon_errors("cannot look for images"):
            here = look(spec)
        if here.state is ImageState.PRESENT and not is_built(spec) and note_of(here.image) is None:
            yield spec, stored.leftover(here.image, references(spec), 0.0)


def references(spec: ImageSpec) -> tuple[str, ...]:
    """The names under which it is here and that a task gives it."""
    return tuple(name for name in names_here(spec) if present(name))


def drop_earlier(spec: ImageSpec, leftover: Leftover) -> str:
    """Remove it, whoever pulled it; why it stays when it does, else ""."""
    return drop(leftover) if can_return(spec, leftover.id) else NOWHERE


def can_return(spec: ImageSpec, image: str) -> bool:
    """Whether a registry has the same image under one of its names, now."""
    wanted = [
        (name, digest)
        for name in names(spec.model_copy(update={"digest": ""}), architecture())
        for digest in digests_of(image)
    ]
    return any(is_served(by_digest(name, digest), digest) for name, digest in wanted)


def is_served(name: str, digest: str) -> bool:
    try:
        return digest_of(name) == digest
    except (TaskError, RegistryError):
        return False
