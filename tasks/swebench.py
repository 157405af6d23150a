"""SWE-bench's columns, image names and task repositories, and nobody else's business.

Reads rows in the shape of swebench 4 (no image, no eval script, no log parser: the names are derived, the script
stays None) and of swebench 5 (all in the row), and swebench 5's task repositories, where a row is a directory.
`hints_text` holds the discussion that led to the fix: it stays in `Checks.row` and never reaches a brief.

Not here: SWE-bench Pro (`tasks.pro`), whose rows carry neither an image nor a way to run their tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import TaskError
from tasks.rows import Row
from tasks.task import Brief, Checks, ImageSpec, Task
from tasks.untrusted import loads

DATASETS = {
    "swebench-verified": "SWE-bench/SWE-bench_Verified",
    "swebench-lite": "SWE-bench/SWE-bench_Lite",
    "swebench-multilingual": "SWE-bench/SWE-bench_Multilingual",
    "swebench-pro": "ScaleAI/SWE-bench_Pro",
}
"""Our name → Hugging Face's."""

COLUMN_FILES = {
    "problem_statement": "problem_statement.md",
    "patch": "gold.patch",
    "test_patch": "test.patch",
    "eval_script": "eval.sh",
}
"""Columns that a task repository keeps as files of their own."""

EVAL_TYPES = ("pass_and_fail", "fail_only")
REPO_COLUMNS = ("repo", "base_commit", "image", "log_parser", "eval_type")
"""What `task.yaml` must say: nothing of it can be derived for a task that is not SWE-bench's own."""
SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""An id becomes a directory of a run, so it may hold no separators."""
SAFE_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._/:@-]{0,499}")
PUBLISHED_FOR = "sweb.eval.x86_64."


def task_from_row(row: Row, benchmark: str, context: Path | None = None) -> Task:
    """The task a row describes; `context` is the build context of its image, where there is one.

    Raises `TaskError` naming the row's place and the column that is wrong.
    """
    instance_id = _matching(row, "instance_id", SAFE_ID)
    return Task(
        id=instance_id,
        benchmark=benchmark,
        image=ImageSpec(reference=_image(row, instance_id), context=context),
        brief=Brief(
            task_id=instance_id,
            repo=_text(row, "repo"),
            problem_statement=_text(row, "problem_statement"),
        ),
        checks=_checks(row),
    )


def _checks(row: Row) -> Checks:
    _text(row, "base_commit")
    eval_type = row.columns.get("eval_type") or EVAL_TYPES[0]
    if eval_type not in EVAL_TYPES:
        raise TaskError(f"{row.where}: eval_type must be one of {', '.join(EVAL_TYPES)}, not {eval_type!r}")
    return Checks(
        fail_to_pass=_test_ids(row, "FAIL_TO_PASS"),
        pass_to_pass=_test_ids(row, "PASS_TO_PASS"),
        gold_patch=_text(row, "patch"),
        test_patch=_text(row, "test_patch"),
        eval_script=_optional_text(row, "eval_script"),
        log_parser=_optional_text(row, "log_parser"),
        eval_type=eval_type,
        row=row.columns,
    )


def _text(row: Row, column: str) -> str:
    value = _optional_text(row, column)
    if value is None:
        raise TaskError(f"{row.where}: column {column!r} is missing or empty")
    return value


def _optional_text(row: Row, column: str) -> str | None:
    value = row.columns.get(column)
    if value is not None and not isinstance(value, str):
        raise TaskError(f"{row.where}: column {column!r} must be text, not {type(value).__name__}")
    return value if value and value.strip() else None


def _matching(row: Row, column: str, pattern: re.Pattern[str]) -> str:
    value = _text(row, column)
    if not pattern.fullmatch(value):
        raise TaskError(f"{row.where}: column {column!r} holds characters that it must not: {value[:80]!r}")
    return value


def _image(row: Row, instance_id: str) -> str:
    """The row's own image, else the name that SWE-bench publishes: `__` is `_1776_` and all is lower case."""
    if _optional_text(row, "image") is not None:
        return _matching(row, "image", SAFE_IMAGE)
    return f"swebench/{PUBLISHED_FOR}{instance_id.replace('__', '_1776_')}:latest".lower()


