"""Several Harbor tasks at once: a directory of them, a checkout with such directories, or a data set of a registry.json.

A registry names tasks by repository, commit and path. They are taken from the checkout that the registry lies in;
nothing is cloned: an entry that is not there is a `TaskError` that says which commit of which repository to check out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.errors import TaskError, UserError
from tasks.harbor.directory import is_task, task_from_directory
from tasks.task import Task
from tasks.untrusted import loads

REGISTRY = "registry.json"


def is_collection(path: Path) -> bool:
    return path.name == REGISTRY or bool(homes(path))


def homes(path: Path) -> list[Path]:
    """Task directories at `path`: itself, those in it, or those in the folders of a checkout."""
    if is_task(path):
        return [path]
    for pattern in ("*/task.toml", "*/*/task.toml"):
        if found := sorted(file.parent for file in path.glob(pattern)):
            return found
    return []


def load_tasks(path: Path, name: str) -> Iterator[Task]:
    """`name` is the benchmark's, and of a registry the data set's. Raises `TaskError`, `UserError`."""
    found = in_registry(path, name) if path.name == REGISTRY else homes(path)
    for directory in found:
        yield task_from_directory(directory, name.partition("@")[0])


def in_registry(path: Path, name: str) -> list[Path]:
    """Directories of one data set, `NAME` or `NAME@VERSION`."""
    try:
        entries = loads(path.read_text(encoding="utf-8"))
        known = {f"{entry['name']}@{entry.get('version', 'head')}": entry["tasks"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TaskError(f"{path} is no registry of data sets: {error}") from error
    chosen = [full for full in known if name in (full, full.partition("@")[0])]
    if len(chosen) != 1:
        raise UserError(
            f"--tasks NAME={path}: {'several data sets are' if chosen else 'no data set is'} called {name!r}; "
            f"give one of {', '.join(sorted(known))}"
        )
    return [place(path.parent, entry) for entry in known[chosen[0]]]


def place(checkout: Path, entry: dict[str, Any]) -> Path:
    directory = (checkout / str(entry.get("path", entry.get("name", "")))).resolve()
    if not directory.is_relative_to(checkout.resolve()):
        raise TaskError(f"{directory} is outside of the registry's own directory")
    if not is_task(directory):
        source = f"{entry.get('git_url', 'its repository')} at {entry.get('git_commit_id', 'its commit')}"
        raise TaskError(f"{directory} is no task: check out {source}, and put {REGISTRY} at its top")
    return directory
