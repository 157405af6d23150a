"""A name or a path → tasks.

bundled                                     our own small tasks; no network needed
starter                                     our own smallest: one file each, for models of half a billion parameters
swebench-verified | -lite | -multilingual | -pro   Hugging Face
FILE.jsonl | FILE.json | FILE.parquet       rows of SWE-bench 4 or 5
DIRECTORY                                   a SWE-bench 5 task repository, or a Harbor task, or a directory of these
NAME=PATH                                   the same, under the benchmark's name: what a claim is compared with
NAME@VERSION=registry.json                  one data set of a Harbor registry, in the checkout that holds it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path

from tasks import pro, rows, selection, swebench
from tasks.errors import UserError
from tasks.harbor import collection
from tasks.task import ImageSpec, Task

BUNDLED, STARTER = "bundled", "starter"
OURS = {BUNDLED: "bundled", STARTER: "bundled/starter"}
"""Benchmarks that travel with asclaimed, and where they lie in this package."""
TASKS = "tasks"
"""What checkouts call the directory of their tasks."""
NAMED_PATH = re.compile(r"(?P<name>[a-z0-9][a-z0-9._@-]*)=(?P<path>.+)")


def load(
    name_or_path: str,
    *,
    ids: Iterable[str] | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int | None = None,
    pro_scripts: Path | None = None,
) -> list[Task]:
    """Tasks in the benchmark's order, narrowed as `tasks.selection.select` says.

    `pro_scripts`: a checkout with what SWE-bench Pro's rows are tested with; without it they can be listed only.
    Raises `UserError` for a name or a selection that cannot be met, `TaskError` for a malformed row,
    `MachineError` when Hugging Face is out of reach.
    """
    tasks = list(_find(name_or_path, pro_scripts))
    selection.reject_duplicates(tasks, name_or_path)
    if not tasks:
        raise UserError(f"{name_or_path} holds no tasks")
    return selection.select(tasks, ids=ids, limit=limit, sample=sample, seed=seed)


def _find(name_or_path: str, pro_scripts: Path | None) -> Iterator[Task]:
    if name_or_path in OURS:
        return _bundled(name_or_path)
    if name_or_path in swebench.DATASETS:
        found = rows.from_hub(swebench.DATASETS[name_or_path])
        return _from_rows(found, name_or_path, pro_scripts)
    named = NAMED_PATH.fullmatch(name_or_path)
    if named and not Path(name_or_path).exists():
        return _from_path(Path(named["path"]), named["name"], pro_scripts)
    return _from_path(Path(name_or_path), _name_of(Path(name_or_path)), pro_scripts)


def _name_of(path: Path) -> str:
    """A file is called after its stem, a directory by its name; `tasks` in a checkout by the checkout's."""
    if not path.is_dir():
        return path.stem
    whole = path.resolve()
    is_part = whole.name == TASKS and not swebench.is_task_repo(whole)
    return (is_part and whole.parent.name) or whole.name


def _bundled(name: str) -> Iterator[Task]:
    """Under image names that no registry has: these are built from their own directory, never pulled."""
    for task in swebench.tasks_from_repo(bundled_directory(name), name):
        image = ImageSpec(reference=f"asclaimed/{task.id}", context=task.image.context)
        yield task.model_copy(update={"image": image})


def bundled_directory(name: str = BUNDLED) -> Path:
    """Where a bundled task repository lies, in a checkout as in an installed wheel."""
    return Path(str(files("tasks") / OURS[name]))


def _from_path(path: Path, benchmark: str, pro_scripts: Path | None) -> Iterator[Task]:
    if path.is_file() and path.suffix in rows.FILE_SUFFIXES and path.name != collection.REGISTRY:
        return _from_rows(rows.from_file(path), benchmark, pro_scripts)
    if path.is_dir() and swebench.is_task_repo(path):
        return swebench.tasks_from_repo(path, benchmark)
    if path.exists() and collection.is_collection(path):
        return collection.load_tasks(path, benchmark)
    known = ", ".join([*OURS, *swebench.DATASETS])
    raise UserError(
        f"no tasks at {str(path)!r}: give one of {known}, a {'/'.join(rows.FILE_SUFFIXES)} file, "
        "a directory with sweb.yaml and tasks/, or one with Harbor tasks (task.toml)"
    )


def _from_rows(found: Iterable[rows.Row], benchmark: str, pro_scripts: Path | None) -> Iterator[Task]:
    for row in found:
        if pro.is_pro(row):
            yield pro.task_from_row(row, benchmark, pro_scripts)
        else:
            yield swebench.task_from_row(row, benchmark)
