"""The tasks that a plan names, in the order of work: loaded, narrowed to its subset, checked against its looks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from evals.claims.claim import same_benchmark
from evals.run.plan import RunPlan
from tasks import catalog
from tasks.errors import UserError
from tasks.mirrors import mirrored
from tasks.task import MachineBrief, Task

if TYPE_CHECKING:
    from evals.stats.drawn import Subset


def load_tasks(plan: RunPlan) -> list[Task]:
    """The plan's tasks; a catalog's entry is of one benchmark, so that a rate over them means something."""
    drawn = drawn_subset(plan)
    ids = drawn.ids if drawn else plan.ids
    tasks = catalog.load(
        plan.tasks,
        ids=ids,
        limit=plan.limit,
        sample=plan.sample,
        seed=plan.seed,
        pro_scripts=plan.pro_scripts,
    )
    if plan.skills == "without":
        tasks = [withheld(task) for task in tasks]
    tasks = mirrored(tasks, plan.images.mirrors)
    if plan.looks and max(plan.looks) > len(tasks):
        raise UserError(f"looks: {max(plan.looks)} is more than the {len(tasks)} tasks there are")
    if drawn:
        check_subset(drawn, tasks[0].benchmark)
        return sorted(tasks, key=lambda task: drawn.ids.index(task.id))
    return in_random_order(tasks, plan.seed or 0) if plan.looks else tasks


def withheld(task: Task) -> Task:
    """The same task, whose agent gets none of the skills that it brings."""
    brief = task.brief
    if not isinstance(brief, MachineBrief):
        return task
    skills = brief.skills.model_copy(update={"withheld": True})
    return task.model_copy(update={"brief": brief.model_copy(update={"skills": skills})})


def drawn_subset(plan: RunPlan) -> Subset | None:
    """The plan's subset file. Raises `UserError` when it is none."""
    if plan.subset is None:
        return None
    from evals.stats.results import read_subset  # statistics are slow to import

    return read_subset(plan.subset)


def check_subset(drawn: Subset, benchmark: str) -> None:
    """Raises `UserError` for what no estimate could be made of after the run."""
    from evals.stats.subset import check_drawn

    if not same_benchmark(drawn.benchmark, benchmark):
        raise UserError(
            f"the subset was drawn from {drawn.benchmark} and the tasks are {benchmark}: "
            "they must be the same benchmark (--tasks NAME=PATH names a file)"
        )
    check_drawn(drawn)


def in_random_order(tasks: list[Task], seed: int) -> list[Task]:
    """A seeded shuffle that depends on ids alone: an early look is fair only at tasks in random order."""
    return sorted(tasks, key=lambda task: hashlib.sha256(f"order\0{seed}\0{task.id}".encode()).digest())
