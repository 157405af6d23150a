"""What the strict grader needs from whoever owns containers, and what it gives back.

Only types. The verdict itself is `evals.grade.strict.verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from evals.record import GraderVerdict


class RunRequest(NamedTuple):
    """One run in one fresh container of the task's image, without a network."""

    patch: bytes
    """The candidate's patch, applied the way the official grader applies it; b"" = leave the start state."""
    files: Mapping[str, bytes]
    """Absolute path → content, written after the patch: owned by root, mode 0444, parents made (0755)."""
    script: str
    """Bash text, run by `bash` in the working directory. Its status is read from the daemon (exec's ExitCode)."""
    collect: tuple[str, ...] = ()
    """Absolute paths to read back through the daemon (get_archive) after the script ended; no size above 64 MB."""


class RunResult(NamedTuple):
    """What the daemon says of one run. Nothing in here is read from the log."""

    applied: bool
    """False: the patch did not apply, and nothing was run."""
    exit_code: int | None
    """None when the script timed out or its container died."""
    timed_out: bool
    log: bytes
    collected: Mapping[str, bytes]
    """Absolute path → content; a path that is absent, too large or no regular file is left out."""
    seconds: float
    """Wall time of the script alone."""
    startup_seconds: float = 0.0
    """Wall time of everything else: container, patch, delivery, reading back."""
    applied_by: str = ""
    """The command that applied the patch; "none" when there was nothing to apply."""
    log_bytes: int = 0
    """What the script wrote, whether or not it is in `log`."""


class RunTests(Protocol):
    """Runs one request in a fresh container; called from several threads at once."""

    def __call__(self, request: RunRequest, /) -> RunResult:
        """Raises `SandboxError` when the machine broke, and nothing for what the tested code did."""
        ...


class StrictVerdict(NamedTuple):
    """The strict column, why, and what it cost."""

    column: GraderVerdict
    evidence: tuple[str, ...]
    """Facts for a reader, one line each; they quote nothing from inside the sandbox but graded test ids."""
    seconds: float
    """Wall time of the test scripts: the strict run and, on a would-be pass, its two controls (side by side)."""
    startup_seconds: float
    """Wall time of their containers beside the scripts."""
