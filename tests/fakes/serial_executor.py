"""An executor without threads: one attempt after the other in the caller's, on each of its backends in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from evals.record import AttemptKey, Record
from evals.run.attempt import RunContext, run_attempt
from evals.run.executor import Make, Take
from scaffolds.base import Step
from tasks.backend import Backend, Prepared
from tasks.task import Task


class SerialExecutor:
    """Implements `evals.run.executor.Executor`."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends

    def execute(self, take: Take, make: Make, *, workers: int, watch: Callable[[], None]) -> None:
        for backend in cycle(self._backends):
            if (key := take()) is None:
                return
            make(key, backend)
            watch()

    def attempt(
        self,
        key: AttemptKey,
        task: Task,
        prepared: Prepared,
        context: RunContext,
        seen: Callable[[Step], None],
    ) -> Record:
        return run_attempt(key, task, prepared, context, seen)
