"""`asclaimed cache`: what is listed is what is there, and only what is old, unused and asked for goes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.commands.cache import FILES, app
from tasks.disk import exclusive
from tasks.docker.daemon import client
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox

FILE_KINDS = [part for kind in FILES for part in ("--kind", kind)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two stored runs, one of them old, and a model."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "asclaimed"
    for name in ("ab/abold", "cd/cdnew", "../../models/m.gguf"):
        directory = home / "grading" / "runs" / name
        directory.mkdir(parents=True)
        (directory / "file").write_bytes(b"x" * 1000)
    past = time.time() - 90 * 86400
    os.utime(home / "grading" / "runs" / "ab" / "abold", (past, past))
    return home


def asked(*arguments: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_what_is_there_is_listed_with_size_and_age(home: Path) -> None:
    listed = {str(entry["name"]): entry for entry in asked("list", *FILE_KINDS)}
    assert set(listed) == {"abold", "cdnew", "m.gguf"}
    assert (listed["abold"]["kind"], listed["abold"]["bytes"]) == ("test-runs", 1000)
    assert 89 < float(str(listed["abold"]["days"])) < 91
    text = CliRunner().invoke(app, ["list", *FILE_KINDS], catch_exceptions=False).stdout
    assert "total test-runs: 2, 0.0 MB" in text


def test_only_what_is_old_goes_and_a_dry_run_removes_nothing(home: Path) -> None:
    (would,) = asked("prune", "--dry-run", *FILE_KINDS)
    assert (would["name"], would["removed"]) == ("abold", False)
    assert (home / "grading" / "runs" / "ab" / "abold").exists()
    (did,) = asked("prune", *FILE_KINDS)
    assert (did["name"], did["removed"]) == ("abold", True)
    assert [entry["name"] for entry in asked("list", *FILE_KINDS)] == ["cdnew", "m.gguf"]


def test_a_lock_that_is_held_stays(home: Path) -> None:
    with exclusive("free"):
        pass
    with exclusive("held"):
        kept = [entry for entry in asked("prune", "--older-than", "0", "--kind", "locks") if entry["kept"]]
        assert len(kept) == len(list((home / "locks").iterdir())) == 1
    assert kept[0]["removed"] is False


def test_a_kind_that_does_not_exist_is_named(home: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--kind", "x"])
    assert "nothing is called x" in str(done.exception)


@pytest.mark.docker
def test_an_image_of_ours_is_listed_and_goes_unless_something_runs(docker_daemon: None, home: Path) -> None:
    tag = "asclaimed/test:cache-command"
    client().images.get(sandbox_base().id).tag(*tag.split(":"))
    try:
        assert tag in {entry["name"] for entry in asked("list", "--kind", "images")}
        with open_sandbox(tag):
            done = CliRunner().invoke(app, ["prune", "--older-than", "0", "--kind", "images"])
            assert "a run has containers on this machine" in str(done.exception)
    finally:
        client().images.remove(tag)
