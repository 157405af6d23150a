"""From a plan to a running `Run`: loads tasks, asks the server who it is, freezes the manifest, wires the hooks.

The only place where the parts of the house meet. Each part is replaceable in tests through `RunHooks` and `RunContext`.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from evals.claims.catalog import find
from evals.claims.claim import Claim
from evals.commands.preflight import preflight
from evals.commands.preflight_machines import shared_kits, to_attempt
from evals.commands.run_images import hold_images, images_at_first, make_images
from evals.commands.server import (
    examined,
    make_admission,
    make_counters,
    make_server_check,
    make_short_prompt,
    probe_server,
)
from evals.grade.check_tasks import excluded_tasks
from evals.grade.grader import Grader
from evals.run import manifest as manifests
from evals.run.attempt import RunContext
from evals.run.conditions import DAEMON_CPUS, DAEMON_MEMORY
from evals.run.controls import CONTROLS
from evals.run.definitions import ScaffoldMaker, definitions, facts
from evals.run.hooks import RunHooks
from evals.run.ledger import Ledger
from evals.run.lock import begin_session
from evals.run.plan import RunPlan
from evals.run.plan_tasks import drawn_subset, load_tasks
from evals.run.queue import Run
from evals.run.same_server import finish_quarantine
from scaffolds.base import Settings
from scaffolds.preset import left_out
from tasks import catalog
from tasks.backend import Progress
from tasks.docker import daemon
from tasks.docker.backend import DockerBackend
from tasks.docker.images import sandbox_base
from tasks.errors import MachineError, UserError
from tasks.task import Task

if TYPE_CHECKING:
    from evals.verdict.interim import InterimAnalysis

IGNORED = "OPENAI_BASE_URL"
"""What other clients read; here a plan says all that was asked, so that its manifest does."""
LEAST_FREE_BYTES = 500_000_000


def default_directory(plan: RunPlan) -> Path:
    """`runs/<UTC time>-<tasks>` under the working directory."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{stamp}-{Path(plan.tasks).stem}"


def check_scaffolds(plan: RunPlan) -> None:
    """Raises `UserError` for scaffolds that cannot be had, and for a missing model where one is needed."""
    definitions(plan)
    if plan.model is None and not set(plan.scaffolds) <= set(CONTROLS):
        hint = f" ({IGNORED} is not read)" if os.environ.get(IGNORED) else ""
        raise UserError(f"give the model server: --base-url http://127.0.0.1:8080/v1 --model NAME{hint}")


def notes(plan: RunPlan) -> list[str]:
    """What whoever starts this run should know before the first attempt, a line each."""
    lines = left_out(plan.preset)
    elsewhere = os.environ.get(IGNORED, "").rstrip("/")
    if plan.model is not None and elsewhere not in ("", plan.model.base_url):
        lines.append(f"{IGNORED} is not read: the server is {plan.model.base_url}")
    return lines


def check_machine(run: Path) -> None:
    """Docker and disk, before anything is written."""
    DockerBackend().reap()
    run.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(run.parent).free) < LEAST_FREE_BYTES:
        raise MachineError(f"only {free // 1_000_000} MB free for {run}: a run needs at least 500 MB")


def claim_to_verify(plan: RunPlan, benchmark: str) -> Claim | None:
    """The plan's claim. Raises `UserError` for one that no run on this benchmark decides."""
    if plan.claim is None:
        return None
    from evals.verdict.verify import comparable

    claim = find(plan.claim)
    comparable(claim, benchmark, plan.tasks)
    return claim


