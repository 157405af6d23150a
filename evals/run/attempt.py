"""One attempt: open the sandbox, let the scaffold work, stop the machine, take the answer, write the record last.

Whatever ends the attempt, the answer is taken: a patch, or the state of the machine where the task is about that
(`state`). What is nobody's to judge (`ModelError`, `SandboxError`) leaves its directory
behind under another name and goes up to `queue`, which decides whether to try again. Not here: what is said of the
answer (`answer`).
"""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from evals.record import AttemptKey, Failure, KeptState, Record
from evals.run.answer import answered, commands_of, fix_shown
from evals.run.conditions import own_limits
from evals.run.controls import make_scaffold
from evals.run.exchanges import ExchangeLog
from evals.run.set_aside import set_aside
from evals.run.state import keep_state, verify_shared, withhold_skills
from evals.run.trajectory import StepLog
from scaffolds.base import Mounting, Sampled, Scaffold, Settings, Step, Stop, Trajectory, unseen
from scaffolds.model import Conversation, Exchange
from scaffolds.openai.config import ModelConfig
from tasks.backend import NO_MOUNTS, Backend, Prepared
from tasks.disk import write_atomic, write_json
from tasks.errors import UserError
from tasks.sandbox import Diff, Limits, Sandbox, SandboxError, SandboxFacts
from tasks.task import Task
from tasks.untrusted import clean

STALLED_SHARE = 0.1
"""Of an agent's time: so much of it lost to a machine that stood still, and its end says nothing of the agent."""
TRANSCRIPT = "transcript.gz"


@dataclass(frozen=True)
class RunContext:
    """What an attempt needs from the run around it: data alone, so that it can be made in another process.

    The directory must be the same wherever that is.
    """

    directory: Path
    session: Path
    """Of `evals.run.lock.begin_session`: nothing is recorded once it is gone."""
    run_id: str
    version: str
    model_name: str
    backend: Backend
    limits: Limits
    """Of each sandbox."""
    settings: Settings
    model: ModelConfig | None = None
    """Its client is made where the attempt is; None suits the controls only."""
    task_limits: bool = False
    """Each attempt has the time, the CPUs and the memory that its task's own file gives."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Task id → the kit of a verifier that runs in its agent's own machine."""
    window: int | None = None
    """Tokens of context that the server named when the run began."""
    make_scaffold: Callable[[str, Task, Settings], Scaffold] = make_scaffold
    """A function of a module, or data: it is sent to where attempts are made."""

    @property
    def abandoned(self) -> bool:
        """Whether the session ended under running attempts: what they then see is our doing, not the agent's."""
        return not self.session.exists()

    def fitted(self, task: Task) -> RunContext:
        """With the limits of one attempt at this task."""
        if not (self.task_limits and task.verifier):
            return self
        limits, budget = own_limits(task.verifier, self.limits, self.settings.budget)
        return replace(self, limits=limits, settings=replace(self.settings, budget=budget))

    def abandon(self) -> None:
        """To be called before containers are taken away from running attempts."""
        self.session.unlink(missing_ok=True)


class Abandoned(UserError):  # noqa: N818 - what happened, and no error
    """The person at the keyboard stopped the run at once; the attempt has no record and will be made again."""

    exit_code = 130

    def __str__(self) -> str:
        return "the run was stopped at once; the same command goes on with it"


class Work(NamedTuple):
    """What an attempt left when its machine was stopped."""

    prepared: Prepared
    trajectory: Trajectory
    answer: Diff | KeptState
    facts: SandboxFacts
    commands: list[str]


def run_attempt(
    key: AttemptKey,
    task: Task,
    prepared: Prepared,
    context: RunContext,
    seen: Callable[[Step], None] = unseen,
) -> Record:
    """Do it and record it; `seen` is told of each step as it ends.

    Raises `ModelError` and `SandboxError` after setting the remains aside.
    """
    context = context.fitted(task)
    directory = key.directory(context.directory)
    set_aside(directory, "interrupted")
    directory.mkdir(parents=True)
    started, clock = datetime.now(UTC), time.monotonic()
    try:
        with StepLog(directory, seen) as log:
            work = _logged_work(key, task, prepared, context, log, directory)
    except Exception:
        set_aside(directory, "failed")
        if context.abandoned:
            raise Abandoned from None
        raise
    if context.abandoned:
        raise Abandoned
    record = _compose(key, task, context, work, started, time.monotonic() - clock)
    write_json(directory / "record.json", record)
    return record


def _compose(
    key: AttemptKey, task: Task, context: RunContext, work: Work, started: datetime, wall_seconds: float
) -> Record:
    prepared, trajectory, answer, facts, commands = work
    return Record(
        **answered(task, answer, commands, trajectory, key.directory(context.directory)),
        key=key,
        task_hash=task.content_hash,
        image=facts.image,
        image_source=prepared.identity,
        image_notes=prepared.notes,
        stop=trajectory.stop,
        detail=trajectory.detail[:500],
        steps=trajectory.steps,
        side_calls=trajectory.side_calls,
        prompt_tokens=trajectory.prompt_tokens,
        completion_tokens=trajectory.completion_tokens,
        active_seconds=round(trajectory.active_seconds, 3),
        wall_seconds=round(wall_seconds, 3),
        tool_calls=trajectory.tool_calls or context.settings.tool_calls,
        calls_native=trajectory.calls.native,
        calls_recovered=trajectory.calls.recovered,
        calls_malformed=trajectory.calls.malformed,
        calls_written=trajectory.calls.written,
        empty_turns=dict(trajectory.empty_turns),
        ended_empty=trajectory.ended_empty,
        uses_tools=trajectory.uses_tools,
        files_shown=trajectory.files_shown,
        fix_shown=fix_shown(task, trajectory.files_shown),
        oom_kills=facts.oom_kills,
        started=started.isoformat(timespec="seconds"),
    )


