"""A name or a path → tasks.

bundled                                     our own small tasks; no network needed
starter                                     our own smallest: one file each, for models of half a billion parameters
swebench-verified | -lite | -multilingual   Hugging Face
FILE.jsonl | FILE.json | FILE.parquet       rows of SWE-bench 4 or 5
DIRECTORY                                   a SWE-bench 5 task repository
NAME=PATH                                   the same, under the benchmark's name: what a claim is compared with

Not here: Terminal-Bench and other Harbor task directories. They judge the state that an agent leaves its machine in;
what asclaimed keeps of an attempt is a patch. They are recognised and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from tasks import rows, selection, swebench
from tasks.errors import UserError
from tasks.task import ImageSpec, Task

BUNDLED, STARTER = "bundled", "starter"
OURS = {BUNDLED: "bundled", STARTER: "bundled/starter"}
"""Benchmarks that travel with asclaimed, and where they lie in this package."""
NAMED_PATH = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)=(?P<path>.+)")


def load(
    name_or_path: str,
    *,
    ids: Iterable[str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int | None = None,
) -> list[Task]:
    """Tasks in the benchmark's order, narrowed as `tasks.selection.select` says.

    Raises `UserError` for a name or a selection that cannot be met, `TaskError` for a malformed row,
    `MachineError` when Hugging Face is out of reach.
    """
    tasks = list(_find(name_or_path))
    selection.reject_duplicates(tasks, name_or_path)
    if not tasks:
        raise UserError(f"{name_or_path} holds no tasks")
    return selection.select(tasks, ids=ids, limit=limit, sample=sample, seed=seed)


def _find(name_or_path: str) -> Iterator[Task]:
    if name_or_path in OURS:
        return _bundled(name_or_path)
    if name_or_path in swebench.DATASETS:
        found = rows.from_hub(swebench.DATASETS[name_or_path])
        return _from_rows(found, name_or_path)
    named = NAMED_PATH.fullmatch(name_or_path)
    if named and not Path(name_or_path).exists():
        return _from_path(Path(named["path"]), named["name"])
    return _from_path(Path(name_or_path), Path(name_or_path).stem)


def _bundled(name: str) -> Iterator[Task]:
    """Under image names that no registry has: these are built from their own directory, never pulled."""
    for task in swebench.tasks_from_repo(bundled_directory(name), name):
        image = ImageSpec(reference=f"asclaimed/{task.id}", context=task.image.context)
        yield task.model_copy(update={"image": image})


def bundled_directory(name: str = BUNDLED) -> Path:
    """Where a bundled task repository lies, in a checkout as in an installed wheel."""
    return Path(str(files("tasks") / OURS[name]))


def _from_path(path: Path, benchmark: str) -> Iterator[Task]:
    if path.is_file() and path.suffix in rows.FILE_SUFFIXES:
        return _from_rows(rows.from_file(path), benchmark)
    if path.is_dir() and swebench.is_task_repo(path):
        return swebench.tasks_from_repo(path, benchmark)
    if (path / "task.toml").is_file() or any(path.glob("*/task.toml")):
        raise UserError(
            f"{str(path)!r} holds Terminal-Bench (Harbor) tasks: they are judged by the state of the whole machine, "
            "and asclaimed records and judges patches"
        )
    known = ", ".join([*OURS, *swebench.DATASETS])
    raise UserError(
        f"no tasks at {str(path)!r}: give one of {known}, a {'/'.join(rows.FILE_SUFFIXES)} file, "
        "or a directory with sweb.yaml and tasks/"
    )


def _from_rows(found: Iterable[rows.Row], benchmark: str) -> Iterator[Task]:
    return (swebench.task_from_row(row, benchmark) for row in found)
