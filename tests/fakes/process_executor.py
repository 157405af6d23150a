"""An executor whose attempts are made in another process, as a cluster's would be: what they need is pickled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from evals.record import AttemptKey, Record
from evals.run.attempt import RunContext, run_attempt
from evals.run.executor import LocalThreads
from scaffolds.base import Step
from tasks.backend import Backend, Prepared
from tasks.task import Task


def attempt_and_steps(
    key: AttemptKey, task: Task, prepared: Prepared, context: RunContext
) -> tuple[Record, list[Step]]:
    steps = list[Step]()
    return run_attempt(key, task, prepared, context, steps.append), steps


class ProcessExecutor(LocalThreads):
    """Implements `evals.run.executor.Executor`: threads that wait for one process, which knows nothing of this one."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))

    def attempt(
        self,
        key: AttemptKey,
        task: Task,
        prepared: Prepared,
        context: RunContext,
        seen: Callable[[Step], None],
    ) -> Record:
        record, steps = self._pool.submit(attempt_and_steps, key, task, prepared, context).result()
        for step in steps:
            seen(step)
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._pool.shutdown()
