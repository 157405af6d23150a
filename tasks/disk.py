"""Files that are whole or absent, the user's cache directory, and locks that hold between processes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/asclaimed`, made when it is missing."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(home) / "asclaimed"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def exclusive(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One holder at a time over all threads and processes of this user; released by the kernel when we die.

    `on_wait` is called once when somebody else holds it.
    """
    directory = cache_directory() / "locks"
    directory.mkdir(exist_ok=True)
    with (directory / hashlib.sha256(name.encode()).hexdigest()[:32]).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_atomic(path: Path, data: bytes) -> None:
    """Write so that a reader, or a kill -9, sees the whole file or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    """`value` (JSON-able or a pydantic model) as indented JSON, atomically."""
    plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    write_atomic(path, (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())
