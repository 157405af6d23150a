"""What scaffolds say on a task that is about a machine: nothing of a repository, of reports on it, or of its tests."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scaffolds import review
from scaffolds.base import Budget, Settings, Stop
from scaffolds.catalog import find, names, programs
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox
from tasks.sandbox import Limits, Sandbox
from tasks.task import MachineBrief
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, call, say
from tests.test_scaffold_family import FIX, RIGHT, SCRIPTS, SUBMIT, WRONG

BRIEF = MachineBrief(task_id="t", repo="maths", problem_statement="Make add() add.")
OF_REPOSITORIES = re.compile(r"repositor|was reported|the report|existing tests|changed tests|source code", re.IGNORECASE)  # fmt: skip
WRITE = call("bash", {"command": "echo 41 >answer.txt"})


def sent(name: str, sandbox: Sandbox, script: Sequence[Answer]) -> list[dict[str, Any]]:
    """Each request's body; the scaffold must have submitted."""
    with FakeServer(*script) as server:
        model = OpenAIModel(ModelConfig(base_url=server.url, model="m", retries=Retries(attempts=1)))
        result = find(name).make(Settings(budget=Budget())).solve(BRIEF, model, sandbox)
        assert (result.stop, result.steps) == (Stop.SUBMITTED, len(script))
        return [request.body for request in server.requests]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalSandbox:
    """A directory is all of it."""
    monkeypatch.setattr(review, "SHOW_MACHINE", review.SHOW_MACHINE.replace("find / ", "find /testbed "))
    (tmp_path / "calc.py").write_text(WRONG)
    return LocalSandbox(tmp_path)


@pytest.mark.parametrize("name", names())
def test_no_scaffold_speaks_of_a_repository(name: str, machine: LocalSandbox) -> None:
    bodies = sent(name, machine, SCRIPTS.get(name, [FIX, SUBMIT]))
    said = [m["content"] for body in bodies for m in body["messages"] if m["role"] in ("system", "user")]
    said += [json.dumps(body.get("tools", ())) for body in bodies]
    assert [OF_REPOSITORIES.findall(text) for text in said if OF_REPOSITORIES.search(text or "")] == []


@pytest.mark.parametrize("name", programs())
def test_no_agent_program_is_told_of_a_repository(name: str) -> None:
    program = find(name).program
    assert program
    assert OF_REPOSITORIES.search(program.told(BRIEF)) is None


def test_localize_asks_where_in_the_words_of_a_machine(machine: LocalSandbox, tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / f"other{n}.py").write_text("x = 1\n")
    machine = LocalSandbox(tmp_path)  # whose listing has them
    wrong = say("calc.py\n```\ndef add(a, b):\n    return 0\n```")
    right = SCRIPTS["localize"][1]
    first, *repairs = sent("localize", machine, [say("calc.py"), right, wrong, right, right])
    system, asked = (message["content"] for message in first["messages"])
    assert "complete files" in system
    assert OF_REPOSITORIES.search(system + asked) is None
    assert "These are files on a machine, in /testbed:" in asked
    assert "other3.py" in asked
    assert all("a - b" in body["messages"][1]["content"] for body in repairs)
    assert (tmp_path / "calc.py").read_text() == RIGHT
    assert not [command for command in machine.commands if "write-tree" in command]


@pytest.mark.docker
def test_a_critic_sees_the_files_that_were_written_and_its_objection_is_heard(docker_daemon: None) -> None:
    """A machine is not brought back: whoever goes on knows what was wrong, and what was right is still there."""
    script = [
        call("bash", {"command": "echo 41 >/srv/answer.txt; head -c 9 /dev/zero >/srv/raw; ls / >/dev/shm/x"}), SUBMIT,
        say("The answer is off by one.\nREJECT"), call("bash", {"command": "sed -i s/41/42/ /srv/answer.txt"}), SUBMIT, say("ACCEPT"),
    ]  # fmt: skip
    with open_sandbox(sandbox_base().reference, workdir="/root", limits=Limits(memory=256 << 20)) as sandbox:
        bodies = sent("base-critic", sandbox, script)
        assert sandbox.read("/srv/answer.txt") == b"42\n"
    shown = bodies[2]["messages"][1]["content"]
    written = shown.partition("kept running:\n\n")[2].partition("\n\nWould tests pass")[0]
    assert sorted(filter(None, written.split("\n"))) == [
        "--- /srv/answer.txt (3 bytes)",
        "--- /srv/raw (9 bytes)",
        "41",
    ]
    again = bodies[3]["messages"]
    assert len(again) == 2
    assert "turned down:\n\nThe answer is off by one.\nREJECT" in again[1]["content"]


@pytest.mark.docker
def test_a_review_shows_the_files_that_were_written(docker_daemon: None) -> None:
    with open_sandbox(sandbox_base().reference, workdir="/root", limits=Limits(memory=256 << 20)) as sandbox:
        bodies = sent("base-review", sandbox, [WRITE, SUBMIT, SUBMIT])
    shown = bodies[-1]["messages"][-1]["content"]
    assert "--- /root/answer.txt (3 bytes)\n41\n" in shown
    assert OF_REPOSITORIES.search(shown) is None
    assert "fatal" not in shown
