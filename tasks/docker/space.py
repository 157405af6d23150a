"""How much of Docker's disk a list of tasks will take, and how much there is: an estimate, made before anything is pulled.

Not covered: what containers write while they run, and layers that images of one repository share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.docker.availability import ImageAvailability, ImageState
from tasks.docker.daemon import data_root, free_bytes
from tasks.docker.images import OURS
from tasks.docker.leaks import known_clean
from tasks.task import Task

IMAGE_BYTES = 515_000_000
"""One SWE-bench image on disk."""
IMAGE_SOURCE = '240 GiB on disk for the 500 images of SWE-bench Verified (logicstar.ai, "How we made SWE-bench 50x smaller")'
CLEAN_BYTES = 87_000_000
"""One clean copy: the mean over real SWE-bench instances, as measured here; it holds the repository's packed history anew."""
BUNDLED_BYTES = 1_000_000
"""The same for a task of ours: a few files on a base that all share."""


class DiskNeed(NamedTuple):
    """Bytes on the daemon's disk."""

    images: int
    """Still to be pulled or built."""
    clean_copies: int
    """Still to be made."""
    free: int | None
    """None where the daemon's disk is not ours to look at: another machine's, or a virtual one's."""
    root: str
    """Docker's data root."""
    budget: int | None = None
    """What a run may add at any time, where it has a limit: it removes images after their last use."""

    @property
    def total(self) -> int:
        """At any time."""
        whole = self.images + self.clean_copies
        return whole if self.budget is None else min(whole, self.budget)

    @property
    def fits(self) -> bool:
        """False only when it is known not to."""
        return self.free is None or self.total <= self.free

    def line(self) -> str:
        """For people."""
        has = "free space there is not known" if self.free is None else f"{gigabytes(self.free)} free"
        parts = f"images {gigabytes(self.images)}, clean copies {gigabytes(self.clean_copies)}"
        if self.budget is not None:
            parts += f", within images.disk of {gigabytes(self.budget)}"
        return f"about {gigabytes(self.total)} more in {self.root} ({parts}); {has}"


def disk_need(
    tasks: Sequence[Task], found: Mapping[str, ImageAvailability], *, attempts: bool = True
) -> DiskNeed:
    """What `tasks` add; `found` is `availability(tasks)`. Without `attempts` they are graded alone, in images as they came.

    Raises `SandboxError`, `MachineError`.
    """
    first = {(task.image.reference, task.brief.workdir): task for task in tasks}
    names = {image.reference for task in tasks for image in task.images}
    images = {name for name in names if found[name].state is not ImageState.PRESENT}
    copies = [
        task for task in first.values() if attempts and not (task.verifier or has_clean_copy(task, found))
    ]
    return DiskNeed(
        images=sum(BUNDLED_BYTES if name.startswith(OURS) else IMAGE_BYTES for name in images),
        clean_copies=sum(BUNDLED_BYTES if is_ours(task) else CLEAN_BYTES for task in copies),
        free=free_bytes(),
        root=data_root(),
    )


def is_ours(task: Task) -> bool:
    return task.image.reference.startswith(OURS)


def is_here(task: Task, found: Mapping[str, ImageAvailability]) -> bool:
    return found[task.image.reference].state is ImageState.PRESENT


def has_clean_copy(task: Task, found: Mapping[str, ImageAvailability]) -> bool:
    return is_here(task, found) and known_clean(found[task.image.reference].image, task.brief.workdir)


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
