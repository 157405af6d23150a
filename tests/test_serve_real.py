"""The real thing once: a genuine llama-server, a real scaffold, a real sandbox, a graded attempt."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from evals.serve import ServerHandle, ensure_server
from evals.serve.doctor.examine import examine
from evals.serve.doctor.finding import Form, Level
from scaffolds.openai.config import ModelConfig
from scaffolds.openai.probe import probe

pytestmark = [pytest.mark.docker, pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def server(docker_daemon: None) -> Iterator[ServerHandle]:
    """Builds the image and downloads the model where they are missing: minutes on a bare machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with ensure_server("0.5b", port=port, context=8192, slots=1, console=Console(stderr=True)) as server:
        yield server


def test_is_ready_and_says_what_it_is(server: ServerHandle) -> None:
    assert server.started_here
    assert (server.model_name, server.context, server.slots) == ("qwen2.5-coder-0.5b", 8192, 1)


def test_the_doctor_finds_no_fault_in_it(server: ServerHandle) -> None:
    """The model was not taught its template's calls, and writes them as text: that is so, and no fault of the server."""
    config = ModelConfig(base_url=server.base_url, model=server.model_name)
    examination = examine(config, probe(config), Form.SHORT)
    bad = {finding.name for finding in examination.findings if finding.level is not Level.OK}
    assert bad <= {"calls-as-text", "no-call", "no-answer"}


def test_an_attempt_of_a_scaffold_is_recorded_and_graded(server: ServerHandle, tmp_path: Path) -> None:
    command = [
        *(
            str(Path(sys.executable).with_name("asclaimed")),
            "run",
            "--tasks",
            "bundled",
            "--ids",
            "asclaimed__dimmer-1",
        ),
        *(
            "--scaffold",
            "bash",
            "--tool-calls",
            "lenient",
            "--base-url",
            server.base_url,
            "--model",
            server.model_name,
        ),
        *("--temperature", "0.7", "--max-tokens", "96", "--max-steps", "2", "--out", str(tmp_path / "run")),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    attempt = tmp_path / "run" / "bash" / "asclaimed__dimmer-1" / "1"
    record = json.loads((attempt / "record.json").read_text())
    assert record["failure"] is None
    assert 1 <= record["steps"] <= 2
    assert record["prompt_tokens"] > 100
    assert record["completion_tokens"] > 0
    grade = json.loads((attempt / "grade.json").read_text())
    assert grade["outcome"] in {"resolved", "unresolved", "no_patch"}
