"""Which of a benchmark's tasks to run: by id, by a seeded sample, by a limit; always in the benchmark's order.

A sample is stratified by repository with largest-remainder (Hamilton) allocation: each repository gets the whole
part of its proportional quota, and what is left goes to the largest fractions, ties to the first repository by name.
Within a repository the tasks with the smallest sha256 of seed and id are taken, so a sample depends on neither the
order of the rows nor the version of Python.

Not here: choosing tasks for what they tell about a model (`evals.stats.subset`).
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from tasks.errors import TaskError, UserError
from tasks.task import Task


def read_ids(text: str) -> list[str]:
    """Ids from `a,b,c` or from `@file` (commas, spaces or lines between them; `#` starts a comment line)."""
    if text.startswith("@"):
        text = _read_id_file(Path(text[1:]))
    ids = text.replace(",", " ").split()
    if not ids:
        raise UserError("--ids names no task: give a comma-separated list or @FILE")
    return ids


def _read_id_file(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the id file {path}: {error}") from error
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


def select(
    tasks: Sequence[Task],
    *,
    ids: Iterable[str] | None = None,
    sample: int | None = None,
    seed: int | None = None,
    limit: int | None = None,
) -> list[Task]:
    """First `ids`, then `sample`, then `limit`. Raises `UserError` for what cannot be met; `seed` None means 0."""
    chosen = list(tasks) if ids is None else _with_ids(tasks, ids)
    if sample is not None:
        chosen = stratified(chosen, sample, seed or 0)
    if limit is not None:
        _at_least_one("limit", limit)
        chosen = chosen[:limit]
    return chosen


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{name} must be at least 1, not {value}")


def _with_ids(tasks: Sequence[Task], ids: Iterable[str]) -> list[Task]:
    wanted = set(ids)
    unknown = sorted(wanted - {task.id for task in tasks})
    if unknown:
        raise UserError(
            f"no such task ids: {', '.join(unknown)}{_near(unknown, [task.id for task in tasks])}"
        )
    return [task for task in tasks if task.id in wanted]


def _near(unknown: Sequence[str], known: Sequence[str]) -> str:
    """What was probably meant: by spelling, else ids that contain what was given."""
    found: list[str] = []
    for name in unknown[:3]:
        holding = [task_id for task_id in known if name.lower() in task_id.lower()]
        found += (difflib.get_close_matches(name, known, n=2) or holding)[:2]
    return f" (did you mean {', '.join(dict.fromkeys(found))}?)" if found else ""


def reject_duplicates(tasks: Sequence[Task], where: str) -> None:
    """Raises `TaskError` when an id occurs twice: two tasks would share one record."""
    twice = sorted(task_id for task_id, count in Counter(task.id for task in tasks).items() if count > 1)
    if twice:
        raise TaskError(f"{where}: these ids occur more than once: {', '.join(twice)}")


def allocate(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Seats for each stratum, largest remainder; sums to `total`, never more than the stratum holds."""
    everything = sum(sizes.values())
    quotas = {name: Fraction(total * size, everything) for name, size in sizes.items()}
    seats = {name: int(quota) for name, quota in quotas.items()}
    by_fraction = sorted(quotas, key=lambda name: (seats[name] - quotas[name], name))
    for name in by_fraction[: total - sum(seats.values())]:
        seats[name] += 1
    return seats


def stratified(tasks: Sequence[Task], size: int, seed: int) -> list[Task]:
    """`size` of the tasks, in their order, repositories in proportion. Raises `UserError` when there are too few."""
    _at_least_one("sample", size)
    if size > len(tasks):
        raise UserError(f"--sample {size} asks for more than the {len(tasks)} tasks there are")
    strata: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        strata[task.brief.repo].append(task.id)
    seats = allocate({repo: len(ids) for repo, ids in strata.items()}, size)
    chosen = {task_id for repo, ids in strata.items() for task_id in _draw(ids, seats[repo], seed)}
    return [task for task in tasks if task.id in chosen]


def _draw(ids: list[str], count: int, seed: int) -> list[str]:
    return sorted(ids, key=lambda task_id: hashlib.sha256(f"{seed}\0{task_id}".encode()).digest())[:count]
