"""Recorded attempts are graded in threads of their own while others are made; a grade is on disk when it is told of.

Not here: what a grade is (`evals.grade`), and what follows from one (`queue`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from evals.record import AttemptKey, Grade, Record, kept
from evals.run.attempt import Abandoned, RunContext
from tasks.disk import write_json
from tasks.task import Task

Grades = Callable[[Task, Record, Path], Grade]
"""The path is the attempt's directory (`patch.diff` in, `test.log` out)."""


class Grading:
    """One run's. Without a grader nothing is graded: `asclaimed grade` does it later."""

    def __init__(
        self,
        grader: Grades | None,
        context: RunContext,
        tasks: Mapping[str, Task],
        *,
        graded: Callable[[AttemptKey, Grade], None],
        guard: Callable[[Callable[[], None]], None],
    ) -> None:
        """`graded` is told of each grade that was written, in the thread that made it.

        `guard` calls a function unless the run has failed, and keeps what it raises.
        """
        self._grader, self._context, self._tasks = grader, context, tasks
        self._graded, self._guard = graded, guard
        self._pool: futures.ThreadPoolExecutor
        self._number: int
        self._futures: dict[AttemptKey, futures.Future[None]] = {}

    @contextmanager
    def threads(self, number: int) -> Iterator[None]:
        """Grade in so many threads; leaving waits for what they were given."""
        self._number = max(1, number)
        with futures.ThreadPoolExecutor(self._number, "grade") as self._pool:
            yield

    def submit(self, *keys: AttemptKey) -> None:
        """Grade recorded attempts some time."""
        if self._grader is None:
            return
        for key in keys:
            act = partial(self._grade, self._grader, key)
            self._futures[key] = self._pool.submit(self._guard, act)

    @property
    def pending(self) -> list[AttemptKey]:
        """Attempts that were submitted and have no grade yet."""
        return [key for key, future in list(self._futures.items()) if not future.done()]

    @property
    def has_a_thread_to_spare(self) -> bool:
        """And one more for the next grade."""
        return self._number - sum(not future.done() for future in list(self._futures.values())) >= 2

    def use(self, act: Callable[[], None]) -> futures.Future[None]:
        """One of the threads, for something else."""
        return self._pool.submit(self._guard, act)

    def finish(self, keys: Collection[AttemptKey]) -> None:
        """Block until none of these is being graded, nor will be."""
        for key in keys:
            future = self._futures.pop(key, None)
            if future and not future.cancel():
                future.result()

    def wait(self, seconds: float) -> None:
        """Until all that was submitted is graded, but no longer than this."""
        futures.wait(self._futures.values(), seconds)

    def _grade(self, grader: Grades, key: AttemptKey) -> None:
        self._graded(key, grade_recorded(self._context, key, self._tasks[key.task_id], grader))


def grade_recorded(
    context: RunContext, key: AttemptKey, task: Task, grade: Callable[[Task, Record, Path], Grade]
) -> Grade:
    """Grade one recorded attempt from its directory alone and write `grade.json`; raises `Abandoned`."""
    directory = key.directory(context.directory)
    record = kept(Record, directory / "record.json")
    made = grade(task, record, directory)
    if context.abandoned:
        raise Abandoned
    write_json(directory / "grade.json", made)
    return made
