"""The run: every (attempt, task, scaffold) of a frozen list is attempted once, recorded, and graded as it goes.

Scaffolds interleave over tasks, so that a run cut short compares like with like. A retry happens only for what the
model server or the sandbox did, never because of a score. Not here: what is left to do (`backlog`), where attempts are
made (`executor`), what one does (`attempt`), its grading (`grading`), what a person sees (`commands.run`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial

from evals.record import AttemptKey, Failure, Grade, Party, Record, grade_of
from evals.run.attempt import RunContext, record_failure
from evals.run.backlog import Backlog
from evals.run.calibrations import Calibrations
from evals.run.controls import CONTROLS
from evals.run.empty_turns import EmptyTurnGuard
from evals.run.executor import LocalThreads
from evals.run.grading import Grading
from evals.run.hooks import RunHooks
from evals.run.image_supply import ImageSupply, Uses
from evals.run.ledger import Ledger
from evals.run.load import Load
from evals.run.looks import Look
from evals.run.outages import TRIES, Handled, Outages, PatientPulls, Refused
from evals.run.same_server import WHY, SameServer, finish_quarantine
from evals.run.set_aside import seen_through
from evals.run.spoiled import Spoiled
from evals.run.tally import Tally
from evals.run.tool_calls import evidence
from scaffolds.base import Step
from scaffolds.model import ModelError
from tasks.backend import Backend
from tasks.errors import OF_THE_TASK, TaskError, UserError, known
from tasks.sandbox import SandboxError
from tasks.task import Task


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
        self.tally = Tally(len(keys), hooks.grade is not None, paused=lambda: hooks.admission.paused)
        self._stopping = threading.Event()
        self._context, self._hooks, self._ledger = context, hooks, ledger
        self._executor = hooks.executor or LocalThreads(context.backend)
        self._tasks = {task.id: task for task in tasks}
        finish_quarantine(context.directory)
        check = hooks.same_server
        self._same_server = check and SameServer(context.directory, check, self._quarantine)
        self._outages = Outages(
            self.tally,
            self._stopping,
            wait_for_server=hooks.wait_for_server,
            short_prompt=hooks.short_prompt,
            same_server=self._same_server,
        )
        self._refused = Refused(tasks=len({key.task_id for key in keys if key.scaffold not in CONTROLS}))
        self._worked = False
        """Whether the model server ever saw an attempt through, in this session or one before it."""
        self._fatal: Exception | None = None
        self._spoiled = Spoiled(context.directory, self.tally)
        self._tries: Counter[tuple[AttemptKey, Party]] = Counter()
        self._load = Load(context, hooks.admission, hooks.counters)
        self._todo = Backlog(self.tally, self._stopping, hooks.admission)
        self._grading = Grading(hooks.grade, context, self._tasks, graded=self._graded, guard=self._guard)
        uses = Uses(self._todo, self.tally, self._grading)
        self._images = ImageSupply(hooks.images, self._tasks, uses, ledger, self._stopping)
        self._pulls = PatientPulls(self.tally, self._stopping, self._images)
        self._keys = tuple(keys)
        self._to_grade: list[AttemptKey] = []
        self._empty_turns = None if hooks.accept_empty_turns else EmptyTurnGuard()
        self._tool_calls = evidence(context.directory, self._sort(keys))

    def _sort(self, keys: Sequence[AttemptKey]) -> list[AttemptKey]:
        """Split what is to do from what has a record, which is returned."""
        recorded = []
        for key in keys:
            directory = key.directory(self._context.directory)
            if not (directory / "record.json").exists():
                self._todo.append(key)
                continue
            recorded.append(key)
            self.tally.done += 1
            self._worked = self._worked or (key.scaffold not in CONTROLS and seen_through(directory))
            if grade := grade_of(directory):
                self.tally.count(grade)
            else:
                self._to_grade.append(key)
        return recorded

    @property
    def finished(self) -> bool:
        """Every attempt has a record, and a verdict if this run grades."""
        return self.tally.done == self.tally.total and not self.tally.to_grade

    def stop(self) -> None:
        """Start nothing new; what runs may finish."""
        self._stopping.set()

    def abandon(self) -> None:
        """Record nothing more: the caller is about to take the containers away and to end the process."""
        self._context.abandon()
        self._hooks.abandoned.set()

    def work(self, *, workers: int = 0, graders: int, watch: Callable[[], None] = lambda: None) -> None:
        """Do everything that is left, at most `workers` at a time; 0: as many as `hooks.admission` has.

        `watch` is called now and then from this thread. Raises what stopped the run, our own faults included.
        """
        workers = workers or self._hooks.admission.most or 1
        ungraded = len(self._to_grade)
        self._ledger.append("work-started", remaining=len(self._todo), ungraded=ungraded, workers=workers)
        try:
            self._check_tool_calls(last=not self._todo)
        except UserError as error:
            self._die(error)
        ahead = self._images.ahead(self._context.backend)
        with self._grading.threads(graders), self._calibrations().beside(self._grading), ahead:
            self._grading.submit(*self._to_grade)
            with self._load.listening(), self._same_server.watched() if self._same_server else nullcontext():
                self._attempt_all(workers, watch)
                if self._try_spoiled_again():
                    self._attempt_all(workers, watch)
        self._guard(self._load.sample)
        watch()
        if self._empty_turns and self._empty_turns.complaint:
            self._empty_turns.set_aside(self._context.directory)
        try:
            self._ledger.end("work-ended", done=self.tally.done, stopped=self._stopping.is_set())
        except OSError as error:  # on the full disk, maybe, that stopped the run
            self._fatal = self._fatal or known(error)
        if self._fatal is not None:
            raise self._fatal

    def _calibrations(self) -> Calibrations:
        open_keys = (key for key in (*self._to_grade, *self._todo) if key.scaffold not in CONTROLS)
        tasks = {key.task_id: self._tasks[key.task_id] for key in open_keys}.values()
        calibrate = self._hooks.calibrate and self._images.in_turn(self._hooks.calibrate)
        return Calibrations(calibrate, tasks, self._hooks.idles, self.tally, self._ledger)

    def _attempt_all(self, workers: int, watch: Callable[[], None]) -> None:
        """Until the queue is empty and every attempt in it is graded, or the run stops."""
        self._executor.execute(self._todo.take, self._make, workers=workers, watch=watch)
        while not self._stopping.is_set() and self._todo_after_check():
            self._executor.execute(self._todo.take, self._make, workers=workers, watch=watch)
        self._guard(self._refused.give_up)
        while self.tally.to_grade and self._fatal is None:
            watch()
            self._grading.wait(0.1)

    def _try_spoiled_again(self) -> bool:
        """Once, when all else is done: what server, sandbox or registry spoiled in this session; never for a score."""
        spoiled = self._spoiled.without(self._todo.settled)
        if self._stopping.is_set() or not spoiled:
            return False
        self._ledger.append("unjudged-again", attempts=len(spoiled))
        attempts, grades = self._spoiled.take_back(spoiled)
        self._todo.extend(attempts)
        self._grading.submit(*grades)
        return True

    def _todo_after_check(self) -> bool:
        """What no good check came after is made again where the server is another now."""
        if self._same_server and self._same_server.unverified:
            self._guard(self._outages.settle)
        return bool(self._todo)

    def _quarantine(self, keys: Collection[AttemptKey]) -> None:
        """Take back what was recorded while the server may have been another: out of the counts, and to be made again."""
        self._ledger.append("server-changed", attempts=[key.model_dump() for key in keys])
        self._grading.finish(keys)
        self._spoiled.quarantine(keys, WHY)
        self._todo.reopen(self._hooks.withdraw(keys), keys)

    def _make(self, key: AttemptKey, backend: Backend) -> None:
        try:
            self._guard(partial(self._attempt, key, backend))
        finally:
            self.tally.ended(key)
            self._load.ended(key)

    def _guard(self, act: Callable[[], object]) -> None:
        """Unless something fatal happened: records are on disk, and the next run, or `asclaimed grade`, goes on there."""
        try:
            if self._fatal is None:
                act()
        except Exception as error:  # noqa: BLE001 - kept, and raised again by `work`
            self._die(error)

    def _die(self, error: Exception) -> None:
        """The first fatal error wins; it ends the run and is raised from `work`."""
        error = known(error)
        with self.tally.lock:
            self._fatal = self._fatal or error
        self._stopping.set()
        with suppress(OSError):  # on a full disk
            self._ledger.append("stopped", error=f"{type(error).__name__}: {error}")

    def settle(self, scaffolds: Collection[str]) -> None:
        """Start no more attempts of these: what is measured of them decides already."""
        self._todo.settle(scaffolds)

    def _attempt(self, key: AttemptKey, backend: Backend) -> None:
        task, epoch = self._tasks[key.task_id], self._outages.epoch
        changes = self._same_server.times if self._same_server else 0
        self._ledger.append("attempt-started", **key.model_dump())
        try:
            prepared = self._pulls.prepare(task, backend)
            context, seen = replace(self._context, backend=backend), partial(self._stepped, key)
            record = self._executor.attempt(key, task, prepared, context, seen)
            if self._same_server and key.scaffold not in CONTROLS:
                self._same_server.recorded(key, changes)
        except ModelError as error:
            self._ledger.append("server-failed", message=str(error), kind=error.kind, **key.model_dump())
            self._again(key, self._outages.of_server(error, epoch, worked=self._worked))
        except SandboxError as error:
            self._ledger.append("sandbox-failed", message=str(error), **key.model_dump())
            self._again(key, self._outages.of_sandbox(error, backend.answers))
        except TaskError as error:  # no image, or one with leaks that cannot be closed: final
            party = Party.TASK if isinstance(error, OF_THE_TASK) else Party.SANDBOX
            self._failed(key, Failure(party=party, message=str(error)))
        else:
            self._recorded(key, record)

    def _stepped(self, key: AttemptKey, step: Step) -> None:
        """A step of an attempt ended. What this raises ends the attempt, which is then set aside."""
        self.tally.stepped(key, step)
        if self._same_server:
            self._same_server.see(step.served)
        if self._empty_turns:
            with self.tally.lock:
                self._empty_turns.see(step)
        self._load.stepped(key, step)

    def _again(self, key: AttemptKey, handled: Handled) -> None:
        """Back into the queue while it has tries left."""
        self._load.disturbed()
        failure = handled.failure
        self._tries[key, failure.party] += handled.tries
        if self._tries[key, failure.party] < TRIES:
            self._todo.put_back(key)
        elif failure.party is Party.SERVER and not self._worked:
            self._refused.hold(key, failure)
        else:
            self._spoiled.attempt(key)
            self._failed(key, failure)

    def _failed(self, key: AttemptKey, failure: Failure) -> None:
        self._recorded(key, record_failure(key, self._tasks[key.task_id], self._context, failure))

    def _recorded(self, key: AttemptKey, record: Record) -> None:
        answer = {"state": record.state.image} if record.state else {"patch": record.patch_sha256}
        self._ledger.append("attempt-recorded", **(key.model_dump() | answer | {"stop": record.stop}))
        with self.tally.lock:
            self.tally.done += 1
            self._tool_calls.add(key, record)
            if self._empty_turns and record.steps and key.scaffold not in CONTROLS:
                self._empty_turns.recorded(key)
            last = not self._todo and self.tally.running <= 1
        self._check_tool_calls(last=last)
        self._grading.submit(key)
        if record.failure is None and key.scaffold not in CONTROLS:
            self._worked = True
            for held, failure in self._refused.release().items():
                self._failed(held, failure)

    def _check_tool_calls(self, *, last: bool) -> None:
        """A server that parses no tool calls ends the run; what it spoiled is set aside, to be made again."""
        with self.tally.lock:
            complaint = self._tool_calls.complaint(self._context.directory, self._keys, last=last)
            if not complaint:
                return
            self._stopping.set()
            self._tool_calls.set_aside(self._context.directory)
        self._ledger.append("no-tool-calls", attempts=len(self._tool_calls.without))
        raise UserError(complaint)

    def _graded(self, key: AttemptKey, grade: Grade) -> None:
        self._ledger.append("attempt-graded", outcome=grade.outcome, grade_key=grade.key, **key.model_dump())
        with self.tally.lock:
            self.tally.count(grade)
            self._spoiled.graded(key, grade)
        self.looked(self._hooks.look(key))

    def looked(self, look: Look | None) -> None:
        """Note what a look said, and follow it."""
        if look is not None:
            self._ledger.append("look", **look.model_dump(mode="json"))
            if look.decided:
                self.settle({look.scaffold})
