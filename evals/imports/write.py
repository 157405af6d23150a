"""A batch of somebody else's attempts as a run directory, which report, compare and verify read like one of ours.

The denominator is the task list that the user names, or else every task that the source speaks of. Not covered: making
the source's limits and sampling known to the protocol table; they stay "not stated".
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from itertools import chain, count
from pathlib import Path
from typing import Literal, NamedTuple

from evals.imports.batch import NAME, Batch, ImportedAttempt
from evals.imports.staging import refuse_used, staged
from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Record
from evals.run.ledger import Ledger
from evals.run.manifest import Elsewhere, Manifest, TaskEntry
from evals.run.plan import RunPlan
from evals.run.plan_tasks import check_subset
from evals.run.versions import versions
from evals.stats.drawn import Subset
from evals.stats.results import read_subset
from tasks import catalog, selection
from tasks.errors import MachineError, UserError
from tasks.task import Frozen

SHIPPED = {"swebench-verified": "swebench_verified.json"}
"""Benchmarks whose task ids travel with asclaimed, for machines that cannot reach Hugging Face."""
LARGEST_COPY = 50_000_000
"""Bytes of one upstream file that is copied beside its attempt."""


class ImportOptions(NamedTuple):
    """What the user says beyond the source."""

    tasks: str | None = None
    benchmark: str | None = None
    model: str | None = None
    scaffold: str | None = None
    subset: Path | None = None
    """What `asclaimed subset --json` printed: the tasks that were to be solved, with their chances."""


def write_run(run: Path, source: Path, batch: Batch, options: ImportOptions) -> tuple[Manifest, list[str]]:
    """Write the run directory; returns its manifest and a line for whatever was left out. Raises `UserError`."""
    refuse_used(run, run.resolve())
    named = task_list(batch, options)
    listed = batch.attempts
    drawn = read_subset(options.subset) if options.subset else None
    if drawn:
        check_subset(drawn, options.benchmark or drawn.benchmark)
        named = of_subset(drawn, named)
    batch = narrowed(filled(batch, named), options)
    tasks = named or spoken_of(batch)
    known = {task.id for task in tasks}
    usable = [a for a in batch.attempts if a.task in known and NAME.fullmatch(a.task)]
    if not usable or (listed and not any(a.task in known for a in listed)):
        raise UserError(f"{source} speaks of no task of {options.tasks or 'a usable name'}")
    left_out = [f"{a.task}: {why_not(a.task, options)}" for a in batch.attempts if a.task not in known]
    hashes = {task.id: task.hash for task in tasks}
    keyed = list(numbered(usable))
    manifest = manifest_of(run, source, batch, options, tasks, [key for key, _ in keyed])
    manifest = manifest.model_copy(
        update={"subset": drawn} | ({"benchmark": drawn.benchmark} if drawn else {})
    )
    with staged(run) as stage:
        write(stage / "manifest.json", manifest)
        for key, attempt in keyed:
            write_attempt(stage, key, attempt, batch.judge, hashes[key.task_id])
        ledger = Ledger(stage / "ledger.jsonl")
        ledger.append("imported", source=str(source), kind=batch.kind, attempts=len(keyed))
        ledger.close()
    return manifest, left_out


def why_not(task: str, options: ImportOptions) -> str:
    """Why an attempt at `task` is left out."""
    if not NAME.fullmatch(task):
        return "cannot name a directory"
    return "not a task of the subset" if options.subset else f"not a task of {options.tasks}"


def of_subset(drawn: Subset, named: list[TaskEntry]) -> list[TaskEntry]:
    """The subset's tasks in its order; with `--tasks`, as they are described there. Raises `UserError`."""
    known = {task.id: task for task in named}
    if named and (strange := next((task for task in drawn.ids if task not in known), None)):
        raise UserError(f"the subset draws {strange!r}, which is no task of --tasks")
    return [known.get(task) or entry(task) for task in drawn.ids]


def narrowed(batch: Batch, options: ImportOptions) -> Batch:
    """One model only; a name that the user gives renames where there is one, and chooses where there are several."""
    attempts = renamed(batch.attempts, "model", options.model)
    attempts = renamed(attempts, "system", options.scaffold)
    models = {attempt.model for attempt in attempts if attempt.model}
    if len(models) > 1:
        raise UserError(
            f"there are {len(models)} models in it, choose one with --model: {', '.join(sorted(models))[:300]}"
        )
    return replace(batch, attempts=attempts)


def renamed(
    attempts: tuple[ImportedAttempt, ...], field: Literal["model", "system"], wanted: str | None
) -> tuple[ImportedAttempt, ...]:
    if wanted is None:
        return attempts
    names = {getattr(attempt, field) for attempt in attempts}
    if len(names) == 1:
        return tuple(
            replace(a, model=wanted) if field == "model" else replace(a, system=wanted) for a in attempts
        )
    kept = tuple(attempt for attempt in attempts if getattr(attempt, field) == wanted)
    if not kept:
        raise UserError(
            f"no {field} is called {wanted!r}; there are: {', '.join(sorted(map(str, names)))[:300]}"
        )
    return kept


def task_list(batch: Batch, options: ImportOptions) -> list[TaskEntry]:
    """The tasks that the user names; empty where the source itself says what was tried."""
    if options.tasks is not None:
        named = named_tasks(options.tasks)
        if wrong := next((task.id for task in named if not NAME.fullmatch(task.id)), None):
            raise UserError(f"{options.tasks}: the id {wrong[:80]!r} cannot name a directory")
        return named
    if batch.rest is not None and options.subset is None:
        raise UserError("the source lists only what was resolved, not what was tried: give --tasks NAME|FILE")
    return []


