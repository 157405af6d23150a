"""Which attempts of a run need not be made again: those that were asked and made in just the same way elsewhere.

The digest covers task, image, scaffold source, model server as it describes itself, sampling, budget and sandbox
limits. A change of the grader alone keeps the attempt and drops its grade. Not covered: a server that changes and
says nothing of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from evals.record import AttemptKey, Grade, Outcome, Record, grade_of
from evals.run import manifest as manifests
from evals.run.manifest import Manifest
from tasks.errors import UserError
from tasks.task import Task


class Action(StrEnum):
    """What becomes of one attempt tonight."""

    REUSE = "reuse"
    REGRADE = "regrade"
    RERUN = "rerun"


class Choice(NamedTuple):
    """An action, and the attempt directory it starts from."""

    action: Action
    source: Path | None = None


SERVER_FACTS = (
    "models",
    "version",
    "window",
    "quantization",
    "model_path",
    "parameters",
    "template_sha256",
    "defaults",
)


def setting(manifest: Manifest) -> str:
    """Digest of what all attempts of a run share: model, server, sampling, budget, scaffold source."""
    plan, server = manifest.plan, manifest.server or {}
    parts = {
        "model": plan.model.model if plan.model else None,
        "sampling": plan.model.sampling.model_dump(mode="json") if plan.model else None,
        "server": {fact: server.get(fact) for fact in SERVER_FACTS},
        "budget": plan.budget.model_dump(mode="json"),
        "sandbox": plan.sandbox.model_dump(mode="json"),
        "tool_calls": plan.tool_calls,
        "scaffolds": manifest.scaffold_source,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def grading(manifest: Manifest) -> tuple[str, bool, str]:
    """What decides a grade besides the attempt: the grader, its network and our own code."""
    plan = manifest.plan
    return plan.grader, plan.grading.network, manifest.versions.get("asclaimed", "")


def alike(run: Path, fresh: Manifest) -> bool:
    """Whether this run was begun in just the way of `fresh`, so that it can be taken up and nothing gets mixed."""
    try:
        return setting(manifests.begin_or_resume(run, fresh)) == setting(fresh)
    except UserError:
        return False


def decide(
    fresh: Manifest, tasks: Sequence[Task], sources: Sequence[Path], image_of: Callable[[Task], str]
) -> dict[AttemptKey, Choice]:
    """What to do for each attempt of tonight; `sources`: run directories to reuse from, best first."""
    by_id = {task.id: task for task in tasks}
    known = [(path, manifests.load(path)) for path in sources]
    usable = [(path, found) for path, found in known if setting(found) == setting(fresh)]

    @cache
    def image(task_id: str) -> str:
        return image_of(by_id[task_id])

    return {key: choose(key, by_id[key.task_id], fresh, usable, image) for key in fresh.frozen_keys()}


def choose(
    key: AttemptKey,
    task: Task,
    fresh: Manifest,
    sources: Sequence[tuple[Path, Manifest]],
    image_of: Callable[[str], str],
) -> Choice:
    """An attempt elsewhere that was asked and made in just the same way; best one whose verdict can be kept, too."""
    made = [(key.directory(path), grading(manifest) == grading(fresh)) for path, manifest in sources]
    same = [(path, graded_so) for path, graded_so in made if same_attempt(read_record(path), task, image_of)]
    for path, same_grader in same:
        grade = grade_of(path)
        if same_grader and grade is not None and grade.outcome is not Outcome.NOT_JUDGED:
            return Choice(Action.REUSE, path)
    return Choice(Action.REGRADE, same[0][0]) if same else Choice(Action.RERUN)


def same_attempt(record: Record | None, task: Task, image_of: Callable[[str], str]) -> bool:
    """Whether it was made, at this task as it is now, in the image as it is now."""
    return (
        record is not None
        and record.failure is None
        and record.task_hash == task.content_hash
        and record.image_source == image_of(task.id)
    )


def read_record(directory: Path) -> Record | None:
    """None also for one that is damaged: the attempt is then made anew."""
    try:
        return Record.model_validate_json((directory / "record.json").read_bytes())
    except (OSError, ValidationError):
        return None


def seed(
    directory: Path, fresh: Manifest, choices: Mapping[AttemptKey, Choice]
) -> dict[AttemptKey, Grade | None]:
    """Begin the night's run directory with what it reuses; what it regrades comes without its grade.

    Returns the grades that were left behind. Attempts that are already there, from a night cut short, stay.
    """
    manifests.begin_or_resume(directory, fresh)
    left: dict[AttemptKey, Grade | None] = {}
    for key, (action, source) in choices.items():
        target = key.directory(directory)
        if source is not None and not target.exists():
            half = target.with_name(f".{target.name}.tmp")
            shutil.rmtree(half, ignore_errors=True)
            skipped = shutil.ignore_patterns("grade.json") if action is Action.REGRADE else None
            shutil.copytree(source, half, ignore=skipped)
            half.rename(target)
        if action is Action.REGRADE and source is not None:
            left[key] = grade_of(source)
    return left


def changed(directory: Path, key: AttemptKey, old: Grade | None) -> bool:
    new = grade_of(key.directory(directory))
    return old is not None and new is not None and old.outcome != new.outcome
