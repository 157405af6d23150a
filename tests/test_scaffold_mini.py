"""mini-swe-agent over our sandbox and client: the same server's script, the same commands in the same order as its own run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scaffolds import load
from scaffolds.base import Budget, Settings, Step, Stop
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.preset import load_preset
from tasks.task import Brief, MachineBrief, Skill, Skills
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, call, say

pytest.importorskip("minisweagent", reason="the extra [mini]")

NAME = "scaffolds.mini:MiniSweAgent"
BRIEF = Brief(task_id="t", repo="r/r", problem_statement="add() subtracts")
DONE = call("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"}, call_id="z")
SCRIPT = [
    call("bash", {"command": "ls"}, call_id="a", text="I look."),
    say("I think."),
    call("bash", {"command": "seq 1 9000; exit 3"}, call_id="b"),
    call("bash", "{", call_id="c"),
    call("python", {"code": "1"}, call_id="d"),
    call("bash", {"command": "echo x >> calc.py; cat calc.py"}, call_id="e"),
    DONE,
]
UPSTREAM = """
import sys, yaml
from minisweagent import package_dir
from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.litellm_model import LitellmModel
url, where = sys.argv[1:]
config = yaml.safe_load((package_dir / "config" / "benchmarks" / "swebench.yaml").read_text())
given = {key: text for key, text in config["model"].items() if key.endswith("_template")}
model = LitellmModel(model_name="openai/m", cost_tracking="ignore_errors",
                     model_kwargs={"api_base": url, "api_key": "none"}, **given)
DefaultAgent(model, LocalEnvironment(cwd=where, timeout=60), **config["agent"]).run("add() subtracts")
"""


def ours(
    root: Path, *script: Answer, brief: Brief = BRIEF, **budget: Any
) -> tuple[Any, list[Step], list[dict[str, Any]]]:
    (root / "calc.py").write_text("1\n")
    steps: list[Step] = []
    with FakeServer(*script) as server:
        model = OpenAIModel(ModelConfig(base_url=server.url, model="m", retries=Retries(attempts=1)))
        scaffold = load(NAME, Settings(budget=Budget(**budget), on_step=steps.append))
        result = scaffold.solve(brief, model, LocalSandbox(root))
    return result, steps, [request.body for request in server.requests]


def test_a_task_about_a_machine_has_the_words_of_its_command_line_and_its_skills(tmp_path: Path) -> None:
    skill = Skill(name="weigh", description="How to weigh", folder="weigh")
    brief = MachineBrief(
        task_id="t",
        repo="system",
        problem_statement="Weigh it.",
        skills=Skills(skills=(skill,), places=("/root/s",)),
    )
    _, _, [body] = ours(tmp_path, DONE, brief=brief)
    task = body["messages"][1]["content"]
    assert "Weigh it.\n\n" in task
    assert "- weigh (/root/s/weigh/SKILL.md): How to weigh" in task
    assert "Linux" in task
    assert "PR description" not in task
    assert "/testbed" not in task


def heard(bodies: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Everything that the model was told and has said, in order, but for ids and times."""
    return [(m["role"], m.get("content") or "") for m in bodies[-1]["messages"]]


def test_the_same_commands_and_the_same_words_as_upstreams_own_run(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    result, steps, bodies = ours(tmp_path / "ours", *SCRIPT)
    (tmp_path / "theirs" / "calc.py").write_text("1\n")
    quiet = {"MSWEA_SILENT_STARTUP": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PATH": "/usr/bin:/bin"}
    with FakeServer(*SCRIPT) as server:
        command = [sys.executable, "-c", UPSTREAM, server.url, str(tmp_path / "theirs")]
        subprocess.run(
            command, env=quiet | {"HOME": str(tmp_path)}, check=True, capture_output=True, timeout=120
        )
    theirs = [request.body for request in server.requests]
    assert (result.stop, result.steps, len(theirs)) == (Stop.SUBMITTED, 7, 7)
    assert heard(bodies) == heard(theirs)
    assert bodies[0]["tools"] == theirs[0]["tools"]
    assert (tmp_path / "ours/calc.py").read_text() == (tmp_path / "theirs/calc.py").read_text() == "1\nx\n"
    ran = [
        call.arguments.get("command")
        for step in steps
        for call in step.tool_calls
        if not call.arguments.get("unparsed")
    ]
    assert ran == ["ls", "seq 1 9000; exit 3", None, "echo x >> calc.py; cat calc.py", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"]  # fmt: skip


ENDINGS: dict[str, tuple[list[Answer], dict[str, Any], Stop]] = {
    "steps": ([call("bash", {"command": "ls"})], {"steps": 3}, Stop.STEP_LIMIT),
    "time": ([call("bash", {"command": "sleep 0.3"})], {"seconds": 0.2}, Stop.TIME_LIMIT),
    "talk": ([say("hm")], {}, Stop.NO_TOOL_CALL),
    "malformed": ([call("bash", '{"command": ')], {}, Stop.MALFORMED),
    "no text as a command": ([call("bash", {"command": None}), DONE], {}, Stop.SUBMITTED),
    "a command that is too long": (
        [call("bash", {"command": "sleep 9"}), DONE], {"command_seconds": 0.2}, Stop.SUBMITTED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_every_end_has_its_name(name: str, tmp_path: Path) -> None:
    script, budget, stop = ENDINGS[name]
    assert ours(tmp_path, *script, **budget)[0].stop is stop


def test_the_presets_numbers_are_upstreams() -> None:
    from scaffolds.mini import config

    preset, read = load_preset("mini-swe-agent-2.4.6"), config()
    assert (preset.steps, preset.command_seconds) == (
        read["agent"]["step_limit"],
        read["environment"]["timeout"],
    )
    assert "output.output[:5000]" in read["model"]["observation_template"]
    assert preset.observation_characters == 10_000
