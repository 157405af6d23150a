"""SWE-bench Pro's rows: its columns under both spellings, its image names, its prompt, and the scripts that judge it.

The scripts (`run_script.sh`, `parser.py`, one pair an instance) are in no row: they come from a checkout of
scaleapi/SWE-bench_Pro-os (`--pro-scripts DIR`) and travel in `Checks.row`, so that they are part of a task's hash. They
and the setup line of a row run in the task's container only. Not here: what their output means (`evals.grade.pro`).
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from tasks.errors import TaskError, UserError
from tasks.rows import Row
from tasks.swebench import SAFE_ID, SAFE_IMAGE
from tasks.task import Brief, Checks, ImageSpec, Task
from tasks.untrusted import loads

PARSER = "swebench-pro"
"""In `Checks.log_parser`: who judges the task."""
COLUMNS = ("selected_test_files_to_run", "dockerhub_tag")
"""A row that has one of them is Pro's."""
WORKDIR, HOME = "/app", "/workspace"
FULL_NAME = "instance_element-hq__element-web-ec0f940ef0e8e3b61078f145f34dc40d1938e6c5-vnan"
"""The one image of its repository that is published under the repository's whole name, with its ending."""
LONGEST_TAG = 128
HEADINGS = ("## PROBLEM", "## REQUIREMENTS", "## INTERFACE")
OUTPUT = ">>>>> Parser Output"
RUN = """\
cd {workdir}
{setup}
bash {home}/run_script.sh {tests} >{home}/stdout.log 2>{home}/stderr.log
echo "run_script.sh ended with $?"
tail -c 4000000 {home}/stdout.log; tail -c 1000000 {home}/stderr.log
command -v python >/dev/null || python() {{ python3 "$@"; }}
python {home}/parser.py {home}/stdout.log {home}/stderr.log {home}/output.json
echo "parser.py ended with $?"
echo '{output}'
cat {home}/output.json
"""
APPLY_TESTS = "git apply -v {home}/test.patch"
"""Where a row has no setup line, which would take the tests from the solution's commit."""


def is_pro(row: Row) -> bool:
    return any(column in row.columns for column in COLUMNS)


def task_from_row(row: Row, benchmark: str, scripts: Path | None) -> Task:
    """Raises `TaskError` naming the row's place and what is wrong, `UserError` for a directory without its scripts."""
    columns = row.columns
    instance_id = text(row, "instance_id")
    if not SAFE_ID.fullmatch(instance_id):
        raise TaskError(f"{row.where}: {instance_id[:80]!r} cannot be the id of a task")
    repo = text(row, "repo")
    image = str(columns.get("image") or image_name(instance_id, repo))
    if not SAFE_IMAGE.fullmatch(image):
        raise TaskError(f"{row.where}: {image[:80]!r} is no image name")
    with_scripts = columns | (read_scripts(scripts, instance_id) if scripts else {})
    text(row, "base_commit")
    return Task(
        id=instance_id,
        benchmark=benchmark,
        image=ImageSpec(reference=image),
        brief=Brief(task_id=instance_id, repo=repo, problem_statement=prompt(row), workdir=WORKDIR),
        checks=Checks(
            fail_to_pass=listed(row, "fail_to_pass"),
            pass_to_pass=listed(row, "pass_to_pass"),
            gold_patch=text(row, "patch"),
            test_patch=text(row, "test_patch"),
            eval_script=eval_script(row) if scripts else None,
            log_parser=PARSER,
            row=with_scripts,
        ),
    )


def image_name(instance_id: str, repo: str) -> str:
    """`jefzda/sweap-images:<tag>` by the rule of the official evaluation."""
    owner, _, name = repo.lower().partition("/")
    rest = instance_id.removeprefix("instance_")
    if instance_id != FULL_NAME:
        name = "element" if (owner, name) == ("element-hq", "element-web") else name
        rest = rest.removesuffix("-vnan")
    return f"jefzda/sweap-images:{f'{owner}.{name}-{rest}'[:LONGEST_TAG]}"


def prompt(row: Row) -> str:
    """The report with requirements and interface: without these two the hidden tests ask for what nobody can know."""
    columns = row.columns
    parts = [columns.get(name) for name in ("problem_statement", "requirements", "interface")]
    if not parts[0]:
        parts = in_one(row)
    problem, requirements, interface = (str(part or "").strip() for part in parts)
    if not problem:
        raise TaskError(f"{row.where}: column 'problem_statement' is missing or empty")
    return f"{problem}\n\nRequirements:\n{requirements}\n\nNew interfaces introduced:\n{interface}"


def in_one(row: Row) -> list[str | None]:
    """The three as they stand under their headings in one text."""
    whole, found = text(row, "spec_md"), list[str | None]()
    for heading, following in zip(HEADINGS, (*HEADINGS[1:], None), strict=True):
        _, found_it, rest = f"\n{whole}".partition(f"\n{heading}\n")
        found.append(rest.partition(f"\n{following}\n")[0] if found_it and following else rest or None)
    return found


def eval_script(row: Row) -> str:
    """What the official evaluation does once the patch is applied: the setup line, the tests, the parser."""
    setup = str(row.columns.get("before_repo_set_cmd") or "").strip().split("\n")[-1]
    return RUN.format(
        workdir=WORKDIR,
        home=HOME,
        setup=setup or APPLY_TESTS.format(home=HOME),
        tests=",".join(listed(row, "selected_test_files_to_run")),  # as they stand there: no quotes
        output=OUTPUT,
    )


def read_scripts(scripts: Path, instance_id: str) -> dict[str, str]:
    homes = (scripts / "run_scripts" / instance_id, scripts / instance_id)
    home = next((place for place in homes if place.is_dir()), None)
    if home is None:
        raise UserError(
            f"--pro-scripts {scripts}: no {instance_id} in it: give a checkout of scaleapi/SWE-bench_Pro-os"
        )
    try:
        return {name: (home / name).read_bytes().decode() for name in ("run_script.sh", "parser.py")}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--pro-scripts {scripts}: {instance_id}: {error}") from error


def listed(row: Row, column: str) -> tuple[str, ...]:
    """A list of texts, or JSON's or Python's text of one, which is read and never evaluated."""
    value: Any = row.columns.get(column, row.columns.get(column.upper()))
    if isinstance(value, str):
        value = parsed(value)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TaskError(f"{row.where}: column {column!r} must be a list of texts")
    return tuple(value)


def parsed(value: str) -> Any:
    try:
        return loads(value)
    except ValueError:
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def text(row: Row, column: str) -> str:
    value = row.columns.get(column)
    if not isinstance(value, str) or not value.strip():
        raise TaskError(f"{row.where}: column {column!r} is missing or empty")
    return value
