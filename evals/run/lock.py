"""One process at a time on one run directory, a session that ends for all who work for it, and what Ctrl-C does."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tasks.disk import lock_file
from tasks.errors import UserError

STOPPED = 130
SESSION = ".session-"


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


def begin_session(run: Path) -> Path:
    """A file that exists for as long as attempts of this session may be recorded, wherever they are made.

    Removing it needs no room on the disk, and every process that sees the directory sees it. The caller holds
    `run_lock`: earlier sessions are over, and what one that was killed left at work elsewhere records nothing any more.
    """
    run.mkdir(parents=True, exist_ok=True)
    for earlier in run.glob(f"{SESSION}*"):
        earlier.unlink(missing_ok=True)
    file = run / f"{SESSION}{secrets.token_hex(8)}"
    file.touch()
    return file


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
