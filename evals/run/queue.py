"""The run: every (attempt, task, scaffold) of a frozen list is attempted once, recorded, and graded as it goes.

Scaffolds interleave over tasks, so that a run cut short compares like with like. A retry happens only for what the
model server or the sandbox did, never because of a score. Threads, not processes: an attempt mostly waits.
Not here: what one attempt does (`attempt`), what a verdict is (`grade`), what a person sees (`commands.run`).
"""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from evals.record import AttemptKey, Failure, Grade, Outcome, Party, Record
from evals.run.attempt import RunContext, record_failure, run_attempt, set_aside
from evals.run.ledger import Ledger
from evals.run.looks import Look
from evals.run.tool_calls import evidence
from scaffolds.model import ModelError, Trouble
from tasks.disk import write_json
from tasks.errors import DiskFullError, MachineError, TaskError, UserError
from tasks.sandbox import SandboxError
from tasks.task import Task

TRIES = 3
"""Attempts at an attempt that a healthy-looking server or daemon may spoil before it counts as not judged."""
DAEMON_PATIENCE = 60.0
"""Seconds that the run waits for a daemon that stopped answering."""


@dataclass(frozen=True)
class RunHooks:
    """The outside world, as functions: tests hand in fakes here and nowhere else."""

    grade: Callable[[Task, Record, Path], Grade] | None
    """None leaves grading for later. The path is the attempt's directory (`patch.diff` in, `test.log` out)."""
    wait_for_server: Callable[[Callable[[], bool]], bool]
    """Block until the model server answers (or the given function says stop); True when it had been away."""
    look: Callable[[AttemptKey], Look | None] = lambda _key: None
    """Told of each attempt that has its outcome; answers with the planned look that this one completed."""


