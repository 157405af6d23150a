"""What the tests of a task need: a v5 row, the official eval script, the image. Looked up once a task."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from evals.grade.official import DEFAULT, DERIVES, V5_COLUMNS, BadRow, OfficialGrader
from evals.record import Party
from tasks.backend import Backend, Progress
from tasks.errors import TaskError
from tasks.sandbox import SandboxError
from tasks.task import Task

T = TypeVar("T")


class NotJudged(Exception):  # noqa: N818 - an outcome
    """There is no verdict, and it is not the agent's doing."""

    def __init__(self, party: Party, reason: str) -> None:
        super().__init__(reason)
        self.party = party


class TestSpec(NamedTuple):
    """How a task is tested, wherever its image is."""

    row: dict[str, Any]
    """With all columns of a v5 row."""
    script: str
    """The eval script of swebench 5.0.2, which records the exit code; older versions judge the same log."""


class TestSpecs:
    """Test specs and image ids by task. Threads may share it."""

    def __init__(self, graders: dict[str, OfficialGrader], backend: Backend, progress: Progress) -> None:
        """`graders` holds at least `DEFAULT` and `DERIVES`; the latter is started for v4 rows only."""
        self._graders, self._backend, self._progress = graders, backend, progress
        self._specs: dict[str, TestSpec] = {}
        self._images: dict[str, str] = {}
        self._lock = threading.Lock()

    def of(self, task: Task) -> TestSpec:
        """Raises `NotJudged` for a row that swebench cannot use."""
        with self._lock:
            if task.content_hash not in self._specs:
                self._specs[task.content_hash] = self._make(task)
            return self._specs[task.content_hash]

    def image(self, task: Task) -> str:
        """Id of the task's image, pulled or built where it must be. Raises `NotJudged`, or `MachineError`: no Docker."""
        with self._lock:
            if task.image.reference not in self._images:
                self._images[task.image.reference] = self._resolve(task)
            return self._images[task.image.reference]

    def _make(self, task: Task) -> TestSpec:
        row = task.checks.row
        try:
            if not all(row.get(column) for column in V5_COLUMNS):
                row = self._graders[DERIVES].derive_v5(row)
            return TestSpec(row, self._graders[DEFAULT].script(row))
        except (BadRow, TaskError) as error:
            raise NotJudged(Party.TASK, f"the task's row is unusable: {error}") from error

    def _resolve(self, task: Task) -> str:
        try:
            return self._backend.image(task.image, self._progress)
        except (TaskError, SandboxError) as error:
            raise NotJudged(Party.SANDBOX, f"no image {task.image.reference}: {error}") from error


def on_a_machine_that_holds(run: Callable[[], T]) -> T:
    """What `run` returns. A machine that breaks gets a second chance, whatever the tests did; then `NotJudged`."""
    try:
        try:
            return run()
        except SandboxError:
            return run()
    except (SandboxError, TaskError) as error:
        raise NotJudged(Party.SANDBOX, str(error)) from error
