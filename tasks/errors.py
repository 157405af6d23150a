"""Errors that end a command with one line and an exit code. Light on purpose: the command line imports it first."""

from __future__ import annotations

import errno
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the person at the keyboard.

    The message is one line that says what to do; the command prints it and exits with `exit_code`.
    """

    exit_code = 2


class MachineError(UserError):
    """The machine lacks a piece (Docker, disk, network) that asclaimed cannot provide itself."""

    exit_code = 3


class DiskFullError(MachineError):
    """No room is left, on our own disk or where the daemon keeps its images: nothing that goes on could be kept."""

    def __init__(self, where: str = "the disk") -> None:
        super().__init__(where)

    def __str__(self) -> str:
        return f"{self.args[0]} is full: free some space and run the same command again to resume"


def known(error: Exception) -> Exception:
    """The error, or, for the kernel's word that no room is left, ours that says what to do."""
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return DiskFullError() if is_full else error


class TaskError(UserError):
    """A task, row or file that cannot be used."""


class GoldError(TaskError):
    """The task's own fix does not fit its own image: nobody can solve it here."""


class ServiceError(TaskError):
    """A service of the task's own does not come up beside its machine."""


OF_THE_TASK = (GoldError, ServiceError)
"""What is the task's doing, and nobody else's."""


def near(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` for the known name that is most like `name`, or nothing."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
