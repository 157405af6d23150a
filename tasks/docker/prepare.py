"""From a task to the image its attempts start from: found or made, its leaks closed, its start state recorded."""

from __future__ import annotations

from tasks.backend import Prepared, Progress, quiet
from tasks.docker.images import ImageInfo, resolve
from tasks.docker.leaks import clean
from tasks.docker.start_state import start_state
from tasks.task import Task


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
