"""The main job as a user runs it: the command line, real Docker, bundled tasks; the model is a scripted server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import asclaimed as here
from tests.fakes.openai_server import Answer, FakeServer, say

ASCLAIMED = str(Path(sys.executable).with_name("asclaimed"))
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]


def asclaimed(*arguments: object, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([ASCLAIMED, *map(str, arguments)], capture_output=True, text=True, timeout=280)
    assert check is None or done.returncode == check, done.stderr
    return done


def containers_of(run: str) -> list[str]:
    found = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=asclaimed.run={run}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return found.stdout.split()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "controls"
    asclaimed(
        "run", "--tasks", "bundled", "--limit", 2, "--scaffold", "gold", "--scaffold", "nop", "--out", run
    )
    return run


def summary(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "report.json").read_text())
    return loaded


def test_gold_scores_all_and_nop_none(measured: Path) -> None:
    rates = {
        line["scaffold"]: (line["rate"], line["official_resolved"]) for line in summary(measured)["scores"]
    }
    assert rates == {"gold": (1.0, 2), "nop": (0.0, 0)}
    assert summary(measured)["finished"]
    assert containers_of("controls") == []


def test_the_run_directory_holds_what_its_readme_says(measured: Path) -> None:
    for name in ("manifest.json", "ledger.jsonl", "predictions.jsonl", "report.md", "report.json"):
        assert (measured / name).stat().st_size, name
    attempt = next(measured.glob("gold/*/1"))
    for name in ("trajectory.json", "patch.diff", "test.log", "grade.json", "record.json"):
        assert (attempt / name).exists(), name
    manifest = json.loads((measured / "manifest.json").read_text())
    assert manifest["base_image"]["id"].startswith("sha256:")
    assert len(manifest["tasks"]) == 2
    predictions = [json.loads(line) for line in (measured / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == 4
    assert {"instance_id", "model_patch", "model_name_or_path"} == set(predictions[0])


def test_a_second_call_reuses_everything(measured: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in measured.glob("*/*/1/*")}
    asclaimed(
        "run",
        "--tasks",
        "bundled",
        "--limit",
        2,
        "--scaffold",
        "gold",
        "--scaffold",
        "nop",
        "--out",
        measured,
    )
    assert {path: path.stat().st_mtime_ns for path in measured.glob("*/*/1/*")} == before


def test_other_settings_are_refused_by_name(measured: Path) -> None:
    command = ("run", "--tasks", "bundled", "--limit", 2, "--scaffold", "gold", "--scaffold", "nop")
    done = here(*command, "--max-steps", 3, "--out", measured)
    assert done.returncode == 2
    assert "`budget.steps` was 50, now it is 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_grades_come_back_after_they_were_deleted(measured: Path) -> None:
    grades = {path: json.loads(path.read_text())["outcome"] for path in measured.glob("*/*/1/grade.json")}
    for path in grades:
        path.unlink()
    asclaimed("grade", measured)
    assert {path: json.loads(path.read_text())["outcome"] for path in grades} == grades


CLAIMS = """
maker: Toy
sources: {card: {title: Toy card, date: 2026-01-01}}
claims: [{id: toy/bundled, model: Toy-1, benchmark: bundled, n_tasks: 15, score: 5.0, source: card, status: verified}]
"""


def test_a_claim_on_a_subset_is_decided_at_a_look(tmp_path: Path) -> None:
    """Claimed 5 %, gold solves all: three of four drawn tasks decide it, and the page says so."""
    (tmp_path / "toy.yaml").write_text(CLAIMS)
    drawn = here("subset", "bundled", "--n", 4, "--seed", 1, "--json").stdout
    (tmp_path / "subset.json").write_text(drawn)
    run, claim = tmp_path / "claimed", tmp_path / "toy.yaml"
    plan = ["--tasks", "bundled", "--subset", tmp_path / "subset.json", "--claim", claim, "--margin", 20]
    done = asclaimed("run", *plan, "--looks", 3, "--scaffold", "gold", "--out", run)
    assert "EXCEEDS THE CLAIM with gold: 5.0 % claimed, 100.0 % measured" in flat(done.stdout)
    (look,) = json.loads((run / "looks.json").read_text())["looks"]
    assert (look["tasks"], look["decision"]) == (3, "exceeds the claim")
    assert summary(run)["scores"][0]["judged"] == 3
    (verdict,) = json.loads(here("verify", claim, run, "--json").stdout)
    assert verdict["decision"] == "exceeds the claim"
    assert "EXCEEDS THE CLAIM" in (run / "report.html").read_text()
    again = asclaimed("run", *plan, "--looks", 3, "--scaffold", "gold", "--out", run)
    assert "EXCEEDS THE CLAIM" in again.stdout


def flat(text: str) -> str:
    return " ".join(text.split())


def never(_body: object) -> Answer:
    time.sleep(600)
    return say("too late")


@pytest.fixture
def slow_run(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A run whose model never answers, once its first container is up."""
    run = tmp_path / f"slow-{os.getpid()}-{time.monotonic_ns()}"
    with FakeServer(never) as server:
        command = [ASCLAIMED, "run", "--tasks", "bundled", "--limit", "1", "--scaffold", "bash", "--no-grade"]
        command += ["--base-url", server.url, "--model", "fake", "--out", str(run)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
        deadline = time.monotonic() + 120
        while not containers_of(run.name):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield process, run
        process.kill()
        process.wait()


def test_ctrl_c_twice_leaves_no_container_and_no_record(slow_run: tuple[subprocess.Popen[str], Path]) -> None:
    """Once waits for what runs, and meanwhile no other process may have the run directory."""
    process, run = slow_run
    process.send_signal(signal.SIGINT)
    done = asclaimed("run", "--tasks", "bundled", "--limit", 1, "--scaffold", "nop", "--out", run, check=2)
    assert "another asclaimed" in done.stderr
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert containers_of(run.name) == []
    assert not list(run.glob("*/*/*/record.json"))


def test_after_kill_nine_the_next_start_removes_the_container(
    slow_run: tuple[subprocess.Popen[str], Path],
) -> None:
    process, run = slow_run
    process.kill()
    process.wait()
    asclaimed(
        "run", "--tasks", "bundled", "--limit", 1, "--scaffold", "nop", "--no-grade", "--out", f"{run}-next"
    )
    deadline = time.monotonic() + 20
    while containers_of(run.name) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert containers_of(run.name) == []
