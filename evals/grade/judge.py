"""The seam between a finished test run and its official verdict. SWE-bench's judge is one (`swebench`).

A judge says what is to be run on a task's machine, and what came of it. Not here: the machine (`machine`), what is kept
of a run (`store`), a patch that does not apply (there is no run to judge then), the strict column (`strict`).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from evals.grade.store import KeptRun
from evals.record import GraderVerdict, Party
from tasks.backend import RunRequest
from tasks.task import Task


class NotJudged(Exception):  # noqa: N818 - an outcome
    """There is no verdict, and it is not the agent's doing."""

    def __init__(self, party: Party, reason: str) -> None:
        super().__init__(reason)
        self.party = party


class Judgement(NamedTuple):
    """The official column of one run."""

    column: GraderVerdict
    evidence: tuple[str, ...] = ()
    """Facts for a reader, none of which decided anything."""


class Judge(Protocol):
    """The official verdicts of a benchmark. Threads share one."""

    @property
    def name(self) -> str:
        """Names the judge and its version, in grades and their keys: `swebench==5.0.2`."""
        ...

    def request(self, task: Task, patch: bytes) -> RunRequest:
        """The test run that it judges. Raises `NotJudged` for a task that it cannot use."""
        ...

    def judge(self, task: Task, run: KeptRun) -> Judgement:
        """What it says of a run of `request`, whose patch was applied; maybe a kept run, which time or size ended.

        Raises `NotJudged` where nobody can say, and nothing for what the tested code wrote.
        """
        ...
