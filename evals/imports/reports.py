"""Verdicts as lists of ids: SWE-bench's run reports (all schemas), sb-cli's, SWE-bench/experiments' results.json,
`{name: [resolved ids]}`, and per-instance report.json files.

An id under `error_ids` is not judged here, although leaderboards count it as failed: the report does not say whose
fault it was. A source that lists nothing but what was solved means that the rest was not, and is read so, with a note.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.imports.batch import Batch, ImportedAttempt, SourceVerdict, read_json
from evals.record import Outcome, Party
from tasks.errors import UserError

LISTS = {
    "missing": SourceVerdict(Outcome.NOT_JUDGED, "no result was published"),
    "missing_ids": SourceVerdict(Outcome.NOT_JUDGED, "no result was published"),
    "incomplete_ids": SourceVerdict(Outcome.NOT_JUDGED, "nothing was submitted"),
    "pending_ids": SourceVerdict(Outcome.NOT_JUDGED, "the evaluation was not finished"),
    "failed_ids": SourceVerdict(Outcome.NOT_JUDGED, "the evaluation failed"),
    "no_logs": SourceVerdict(Outcome.NOT_JUDGED, "the evaluation left no log"),
    "error_ids": SourceVerdict(Outcome.NOT_JUDGED, "the evaluation ended in an error"),
    "unresolved": SourceVerdict(Outcome.UNRESOLVED),
    "unresolved_ids": SourceVerdict(Outcome.UNRESOLVED),
    "no_generation": SourceVerdict(Outcome.NO_PATCH, "no patch was submitted"),
    "empty_patch_ids": SourceVerdict(Outcome.NO_PATCH, "no patch was submitted"),
    "infra_failure_ids": SourceVerdict(
        Outcome.NOT_JUDGED, "the evaluation's infrastructure failed", Party.SANDBOX
    ),
    "resolved": SourceVerdict(Outcome.RESOLVED),
    "resolved_ids": SourceVerdict(Outcome.RESOLVED),
}
"""Key of a report → what it says of the ids under it. A later key wins."""
COMPLETE = ("unresolved_ids", "unresolved", "submitted_ids", "completed_ids")
"""A report with one of these lists what was not solved, too."""
NOT_LISTED = SourceVerdict(Outcome.UNRESOLVED, "not among those listed as resolved")
REST_NOTE = "the source lists what was resolved only: every other task was read as not resolved"
PLAIN_NAMES = {"report", "results", "eval", "resolved"}


def read_reports(path: Path) -> Batch:
    """A file of verdicts in any of these shapes, or a directory of per-instance reports. Raises `UserError`."""
    if path.is_dir():
        return batch(path, "per-instance reports", list(instance_reports(path)), complete=True)
    value = read_json(path)
    if is_report(value):
        name = system_name(path)
        said = list(listed(name, value))
        return batch(path, "SWE-bench report", said, is_complete(value), (name,) if said else ())
    if is_instance_report(value):
        return batch(path, "per-instance report", list(instances(system_name(path), value)), complete=True)
    if is_lists(value):
        found = [one for name, entry in value.items() for one in listed(name, as_report(entry))]
        complete = all(is_complete(as_report(entry)) for entry in value.values())
        return batch(path, "lists of resolved ids", found, complete, tuple(value))
    raise UserError(f"{path} holds no verdicts: give a SWE-bench report, or {{name: [resolved ids]}}")


def batch(
    path: Path, kind: str, attempts: list[ImportedAttempt], complete: bool, systems: tuple[str, ...] = ()
) -> Batch:
    if not attempts and (complete or not systems):
        raise UserError(f"{path} lists no task at all")
    return Batch(
        kind=kind,
        judge=f"imported: {kind} {path.name}, not graded by asclaimed",
        attempts=tuple(attempts),
        rest=None if complete else NOT_LISTED,
        systems=() if complete else systems,
        notes=tuple(error_note(attempts)) + (() if complete else (REST_NOTE,)),
    )


def error_note(attempts: list[ImportedAttempt]) -> Iterator[str]:
    errors = sum(a.verdict == LISTS["error_ids"] for a in attempts)
    if errors:
        yield f"{errors} evaluations ended in an error and are not judged; leaderboards count them as failed"


def is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_report(value: Any) -> bool:
    return isinstance(value, dict) and any(is_ids(value.get(key)) for key in ("resolved_ids", "resolved"))


def is_complete(value: dict[str, Any]) -> bool:
    return any(key in value for key in COMPLETE)


def is_lists(value: Any) -> bool:
    """`{name: [ids]}`, or `{name: report}`."""
    return isinstance(value, dict) and bool(value) and all(is_ids(e) or is_report(e) for e in value.values())


def as_report(entry: Any) -> dict[str, Any]:
    report: dict[str, Any] = {"resolved_ids": entry} if isinstance(entry, list) else entry
    return report


def is_instance_report(value: Any) -> bool:
    """`{instance id: {"resolved": bool, …}}`, as SWE-bench writes one for each instance."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(entry, dict) and isinstance(entry.get("resolved"), bool) for entry in value.values()
        )
    )


def listed(system: str, report: dict[str, Any]) -> Iterator[ImportedAttempt]:
    said: dict[str, SourceVerdict] = {}
    for key, verdict in LISTS.items():
        if is_ids(report.get(key)):
            said |= dict.fromkeys(report[key], verdict)
    for task, verdict in said.items():
        yield ImportedAttempt(task, system, verdict=verdict)


def instances(system: str, value: dict[str, Any]) -> Iterator[ImportedAttempt]:
    for task, entry in value.items():
        if entry["resolved"]:
            yield ImportedAttempt(task, system, verdict=SourceVerdict(Outcome.RESOLVED))
        elif entry.get("patch_exists") is False:
            yield ImportedAttempt(task, system, verdict=LISTS["no_generation"])
        else:
            yield ImportedAttempt(task, system, verdict=SourceVerdict(Outcome.UNRESOLVED))


def instance_reports(directory: Path) -> Iterator[ImportedAttempt]:
    """Every `<somewhere>/<instance>/report.json` below a directory."""
    for path in sorted(directory.rglob("report.json")):
        value = read_json(path)
        if is_instance_report(value):
            yield from instances(directory.resolve().name, value)


def system_name(path: Path) -> str:
    """A file's own name, or that of the directory that tells more."""
    parts = [path.stem, *(parent.name for parent in path.resolve().parents)]
    return next((part for part in parts if part and part not in PLAIN_NAMES), "imported")
