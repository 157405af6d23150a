"""One process at a time on one run directory, and a way to stop it: once gently, twice at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tasks.disk import lock_file
from tasks.errors import UserError

STOPPED = 130


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold the directory. The kernel lets go when the process dies, however it dies."""
    run.mkdir(parents=True, exist_ok=True)
    file = run / ".lock"

    def refuse() -> None:
        owner = file.read_text(errors="replace").strip()[:20] or "unknown"
        raise UserError(
            f"another asclaimed (process {owner}) works on {run}: wait for it, or use another directory"
        )

    with lock_file(file, refuse):
        file.write_text(str(os.getpid()))
        yield


@contextmanager
def interruptible(*, gently: Callable[[], None], at_once: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) once calls `gently`, a second time calls `at_once` and ends the process."""
    seen = 0

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            gently()
            return
        at_once()
        os._exit(STOPPED)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
