"""The bundled tasks keep their word on this host: no Docker here, the same scripts run in containers elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tasks import catalog
from tasks.task import Task

TASKS = [task for name in catalog.OURS for task in catalog.load(name)]
TEST_SECONDS = 30
"""Far more than any of them needs (2), so that a busy machine fails nobody."""
TELLING = 20
"""A shorter piece of a gold patch (`return None`) may stand anywhere by chance."""
COMMIT_TIME = "2026-01-01T00:00:00+00:00"
SCRIPT = re.compile(
    r"git apply -v - <<'(?P<end>\S+)'\n(?P<patch>.*?)(?P=end)\n"
    r": '>>>>> Start Test Output'\n(?P<command>[^\n]+)\n: '>>>>> End Test Output'\n",
    re.DOTALL,
)

each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)


class Script(NamedTuple):
    """The two parts of an eval.sh that matter here."""

    patch: str
    command: str


def script_of(task: Task) -> Script:
    match = SCRIPT.search(task.checks.eval_script or "")
    assert match, "eval.sh has the shape of SWE-bench's"
    return Script(match["patch"], match["command"])


def directory(task: Task) -> Path:
    assert task.image.context is not None
    return task.image.context


def environment() -> dict[str, str]:
    """This interpreter as `python3`, and nothing of the user's git or pytest settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST_"))}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": COMMIT_TIME,
        "GIT_COMMITTER_DATE": COMMIT_TIME,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # ours cost two seconds a run, and a container has none
    }


def git(where: Path, *arguments: str, text: str | None = None) -> str:
    identity = ("-c", "user.name=asclaimed", "-c", "user.email=tasks@asclaimed.invalid")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=where,
        env=environment(),
        input=text,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def checkout(task: Task, where: Path) -> Path:
    """The start repository, committed as the Dockerfile does it."""
    shutil.copytree(directory(task) / "repo", where, ignore=shutil.ignore_patterns("__pycache__"))
    git(where, "init", "--quiet", "--initial-branch=main")
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--message=Start state")
    return where


