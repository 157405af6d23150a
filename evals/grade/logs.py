"""Grading recorded test logs: no container, no patch application, only the official column.

Layout of a directory of cases: `rows.jsonl` (SWE-bench rows), `cases/<instance id>/<kind>/test_output.txt`, and
beside the log, where it was kept, `patch.diff`. One bad row or log never stops the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from evals.grade.official import (
    DERIVES,
    V5_COLUMNS,
    BadRow,
    GraderFailed,
    OfficialGrader,
    Stuck,
    Verdict,
)
from evals.record import GraderVerdict, Outcome, Party
from tasks.errors import TaskError, UserError

LOG, PATCH, ROWS = "test_output.txt", "patch.diff", "rows.jsonl"


class LogGrade(NamedTuple):
    """The official column of one log, and whose doing it is when there is no verdict."""

    column: GraderVerdict
    applied: bool
    party: Party | None = None
    infra: str = ""


class CaseGrade(NamedTuple):
    """One recorded case. `others`: what further graders say, by name."""

    case: str
    grader: str
    grade: LogGrade
    others: dict[str, LogGrade]

    def as_json(self) -> dict[str, Any]:
        """What `asclaimed grade --cases --json` prints of a log."""
        line: dict[str, Any] = {
            "case": self.case,
            "resolved": self.grade.column.outcome is Outcome.RESOLVED,
            "outcome": str(self.grade.column.outcome),
            "grader": self.grader,
            "applied": self.grade.applied,
            "reason": self.grade.column.reason,
            "party": self.grade.party,
        }
        if self.differing:
            line["differs"] = {name: describe(grade) for name, grade in self.differing.items()}
        return line

    @property
    def differing(self) -> dict[str, LogGrade]:
        """The other graders that reach another verdict on the same log."""
        return {
            name: grade
            for name, grade in self.others.items()
            if (grade.column.outcome, grade.applied) != (self.grade.column.outcome, self.grade.applied)
        }


def describe(grade: LogGrade) -> str:
    """Outcome and reason in one line."""
    applied = "" if grade.applied or grade.column.outcome is Outcome.NOT_JUDGED else ", results not accepted"
    return f"{grade.column.outcome}{applied}" + (f": {grade.column.reason}" if grade.column.reason else "")


def grade_log(grader: OfficialGrader, row: dict[str, Any], log: Path) -> LogGrade:
    """The official column of one log. Raises nothing for what a row or a log holds."""
    if not log.is_file():
        return not_judged(Party.SANDBOX, f"no test log: {log.name} is missing")
    try:
        verdict = grader.grade(row, log)
    except BadRow as error:
        return not_judged(Party.TASK, f"the row is unusable: {error}")
    except Stuck as error:
        return not_judged(Party.SANDBOX, f"the machine is too busy to grade: {error}")
    except GraderFailed as error:
        return LogGrade(
            GraderVerdict(outcome=Outcome.UNRESOLVED, reason=f"{grader.name} fails on this log: {error}"),
            False,
        )
    outcome = Outcome.RESOLVED if verdict.resolved else Outcome.UNRESOLVED
    column = GraderVerdict(outcome=outcome, reason=reason_of(verdict), tests=verdict.tests)
    return LogGrade(column, verdict.applied, None, verdict.infra)


def not_judged(party: Party, reason: str) -> LogGrade:
    return LogGrade(GraderVerdict(outcome=Outcome.NOT_JUDGED, reason=reason), False, party)


def reason_of(verdict: Verdict) -> str:
    """Why it is not resolved, in one line; "" when it is."""
    if verdict.resolved or verdict.reason:
        return verdict.reason
    wrong = [status for status in verdict.tests.values() if status != "passed"]
    kinds = ", ".join(f"{wrong.count(kind)} {kind}" for kind in sorted(set(wrong)))
    return f"{len(wrong)} of {len(verdict.tests)} graded tests did not pass ({kinds})"


def load_rows(path: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Rows by instance id, and one line for each row that is none. Raises `UserError` when the file is not there."""
    rows, bad = {}, []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; --cases wants a directory with {ROWS} and cases/"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows[str(row["instance_id"])] = row
        except (ValueError, TypeError, KeyError):
            bad.append(f"{path.name}:{number}")
    return rows, bad


def completed(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows of v4 with script and parser derived; those that cannot be are left as they are, for the grader to refuse.

    Raises `MachineError` when there are such rows and swebench 4.1.0 cannot be installed.
    """
    old = {name: row for name, row in rows.items() if not all(row.get(column) for column in V5_COLUMNS)}
    derived = {}
    if any("version" in row for row in old.values()):
        with OfficialGrader(DERIVES) as older:
            for name, row in old.items():
                with suppress(TaskError):
                    derived[name] = older.derive_v5(row)
    return rows | derived


def grade_cases(
    directory: Path, grader: OfficialGrader, others: tuple[OfficialGrader, ...] = ()
) -> Iterator[CaseGrade]:
    """Every case of a directory, in the order of its names; rows that are none come first, as cases of their own."""
    rows, bad = load_rows(directory / ROWS)
    rows = completed(rows)
    for line in bad:
        yield CaseGrade(
            line, grader.name, not_judged(Party.TASK, "not a SWE-bench row (JSON with instance_id)"), {}
        )
    graders = (grader, *others)
    with ThreadPoolExecutor(len(graders)) as pool:
        for case in sorted(path for path in (directory / "cases").glob("*/*") if path.is_dir()):
            first, *rest = pool.map(lambda g, case=case: _grade_case(case, rows, g), graders)
            name = f"{case.parent.name}/{case.name}"
            yield CaseGrade(
                name, grader.name, first, {g.name: grade for g, grade in zip(others, rest, strict=True)}
            )


def _grade_case(case: Path, rows: dict[str, dict[str, Any]], grader: OfficialGrader) -> LogGrade:
    row = rows.get(case.parent.name)
    if row is None:
        return not_judged(Party.TASK, f"{ROWS} has no usable row for {case.parent.name}")
    if (case / PATCH).is_file() and not (case / PATCH).read_bytes().strip():
        return LogGrade(GraderVerdict(outcome=Outcome.NO_PATCH, reason="the patch is empty"), False)
    return grade_log(grader, row, case / LOG)
