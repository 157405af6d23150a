"""`asclaimed tasks list` shows what would run, and nothing that helps to solve it."""

from __future__ import annotations

import json
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
