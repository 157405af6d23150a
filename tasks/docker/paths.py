"""Paths that a sandbox is asked for, and what the supervisor says of the files there."""

from __future__ import annotations

import errno

from tasks.docker.stream import Result


def checked(path: str) -> str:
    if "\0" in path:
        raise OSError("a path cannot contain a NUL byte")
    return path


def check_file_result(result: Result, path: str) -> None:
    if result.code == errno.EISDIR:
        raise IsADirectoryError(f"is a directory: {path}")
    if result.code:
        raise OSError(f"{path}: {result.problem}")
