"""Where attempts are made and how many at once: threads of this process here; several daemons or a cluster are others.

An executor asks for the next attempt, says on which backend it is made, and runs it in the process that it chooses. Order,
retries and the ledger are the queue's, so that they are the same wherever attempts are made. Not here: grading.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from evals.record import AttemptKey, Record
from evals.run.attempt import RunContext, run_attempt
from scaffolds.base import Step
from tasks.backend import Backend, Prepared
from tasks.task import Task

Take = Callable[[], AttemptKey | None]
"""The next attempt; None when there is none or the run stops. From any thread."""
Make = Callable[[AttemptKey, Backend], None]
"""See an attempt through on this backend, up to its record. From any thread; blocks, and raises nothing."""


class Executor(Protocol):
    """A failed attempt goes back into the queue before `make` returns: ask `take` once more after each."""

    def execute(self, take: Take, make: Make, *, workers: int, watch: Callable[[], None]) -> None:
        """Make what `take` gives, at most `workers` at a time, until it gives None and all are made.

        `watch` is to be called now and then from the caller's thread.
        """
        ...

    def attempt(
        self,
        key: AttemptKey,
        task: Task,
        prepared: Prepared,
        context: RunContext,
        seen: Callable[[Step], None],
    ) -> Record:
        """`run_attempt`, in a process of this executor's choice: `make` calls this in the thread that called it.

        Everything but `seen` can be pickled; an executor that cannot call it from afar calls it once the attempt is over.
        """
        ...


class LocalThreads:
    """Threads of this process, one backend. Not processes: an attempt mostly waits."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def execute(self, take: Take, make: Make, *, workers: int, watch: Callable[[], None]) -> None:
        """As `Executor`; `watch` is called about four times a second."""

        def work() -> None:
            while (key := take()) is not None:
                make(key, self._backend)

        threads = [threading.Thread(target=work, name=f"attempt-{n}", daemon=True) for n in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                watch()
                thread.join(0.25)

    def attempt(
        self,
        key: AttemptKey,
        task: Task,
        prepared: Prepared,
        context: RunContext,
        seen: Callable[[Step], None],
    ) -> Record:
        """In the thread that asks."""
        return run_attempt(key, task, prepared, context, seen)
