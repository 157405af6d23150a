"""The way to a machine: makes a task's image ready, opens sandboxes, says whether it is there. Docker is one (`tasks.docker`).

Only types and what they share. Code that runs or grades tasks is given a backend and knows no other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from tasks.sandbox import Limits, Sandbox
from tasks.task import Frozen, Task

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how much of it, 0 to 1; None = unknown."""


def quiet(_what: str, _fraction: float | None) -> None:
    """The progress callback of those who do not watch."""


class Prepared(Frozen):
    """The images of one task, for the record."""

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


class Backend(Protocol):
    """Threads share one. Everything raises `SandboxError` where the machine fails, `MachineError` where there is none."""

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        """Find, pull or build the task's image and close its leaks; quick when that was done before.

        Raises `TaskError` for an image that is missing or unclean.
        """
        ...

    def open(self, image: str, *, workdir: str, limits: Limits, labels: Mapping[str, str]) -> Sandbox:
        """A sandbox of a prepared image (its id). `labels` name the run and the attempt, for `reap`."""
        ...

    def reap(self, run: str | None = None) -> None:
        """Remove the machines that dead processes of ours left behind, or all that this process has for a run."""
        ...

    def answers(self) -> bool:
        """Whether it is there now; raises nothing."""
        ...
