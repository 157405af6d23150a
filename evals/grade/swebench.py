"""SWE-bench's judge: the official eval script, and what a named swebench version says of the log that it leaves.

For every benchmark whose tasks have SWE-bench's columns. Not here: swebench itself (`official`), single logs (`logs`).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from evals.grade.judge import Judgement, NotJudged
from evals.grade.logs import LogGrade, describe, grade_log
from evals.grade.official import DEFAULT, DERIVES, OfficialGrader
from evals.grade.spec import TestSpecs
from evals.grade.store import LOG, KeptRun
from evals.record import GraderVerdict, Outcome
from tasks.backend import RunRequest, TestLimits
from tasks.task import Task


class SwebenchJudge:
    """Implements `Judge` with one swebench version. Threads may share it; close it."""

    def __init__(self, name: str, limits: TestLimits) -> None:
        """`name`: `swebench==VERSION`. `limits`: those of the runs that it will see. Raises `UserError`."""
        self._graders = {n: OfficialGrader(n) for n in (name, DEFAULT, DERIVES)}
        self._specs = TestSpecs(self._graders)
        self._limits = limits
        self.name = name

    def request(self, task: Task, patch: bytes) -> RunRequest:
        return RunRequest(patch, {}, self._specs.of(task).script)

    def judge(self, task: Task, run: KeptRun) -> Judgement:
        """swebench makes no log, or calls it an error, of a run that was ended: not resolved, in its denominator."""
        if why := self._why_ended(run):
            return Judgement(GraderVerdict(outcome=Outcome.UNRESOLVED, reason=why))
        row = self._specs.of(task).row
        with tempfile.TemporaryDirectory(prefix="asclaimed-") as scratch:
            log = Path(scratch) / LOG
            log.write_bytes(run.log)
            grade = self._grade(self.name, row, log)
            other = self._grade(DEFAULT, row, log) if self.name != DEFAULT else grade
        return Judgement(grade.column, self._evidence(grade, other))

    def close(self) -> None:
        for grader in self._graders.values():
            grader.close()

    def _why_ended(self, run: KeptRun) -> str:
        """Why there is no whole log; "" when there is one."""
        if run.facts.ended:
            return f"the tests were stopped: {run.facts.ended}"
        if run.facts.timed_out:
            return f"the tests did not end within {self._limits.seconds:g} s"
        if run.cut:
            return f"the tests wrote {run.facts.log_bytes / 1e6:.0f} MB, more than is kept of a log"
        return ""

    def _grade(self, name: str, row: dict[str, Any], log: Path) -> LogGrade:
        """What one version says. Raises `NotJudged` where it cannot use the row."""
        grade = grade_log(self._graders[name], row, log)
        if grade.party is not None:
            raise NotJudged(grade.party, grade.column.reason)
        return grade

    def _evidence(self, grade: LogGrade, other: LogGrade) -> tuple[str, ...]:
        found = []
        if grade.infra:
            found.append(f"{self.name} guesses at an environment fault from the log: {grade.infra}")
        if other.column.outcome is not grade.column.outcome:
            found.append(f"{DEFAULT} differs: {describe(other)}")
        return tuple(found)
