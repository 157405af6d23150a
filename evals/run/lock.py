"""One process at a time on one run directory, a session that ends for all who work for it, and what Ctrl-C does."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.disk import lock_file
from tasks.errors import UserError

STOPPED = 130
SESSION = ".session-"
STOPPING = (signal.SIGINT, signal.SIGTERM)


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
        earlier.unlink()
    file = run / f"{SESSION}{secrets.token_hex(8)}"
    file.touch()
    return file


class Stop:
    """What Ctrl-C asks of test runs that belong to no run of attempts."""

    def __init__(self, label: str = "") -> None:
        self.label = label
        """Of their containers, as `Backend.reap` has it."""
        self.asked = threading.Event()
        """Begin nothing more."""
        self.abandoned = threading.Event()
        """Believe and write nothing more."""


@contextmanager
def interruptible(*, gently: Callable[[], None], at_once: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) once calls `gently`, a second time calls `at_once` and ends the process; a third ends it as it is.

    The signal itself wakes a thread, which does that: nothing the main thread is in the middle of (a call of C, a lock, half
    a line) can swallow it, or be entered twice.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    listener = threading.Thread(target=_listen, args=(reading, gently, at_once), name="signals", daemon=True)
    listener.start()
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in STOPPING}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
        signal.set_wakeup_fd(woken)
        os.close(writing)
        listener.join()
        os.close(reading)


def _listen(reading: int, gently: Callable[[], None], at_once: Callable[[], None]) -> None:
    """Each byte is the number of a signal; the end is that of `interruptible`."""
    first = threading.Thread(target=_quietly, args=(gently,), daemon=True)
    second = threading.Thread(target=_end, args=(at_once, first), daemon=True)
    ahead = [second, first]
    while byte := os.read(reading, 1):
        if byte[0] not in STOPPING:
            continue
        if not ahead:
            os._exit(STOPPED)
        ahead.pop().start()
    if first not in ahead:
        first.join()
    if second not in ahead:
        second.join()  # it ends the process; what its caller makes of abandoned work is nobody's to see


def _quietly(act: Callable[[], None]) -> None:
    with suppress(OSError):  # nobody reads what it says
        act()


def _end(at_once: Callable[[], None], first: threading.Thread) -> None:
    first.join(1.0)
    try:
        at_once()
    finally:
        os._exit(STOPPED)
