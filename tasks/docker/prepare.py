"""From a task to the image its attempts start from: found or made, its leaks closed, its start state recorded."""

from __future__ import annotations

from tasks.docker.images import ImageInfo, Progress, quiet, resolve
from tasks.docker.leaks import clean
from tasks.docker.start_state import start_state
from tasks.task import Frozen, Task


class Prepared(Frozen):
    """The images of one task, for the manifest. `open_sandbox(image, workdir=…)` starts an attempt."""

    image: str
    """Id of the image that attempts start from."""
    source: str
    """Id of the image that the task names; graders start from this one."""
    reference: str
    digest: str | None
    origin: str
    base: str | None
    notes: tuple[str, ...]
    """Findings about the image that a reader should know."""


def prepare(task: Task, progress: Progress = quiet) -> Prepared:
    """Make a task ready to run; quick when it was done before.

    Raises `TaskError` (image missing or unclean), `MachineError` (no daemon) and `SandboxError` (daemon fails).
    """
    info: ImageInfo = resolve(task.image, progress)
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
