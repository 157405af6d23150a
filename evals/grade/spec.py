"""What swebench needs of a task: a v5 row and the official eval script. Looked up once a task."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from evals.grade.judge import NotJudged
from evals.grade.official import DEFAULT, DERIVES, V5_COLUMNS, BadRow, OfficialGrader
from evals.record import Party
from tasks.errors import TaskError
from tasks.task import Task


class TestSpec(NamedTuple):
    """How a task is tested, wherever its image is."""

    row: dict[str, Any]
    """With all columns of a v5 row."""
    script: str
    """The eval script of swebench 5.0.2, which records the exit code; older versions judge the same log."""


class TestSpecs:
    """Test specs by task. Threads may share it."""

    def __init__(self, graders: dict[str, OfficialGrader]) -> None:
        """`graders` holds at least `DEFAULT` and `DERIVES`; the latter is started for v4 rows only."""
        self._graders = graders
        self._specs: dict[str, TestSpec] = {}
        self._lock = threading.Lock()

    def of(self, task: Task) -> TestSpec:
        """Raises `NotJudged` for a row that swebench cannot use."""
        with self._lock:
            if task.content_hash not in self._specs:
                self._specs[task.content_hash] = self._make(task)
            return self._specs[task.content_hash]

    def _make(self, task: Task) -> TestSpec:
        row = task.patch_checks.row
        try:
            if not all(row.get(column) for column in V5_COLUMNS):
                row = self._graders[DERIVES].derive_v5(row)
            return TestSpec(row, self._graders[DEFAULT].script(row))
        except (BadRow, TaskError) as error:
            raise NotJudged(Party.TASK, f"the task's row is unusable: {error}") from error