def spoken_of(batch: Batch) -> list[TaskEntry]:
    ids = dict.fromkeys(attempt.task for attempt in batch.attempts)
    return [entry(task) for task in sorted(ids) if NAME.fullmatch(task)]


def named_tasks(name: str) -> list[TaskEntry]:
    """Tasks of a catalog name or file; of a `.txt` file with ids; or the ids that travel with asclaimed."""
    path = name.partition("=")[2] or name
    if path.endswith(".txt"):
        return [entry(task) for task in selection.read_ids(f"@{path}")]
    try:
        found = catalog.load(name)
    except MachineError:
        if name not in SHIPPED:
            raise
        ids = json.loads((files("evals.stats") / "data" / SHIPPED[name]).read_text("utf-8"))["ids"]
        return [entry(task) for task in ids]
    return list(map(TaskEntry.of, found))


def entry(task: str) -> TaskEntry:
    """A task of which only the id is known; SWE-bench's ids name the repository."""
    named = re.fullmatch(r"(.+?)__(.+)-\d+", task)
    return TaskEntry(id=task, hash="", repo=f"{named[1]}/{named[2]}" if named else "", image="")


def filled(batch: Batch, tasks: list[TaskEntry]) -> Batch:
    """With an attempt for each task that a system passes over, where its source means by that that it failed."""
    if batch.rest is None:
        return batch
    listed = {(attempt.system, attempt.task) for attempt in batch.attempts}
    places = ((system, task.id) for system in batch.systems for task in tasks)
    passed_over = [
        ImportedAttempt(task, system, verdict=batch.rest)
        for system, task in places
        if (system, task) not in listed
    ]
    return replace(batch, attempts=(*batch.attempts, *passed_over))


def numbered(attempts: list[ImportedAttempt]) -> Iterator[tuple[AttemptKey, ImportedAttempt]]:
    """Every attempt with its place in the run; names of systems become directory names, each its own."""
    names: dict[str, str] = {}
    made: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        if attempt.system not in names:
            names[attempt.system] = own_name(attempt.system, set(names.values()))
        system = names[attempt.system]
        made[system, attempt.task] += 1
        yield AttemptKey(scaffold=system, task_id=attempt.task, attempt=made[system, attempt.task]), attempt


def own_name(system: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._+-]+", "_", system).strip("._+-")[:80] or "system"
    return next(name for name in chain([base], (f"{base}-{n}" for n in count(2))) if name not in taken)


def manifest_of(
    run: Path,
    source: Path,
    batch: Batch,
    options: ImportOptions,
    tasks: list[TaskEntry],
    keys: list[AttemptKey],
) -> Manifest:
    models = [attempt.model for attempt in batch.attempts if attempt.model]
    return Manifest(
        run_id=run.resolve().name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=RunPlan(
            tasks=options.tasks or str(source),
            scaffolds=tuple(dict.fromkeys(key.scaffold for key in keys)),
            attempts=max(key.attempt for key in keys),
            grader=batch.judge if batch.judged else RunPlan().grader,
        ),
        benchmark=options.benchmark or benchmark_name(options.tasks) or batch.benchmark or "imported",
        tasks=tuple(tasks),
        made_elsewhere=Elsewhere(
            source=f"{batch.kind} {source.name}",
            judged=batch.judged,
            model=options.model or (models[0] if models else None),
            notes=batch.notes,
        ),
        scaffold_source="",
        versions=versions(),
        host={},
    )


def benchmark_name(tasks: str | None) -> str | None:
    return None if tasks is None else Path(tasks.partition("=")[0]).stem


def write_attempt(run: Path, key: AttemptKey, attempt: ImportedAttempt, judge: str, task_hash: str) -> None:
    directory = key.directory(run)
    directory.mkdir(parents=True)
    for name, path in attempt.files:
        if not path.is_symlink() and path.stat().st_size <= LARGEST_COPY:
            shutil.copyfile(path, directory / name)
    if attempt.patch is not None:
        (directory / "patch.diff").write_bytes(attempt.patch)
    if attempt.verdict is not None:
        write(directory / "grade.json", grade_of(attempt, judge))
    write(directory / "record.json", record_of(key, attempt, task_hash))


def write(path: Path, value: Frozen) -> None:
    """As `write_json`, without its flush: the staging directory is flushed as a whole."""
    path.write_bytes(value.model_dump_json(indent=1).encode() + b"\n")


def grade_of(attempt: ImportedAttempt, judge: str) -> Grade:
    """Their verdict under their name; the strict column is ours alone and stays empty."""
    assert attempt.verdict is not None
    outcome, reason, party = attempt.verdict
    return Grade(
        outcome=outcome,
        party=party if outcome is Outcome.NOT_JUDGED else None,
        official=GraderVerdict(outcome=outcome, reason=reason),
        strict=None,
        grader=judge,
        key="imported",
    )


def record_of(key: AttemptKey, attempt: ImportedAttempt, task_hash: str) -> Record:
    return Record(
        key=key,
        task_hash=task_hash,
        image="",
        stop=attempt.stop,
        detail=attempt.detail[:500],
        patch_sha256="" if attempt.patch is None else hashlib.sha256(attempt.patch).hexdigest(),
        patch_bytes=len(attempt.patch or b""),
        steps=attempt.steps,
        prompt_tokens=attempt.prompt_tokens,
        completion_tokens=attempt.completion_tokens,
        active_seconds=attempt.seconds,
        started=attempt.started,
    )
