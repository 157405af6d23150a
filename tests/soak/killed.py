"""What may happen to a run: kill -9 at any moment or write, a disk that is full from some write on; each is resumed."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import DiskFullError, UserError
from tests.soak.small import report, run_once

TRACEBACK = 70
"""Exit code of a run one of whose threads died of an exception that nobody caught."""
WRITES = {"os.rename", "os.mkdir", "os.remove"}


def child(directory: Path, url: str, at: int | None, action: str) -> None:
    """A process that works on a run and meets its fate at its `at`-th write below the directory."""
    counts = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if at is None or not is_write(event, arguments, str(directory)) or next(counts) < at:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if event != "os.remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)
    threading.excepthook = lambda _args: os._exit(TRACEBACK)
    try:
        run_once(directory, url, workers=2)
    except (DiskFullError, UserError, OSError) as stopped:
        sys.exit(f"{type(stopped).__name__}: {stopped}")


def is_write(event: str, arguments: tuple[Any, ...], below: str) -> bool:
    """What Python is about to do to the disk; `open` has the flags that the kernel gets."""
    if not arguments or not str(arguments[0]).startswith(below):
        return False
    return event in WRITES or (
        event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    )


def start(directory: Path, url: str, at: int | None = None, action: str = "kill") -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=child, args=(directory, url, at, action))
    process.start()
    return process


def struck_at(directory: Path, url: str, at: int, action: str) -> tuple[str, bool]:
    """The report after one fault at a write and a resume; and whether there were that many writes at all."""
    process = start(directory, url, at, action)
    process.join()
    struck = process.exitcode != 0
    assert process.exitcode != TRACEBACK, (at, action)
    again = start(directory, url)
    again.join()
    assert again.exitcode == 0, (at, action, again.exitcode)
    return report(directory), struck


def seconds_of(directory: Path, url: str) -> float:
    """How long a whole run takes here."""
    began = time.monotonic()
    process = start(directory, url)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - began


def killed_after(directory: Path, url: str, seconds: float) -> tuple[str, bool]:
    """The report after a kill -9 at some moment and a resume; and whether the run was still under way."""
    process = start(directory, url)
    process.join(seconds)
    under_way = process.is_alive()
    process.kill()
    process.join()
    again = start(directory, url)
    again.join()
    assert again.exitcode == 0, (seconds, again.exitcode)
    return report(directory), under_way


def on_a_disk_of(pages: int, place: Path, url: str) -> tuple[str, bool]:
    """The report of a run whose disk was full after so many pages, and was made larger for the resume; and whether it was full.

    The kernel says so here, at any write to any file, also to one that has been open for long. Needs root.
    """
    with disk(place, f"{4 * pages}k"):
        process = start(place / "run", url)
        process.join()
        assert process.exitcode != TRACEBACK, pages
        resize(place, "64m")
        again = start(place / "run", url)
        again.join()
        assert again.exitcode == 0, (pages, again.exitcode)
        return report(place / "run"), process.exitcode != 0


@contextmanager
def disk(place: Path, size: str) -> Iterator[None]:
    """In memory, mounted there. Raises `PermissionError` for who may not."""
    place.mkdir(parents=True)
    if os.geteuid() != 0:
        raise PermissionError("only root may mount a disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "soak", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def resize(place: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
