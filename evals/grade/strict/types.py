"""What the strict grader gives back. Only types; the verdict itself is `evals.grade.strict.verdict`."""

from __future__ import annotations

from typing import NamedTuple

from evals.record import GraderVerdict


class StrictVerdict(NamedTuple):
    """The strict column, why, and what it cost."""

    column: GraderVerdict
    evidence: tuple[str, ...]
    """Facts for a reader, one line each; they quote nothing from inside the sandbox but graded test ids."""
    seconds: float
    """Wall time of the test scripts: the judged run and, on a would-be pass, its controls, if there are any."""
    startup_seconds: float
    """Wall time of their containers beside the scripts."""
    available: bool = True
    """False: there can be no strict verdict; the column repeats the official one and says why."""
    guess: float | None = None
    """Chance that a cheat which knows all but the answers gets through by guessing; None where that is not known."""