def image_names(reference: str, machine: str) -> tuple[str, ...]:
    """Names under which an image may be published for a machine of this `uname -m`, the best one first.

    SWE-bench's names hold the processor. Few are published for arm64; the others have to be emulated there.
    """
    if machine == "aarch64" and f"/{PUBLISHED_FOR}" in reference:
        return (reference.replace(PUBLISHED_FOR, "sweb.eval.arm64."), reference)
    return (reference,)


def _test_ids(row: Row, column: str) -> tuple[str, ...]:
    """A list of test ids, or the JSON text of one, as the older datasets have it."""
    value: Any = row.columns.get(column)
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError as error:
            raise TaskError(f"{row.where}: column {column!r} is not a JSON list: {error}") from error
    if not isinstance(value, list) or not all(isinstance(test, str) for test in value):
        raise TaskError(f"{row.where}: column {column!r} must be a list of test ids")
    return tuple(value)


def difficulty(task: Task) -> str:
    """What the benchmark says of how hard the task is (`tier 2`, `15 min - 1 hour`); "" when it does not."""
    if task.verifier:
        return task.verifier.difficulty
    row = task.patch_checks.row
    return f"tier {row['tier']}" if row.get("tier") else str(row.get("difficulty") or "")


def is_task_repo(path: Path) -> bool:
    return (path / "sweb.yaml").is_file() and (path / "tasks").is_dir()


def tasks_from_repo(repo: Path, benchmark: str) -> Iterator[Task]:
    """Tasks of a swebench 5 task repository, the easiest tier first, then by id."""
    directories = sorted(path.parent for path in (repo / "tasks").glob("*/task.yaml"))
    if not directories:
        raise TaskError(f"{repo}: no tasks/<instance_id>/task.yaml in it")
    rows = [(directory, _row_from_directory(directory)) for directory in directories]
    rows.sort(key=lambda pair: (str(pair[1].columns.get("tier", "")), pair[0].name))
    for directory, row in rows:
        context = directory if (directory / "Dockerfile").is_file() else None
        yield task_from_row(row, benchmark, context)


def _row_from_directory(directory: Path) -> Row:
    """The columns that swebench's own loader gives, and the Dockerfile: it decides what is asked, so it is hashed."""
    where = f"tasks/{directory.name}"
    columns: dict[str, Any] = _mapping(directory / "task.yaml", yaml.safe_load)
    columns |= _mapping(directory / "tests.json", loads)
    columns |= {column: _read(directory / name) for column, name in COLUMN_FILES.items()}
    if (directory / "Dockerfile").is_file():
        columns["dockerfile"] = _read(directory / "Dockerfile")
    if columns.get("instance_id") != directory.name:
        raise TaskError(
            f"{where}/task.yaml: instance_id is {columns.get('instance_id')!r}, not the directory's name"
        )
    if missing := [column for column in REPO_COLUMNS if not columns.get(column)]:
        raise TaskError(f"{where}/task.yaml: missing {', '.join(missing)}")
    return Row(where, columns)


def _mapping(path: Path, parse: Any) -> dict[str, Any]:
    where = f"tasks/{path.parent.name}/{path.name}"
    try:
        value = parse(_read(path))
    except (yaml.YAMLError, ValueError) as error:
        raise TaskError(f"{where}: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise TaskError(f"{where}: expected keys and values, found {type(value).__name__}")
    return value


def _read(path: Path) -> str:
    """The file's text with its line ends as they are: a patch may need its carriage returns."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"tasks/{path.parent.name}: cannot read {path.name}: {error}") from error