def _logged_work(
    key: AttemptKey, task: Task, prepared: Prepared, context: RunContext, log: StepLog, directory: Path
) -> Work:
    """The work, with its steps streamed to disk and closed into a trajectory."""
    trajectory, answer, facts = _work(key, task, context, prepared, log, directory)
    commands = commands_of(log.steps())
    log.finish(
        trajectory,
        session=f"{context.run_id}/{key.scaffold}/{key.task_id}/{key.attempt}",
        scaffold=key.scaffold,
        version=context.version,
        model=context.model_name,
    )
    return Work(prepared, trajectory, answer, facts, commands)


def _work(
    key: AttemptKey, task: Task, context: RunContext, prepared: Prepared, log: StepLog, directory: Path
) -> tuple[Trajectory, Diff | KeptState, SandboxFacts]:
    """The part with a machine in it. A patch is on disk when this returns, and also when it raises, if it can be."""
    scaffold = context.make_scaffold(key.scaffold, task, replace(context.settings, on_step=log))
    with (
        ExchangeLog(directory) as exchanged,
        open_sandbox(context, prepared, task, key, mounts_of(scaffold)) as sandbox,
    ):
        withhold_skills(task, sandbox)
        model = _conversation(context, scaffold, key.attempt, exchanged)
        try:
            trajectory = scaffold.solve(task.brief, model, sandbox)  # type: ignore[arg-type]  # controls take None
            trajectory.warnings += _warnings(model)
            trajectory.detail = clean(trajectory.detail)  # it may quote the model
        except Exception:
            if task.verifier is None:
                with suppress(SandboxError, OSError):
                    write_atomic(directory / "patch.diff", sandbox.diff().patch)
            raise
        if trajectory.transcript:
            write_atomic(directory / TRANSCRIPT, gzip.compress(trajectory.transcript))
        facts = sandbox.facts()
        check_time_was_its_own(trajectory, facts, context.settings)
        return trajectory, _answer(task, sandbox, directory, context), facts


def _answer(task: Task, sandbox: Sandbox, directory: Path, context: RunContext) -> Diff | KeptState:
    """Stop the machine and take what the task asks for; written to the attempt's directory before anything else."""
    if task.verifier:
        if task.id in context.shared:
            verify_shared(sandbox, task, context.shared[task.id], directory)
        return keep_state(sandbox, directory, context.run_id)
    diff = sandbox.diff()
    write_atomic(directory / "patch.diff", diff.patch)
    return diff


def check_time_was_its_own(trajectory: Trajectory, facts: SandboxFacts, settings: Settings) -> None:
    """Raises `SandboxError` for an agent that ran out of time on a machine that stood still for much of it."""
    lost, limit = facts.stalled_seconds, settings.budget.seconds
    if trajectory.stop is Stop.TIME_LIMIT and limit is not None and lost >= STALLED_SHARE * limit:
        raise SandboxError(f"this machine stood still for {lost:.0f} s of the agent's {limit:.0f} s")


def _conversation(
    context: RunContext, scaffold: Scaffold, number: int, exchanged: Callable[[Exchange], None]
) -> Conversation | None:
    if context.model is None:
        return None
    from scaffolds.openai.client import conversation  # the SDK is slow to import, and controls need none

    config = context.model.sampled(scaffold.sampling()) if isinstance(scaffold, Sampled) else context.model
    return conversation(config, number, window=context.window, exchanged=exchanged)


def mounts_of(scaffold: Scaffold) -> Mapping[str, Path]:
    """Directories of this machine that a scaffold needs inside."""
    return scaffold.mounts() if isinstance(scaffold, Mounting) else NO_MOUNTS


def open_sandbox(
    context: RunContext, prepared: Prepared, task: Task, key: AttemptKey, mounts: Mapping[str, Path]
) -> Sandbox:
    labels = {"run": context.run_id, "attempt": f"{key.scaffold}/{key.task_id}/{key.attempt}"}
    return context.backend.open(
        prepared.image,
        workdir=task.brief.workdir,
        limits=context.limits,
        labels=labels,
        mounts=mounts,
        verifier=task.verifier if task.id in context.shared else None,
        compose=prepared.compose,
    )


def _warnings(model: Conversation | None) -> tuple[str, ...]:
    """What the client noticed about the server; retries are its business and no reader's."""
    noticed = model.warnings if model else {}
    return tuple(f"server: {name} ×{count}" for name, count in sorted(noticed.items()) if name != "retried")


def record_failure(key: AttemptKey, task: Task, context: RunContext, failure: Failure) -> Record:
    """The record of an attempt that nobody could make: counted as not judged, with the party at fault."""
    directory = key.directory(context.directory)
    directory.mkdir(parents=True, exist_ok=True)
    record = Record(
        key=key,
        task_hash=task.content_hash,
        image="",
        stop=None,
        failure=failure,
        patch_sha256=hashlib.sha256(b"").hexdigest(),
        patch_bytes=0,
        tool_calls=context.settings.tool_calls,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(directory / "record.json", record)
    return record
