"""The bench measures what it says: real steps over HTTP and Docker, and a real resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from evals.bench import resume
from evals.bench.measure import scripted_server, workload
from evals.commands.bench import ROWS, _table
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig
from tasks.errors import MachineError


@pytest.mark.parametrize("stream", [True, False])
def test_the_scripted_server_answers_with_one_call(stream: bool) -> None:
    with scripted_server() as url:
        model = OpenAIModel(ModelConfig(base_url=url, model="scripted", stream=stream))
        replies = [model.complete([{"role": "user", "content": "é" * n}]) for n in range(3)]
    assert [reply.tool_calls[0].name for reply in replies] == ["bash"] * 3
    assert "command" in json.loads(replies[0].tool_calls[0].arguments)
    assert replies[0].usage.prompt > 0


@pytest.mark.docker
@pytest.mark.parametrize("subject", ["ours", "docker-exec"])
def test_a_workload_counts_its_steps(subject: str, docker_daemon: None) -> None:
    import sys

    from tasks.docker.images import sandbox_base

    with scripted_server() as url:
        numbers = workload(subject, sys.executable, [2, 3, url, sandbox_base().id])
    assert numbers["steps"] == 6
    assert 0 < numbers["cpu"] < 60
    assert 20 < numbers["rss_mb"] < 500


@pytest.mark.docker
def test_single_operations_are_measured_beside_the_bare_machine(
    docker_daemon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evals.bench import pieces
    from tasks.docker.images import sandbox_base

    monkeypatch.setattr(pieces, "STARTS", 1)
    with scripted_server() as url:
        found = pieces.measure(sandbox_base().id, url)
    assert (
        found["ours"].keys()
        == {"heredoc_ms", "write_10mb_ms", "http_ms", "model_ms", "start_ms"}
        <= ROWS.keys()
    )
    assert found["host"].keys() == {"exec_true_ms", "heredoc_ms", "http_ms", "model_ms"}
    assert all(0 < number < 60_000 for column in found.values() for number in column.values())


def test_a_workload_that_fails_is_one_line() -> None:
    import sys

    with pytest.raises(MachineError, match="workload of ours failed"):
        workload("ours", sys.executable, ["not a number"])


@pytest.mark.docker
def test_a_run_with_many_records_resumes(docker_daemon: None) -> None:
    assert 0 < resume.resume_seconds(40) < 60


def test_prepared_records_leave_one_attempt(tmp_path: Path) -> None:
    resume.prepare(tmp_path / "run", 40)
    recorded = list((tmp_path / "run").rglob("record.json"))
    assert len(recorded) >= 40
    assert len(recorded) == len(list((tmp_path / "run").rglob("grade.json")))


def test_the_table_shows_each_number_beside_its_baselines() -> None:
    row = {"step_wall_ms": 2.5, "step_cpu_ms": 1.5, "exec_true_ms": None}
    numbers = {**row, "baseline": {"docker exec": row}, "machine": {"cpus": 2, "load_before": 0.1}}
    console = Console(record=True, width=120)
    console.print(_table(numbers))
    assert "2.5" in console.export_text()
