"""From a task to the image its attempts start from: found or made, its leaks closed, its start state recorded.

The last two are for tasks that a patch answers.
"""

from __future__ import annotations

from tasks.backend import Prepared, Progress, quiet
from tasks.docker.create import image_config
from tasks.docker.images import ImageInfo, resolve
from tasks.docker.leaks import clean
from tasks.docker.start_state import start_state
from tasks.errors import TaskError
from tasks.task import ImageSpec, Service, Task


def prepare(task: Task, progress: Progress = quiet, *, patience: float | None = None) -> Prepared:
    """Make a task ready to run; quick when it was done before. `patience`: seconds in which a pull may make no progress.

    Raises `TaskError` (image missing or unclean), `MachineError` (no daemon) and `SandboxError` (daemon fails).
    """
    info: ImageInfo = resolve(task.image, progress, patience=patience)
    if task.verifier:
        return prepare_machine(task, info, progress)
    progress(f"closing leaks of {info.reference}", None)
    cleaned = clean(info.id, task.brief.workdir)
    start_state(cleaned.image, task.brief.workdir)
    return Prepared(
        image=cleaned.image,
        source=info.id,
        reference=info.reference,
        digest=info.digest,
        origin=info.origin,
        base=info.base,
        notes=cleaned.notes,
    )


def prepare_machine(task: Task, info: ImageInfo, progress: Progress) -> Prepared:
    """A task about a machine starts from its image as it came: what lies in it, a repository's lost commits too, is the task."""
    if volumes := image_config(info.id).get("Volumes"):
        raise TaskError(
            f"image {info.reference} keeps {', '.join(volumes)} in volumes, which no state of the machine would hold"
        )
    beside = {each.name: resolve(each.image, progress) for each in task.compose.services}
    return Prepared(
        image=info.id,
        source=info.id,
        reference=info.reference,
        digest=info.digest,
        origin=info.origin,
        base=info.base,
        notes=(),
        services=tuple(f"{name}={one.digest or one.id}" for name, one in beside.items()),
        compose=task.compose.model_copy(
            update={"services": tuple(held(each, beside[each.name].id) for each in task.compose.services)}
        ),
    )


def held(service: Service, image: str) -> Service:
    """The same, of the image with this id."""
    image_config(image)  # raises for another processor
    return service.model_copy(update={"image": ImageSpec(reference=image)})
