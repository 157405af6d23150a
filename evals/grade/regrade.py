"""Grading the records of a run directory, whoever wrote them: the manifest and the records are all it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from evals.grade.grader import Grader
from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Party, Record, grade_of
from evals.run import manifest as manifests
from evals.run.ledger import Ledger
from evals.run.lock import Stop, run_lock
from evals.run.pins import known_images, pinned
from evals.run.plan_tasks import load_tasks
from tasks.disk import write_json
from tasks.task import Task

DAMAGED = "record.json is damaged: restore it, or remove it to have its attempt made again"


class Graded(NamedTuple):
    """One attempt and its new grade."""

    key: AttemptKey
    grade: Grade

    def as_json(self) -> dict[str, Any]:
        """What `asclaimed grade --json` prints for an attempt."""
        grade = self.grade
        return {
            "case": f"{self.key.scaffold}/{self.key.task_id}/{self.key.attempt}",
            "resolved": grade.outcome is Outcome.RESOLVED,
            "outcome": str(grade.outcome),
            "grader": grade.grader,
            "official": str(grade.official.outcome),
            "strict": str(grade.strict.outcome) if grade.strict else None,
            "reason": _reason(grade),
            "party": grade.party,
            "evidence": grade.evidence,
            "seconds": grade.seconds,
        }


def _reason(grade: Grade) -> str:
    """The strict grader's words where it took a pass away, else the official's."""
    strict = grade.strict
    differs = strict is not None and strict.outcome is not grade.official.outcome
    return strict.reason if strict and (differs or not grade.official.reason) else grade.official.reason


def to_grade(run: Path, *, again: bool) -> tuple[list[AttemptKey], dict[str, Task]]:
    """Every record without a verdict, or every record, in the order of the run; and the tasks by id. Raises `UserError`.

    A damaged record is among them whatever its grade says: what it was made from is gone, and somebody has to know.
    """
    manifest = manifests.load(run)
    keys = [key for key in manifest.frozen_keys() if (key.directory(run) / "record.json").exists()]
    if not again:
        keys = [key for key in keys if not _is_done(key.directory(run))]
    return keys, {task.id: task for task in pinned(load_tasks(manifest.plan), known_images(run, manifest))}


def unjudged_before(run: Path, graded: Collection[AttemptKey]) -> int:
    """Attempts that an earlier grading left without a verdict, and that were none of these."""
    keys = [key for key in manifests.load(run).frozen_keys() if key not in graded]
    grades = (grade_of(key.directory(run)) for key in keys)
    return sum(grade is not None and grade.outcome is Outcome.NOT_JUDGED for grade in grades)


def grade_run(
    run: Path,
    grader: Grader,
    keys: Sequence[AttemptKey],
    tasks: Mapping[str, Task],
    *,
    workers: int,
    stop: Stop | None = None,
) -> Iterator[Graded]:
    """Grade these records, and write the grades down; none that is not begun when `stop` is asked for. Raises `UserError`."""

    def unless_stopping(key: AttemptKey) -> Graded | None:
        return None if stop and stop.asked.is_set() else _grade_one(run, key, tasks.get(key.task_id), grader)

    with run_lock(run):
        ledger = Ledger(run / "ledger.jsonl")
        try:
            with ThreadPoolExecutor(max(1, workers)) as pool:
                for graded in filter(None, pool.map(unless_stopping, keys)):
                    ledger.append(
                        "attempt-graded",
                        outcome=graded.grade.outcome,
                        grade_key=graded.grade.key,
                        **graded.key.model_dump(),
                    )
                    yield graded
        finally:
            ledger.close()


def _is_done(attempt: Path) -> bool:
    """Whether it has a verdict. A machine that broke is asked again; what a task or a server spoiled stays."""
    grade = grade_of(attempt)
    return grade is not None and grade.party is not Party.SANDBOX and _record(attempt) is not None


def _record(attempt: Path) -> Record | None:
    """None for a damaged one."""
    try:
        return Record.model_validate_json((attempt / "record.json").read_bytes())
    except (OSError, ValidationError):
        return None


def _grade_one(run: Path, key: AttemptKey, task: Task | None, grader: Grader) -> Graded:
    directory = key.directory(run)
    record = _record(directory)
    if record is None:
        return Graded(key, _unreadable(grader, Party.SANDBOX, DAMAGED))
    if task is None:
        return Graded(key, _unreadable(grader, Party.TASK, "its task list does not hold this task any more"))
    grade = grader.grade(task, record, directory)
    write_json(directory / "grade.json", grade)
    return Graded(key, grade)


def _unreadable(grader: Grader, party: Party, reason: str) -> Grade:
    column = GraderVerdict(outcome=Outcome.NOT_JUDGED, reason=reason)
    return Grade(outcome=Outcome.NOT_JUDGED, party=party, official=column, grader=grader.name, key="")
