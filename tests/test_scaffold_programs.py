"""Agent programs in a sandbox: a tiny one, by a user's YAML file, in real Docker against a scripted server."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import atif
import pytest

from evals.record import AttemptKey, FlagKind, Record
from evals.run.attempt import run_attempt
from evals.run.definitions import ScaffoldMaker
from scaffolds.base import Budget, Settings, Stop
from scaffolds.catalog import find
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.programs.install import PYTHON_WRAPPER, home, wrap
from scaffolds.programs.program import Program
from scaffolds.sampling import Sampling
from tasks import catalog
from tasks.docker.backend import DockerBackend
from tasks.sandbox import Limits, SandboxError
from tests.fakes import tiny_agent
from tests.fakes.openai_server import Answer, FakeServer, call, error, say
from tests.fakes.plain_context import plain_context

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]
YAML = """\
about: the smallest agent
run: |
  cat >"$HOME/agent.py" <<'END'
{program}
  END
  python3 "$HOME/agent.py" "$TASK"
environment: {environment}
task: "{task}"
transcript: $HOME/*.jsonl
drops: [.tiny]
"""
GREETING = '{GREETING: "hello from $HOME"}'
EDIT = call("bash", {"command": "echo changed > new.txt; echo $GREETING; bash -lc 'echo $PATH'"})


class Made(NamedTuple):
    record: Record
    trajectory: dict[str, Any]
    patch: bytes
    directory: Path
    asked: list[dict[str, Any]]


@pytest.fixture(scope="module")
def prepared() -> Any:
    backend = DockerBackend()
    task = catalog.load("bundled")[0]
    return backend, task, backend.prepare(task)


Attempt = Callable[..., Made]


@pytest.fixture
def attempt(tmp_path: Path, prepared: Any) -> Attempt:
    def make(
        *script: Answer,
        task: str = "{issue}",
        environment: str = GREETING,
        number: int = 1,
        text: str = YAML,
        disk: int = Limits().disk,
        **budget: Any,
    ) -> Made:
        program = textwrap.indent(Path(tiny_agent.__file__).read_text(), "  ")
        yaml = tmp_path / str(number) / "tiny.yaml"
        yaml.parent.mkdir()
        yaml.write_text(text.format(program=program, task=task, environment=environment))
        backend, given, image = prepared
        with FakeServer(*script) as server:
            context = plain_context(
                tmp_path / f"run-{number}",
                backend=backend,
                limits=Limits(disk=disk),
                settings=Settings(budget=Budget(**{"steps": 5, "seconds": 250, **budget})),
                model=ModelConfig(
                    base_url=server.url,
                    model="m",
                    retries=Retries(attempts=2, first_wait=0.01, longest_wait=0.01),
                    sampling=Sampling(temperature=0.6, max_tokens=4000),
                ),
                make_scaffold=ScaffoldMaker({"tiny": find(str(yaml))}),
            )
            key = AttemptKey(scaffold="tiny", task_id=given.id, attempt=number)
            record = run_attempt(key, given, image, context)
        directory = key.directory(tmp_path / f"run-{number}")
        trajectory = json.loads((directory / "trajectory.json").read_text())
        asked = [request.body for request in server.requests]
        return Made(record, trajectory, (directory / "patch.diff").read_bytes(), directory, asked)

    return make


def test_a_program_works_through_the_gateway_and_leaves_a_trajectory(attempt: Attempt) -> None:
    made = attempt(EDIT, say("Done."))
    assert made.record.stop is Stop.SUBMITTED, made.record.detail
    assert (made.record.steps, made.record.calls_native, made.record.prompt_tokens) == (2, 1, 20)
    assert b"+changed" in made.patch
    assert b".tiny" not in made.patch
    for body in made.asked:
        assert (body["temperature"], body["max_tokens"]) == (0.6, 4000)
        assert not {"store", "max_completion_tokens"} & body.keys()
        assert [message["role"] for message in body["messages"][:2]] == ["system", "user"]
        assert body["tools"][0]["function"].keys() == {"name", "description", "parameters"}
    assert made.trajectory["extra"]["routes"] == {"/v1/chat/completions": 2}
    atif.Trajectory.model_validate(made.trajectory)
    steps = made.trajectory["steps"]
    assert [step["source"] for step in steps] == ["system", "user", "agent", "agent"]
    said = steps[2]["observation"]["results"][0]["content"]
    assert said.startswith("hello from /home/agent\n/opt/agent/bin:/")
    assert steps[2]["extra"]["asked"] == {"store": False, "temperature": 0.9, "max_completion_tokens": 32000}
    assert gzip.decompress((made.directory / "transcript.gz").read_bytes()) == b'{"tiny": 1}\n'
    assert (made.directory / "exchanges.jsonl.gz").stat().st_size


FULL = error(400, {"error": {"message": "too long", "type": "exceed_context_size_error", "code": 400}})
ENDINGS: dict[str, tuple[str, list[Answer], dict[str, Any], Stop]] = {
    "crash": ("crash", [EDIT], {}, Stop.PROGRAM_FAILED),
    "terminal": ("terminal", [EDIT], {}, Stop.PROGRAM_FAILED),
    "hang": ("hang", [EDIT], {}, Stop.TIME_LIMIT),
    "flood": ("flood", [EDIT], {}, Stop.TIME_LIMIT),
    "daemon": ("daemon", [EDIT], {}, Stop.SUBMITTED),
    "break-out": ("break", [EDIT], {}, Stop.SANDBOX_BROKEN),
    "budget ignored": ("insist", [EDIT], {"steps": 2}, Stop.STEP_LIMIT),
    "window": ("work", [EDIT, FULL], {}, Stop.CONTEXT_OVERFLOW),
    "full disk": ("fill", [EDIT], {"disk": 64 << 20}, Stop.SANDBOX_BROKEN),
    "broken arguments": ("work", [EDIT, call("bash", "{")], {}, Stop.PROGRAM_FAILED),
    "silence": ("work", [EDIT, say("")], {}, Stop.NO_TOOL_CALL),
}


def test_every_end_has_its_name_and_the_work_is_kept(attempt: Attempt) -> None:
    def made(name: str) -> tuple[Stop | None, bool]:
        task, script, given, stop = ENDINGS[name]
        number = 3 * list(ENDINGS).index(name) + 1
        for patience, seconds in enumerate(
            (3, 20, 100)
        ):  # a busy machine may not get to the first command in 3 s
            limit = {"seconds": seconds} if stop is Stop.TIME_LIMIT else {}
            one = attempt(*script, task=task, number=number + patience, **given, **limit)
            if stop is not Stop.TIME_LIMIT or one.patch:
                break
        return one.record.stop, b"+changed" in one.patch

    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(ENDINGS, pool.map(made, ENDINGS), strict=True))
    assert found == {name: (stop, True) for name, (*_, stop) in ENDINGS.items()}


def test_what_is_not_there_is_refused_and_told(attempt: Attempt) -> None:
    made = attempt(EDIT, say("Done."), task="stray")
    assert made.record.stop is Stop.SUBMITTED, made.record.detail
    flags = [str(flag) for flag in made.record.flags if flag.kind is FlagKind.OTHER]
    assert flags == [
        "program: another key than the attempt's ×1",
        "program: no route POST /v1/embeddings ×1",
    ]


def test_a_program_that_never_asks_says_nothing_of_the_model(tmp_path: Path, attempt: Attempt) -> None:
    with pytest.raises(SandboxError, match="status 1 before the model said anything: ValueError"):
        attempt(EDIT, environment='{BASE_URL: "", TOKEN: ""}', task="x")


INSTALLED = """\
pypi: {version}
python: "3"
command: tiny
task: "{task}"
environment: {environment}
run: tiny "$TASK"
"""


def test_an_installed_program_is_seen_read_only_and_in_its_own_commands_alone(attempt: Attempt) -> None:
    """Installed by hand under its name in the cache: what a registry brings is the business of `make programs`."""
    version = f"asclaimed-tiny=={os.getpid()}"
    program = Program(pypi=version, python="3", command="tiny", run="x")
    place = home(program)
    (place / "site/bin").mkdir(parents=True)
    try:
        Path(place / "site/bin/tiny").write_text("import helper\nhelper.main()\n")
        source = Path(tiny_agent.__file__).read_text()
        Path(place / "site/helper.py").write_text(source.replace('if __name__ == "__main__":', "def main():"))
        wrap(place, "tiny", PYTHON_WRAPPER.format(python="3", command="tiny"))
        look = call(
            "bash", {"command": "touch /opt/agent/x; python3 -c 'import helper'; echo changed >new.txt"}
        )
        made = attempt(look, say("Done."), text=INSTALLED.replace("{version}", version))
    finally:
        shutil.rmtree(place)
    assert (made.record.stop, b"+changed" in made.patch) == (Stop.SUBMITTED, True)
    said = made.trajectory["steps"][2]["observation"]["results"][0]["content"]
    assert "Read-only file system" in said
    assert "No module named 'helper'" in said
