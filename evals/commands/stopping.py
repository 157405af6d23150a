"""Ctrl-C while a run works, the same in every command that runs something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from evals.run.queue import Run


@contextmanager
def stoppable(run: Run, directory: Path, console: Console) -> Iterator[None]:
    """Once: what runs is finished and graded first. Twice: its containers are removed and the process ends, with no record made."""
    from evals.run.lock import interruptible

    def gently() -> None:
        run.stop()
        console.print(
            "stopping: what runs is finished and graded first; Ctrl-C again stops now", style="yellow"
        )

    def at_once() -> None:
        from tasks.docker.backend import DockerBackend

        run.abandon()
        DockerBackend().reap(directory.name)

    with interruptible(gently=gently, at_once=at_once):
        yield
