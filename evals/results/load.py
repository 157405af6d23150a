"""A run directory as `Results`: the frozen list, what became of each attempt, and what was in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from evals.claims.claim import Protocol
from evals.record import COUNTED, OWN_VERIFIER, Outcome, standing
from evals.results.score import Attempt, load_attempts
from evals.results.table import Drawn, Results, Row, System, merge
from evals.run import manifest as manifests
from evals.run.conditions import machine_of
from evals.run.looks import counted
from evals.run.plan import RunPlan
from tasks.errors import UserError

OWN_LIMITS = "each task's own"


class LoadedRun(NamedTuple):
    """A run directory of ours, read once for everything that is told of it."""

    directory: Path
    manifest: manifests.Manifest
    attempts: list[Attempt]
    """Every attempt of the frozen list that counts, made or not."""
    results: Results


def load_run(run: Path) -> LoadedRun:
    """Raises `UserError` when it is not a run directory."""
    manifest = manifests.load(run)
    attempts = load_attempts(run, counted(run, manifest))
    return LoadedRun(run, manifest, attempts, from_attempts(run, manifest, attempts))


def from_run_dirs(runs: Sequence[Path]) -> Results:
    """Several runs as one. Raises `UserError` for one that is named twice, besides what `merge` refuses."""
    refuse_twins(runs)
    return merge([from_run_dir(run) for run in runs])


def labelled(runs: Sequence[Path]) -> Results:
    """Several runs kept apart: each is named after its directory, in the place of its model.

    Raises `UserError` when two directories have one name, besides what `merge` refuses.
    """
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(names):
        raise UserError("two of these run directories have the same name: rename one to tell them apart")
    refuse_twins(runs)
    return merge([renamed(from_run_dir(run), name) for name, run in zip(names, runs, strict=True)])


def refuse_twins(runs: Sequence[Path]) -> None:
    """A run and its copy are one run: its attempts must not count twice."""
    seen: dict[tuple[str, str], Path] = {}
    for run in runs:
        found = manifests.load(run)
        name = (found.run_id, found.created)
        if name in seen:
            raise UserError(f"{run} is the same run as {seen[name]}: name each run once")
        seen[name] = run


def renamed(part: Results, name: str) -> Results:
    rows = tuple(row._replace(system=System(name, row.system.scaffold)) for row in part.rows)
    factors = {System(name, system.scaffold): found for system, found in part.factors.items()}
    own = {System(name, system.scaffold): found for system, found in part.own_protocol.items()}
    return replace(part, rows=rows, factors=factors, own_protocol=own)


def from_run_dir(run: Path) -> Results:
    """A run directory of ours. Raises `UserError` when it is none."""
    return load_run(run).results


def from_attempts(run: Path, manifest: manifests.Manifest, attempts: Sequence[Attempt]) -> Results:
    """The same from what was read of it already."""
    repos = {task.id: (task.repo, task.hash) for task in manifest.tasks}
    rows = tuple(row_of(a, manifest.model_name, *repos[a.key.task_id]) for a in attempts)
    plan = manifest.plan
    chosen = plan.ids is not None or plan.limit is not None
    sample = plan.sample is not None or manifest.subset is not None
    return Results(
        source=str(run),
        benchmark=manifest.benchmark,
        rows=rows,
        drawn=Drawn.CHOSEN if chosen else Drawn.SAMPLE if sample else Drawn.WHOLE,
        excluded=manifest.excluded,
        margin=None if plan.margin is None else plan.margin / 100,
        looks=plan.looks,
        subset=manifest.subset and manifest.subset.without(frozenset(manifest.excluded)),
        planned=len(manifest.counted_tasks),
        protocol=protocol_of(manifest, graders_named(manifest, rows)),
        conditions=manifest.conditions,
        factors=factors_of(manifest),
        own_protocol={
            System(manifest.model_name, name): one.own_protocol for name, one in manifest.scaffolds.items()
        },
    )


def row_of(attempt: Attempt, model: str, repo: str, task_hash: str) -> Row:
    """One attempt of the frozen list, made or not."""
    key, record, grade = attempt
    official = grade.official.outcome if grade else Outcome.NOT_JUDGED
    return Row(
        system=System(model, key.scaffold),
        task=key.task_id,
        repo=repo,
        attempt=key.attempt,
        outcome=attempt.outcome or Outcome.NOT_JUDGED,
        official=None if official is Outcome.NOT_JUDGED else official is Outcome.RESOLVED,
        flagged=record is not None and any(f.kind in COUNTED for f in standing(record.flags, grade)),
        stop=str(record.stop) if record and record.stop else "",
        failure=str(attempt.party or "") if attempt.outcome else "missing",
        malformed=record.calls_malformed if record else 0,
        tokens=record.prompt_tokens + record.completion_tokens if record else 0,
        tokens_out=record.completion_tokens if record else 0,
        seconds=record.active_seconds if record else 0.0,
        grader=grade.grader if grade else "",
        task_hash=task_hash,
    )


def graders_named(manifest: manifests.Manifest, rows: Sequence[Row]) -> str:
    """Who gave the official verdicts, by the grades; before there is one, who will."""
    if manifest.made_elsewhere:
        return manifest.plan.grader
    found = sorted({row.grader for row in rows if row.grader})
    if not found:
        about_machines = manifest.tasks and all(task.given for task in manifest.tasks)
        found = [OWN_VERIFIER if about_machines else manifest.plan.grader]
    return ", ".join(f"each task's own ({name})" if name.startswith(OWN_VERIFIER) else name for name in found)


def protocol_of(manifest: manifests.Manifest, grader: str) -> Protocol:
    """What was in force, in the words of a claim; the scaffold is the system's own."""
    plan, server = manifest.plan, manifest.server or {}
    if manifest.made_elsewhere:
        network = None if manifest.made_elsewhere.judged else grading_network(plan)
        return Protocol(runs=plan.attempts, grader=plan.grader, grading_network=network)
    sampling = plan.model.sampling if plan.model else None
    asked = {**server.get("defaults", {}), **(sampling.body() if sampling else {})}
    return Protocol(
        temperature=number(asked.get("temperature")),
        top_p=number(asked.get("top_p")),
        top_k=int(asked["top_k"]) if number(asked.get("top_k")) is not None else None,
        context_window=server.get("window"),
        max_output_tokens=sampling.max_tokens if sampling else None,
        turn_limit=plan.budget.steps,
        time_limit_seconds=None if plan.task_limits else plan.budget.seconds,
        resources=OWN_LIMITS if plan.task_limits else machine_of(plan, manifest.host).words,
        runs=plan.attempts,
        skills=skills_of(manifest),
        excluded=f"{len(manifest.excluded)} tasks that cannot be graded here" if manifest.excluded else None,
        grader=grader,
        grading_network=grading_network(plan),
        quantization=server.get("quantization"),
    )


def skills_of(manifest: manifests.Manifest) -> str | None:
    """None where no task has any."""
    return manifest.plan.skills if any(task.given and task.given.skills for task in manifest.tasks) else None


def factors_of(manifest: manifests.Manifest) -> dict[System, Mapping[str, str]]:
    """What each scaffold consists of, and whether it had the tasks' skills, where they have some."""
    skills = skills_of(manifest)
    more = {"skills": skills} if skills else {}
    return {
        System(manifest.model_name, name): {**one.factors, **more} for name, one in manifest.scaffolds.items()
    }


def grading_network(plan: RunPlan) -> str:
    return "on" if plan.grading.network else "off"


def number(value: Any) -> float | None:
    """A server's word as a number, if it is one."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
