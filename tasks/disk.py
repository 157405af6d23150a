"""Files that are whole or absent, a cache directory that heals, and locks that hold between processes.

Everything in the cache may be deleted at any time when nothing runs; `asclaimed cache` lists and prunes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tasks.errors import MachineError

T = TypeVar("T")


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/asclaimed`, made when it is missing. Raises `MachineError` where it cannot be."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "asclaimed"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            f"cannot make the cache directory {directory} ({error.strerror}): set XDG_CACHE_HOME to one that you may write"
        ) from error
    return directory


@contextmanager
def exclusive(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One holder at a time over all threads and processes of this user; released by the kernel when we die.

    `on_wait` is called once when somebody else holds it.
    """
    with lock_file(cache_directory() / "locks" / hashlib.sha256(name.encode()).hexdigest()[:32], on_wait):
        yield


@contextmanager
def lock_file(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the kernel's lock on a file, which stays where it is afterwards; an `on_wait` that raises gives up."""
    from filelock import FileLock, Timeout  # not at import: `asclaimed --help` needs no lock

    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive us
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def load_cached(path: Path, parse: Callable[[bytes], T]) -> T | None:
    """What a cache file holds, None when there is none. One that `parse` refuses (`ValueError`) is removed: make it again."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        path.unlink(missing_ok=True)
        return None


def write_atomic(path: Path, data: bytes) -> None:
    """Write so that a reader, or a kill -9, sees the whole file or none. An `OSError` names the file, not its temporary one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_json(path: Path, value: Any) -> None:
    """`value` (JSON-able or a pydantic model) as indented JSON, atomically."""
    plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    write_atomic(path, (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())
