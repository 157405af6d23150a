"""The scaffolds of a plan: what each is, read once when a run begins, and who makes one for an attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evals.run.controls import CONTROLS, make_scaffold
from evals.run.manifest import ScaffoldFacts
from evals.run.plan import RunPlan
from scaffolds.base import Scaffold, Settings
from scaffolds.catalog import Definition, find
from scaffolds.sampling import UNSAID, Sampling
from tasks.errors import UserError
from tasks.task import Task


def definitions(plan: RunPlan) -> dict[str, Definition]:
    """Name → scaffold, controls left out. Raises `UserError` for one that cannot be had, or is named twice."""
    found = {}
    for given, name in zip(plan.scaffolds, plan.scaffold_names, strict=True):
        if given not in CONTROLS:
            found[name] = find(given, besides=CONTROLS)
    if len(set(plan.scaffold_names)) < len(plan.scaffolds):
        raise UserError("a scaffold is named twice: each runs once over all attempts")
    return found


def facts(plan: RunPlan) -> dict[str, ScaffoldFacts]:
    """What the manifest says of each."""
    return {
        name: ScaffoldFacts(
            source=one.source,
            sha256=one.sha256,
            factors=one.in_force(plan.budget, plan.tool_calls, sampling_of(plan)),
            own_protocol=one.factors.own_protocol if one.factors else {},
        )
        for name, one in definitions(plan).items()
    }


def sampling_of(plan: RunPlan) -> Sampling:
    return plan.model.sampling if plan.model else UNSAID


@dataclass(frozen=True)
class ScaffoldMaker:
    """A fresh scaffold for each attempt. It sees the brief only; the two controls are ours and get the task."""

    known: Mapping[str, Definition]

    def __call__(self, name: str, task: Task, settings: Settings) -> Scaffold:
        return make_scaffold(name, task, settings) if name in CONTROLS else self.known[name].make(settings)
