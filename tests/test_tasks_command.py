"""`asclaimed tasks list` shows what would run, and nothing that helps to solve it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.commands.application import app
from tasks import catalog
from tasks.errors import UserError

KEYS = {"id", "repo", "benchmark", "image", "difficulty", "content_hash"}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tasks", "list", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_one_line_a_task() -> None:
    lines = run("--tasks", "bundled").splitlines()
    assert len(lines) == len(catalog.load("bundled"))
    assert "asclaimed__kettle-1" in "\n".join(lines)
    assert all("tier " in line for line in lines)


def test_json_is_for_machines() -> None:
    listed = json.loads(run("--tasks", "bundled", "--json", "--sample", "5", "--seed", "4", "--limit", "3"))
    assert [line["id"] for line in listed] == [
        task.id for task in catalog.load("bundled", sample=5, seed=4, limit=3)
    ]
    assert all(set(line) == KEYS for line in listed)


def test_ids_from_the_command_line() -> None:
    assert (
        len(json.loads(run("--tasks", "bundled", "--json", "--ids", "asclaimed__purl-1,asclaimed__kettle-1")))
        == 2
    )
    with pytest.raises(UserError, match="nobody"):
        run("--tasks", "bundled", "--ids", "nobody")


def test_nothing_in_the_row_steers_the_terminal(tmp_path: Path) -> None:
    task = catalog.load("bundled", ids=["asclaimed__kettle-1"])[0]
    path = tmp_path / "rows.jsonl"
    hostile = {"repo": "a/b\x1b[2J\n\u202efake-line", "difficulty": "\x07hard\x9b31m", "tier": None}
    path.write_text(json.dumps(task.checks.row | hostile) + "\n")
    text = run("--tasks", str(path))
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    as_json = run("--tasks", str(path), "--json")
    assert as_json.replace("\n", "").isprintable()
    assert json.loads(as_json)[0]["repo"] == hostile["repo"]


FILES = {
    "problem_statement.md": "It falls upwards.\n",
    "gold.patch": "diff --git a/fall.py b/fall.py\n",
    "test.patch": "diff --git a/test_fall.py b/test_fall.py\n",
    "tests.json": '{"FAIL_TO_PASS": ["test_fall.py::test_down"], "PASS_TO_PASS": []}',
    "eval.sh": "#!/bin/bash\n",
}


def test_a_task_directory_made_as_the_readme_says_is_listed(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "README.md").read_text().partition("## Your own tasks")[2]
    (described,) = re.findall(r"```yaml\n(.*?)```", page.partition("\n## ")[0], re.DOTALL)
    assert set(re.findall(r"^- `([^`]+)`: ", page.partition("\n## ")[0], re.MULTILINE)) == set(FILES)
    directory = tmp_path / "tasks" / "acme__anvil-1"
    directory.mkdir(parents=True)
    (tmp_path / "sweb.yaml").touch()
    for name, text in {**FILES, "task.yaml": described}.items():
        (directory / name).write_text(text)
    (only,) = json.loads(run("--tasks", str(tmp_path), "--json"))
    assert (only["id"], only["image"], only["difficulty"]) == (
        "acme__anvil-1",
        "acme/anvil-1:latest",
        "tier 1",
    )
    for name in FILES:
        (directory / name).rename(tmp_path / "away")
        with pytest.raises(UserError, match=name):
            run("--tasks", str(tmp_path))
        (tmp_path / "away").rename(directory / name)