@contextmanager
def open_run(
    plan: RunPlan,
    directory: Path,
    progress: Progress,
    *,
    grade: bool = True,
    say: Callable[[str], None] = lambda _line: None,
) -> Iterator[Run]:
    """Everything checked and frozen; the caller holds the directory's lock and calls `work`.

    `say` is given the few lines of the preflight.
    """
    check_scaffolds(plan)
    check_machine(directory)
    for one in definitions(plan).values():
        progress(f"installing {one.name}", None)
        one.prepare()
    tasks = load_tasks(plan)
    fresh = compose_manifest(plan, tasks, directory, progress)
    for line in preflight(fresh, tasks, directory, progress, grade=grade):
        say(line)
    manifest = manifests.begin_or_resume(directory, fresh)
    tasks = hold_images(tasks, directory, manifest, say)
    with ExitStack() as stack:
        context = make_context(manifest, directory, plan, tasks)
        stack.callback(context.abandon)
        hooks = RunHooks(
            None,
            make_waiter(plan),
            short_prompt=make_short_prompt(plan),
            accept_empty_turns=plan.accept_empty_turns,
            same_server=make_server_check(plan, manifest),
            admission=make_admission(plan, manifest),
            images=make_images(plan, manifest),
            counters=make_counters(plan, manifest),
        )
        if grade:
            grader = stack.enter_context(make_grader(plan, context, hooks.abandoned))
            hooks = replace(hooks, grade=grader.grade, calibrate=grader.calibrate)
        yield make_run(manifest, tasks, context, hooks)


def compose_manifest(
    plan: RunPlan, tasks: list[Task], directory: Path, progress: Progress
) -> manifests.Manifest:
    """What is asked and in force now; the model server is asked who it is, and the base image made if it is missing."""
    server = probe_server(plan)
    server = server and examined(plan, server)
    base = sandbox_base(progress)._asdict() if tasks[0].benchmark in catalog.OURS else None
    return manifests.compose(
        plan,
        tasks,
        run_id=directory.name,
        server=server,
        base_image=base,
        excluded=excluded_tasks(plan.reliable) if plan.reliable else {},
        subset=drawn_subset(plan),
        claim=claim_to_verify(plan, tasks[0].benchmark),
        scaffolds=facts(plan),
        **images_at_first(plan, tasks, directory),
        daemon={DAEMON_CPUS: daemon.cores(), DAEMON_MEMORY: daemon.facts().get("MemTotal") or None},
    )


def make_run(manifest: manifests.Manifest, tasks: list[Task], context: RunContext, hooks: RunHooks) -> Run:
    """The run; where it has a claim to verify, looks that are due are taken before the first attempt."""
    finish_quarantine(context.directory)  # before anybody counts what is there
    interim = make_interim(context.directory, manifest)
    if interim:
        hooks = replace(hooks, look=interim.after, withdraw=interim.withdraw)
    run = Run(context, tasks, to_attempt(manifest, tasks), hooks, Ledger(context.directory / "ledger.jsonl"))
    if interim:
        run.settle(interim.settled)
        for look in interim.catch_up():
            run.looked(look)
    return run


def make_interim(directory: Path, manifest: manifests.Manifest) -> InterimAnalysis | None:
    """Who takes the planned looks; nobody without a claim."""
    if manifest.claim is None:
        return None
    from evals.verdict.interim import InterimAnalysis  # statistics are slow to import

    return InterimAnalysis(directory, manifest)


def make_context(
    manifest: manifests.Manifest, directory: Path, plan: RunPlan, tasks: Sequence[Task] = ()
) -> RunContext:
    """What each attempt of this run is made with."""
    return RunContext(
        directory=directory.absolute(),
        session=begin_session(directory.absolute()),
        run_id=manifest.run_id,
        version=manifest.versions["asclaimed"],
        model_name=manifest.model_name,
        backend=DockerBackend(plan.images.stall_seconds),
        limits=plan.sandbox,
        make_scaffold=ScaffoldMaker(definitions(plan)),
        settings=Settings(budget=plan.budget, tool_calls=plan.tool_calls),
        model=plan.model,
        window=(manifest.server or {}).get("window"),
        task_limits=plan.task_limits,
        shared=shared_kits(plan, tasks) if tasks else {},
    )


def make_grader(plan: RunPlan, context: RunContext, abandoned: threading.Event) -> Grader:
    """Whoever grades the attempts of this run; silent once it is abandoned."""
    return Grader(
        plan.grader,
        limits=plan.test_limits,
        run=context.run_id,
        backend=context.backend,
        abandoned=abandoned,
    )


def make_waiter(plan: RunPlan) -> Callable[[Callable[[], bool]], bool]:
    """How the run waits for a server that went away. Whether it is the same one then is asked by `make_server_check`."""

    def wait(stopping: Callable[[], bool]) -> bool:
        from scaffolds.openai.probe import wait_until_up

        return plan.model is not None and wait_until_up(plan.model, stopping)

    return wait
