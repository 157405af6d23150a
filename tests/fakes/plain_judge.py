"""A judge without a benchmark behind it: one script, and the verdict that a test says."""

from __future__ import annotations

from collections.abc import Callable

from evals.grade.judge import Judgement
from evals.grade.store import KeptRun
from tasks.backend import RunRequest
from tasks.task import Task


class PlainJudge:
    """Implements `evals.grade.judge.Judge`."""

    name = "plain==1"
    script = "./verify"

    def __init__(self, verdict: Callable[[KeptRun], Judgement]) -> None:
        self._verdict = verdict

    def request(self, task: Task, patch: bytes) -> RunRequest:
        return RunRequest(patch, {"/verify/id": task.id.encode()}, self.script)

    def judge(self, task: Task, run: KeptRun) -> Judgement:
        return self._verdict(run)
