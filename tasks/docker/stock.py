"""Docker as a `tasks.backend.ImageStore`: what a run may pull ahead, and what it may remove after its last use."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain

from tasks.docker.availability import ImageState, look
from tasks.docker.daemon import architecture, daemon_errors
from tasks.docker.earlier import drop_earlier, references
from tasks.docker.images import present
from tasks.docker.leaks import REPOSITORY, clean_key
from tasks.docker.pull_plan import Need, layers_here, stored_layers
from tasks.docker.pulled import Leftover, drop, note_of, stored_bytes
from tasks.docker.registry import manifest
from tasks.docker.shelf import Shelf
from tasks.docker.space import CLEAN_BYTES
from tasks.errors import TaskError
from tasks.mirrors import names
from tasks.sandbox import RegistryError
from tasks.task import Task


def missing(task: Task) -> list[Need]:
    """Its images, those of its services included, that would have to be pulled."""
    with daemon_errors("cannot look for images"):
        needs = [Need(image, look(image)) for image in task.images]
    return [need for need in needs if need.found.state is ImageState.UNKNOWN]


def asked(need: Need) -> Need:
    """With what the first registry that knows it says of it."""
    for name in names(need.spec, architecture()):
        with suppress(TaskError, RegistryError):
            return need._replace(asked=manifest(name))
    return need


class DockerImages:
    """See `tasks.backend.ImageStore`."""

    def __init__(self, since: float, *, with_earlier: bool = False) -> None:
        """`since`: seconds since the epoch; what was pulled before is this run's to remove only `with_earlier`."""
        self._since, self._with_earlier = since, with_earlier

    def is_missing(self, task: Task) -> bool:
        return bool(missing(task))

    def stored(self) -> int:
        return stored_bytes()

    def would_add(self, task: Task) -> int:
        layers = chain.from_iterable(stored_layers([asked(need) for need in missing(task)]).values())
        return Shelf(layers_here()).cost(layers) + (0 if task.verifier else CLEAN_BYTES)

    def evict(self, task: Task) -> str:
        with daemon_errors("cannot look for images"):
            here = look(task.image)
        if here.state is not ImageState.PRESENT:
            return ""
        note = note_of(here.image)
        is_earlier = note is None or note.pulled < self._since
        if is_earlier and not self._with_earlier:
            return "it was here before this run"
        copy = f"{REPOSITORY}:{clean_key(here.image, task.brief.workdir)}"
        copies = (copy,) if present(copy) else ()
        known = note.references if note else references(task.image)
        leftover = Leftover(here.image, known, copies, 0, 0.0)
        return drop_earlier(task.image, leftover) if is_earlier else drop(leftover)
