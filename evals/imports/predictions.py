"""Predictions that somebody else made, in SWE-bench's format.

Each becomes an attempt like any other, in a run directory of its own, so that grading, scores and reports read it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from evals.record import AttemptKey, Record, kept
from evals.run import manifest as manifests
from evals.run.lock import run_lock
from evals.run.plan import RunPlan
from scaffolds.base import Stop
from tasks.disk import write_atomic, write_json
from tasks.errors import UserError
from tasks.task import Task
from tasks.untrusted import loads

KEY_FIELDS = ("instance_id", "model_patch")


class Prediction(NamedTuple):
    """One line of a predictions file."""

    instance_id: str
    model: str
    patch: bytes


class Predictions(NamedTuple):
    """A predictions file: what could be read, and one line for whatever could not."""

    usable: list[Prediction]
    unusable: list[str]


def read_predictions(path: Path) -> Predictions:
    """SWE-bench's format: `.jsonl`, or `.json` with a list or a dictionary by instance id. Raises `UserError`."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise UserError(f"cannot read predictions {path}: {error.strerror}") from None
    found, bad = Predictions([], []), f"{path.name}:%d: %s"
    for number, entry in enumerate(_lines(text) if path.suffix == ".jsonl" else _entries(path, text), 1):
        problem = _problem(entry)
        if problem:
            found.unusable.append(bad % (number, problem))
            continue
        patch = (entry["model_patch"] or "").encode("utf-8", "replace")
        found.usable.append(
            Prediction(entry["instance_id"], str(entry.get("model_name_or_path") or "model"), patch)
        )
    if not found.usable:
        raise UserError(f"{path} holds no usable prediction: {(found.unusable or ['it is empty'])[0]}")
    return found


def _lines(text: str) -> Iterator[Any]:
    for line in text.split("\n"):
        if line.strip():
            try:
                yield loads(line)
            except ValueError:
                yield line


def _entries(path: Path, text: str) -> list[Any]:
    try:
        value = loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if isinstance(value, dict):
        return [
            {"instance_id": name, **entry} if isinstance(entry, dict) else entry
            for name, entry in value.items()
        ]
    if isinstance(value, list):
        return value
    raise UserError(f"{path} must hold a list of predictions, or a dictionary of them by instance id")


def _problem(entry: Any) -> str:
    """Why this is no prediction; "" when it is one."""
    if not isinstance(entry, dict):
        return "not a JSON object"
    if missing := [field for field in KEY_FIELDS if field not in entry]:
        return f"no {missing[0]}"
    if not isinstance(entry["instance_id"], str) or not isinstance(entry["model_patch"], str | None):
        return "instance_id and model_patch must be text"
    return ""


def record_predictions(
    run: Path, predictions: Sequence[Prediction], plan: RunPlan, tasks: Sequence[Task]
) -> list[str]:
    """Write a run directory in which each prediction is a finished attempt; returns one line for each without a task."""
    by_id = {task.id: task for task in tasks}
    known = [p for p in predictions if p.instance_id in by_id]
    names = _directory_names(sorted({p.model for p in known}))
    if not known:
        raise UserError(f"none of the predictions is for a task of {plan.tasks}")
    counts: Counter[tuple[str, str]] = Counter()
    keyed = []
    for prediction in known:
        place = (names[prediction.model], prediction.instance_id)
        counts[place] += 1
        keyed.append((AttemptKey(scaffold=place[0], task_id=place[1], attempt=counts[place]), prediction))
    plan = plan.model_copy(
        update={"scaffolds": tuple(dict.fromkeys(names.values())), "attempts": max(counts.values())}
    )
    fresh = manifests.compose(
        plan, list(tasks), run_id=run.name, server=None, base_image=None, excluded={}
    ).model_copy(update={"made_elsewhere": manifests.Elsewhere(source="predictions", judged=False)})
    with run_lock(run):
        manifests.begin_or_resume(run, fresh)
        for key, prediction in keyed:
            _record(run, key, by_id[key.task_id], prediction)
    return [f"{p.instance_id}: not a task of {plan.tasks}" for p in predictions if p.instance_id not in by_id]


def _directory_names(models: Sequence[str]) -> dict[str, str]:
    """Model → directory; those that would share one (`org/m` and `org__m`) are told apart by a hash of the name."""
    names = {model: _directory_name(model) for model in models}
    shared = Counter(names.values())
    return {
        model: name if shared[name] == 1 else f"{name}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        for model, name in names.items()
    }


def _directory_name(model: str) -> str:
    """A model's name as one path component."""
    return re.sub(r"[^A-Za-z0-9._-]+", "__", model).strip("._")[:100] or "model"


def _record(run: Path, key: AttemptKey, task: Task, prediction: Prediction) -> None:
    directory = key.directory(run)
    digest = hashlib.sha256(prediction.patch).hexdigest()
    if (directory / "record.json").exists():
        before = kept(Record, directory / "record.json")
        if before.patch_sha256 != digest:
            raise UserError(f"{directory} holds another patch: use --out for a new directory")
        return
    directory.mkdir(parents=True, exist_ok=True)
    write_atomic(directory / "patch.diff", prediction.patch)
    record = Record(
        key=key,
        task_hash=task.content_hash,
        image="",
        stop=Stop.SUBMITTED,
        detail=f"a prediction of {prediction.model[:200]}",
        patch_sha256=digest,
        patch_bytes=len(prediction.patch),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(directory / "record.json", record)


def write_predictions(run: Path, manifest: manifests.Manifest) -> None:
    """`predictions.jsonl`: a line for each recorded attempt, in the order of the frozen list. Derived, like a report."""
    lines = []
    for key in manifest.frozen_keys():
        directory = key.directory(run)
        if (directory / "record.json").exists() and (directory / "patch.diff").exists():
            line = {
                "instance_id": key.task_id,
                "model_name_or_path": f"{manifest.model_name}+{key.scaffold}#{key.attempt}",
                "model_patch": (directory / "patch.diff").read_bytes().decode("utf-8", "replace"),
            }
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_atomic(run / "predictions.jsonl", "".join(lines).encode())
