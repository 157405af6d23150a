"""A run of the real queue, the real `bash` scaffold and the real client against a server of the test's, without Docker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evals.claims.claim import Claim
from evals.record import Grade, GraderVerdict, Outcome, Record, all_keys
from evals.run import manifest as manifests
from evals.run.hooks import RunHooks
from evals.run.ledger import Ledger
from evals.run.plan import RunPlan
from evals.run.queue import Run
from scaffolds.base import Settings
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.openai.probe import wait_until_up
from tasks.backend import Backend
from tasks.task import Brief, Checks, ImageSpec, Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_context import plain_context
from tests.fakes.plain_sandbox import PlainSandbox

PATCH = b"diff --git a/f b/f\n"
QUICK = Retries(attempts=2, seconds=5, first_wait=0.01, longest_wait=0.02)


def make_task(name: str) -> Task:
    return Task(
        id=name,
        benchmark="test",
        image=ImageSpec(reference="none"),
        brief=Brief(task_id=name, repo="r/r", problem_statement=f"The problem of {name}."),
        checks=Checks(fail_to_pass=("t",), pass_to_pass=(), gold_patch="", test_patch=""),
    )


def by_patch(task: Task, record: Record, directory: Path) -> Grade:
    """Resolved is what its patch says."""
    outcome = (
        Outcome.RESOLVED if b"+solved" in (directory / "patch.diff").read_bytes() else Outcome.UNRESOLVED
    )
    return Grade(
        outcome=outcome, official=GraderVerdict(outcome=outcome), grader="test", key=record.patch_sha256
    )


def plan_for(url: str, **values: Any) -> RunPlan:
    return RunPlan.model_validate(
        {"scaffolds": ("bash",), "model": ModelConfig(base_url=url, model="fake", retries=QUICK), **values}
    )


@contextmanager
def open_run(
    directory: Path,
    plan: RunPlan,
    tasks: Sequence[Task],
    *,
    backend: Backend | None = None,
    claim: Claim | None = None,
    grade: Callable[[Task, Record, Path], Grade] | None = by_patch,
    **hooks: Any,
) -> Iterator[Run]:
    """As `session.open_run`, with a machine of the test's. Resumes what is there."""
    assert plan.model is not None
    fresh = manifests.compose(
        plan, list(tasks), run_id="run", server=None, base_image=None, excluded={}, claim=claim
    )
    manifests.begin_or_resume(directory, fresh)
    context = plain_context(
        directory,
        backend=backend or PlainBackend(lambda: PlainSandbox(PATCH)),
        settings=Settings(budget=plan.budget, tool_calls=plan.tool_calls),
        model=plan.model,
    )
    config = plan.model
    found = RunHooks(
        grade,
        lambda stopping: wait_until_up(config, stopping, poll=0.02),
        accept_empty_turns=plan.accept_empty_turns,
        **hooks,
    )
    keys = list(all_keys(plan.scaffolds, [task.id for task in tasks], plan.attempts))
    yield Run(context, tasks, keys, found, Ledger(directory / "ledger.jsonl"))


def work(
    directory: Path,
    plan: RunPlan,
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    watch: Callable[[Run], None] = lambda _run: None,
    **more: Any,
) -> Run:
    """Open it and see it through; `watch` is called now and then."""
    with open_run(directory, plan, tasks, **more) as run:
        run.work(workers=workers, graders=1, watch=lambda: watch(run))
    return run
