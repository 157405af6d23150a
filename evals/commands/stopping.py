"""Ctrl-C while something runs, the same in every command that runs something, and how to go on after it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evals.commands import interrupts

if TYPE_CHECKING:
    from rich.console import Console

    from evals.run.lock import Stop
    from evals.run.queue import Run

ONCE = "stopping: what runs is finished{graded} first; Ctrl-C again stops now"


@contextmanager
def stoppable(run: Run, directory: Path, console: Console) -> Iterator[None]:
    """Once: what runs is finished and graded first. Twice: its containers are removed and the process ends, with no record made."""
    from evals.run.lock import interruptible

    def gently() -> None:
        run.stop()
        console.print(ONCE.format(graded=" and graded"), style="yellow")

    with interruptible(gently=gently, at_once=lambda: _end(run.abandon, directory.name)):
        yield


@contextmanager
def stoppable_tests(label: str) -> Iterator[Stop]:
    """As `stoppable`: once, what runs is finished first; twice, its containers are removed and the process ends."""
    from evals.commands.output import complain
    from evals.run.lock import Stop, interruptible

    stop = Stop(label)

    def gently() -> None:
        stop.asked.set()
        complain(ONCE.format(graded=""))

    with interruptible(gently=gently, at_once=lambda: _end(stop.abandoned.set, label)):
        yield stop


def _end(abandon: Callable[[], None], label: str) -> None:
    from tasks.docker.backend import DockerBackend

    abandon()
    try:
        DockerBackend().reap(label)
    finally:
        interrupts.last_words()


def to_go_on(directory: Path) -> str:
    """The last line of a run that was stopped; "" before there is anything to go on with."""
    return f"to go on: {resuming(directory)}" if (directory / "manifest.json").exists() else ""


def resuming(directory: Path) -> str:
    """The command that goes on where this one stopped."""
    words = ["asclaimed", *sys.argv[1:]]
    named = any(word == "--out" or word.startswith("--out=") for word in words)
    return shlex.join(words if named else [*words, "--out", str(directory)])
