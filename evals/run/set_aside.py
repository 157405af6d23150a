"""What becomes of an attempt's directory that is not, or no longer, to be counted: renamed, and made again.

Nothing is deleted or overwritten, except for a grade without a verdict. Not here: when that is (`queue`, `spoiled`,
`same_server`, `tool_calls`, `--retry-unjudged`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.record import AttemptKey, Party, Record, grade_of, kept

AGAIN = (Party.SERVER, Party.SANDBOX)
"""Who may do better another time."""


def set_aside(directory: Path, why: str) -> None:
    """Rename an attempt's directory that has no verdict of its own; nothing is deleted or overwritten."""
    if not directory.exists():
        return
    number = 1
    while (target := directory.with_name(f"{directory.name}.{why}-{number}")).exists():
        number += 1
    directory.rename(target)


def forget_unjudged(run: Path, keys: Sequence[AttemptKey]) -> int:
    """Make the next run try again what server or sandbox spoiled; returns how many."""
    return sum(forget(directory) or forget_grade(directory) for directory in (k.directory(run) for k in keys))


def seen_through(directory: Path) -> bool:
    """Whether a recorded attempt was made: nothing outside ended it."""
    return kept(Record, directory / "record.json").failure is None


def forget(directory: Path) -> bool:
    """Set an attempt aside that was spoiled, so that it is made again; False where it was seen through."""
    if not (directory / "record.json").exists() or seen_through(directory):
        return False
    set_aside(directory, "unjudged")
    return True


def forget_grade(directory: Path) -> bool:
    """Drop a grade without a verdict that is not the task's doing, so that the attempt is graded again."""
    grade = grade_of(directory)
    if grade is None or grade.party not in AGAIN:
        return False
    (directory / "grade.json").unlink()
    return True
