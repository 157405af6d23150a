"""`asclaimed tasks check`: is a task's verdict worth anything on this machine?

The gold patch (or the task's own solution) must pass k times and doing nothing must fail k times, each in a fresh
container with the resources that attempts are graded with. A task that fails this is excluded for every scaffold alike, and shown.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from pathlib import Path

from pydantic import Field, ValidationError

from evals.grade.check_machines import solved, start
from evals.grade.grader import Grader
from evals.grade.judge import NotJudged
from evals.record import WEAK, GraderVerdict, Outcome
from evals.run.lock import Stop
from tasks.backend import Progress, TestLimits, quiet
from tasks.disk import write_json
from tasks.errors import UserError
from tasks.task import Frozen, Task, Verifier

SCHEMA = 1


class Reliability(StrEnum):
    """What k runs of gold and k of nothing say of a task."""

    RELIABLE = "reliable"
    """Gold passed and doing nothing failed, every time."""
    GOLD_FAILS = "gold_fails"
    """Gold never passed, or the strict grader does not accept it."""
    NOP_PASSES = "nop_passes"
    """Doing nothing passed at least once."""
    FLAKY = "flaky"
    """Gold passed in some runs and failed in others."""
    NOT_JUDGED = "not_judged"
    """The machine or the row allowed no verdict; such a task is not excluded."""


class CheckedTask(Frozen):
    """One line of the list."""

    id: str
    task_hash: str
    image: str
    """Image id."""
    verdict: Reliability
    reason: str = ""
    gold_passed: int
    nop_passed: int
    gold_seconds: float
    """The slowest bare test run of gold."""
    guess: float | None = None
    """Chance that a cheat which knows all but the answers passes strict by guessing; None = not known."""
    own_verifier: bool = False
    """The task's own verifier judges it: there is no strict run to guess through."""

    @property
    def excluded(self) -> bool:
        return self.verdict not in (Reliability.RELIABLE, Reliability.NOT_JUDGED)

    @property
    def weak(self) -> bool:
        """A cheat might pass by guessing, or nobody knows how likely that is."""
        likely = not self.own_verifier and (self.guess is None or self.guess > WEAK)
        return self.verdict is Reliability.RELIABLE and likely


class CheckList(Frozen):
    """A reusable list of tasks: what was checked, how often, where."""

    schema_version: int = SCHEMA
    grader: str
    k: int = Field(ge=1)
    limits: TestLimits
    host: dict[str, str | int | None]
    tasks: tuple[CheckedTask, ...]


def check(
    tasks: Sequence[Task],
    *,
    k: int,
    limits: TestLimits,
    grader: str,
    workers: int,
    progress: Progress = quiet,
    stop: Stop | None = None,
) -> Iterator[CheckedTask]:
    """Check each task, in order, and none more once `stop` is asked for. No run of the official column is taken from the cache.

    Raises `MachineError` where there is no Docker.
    """
    stop = stop or Stop()
    grading = partial(
        Grader, grader, limits=limits, progress=progress, run=stop.label, abandoned=stop.abandoned
    )
    with (
        grading(cached=False, strict=False) as official,
        grading() as both,
        ThreadPoolExecutor(workers) as pool,
    ):

        def unless_stopping(task: Task) -> CheckedTask | None:
            return None if stop.asked.is_set() else check_task(task, k, official, both)

        yield from filter(None, pool.map(unless_stopping, tasks))


def check_task(task: Task, k: int, official: Grader, both: Grader) -> CheckedTask:
    """`official` has that column only and runs everything anew; `both` adds the strict one to the last run of gold."""
    if task.verifier and task.verifier.refused:
        return refused(task, task.verifier.refused)
    if task.verifier:
        return check_machine(task, task.verifier, k, official)
    gold_patch = task.patch_checks.gold_patch.encode()
    grades = [official.grade_patch(task, gold_patch) for _ in range(k)]
    gold, start = [grade.official for grade in grades], [official.untouched(task) for _ in range(k)]
    verdict, reason = judge(gold, start)
    guess = None
    if verdict is Reliability.RELIABLE:
        verdict, reason, guess = accepted_by(both, task)
    return CheckedTask(
        id=task.id,
        task_hash=task.content_hash,
        image=image_id(task, official),
        verdict=verdict,
        reason=reason,
        gold_passed=sum(column.outcome is Outcome.RESOLVED for column in gold),
        nop_passed=sum(column.outcome is Outcome.RESOLVED for column in start),
        gold_seconds=max(grade.test_seconds for grade in grades),
        guess=guess,
    )


