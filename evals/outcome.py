"""What grading says of an attempt. Derived from the record: delete `grade.json` and grade again."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from evals.record import Party
from tasks.task import Frozen


class Outcome(StrEnum):
    """The verdict on one attempt."""

    RESOLVED = "resolved"
    """Every FAIL_TO_PASS and PASS_TO_PASS test passed."""
    UNRESOLVED = "unresolved"
    """The patch was tested and at least one graded test did not pass, or the patch did not apply."""
    NO_PATCH = "no_patch"
    """Nothing was changed: in the denominator, not worth a test run."""
    VIOLATION = "violation"
    """It looked like a pass, and a negative control shows that the pass means nothing."""
    NOT_JUDGED = "not_judged"
    """No verdict; `party` says whose doing. Widens the bounds of the score."""


class Column(Frozen):
    """One grader's opinion."""

    outcome: Outcome
    reason: str = ""
    """One line; quotes nothing from inside the sandbox."""
    tests: dict[str, str] = Field(default_factory=dict)
    """Graded test id → `passed`, `failed`, `skipped`, `missing`, …"""


class Grade(Frozen):
    """Both columns for one attempt. `outcome` is the conservative one: RESOLVED only if both say so."""

    outcome: Outcome
    party: Party | None = None
    official: Column
    strict: Column | None = None
    grader: str
    """`swebench==5.0.2`, …"""
    key: str
    """Content key: task, image, patch, grader, limits. Equal keys, equal grades."""
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0
    test_seconds: float = 0.0
    """The bare test run's share of `seconds`."""


class Decision(StrEnum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    """The difference lies inside the margin."""
    NOT_REPRODUCED = "not reproduced under this protocol"
    """The difference lies outside the margin."""
    UNDECIDED = "undecided"
    """The interval crosses the margin."""