def statuses(task: Task, where: Path) -> dict[str, str]:
    """Test id → status as swebench's own parser reads it off a run of the task's command."""
    log = subprocess.run(
        script_of(task).command.split(),
        cwd=where,
        # where it would else remove the old directories of larger runs, minutes long
        env=environment() | {"PYTEST_DEBUG_TEMPROOT": str(where.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TEST_SECONDS,
    ).stdout
    return parsers()[task.checks.log_parser](log, None)


@cache
def parsers():  # swebench has no types
    from swebench.harness.log_parsers import PARSER_REGISTRY

    return PARSER_REGISTRY


def start_text(task: Task) -> str:
    """All that an agent gets to read."""
    files = [
        path.read_text()
        for path in sorted((directory(task) / "repo").rglob("*.*"))
        if "__pycache__" not in path.parts
    ]
    return "\n".join([task.brief.problem_statement, *files])


def test_there_are_enough_of_each_tier() -> None:
    tiers = Counter(task.checks.row["tier"] for task in TASKS if task.benchmark == catalog.BUNDLED)
    assert sorted(tiers) == [1, 2, 3, 4]
    assert tiers[1] >= 5
    assert tiers.total() >= 12


def test_swebench_finds_nothing_wrong() -> None:
    from swebench.task.checks import check_task_repo

    assert [check_task_repo(catalog.bundled_directory(name)) for name in catalog.OURS] == [[], []]


def test_swebench_loads_the_same_columns() -> None:
    from swebench.task.repo import load_task_repo

    homes = map(catalog.bundled_directory, catalog.OURS)
    theirs = {row["instance_id"]: row for home in homes for row in load_task_repo(home)}
    ours = {
        task.id: {key: value for key, value in task.checks.row.items() if key != "dockerfile"}
        for task in TASKS
    }
    for row in theirs.values():
        assert row.pop("hints_text") == ""
    assert ours == theirs


@each_task
def test_hidden_tests_tell_broken_from_repaired(task: Task, tmp_path: Path) -> None:
    where = checkout(task, tmp_path / "testbed")
    assert git(where, "rev-parse", "HEAD").strip() == task.checks.row["base_commit"]
    git(where, "apply", "-", text=task.checks.test_patch)
    before = statuses(task, where)
    git(where, "apply", "-", text=task.checks.gold_patch)
    after = statuses(task, where)
    assert not [test for test in task.checks.fail_to_pass if before.get(test) == "PASSED"]
    assert [test for test in task.checks.pass_to_pass if before.get(test) != "PASSED"] == []
    assert set(after) == {*task.checks.fail_to_pass, *task.checks.pass_to_pass}
    assert set(after.values()) == {"PASSED"}


@each_task
def test_eval_script_carries_the_test_patch(task: Task) -> None:
    assert script_of(task).patch == task.checks.test_patch
    restored = re.findall(r"^git checkout ([0-9a-f]{40}) (.+)$", task.checks.eval_script or "", re.MULTILINE)
    changed = set(re.findall(r"^--- a/(.+)$", task.checks.test_patch, re.MULTILINE))
    for commit, files in restored:
        assert commit == task.checks.row["base_commit"]
        assert set(files.split()) == changed
    assert len(restored) == (2 if changed else 0)


@each_task
def test_added_test_files_are_cleared_before_and_after(task: Task) -> None:
    """An agent's file of the same name must not keep the hidden one out."""
    added = set(re.findall(r"^--- /dev/null\n\+\+\+ b/(.+)$", task.checks.test_patch, re.MULTILINE))
    removed = re.findall(r"^rm -f (.+)$", task.checks.eval_script or "", re.MULTILINE)
    assert [set(files.split()) for files in removed] == ([added, added] if added else [])


@each_task
def test_nothing_gives_the_answer_away(task: Task) -> None:
    seen = start_text(task)
    names = {re.split(r"::| \(", test)[-1 if "::" in test else 0] for test in task.checks.fail_to_pass}
    assert [name for name in names if name in seen] == []
    added = re.findall(r"(?:^\+(?!\+\+).*\n)+", task.checks.gold_patch, re.MULTILINE)
    blocks = ["\n".join(line[1:] for line in block.splitlines()).strip() for block in added]
    assert [block for block in blocks if len(block) >= TELLING and block in seen] == []


@each_task
def test_dockerfile_commits_what_base_commit_names(task: Task) -> None:
    dockerfile = (directory(task) / "Dockerfile").read_text()
    assert dockerfile.count(COMMIT_TIME) == 2
    assert "COPY repo/ /testbed/" in dockerfile
    assert "__pycache__" in dockerfile, "installing a wheel compiles the files of repo/"


def test_dockerfiles_are_one_and_the_same() -> None:
    assert len({(directory(task) / "Dockerfile").read_text() for task in TASKS}) == 1


def test_files_on_disk_are_what_swebench_would_write() -> None:
    """Plain YAML and JSON, nothing that only one parser understands."""
    for task in TASKS:
        meta = yaml.safe_load((directory(task) / "task.yaml").read_text())
        tests = json.loads((directory(task) / "tests.json").read_text())
        assert meta["eval_type"] == "pass_and_fail"
        assert sorted(tests["FAIL_TO_PASS"]) == tests["FAIL_TO_PASS"]
        assert sorted(tests["PASS_TO_PASS"]) == tests["PASS_TO_PASS"]
        assert not set(tests["FAIL_TO_PASS"]) & set(tests["PASS_TO_PASS"])


def test_first_tier_fits_a_small_model() -> None:
    for task in TASKS:
        if task.checks.row["tier"] == 1:
            touched = re.findall(r"^--- a/(.+)$", task.checks.gold_patch, re.MULTILINE)
            assert len(touched) == 1
            assert len((directory(task) / "repo" / touched[0]).read_text().splitlines()) <= 40