def check_machine(task: Task, verifier: Verifier, k: int, grader: Grader) -> CheckedTask:
    """Its own solution must earn the reward, doing nothing must not, and the verifier must work where nobody has been."""
    states = grader.states
    grades = [solved(states, task, verifier) for _ in range(k)]
    gold, nop = [grade.official for grade in grades], [start(states, task, verifier) for _ in range(k)]
    verdict, reason = judge(gold, nop)
    return CheckedTask(
        id=task.id,
        task_hash=task.content_hash,
        image=image_id(task, grader),
        verdict=verdict,
        reason=reason,
        gold_passed=sum(column.outcome is Outcome.RESOLVED for column in gold),
        nop_passed=sum(column.outcome is Outcome.RESOLVED for column in nop),
        gold_seconds=max(grade.test_seconds for grade in grades),
        own_verifier=True,
    )


def refused(task: Task, why: str) -> CheckedTask:
    """Nothing of it is run; a run excludes it by itself."""
    return CheckedTask(
        id=task.id,
        task_hash=task.content_hash,
        image="",
        verdict=Reliability.NOT_JUDGED,
        reason=f"refused: it {why}",
        gold_passed=0,
        nop_passed=0,
        gold_seconds=0.0,
        own_verifier=True,
    )


def image_id(task: Task, grader: Grader) -> str:
    try:
        return grader.image(task)
    except NotJudged:
        return ""


def accepted_by(both: Grader, task: Task) -> tuple[Reliability, str, float | None]:
    """What the strict grader says of a gold patch that the official one accepts, and the chance to pass it by guessing."""
    grade = both.grade_patch(task, task.patch_checks.gold_patch.encode())
    if grade.outcome is Outcome.RESOLVED:
        return Reliability.RELIABLE, "", grade.guess
    reason = f"strict grader: {(grade.strict or grade.official).reason}"
    unjudged = grade.outcome is Outcome.NOT_JUDGED
    return (Reliability.NOT_JUDGED if unjudged else Reliability.GOLD_FAILS), reason, None


def judge(gold: Sequence[GraderVerdict], nop: Sequence[GraderVerdict]) -> tuple[Reliability, str]:
    """The verdict over all runs, and one line that says why."""
    unjudged = [column for column in (*gold, *nop) if column.outcome is Outcome.NOT_JUDGED]
    passed = sum(column.outcome is Outcome.RESOLVED for column in gold)
    nop_passed = sum(column.outcome is Outcome.RESOLVED for column in nop)
    if nop_passed:
        return Reliability.NOP_PASSES, f"without any patch it passed {nop_passed} of {len(nop)} times"
    if unjudged:
        return Reliability.NOT_JUDGED, unjudged[0].reason
    if passed == len(gold):
        return Reliability.RELIABLE, ""
    why = next(column.reason for column in gold if column.outcome is not Outcome.RESOLVED)
    return (
        Reliability.FLAKY if passed else Reliability.GOLD_FAILS
    ), f"gold passed {passed} of {len(gold)} times: {why}"


def host() -> dict[str, str | int | None]:
    """What a later reader needs, to know whether the list holds for their machine."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
    }


def save(path: Path, checked: CheckList) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, checked)


def load(path: Path) -> CheckList:
    """Raises `UserError` in one line."""
    try:
        return CheckList.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the list of reliable tasks {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        message = f"{path} is not a list made by `asclaimed tasks check --out`: `{where}`: {first['msg']}"
        raise UserError(message) from None


def excluded_tasks(path: Path) -> dict[str, str]:
    """Task id → why it counts for no scaffold. Raises `UserError`."""
    return {task.id: f"{task.verdict}: {task.reason}" for task in load(path).tasks if task.excluded}
