"""What the tests of a task need: a v5 row, the official eval script, the image. Looked up once a task."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, NamedTuple

from evals.grade.official import DEFAULT, DERIVES, V5_COLUMNS, BadRow, OfficialGrader
from evals.record import Party
from tasks.backend import Backend, Progress
from tasks.errors import TaskError
from tasks.task import Task


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
        self._image_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, task: Task) -> TestSpec:
        """Raises `NotJudged` for a row that swebench cannot use."""
        with self._lock:
            if task.content_hash not in self._specs:
                self._specs[task.content_hash] = self._make(task)
            return self._specs[task.content_hash]

    def image(self, task: Task) -> str:
        """Id of the task's image, pulled or built where it must be: several at once, each one once.

        Raises `TaskError` without one, `SandboxError` where it did not come now, `MachineError`: no Docker.
        """
        name = task.image.reference
        with self._lock:
            lock = self._image_locks[name]
        with lock:
            if name not in self._images:
                self._images[name] = self._backend.image(task.image, self._progress)
            return self._images[name]

    def _make(self, task: Task) -> TestSpec:
        row = task.checks.row
        try:
            if not all(row.get(column) for column in V5_COLUMNS):
                row = self._graders[DERIVES].derive_v5(row)
            return TestSpec(row, self._graders[DEFAULT].script(row))
        except (BadRow, TaskError) as error:
            raise NotJudged(Party.TASK, f"the task's row is unusable: {error}") from error
