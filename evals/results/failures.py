"""What became of the attempts that were not solved: one class each, from the grade and the reason to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from enum import StrEnum

from evals.record import Outcome
from evals.results.table import Results, Row
from scaffolds.base import Stop


class Failure(StrEnum):
    """What became of an attempt that did not count as solved; the first that applies."""

    NOT_JUDGED = "not judged"
    VIOLATION = "violation"
    FORMAT = "format errors"
    CONTEXT = "context overflow"
    TURN_CAP = "turn cap"
    BUDGET = "token or time limit"
    SANDBOX = "broke its sandbox"
    PROGRAM = "the agent program failed"
    NO_PATCH = "no patch"
    WRONG_PATCH = "wrong patch"
    UNKNOWN = "unknown"
    """An imported result that says "not resolved" and not why."""


STOPPED = {
    Stop.MALFORMED: Failure.FORMAT,
    Stop.NO_TOOL_CALL: Failure.FORMAT,
    Stop.CONTEXT_OVERFLOW: Failure.CONTEXT,
    Stop.STEP_LIMIT: Failure.TURN_CAP,
    Stop.TOKEN_LIMIT: Failure.BUDGET,
    Stop.TIME_LIMIT: Failure.BUDGET,
    Stop.SANDBOX_BROKEN: Failure.SANDBOX,
    Stop.PROGRAM_FAILED: Failure.PROGRAM,
}


def solved(row: Row) -> bool:
    return row.outcome is Outcome.RESOLVED


def failure(row: Row) -> Failure:
    """The class of an attempt that was not solved."""
    if row.outcome is Outcome.NOT_JUDGED:
        return Failure.NOT_JUDGED
    if row.outcome is Outcome.VIOLATION:
        return Failure.VIOLATION
    if row.stop in set(STOPPED):
        return STOPPED[Stop(row.stop)]
    if row.outcome is Outcome.NO_PATCH:
        return Failure.NO_PATCH
    return Failure.WRONG_PATCH if row.stop else Failure.UNKNOWN


def failed_by(results: Results, tasks: Container[str]) -> dict[str, int]:
    """Failure classes of the attempts at `tasks` that were not solved, most frequent first."""
    lost = (failure(row).value for row in results.rows if row.task in tasks and not solved(row))
    return dict(Counter(lost).most_common())
