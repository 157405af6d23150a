"""The machine that tests run on, as grading sees it: tried again when it breaks, and silent once the run is abandoned.

Not here: what a test run is (`tasks.backend`), and whose doing a failure is (the backend decides that).
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from evals.grade.judge import NotJudged
from evals.record import Party
from evals.run.attempt import Abandoned
from tasks.backend import Backend, Progress, RunRequest, RunResult, RunTests, TestLimits
from tasks.errors import OF_THE_TASK, MachineError, TaskError
from tasks.sandbox import SandboxError
from tasks.task import Task

T = TypeVar("T")
TRIES = 3
DAEMON_PATIENCE = 60.0
"""Seconds that grading waits for a daemon that stopped answering."""


@dataclass(frozen=True)
class Machine:
    """A backend, the run that it works for, and whether that run still wants to know."""

    backend: Backend
    run: str
    """Label of the machines, for `Backend.reap`."""
    abandoned: threading.Event

    def check_not_abandoned(self) -> None:
        """Raises `Abandoned`: whatever was seen may be our own doing, so nothing may come of it."""
        if self.abandoned.is_set():
            raise Abandoned

    def tests(self, image: str, workdir: str, limits: TestLimits, script_file: str | None) -> RunTests:
        """As `Backend.tests`; a result that was cut short by `abandoned` is none."""
        run_tests = self.backend.tests(image, workdir, limits, script_file=script_file, run=self.run)

        def run(request: RunRequest, /) -> RunResult:
            self.check_not_abandoned()
            try:
                return run_tests(request)
            finally:
                self.check_not_abandoned()

        return run

    def held(self, work: Callable[[], T]) -> T:
        """What `work` returns. A machine that breaks is tried again, whatever the tests did; then `NotJudged`.

        Raises `MachineError` when the daemon went away and stays away.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(SandboxError),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(),
            before_sleep=lambda _: self._await_daemon(),
            sleep=tenacity.sleep_using_event(self.abandoned),
            reraise=True,
        )
        try:
            return retrying(work)
        except (SandboxError, TaskError) as error:
            self.check_not_abandoned()
            self._await_daemon()
            party = Party.TASK if isinstance(error, OF_THE_TASK) else Party.SANDBOX
            raise NotJudged(party, str(error)) from error

    def _await_daemon(self) -> None:
        deadline = time.monotonic() + DAEMON_PATIENCE
        while not self.backend.answers():
            if self.abandoned.wait(1.0) or time.monotonic() > deadline:
                self.check_not_abandoned()
                raise MachineError("the Docker daemon went away: start it and run the same command again")


def while_wanted(run_tests: RunTests, wanted: Callable[[], bool]) -> RunTests:
    """The same, until nobody wants to know: then `Abandoned` in the place of a run."""

    def run(request: RunRequest, /) -> RunResult:
        if not wanted():
            raise Abandoned
        return run_tests(request)

    return run


class TaskImages:
    """Image ids by task, looked up once. Threads may share it."""

    def __init__(self, backend: Backend, progress: Progress) -> None:
        self._backend, self._progress = backend, progress
        self._images: dict[str, str] = {}
        self._lock = threading.Lock()
        self._image_locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, task: Task) -> str:
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
