"""Which importer a path is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from evals.imports import harbor, reports, trajectories
from evals.imports.batch import UNJUDGED, Batch, ImportedAttempt, SourceVerdict, read_json
from evals.imports.predictions import KEY_FIELDS, read_predictions
from evals.record import Outcome
from tasks.errors import UserError


class Kind(StrEnum):
    """What can be imported."""

    AUTO = "auto"
    REPORT = "report"
    """A SWE-bench or sb-cli report, results.json, or per-instance reports."""
    RESOLVED = "resolved"
    """`{name: [resolved ids]}`."""
    PREDICTIONS = "predictions"
    """SWE-bench predictions: patches without verdicts."""
    HARBOR = "harbor"
    MINI = "mini"
    SWE_AGENT = "swe-agent"


PREDICTION_FILES = ("all_preds.jsonl", "preds.json", "preds.jsonl", "predictions.jsonl", "predictions.json")
VERDICT_FILES = ("results/results.json", "results.json", "report.json")


def read(kind: str, path: Path, verdicts: Path | None = None) -> Batch:
    """The batch at `path`; with `verdicts`, judged by that file. Raises `UserError` in one line."""
    if kind not in set(Kind):
        raise UserError(f"cannot import {kind!r}: choose from {', '.join(Kind)}")
    if not path.exists():
        raise UserError(f"there is nothing at {path}")
    chosen = detect(path) if kind == Kind.AUTO else Kind(kind)
    batch = READERS[chosen](path)
    beside = verdicts or (verdicts_beside(path) if chosen is Kind.PREDICTIONS else None)
    return batch.judged_by(reports.read_reports(beside)) if beside else batch


def detect(path: Path) -> Kind:
    """Raises `UserError` when nothing fits."""
    found = in_directory(path) if path.is_dir() else in_file(path)
    if found is None:
        raise UserError(f"cannot tell what {path} holds: name it, one of {', '.join(list(Kind)[1:])}")
    return found


def in_directory(path: Path) -> Kind | None:
    if next(path.rglob("*.traj.json"), None):
        return Kind.MINI
    if next(path.rglob("*.traj"), None):
        return Kind.SWE_AGENT
    if any((path / name).is_file() for name in PREDICTION_FILES):
        return Kind.PREDICTIONS
    if any(harbor.is_trial(read_json(file)) for file in path.rglob("result.json")):
        return Kind.HARBOR
    return Kind.REPORT if next(path.rglob("report.json"), None) else None


def in_file(path: Path) -> Kind | None:
    if path.suffix == ".jsonl":
        return Kind.PREDICTIONS
    value = read_json(path)
    if isinstance(value, dict) and isinstance(value.get("info"), dict):
        return Kind.MINI if "messages" in value else Kind.SWE_AGENT
    if reports.is_report(value) or reports.is_instance_report(value):
        return Kind.REPORT
    if reports.is_lists(value):
        return Kind.RESOLVED
    return Kind.PREDICTIONS if holds_predictions(value) else None


def holds_predictions(value: Any) -> bool:
    entries = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return any(isinstance(entry, dict) and KEY_FIELDS[1] in entry for entry in entries)


def predictions(path: Path) -> Batch:
    """SWE-bench predictions; an empty patch needs no judge."""
    file = next((path / name for name in PREDICTION_FILES if (path / name).is_file()), path)
    found = read_predictions(file)
    empty = SourceVerdict(Outcome.NO_PATCH, "no patch was submitted")
    attempts = tuple(
        ImportedAttempt(p.instance_id, p.model, verdict=None if p.patch.strip() else empty, patch=p.patch)
        for p in found.usable
    )
    return Batch("predictions", UNJUDGED, attempts, notes=(*found.unusable, *several(attempts)))


def several(attempts: tuple[ImportedAttempt, ...]) -> Iterator[str]:
    """SWE-bench's own reader keeps the last line only; saying so lets a reader judge."""
    lines = Counter((attempt.system, attempt.task) for attempt in attempts)
    if repeated := sum(n > 1 for n in lines.values()):
        yield f"{repeated} tasks have several predictions of one system: each was read as an attempt"


def verdicts_beside(path: Path) -> Path | None:
    return (
        next((path / name for name in VERDICT_FILES if (path / name).is_file()), None)
        if path.is_dir()
        else None
    )


READERS: dict[Kind, Callable[[Path], Batch]] = {
    Kind.REPORT: reports.read_reports,
    Kind.RESOLVED: reports.read_reports,
    Kind.PREDICTIONS: predictions,
    Kind.HARBOR: harbor.read_job,
    Kind.MINI: trajectories.read_trajectories,
    Kind.SWE_AGENT: trajectories.read_trajectories,
}