@dataclass
class Tally:
    """Live counts for the progress display; one lock guards all."""

    total: int = 0
    done: int = 0
    graded: int = 0
    resolved: int = 0
    unjudged: int = 0
    completion_tokens: int = 0
    """Of this session, for tokens a second; what was recorded before does not count."""
    running: int = 0
    suspended: str = ""
    unjudged_reasons: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Run:
    """One process's work on one run directory. Build it, call `work` once."""

    def __init__(
        self,
        context: RunContext,
        tasks: Sequence[Task],
        keys: Sequence[AttemptKey],
        hooks: RunHooks,
        ledger: Ledger,
    ) -> None:
        self.tally = Tally(total=len(keys))
        self._context, self._hooks, self._ledger = context, hooks, ledger
        self._tasks = {task.id: task for task in tasks}
        self._stopping = threading.Event()
        self._server_gate = threading.Lock()
        self._fatal: Exception | None = None
        self._settled: set[str] = set()
        self._tries: Counter[tuple[AttemptKey, Party]] = Counter()
        self._recorded_here = 0
        self._todo: deque[AttemptKey] = deque()
        self._to_grade: list[AttemptKey] = []
        self._sort(keys)
        waiting = set(self._todo)
        self._keys = tuple(keys)
        self._tool_calls = evidence(context.directory, [key for key in keys if key not in waiting])

    def _sort(self, keys: Sequence[AttemptKey]) -> None:
        """Split what is to do from what has a record."""
        for key in keys:
            directory = key.directory(self._context.directory)
            if not (directory / "record.json").exists():
                self._todo.append(key)
                continue
            self.tally.done += 1
            if (directory / "grade.json").exists():
                self._count(Grade.model_validate_json((directory / "grade.json").read_bytes()))
            else:
                self._to_grade.append(key)

    @property
    def finished(self) -> bool:
        """Every attempt has a record, and a verdict if this run grades."""
        verdicts = self.tally.graded + self.tally.unjudged
        return self.tally.done == self.tally.total and (
            self._hooks.grade is None or verdicts == self.tally.total
        )

    @property
    def remaining(self) -> int:
        """Attempts without a record."""
        return len(self._todo)

    def stop(self) -> None:
        """Start nothing new; what runs may finish."""
        self._stopping.set()

    def abandon(self) -> None:
        """Record nothing more: the caller is about to take the containers away and to end the process."""
        self._context.abandoned.set()

    def work(self, *, workers: int, graders: int, watch: Callable[[], None] = lambda: None) -> None:
        """Do everything that is left. `watch` is called about four times a second from this thread.

        Raises what stopped the run: `UserError`/`MachineError`, or an exception that is our own fault.
        """
        self._ledger.append(
            "work-started", remaining=len(self._todo), ungraded=len(self._to_grade), workers=workers
        )
        try:
            self._check_tool_calls(last=not self._todo)
        except UserError as error:
            self._die(error)
        with ThreadPoolExecutor(max(1, graders), "grade") as grading:
            self._grading = grading
            for key in self._to_grade:
                self._submit_grade(key)
            threads = [
                threading.Thread(target=self._worker, name=f"attempt-{n}", daemon=True)
                for n in range(workers)
            ]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                watch()
                time.sleep(0.25)
            while self.tally.graded + self.tally.unjudged < self.tally.done and self._grades_are_coming():
                watch()
                time.sleep(0.1)
        watch()
        self._ledger.append("work-ended", done=self.tally.done, stopped=self._stopping.is_set())
        self._ledger.close()
        if self._fatal is not None:
            raise self._fatal

    def _grades_are_coming(self) -> bool:
        return self._hooks.grade is not None and self._fatal is None and not self._stopping.is_set()

    def _next(self) -> AttemptKey | None:
        with self.tally.lock:
            if self._stopping.is_set() or not self._todo:
                return None
            self.tally.running += 1
            return self._todo.popleft()

    def _worker(self) -> None:
        while (key := self._next()) is not None:
            try:
                self._attempt(key)
            except Exception as error:  # noqa: BLE001 - kept, and raised again by `work`
                self._die(error)
            finally:
                with self.tally.lock:
                    self.tally.running -= 1

    def _die(self, error: Exception) -> None:
        """The first fatal error wins; it ends the run and is raised from `work`."""
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            error = DiskFullError()
        with self.tally.lock:
            self._fatal = self._fatal or error
        self._stopping.set()
        self._ledger.append("stopped", error=f"{type(error).__name__}: {error}")

    def settle(self, scaffolds: Collection[str]) -> None:
        """Start no more attempts of these: what is measured of them decides already."""
        with self.tally.lock:
            self._settled |= set(scaffolds)
            kept = [key for key in self._todo if key.scaffold not in self._settled]
            self.tally.total -= len(self._todo) - len(kept)
            self._todo = deque(kept)

    def _attempt(self, key: AttemptKey) -> None:
        task = self._tasks[key.task_id]
        self._ledger.append("attempt-started", **key.model_dump())
        try:
            record = run_attempt(key, task, self._context)
        except ModelError as error:
            self._server_failed(key, task, error)
        except SandboxError as error:
            self._sandbox_failed(key, task, error)
        except (
            TaskError
        ) as error:  # no image, or one whose leaks cannot be closed: trying again changes nothing
            self._recorded(
                key,
                record_failure(key, task, self._context, Failure(party=Party.SANDBOX, message=str(error))),
            )
        else:
            self._recorded(key, record)

    def _server_failed(self, key: AttemptKey, task: Task, error: ModelError) -> None:
        """Suspend until the server is back; only a failure of a server that is up uses a try.

        A refusal before anything worked is a wrong setting, and ends the run instead of emptying the task list.
        """
        self._ledger.append("server-failed", message=str(error), kind=error.kind, **key.model_dump())
        failure = Failure(party=Party.SERVER, message=str(error))
        if error.kind is Trouble.WRONG_MODEL or (error.kind is Trouble.REFUSED and not self._recorded_here):
            raise UserError(f"the model server refuses: {error}") from error
        if not error.retryable:
            self._recorded(key, record_failure(key, task, self._context, failure))
            return
        with self._server_gate:
            self.tally.suspended = f"waiting for the model server: {error}"
            was_away = self._hooks.wait_for_server(self._stopping.is_set)
            self.tally.suspended = ""
        self._try_again(key, task, failure, counts=not was_away)

    def _sandbox_failed(self, key: AttemptKey, task: Task, error: SandboxError) -> None:
        self._ledger.append("sandbox-failed", message=str(error), **key.model_dump())
        deadline = time.monotonic() + DAEMON_PATIENCE
        while not self._context.backend.answers():
            self.tally.suspended = "the Docker daemon does not answer"
            if time.monotonic() > deadline or self._stopping.wait(1.0):
                raise MachineError(
                    "the Docker daemon went away: start it and run the same command again to resume"
                )
        self.tally.suspended = ""
        self._try_again(key, task, Failure(party=Party.SANDBOX, message=str(error)), counts=True)

    def _try_again(self, key: AttemptKey, task: Task, failure: Failure, *, counts: bool) -> None:
        self._tries[key, failure.party] += counts
        if self._tries[key, failure.party] < TRIES:
            with self.tally.lock:
                self._todo.appendleft(key)
            self.settle(())  # its scaffold may have been decided meanwhile
            return
        self._recorded(key, record_failure(key, task, self._context, failure))

    def _recorded(self, key: AttemptKey, record: Record) -> None:
        self._ledger.append(
            "attempt-recorded", patch=record.patch_sha256, stop=record.stop, **key.model_dump()
        )
        with self.tally.lock:
            self.tally.done += 1
            self._recorded_here += record.failure is None
            self.tally.completion_tokens += record.completion_tokens
            self._tool_calls.add(key, record)
            last = not self._todo and self.tally.running <= 1
        self._check_tool_calls(last=last)
        self._submit_grade(key)

    def _check_tool_calls(self, *, last: bool) -> None:
        """A server that parses no tool calls ends the run; what it spoiled is set aside, to be made again."""
        directory = self._context.directory
        with self.tally.lock:
            complaint = self._tool_calls.complaint(directory, self._keys, last=last)
            if not complaint:
                return
            self._stopping.set()
            for key in self._tool_calls.without:
                set_aside(key.directory(directory), "failed")
        self._ledger.append("no-tool-calls", attempts=len(self._tool_calls.without))
        raise UserError(complaint)

    def _submit_grade(self, key: AttemptKey) -> None:
        if self._hooks.grade is not None:
            self._grading.submit(self._grade, key)

    def _grade(self, key: AttemptKey) -> None:
        if self._stopping.is_set():
            return  # the record is on disk; the next run, or `asclaimed grade`, picks it up
        try:
            grade = grade_recorded(self._context.directory, key, self._tasks[key.task_id], self._hooks)
            self._ledger.append(
                "attempt-graded", outcome=grade.outcome, grade_key=grade.key, **key.model_dump()
            )
            with self.tally.lock:
                self._count(grade)
            self.looked(self._hooks.look(key))
        except Exception as error:  # noqa: BLE001 - kept, and raised again by `work`
            self._die(error)

    def looked(self, look: Look | None) -> None:
        """Note what a look said, and follow it."""
        if look is not None:
            self._ledger.append("look", **look.model_dump(mode="json"))
            if look.decided:
                self.settle({look.scaffold})

    def _count(self, grade: Grade) -> None:
        if grade.outcome is Outcome.NOT_JUDGED:
            self.tally.unjudged += 1
            self.tally.unjudged_reasons[f"{grade.party}: {grade.official.reason}"] += 1
            return
        self.tally.graded += 1
        self.tally.resolved += grade.outcome is Outcome.RESOLVED


def grade_recorded(run: Path, key: AttemptKey, task: Task, hooks: RunHooks) -> Grade:
    """Grade one recorded attempt from its directory alone and write `grade.json`."""
    assert hooks.grade is not None
    directory = key.directory(run)
    record = Record.model_validate_json((directory / "record.json").read_bytes())
    grade = hooks.grade(task, record, directory)
    write_json(directory / "grade.json", grade)
    return grade
