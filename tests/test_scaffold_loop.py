"""The loop over a real HTTP server and a directory: every way an attempt ends, and what the model hears."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from scaffolds import load
from scaffolds.base import Budget, Settings, Step, Stop, ToolCallMode, Trajectory
from scaffolds.model import ModelError
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from tasks.task import Brief
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, call, error, say, stream

BRIEF = Brief(task_id="t", repo="r/r", problem_statement="add() subtracts")
LS = call("bash", {"command": "ls"})
SUBMIT = call("submit")
OVERFLOW = error(400, {"error": {"type": "exceed_context_size_error", "message": "too long"}})


class Trial:
    """One attempt's remains."""

    def __init__(
        self,
        root: Path,
        *script: Answer,
        scaffold: str = "bash",
        die_on: str | None = None,
        window: int | None = None,
        **settings: Any,
    ) -> None:
        (root / "calc.py").write_text("def add(a, b):\n    return a - b\n")
        self.sandbox = LocalSandbox(root, die_on=die_on)
        self.steps: list[Step] = []
        self.root = root
        with FakeServer(*script) as self.server:
            config = ModelConfig(base_url=self.server.url, model="m", retries=Retries(attempts=1))
            model = OpenAIModel(config, window=window)
            runner = load(scaffold, Settings(on_step=self.steps.append, **settings))
            self.result: Trajectory = runner.solve(BRIEF, model, self.sandbox)

    def last_messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.server.requests[-1].body["messages"]
        return messages


def test_calls_are_run_and_answered_until_submit(tmp_path: Path) -> None:
    trial = Trial(tmp_path, LS, call("bash", {"command": "exit 3"}, call_id="b"), SUBMIT)
    assert (trial.result.stop, trial.result.steps, trial.result.calls.native) == (Stop.SUBMITTED, 3, 3)
    assert (trial.result.prompt_tokens, trial.result.completion_tokens) == (30, 15)
    tool = [m for m in trial.last_messages() if m["role"] == "tool"]
    assert tool == [
        {"role": "tool", "tool_call_id": "call_0", "content": "calc.py\n"},
        {"role": "tool", "tool_call_id": "b", "content": "[exit code 3]"},
    ]
    assert [step.source for step in trial.steps] == ["system", "user", "agent", "agent", "agent"]
    assert trial.steps[2].observations == ("calc.py\n",)
    assert "add() subtracts" in trial.steps[1].message


def test_a_bash_command_submit_counts_too(tmp_path: Path) -> None:
    trial = Trial(tmp_path, call("bash", {"command": " submit\n"}))
    assert (trial.result.stop, trial.sandbox.commands) == (Stop.SUBMITTED, [])


def test_the_editor_edits(tmp_path: Path) -> None:
    edit = {"command": "str_replace", "path": "/testbed/calc.py", "old_str": "a - b", "new_str": "a + b"}
    trial = Trial(tmp_path, call("str_replace_editor", edit), SUBMIT, scaffold="edit")
    assert "a + b" in (tmp_path / "calc.py").read_text()
    assert [t["function"]["name"] for t in trial.server.requests[0].body["tools"]] == [
        "bash",
        "str_replace_editor",
        "submit",
    ]


ENDINGS: dict[str, tuple[list[Answer], dict[str, Any], Stop, int]] = {
    "steps": ([LS], {"budget": Budget(steps=4)}, Stop.STEP_LIMIT, 4),
    "tokens": ([LS], {"budget": Budget(tokens=31)}, Stop.TOKEN_LIMIT, 3),
    "seconds": (
        [call("bash", {"command": "sleep 0.3"})],
        {"budget": Budget(seconds=0.2)},
        Stop.TIME_LIMIT,
        1,
    ),
    "overflow": ([LS, OVERFLOW], {}, Stop.CONTEXT_OVERFLOW, 1),
    "only talk": ([say("I think …")], {}, Stop.NO_TOOL_CALL, 3),
    "talk between calls": ([say("hm"), LS, say("hm"), say("hm"), SUBMIT], {}, Stop.SUBMITTED, 5),
    "malformed": ([call("bash", "{")], {}, Stop.MALFORMED, 4),
    "malformed between calls": ([call("bash", "{"), LS] * 4 + [SUBMIT], {}, Stop.SUBMITTED, 9),
    "a dead sandbox": ([call("bash", {"command": "kill"})], {"die_on": "kill"}, Stop.SANDBOX_BROKEN, 1),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_every_ending(name: str, tmp_path: Path) -> None:
    script, settings, stop, steps = ENDINGS[name]
    result = Trial(tmp_path, *script, **settings).result
    assert (result.stop, result.steps) == (stop, steps)


def test_a_server_that_breaks_is_nobodys_stop(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        Trial(tmp_path, LS, error(500, "boom"))


def test_waiting_for_the_server_is_not_the_agents_time(tmp_path: Path) -> None:
    (tmp_path / "calc.py").write_text("")
    away = error(503, {"error": {"message": "Loading model"}}, Retry_After="0.6")
    with FakeServer(away, SUBMIT) as server:
        model = OpenAIModel(ModelConfig(base_url=server.url, model="m"))
        result = load("bash", Settings()).solve(BRIEF, model, LocalSandbox(tmp_path))
    assert result.active_seconds < 0.5


def test_a_malformed_call_is_explained_under_its_id(tmp_path: Path) -> None:
    trial = Trial(tmp_path, call("bash", '{"command": "ls'), SUBMIT)
    answer = trial.last_messages()[-1]
    assert (answer["role"], answer["tool_call_id"]) == ("tool", "call_0")
    assert "not valid JSON" in answer["content"]
    assert trial.steps[2].tool_calls[0].arguments == {"unparsed": '{"command": "ls'}
    assert (trial.result.calls.malformed, trial.result.calls.native) == (1, 1)


WRITTEN = say('```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```')
WRITTEN_SUBMIT = say('{"name": "submit", "arguments": {}}')


def test_lenient_answers_recovered_calls_as_the_user(tmp_path: Path) -> None:
    trial = Trial(tmp_path, WRITTEN, WRITTEN_SUBMIT, tool_calls=ToolCallMode.LENIENT)
    assert (trial.result.stop, trial.result.calls.recovered) == (Stop.SUBMITTED, 2)
    assert trial.last_messages()[-1] == {"role": "user", "content": "[bash]\ncalc.py\n"}
    assert "tools" in trial.server.requests[0].body


def test_text_mode_sends_no_tools_but_describes_them(tmp_path: Path) -> None:
    trial = Trial(tmp_path, WRITTEN, WRITTEN_SUBMIT, tool_calls=ToolCallMode.TEXT)
    assert trial.result.stop is Stop.SUBMITTED
    body = trial.server.requests[0].body
    assert "tools" not in body
    assert '"name": "bash"' in body["messages"][0]["content"]


def test_native_mode_leaves_written_calls_alone(tmp_path: Path) -> None:
    trial = Trial(tmp_path, WRITTEN)
    assert (trial.result.stop, trial.result.calls.recovered, trial.sandbox.commands) == (
        Stop.NO_TOOL_CALL,
        0,
        [],
    )


def test_a_cut_answer_is_told_so(tmp_path: Path) -> None:
    trial = Trial(tmp_path, say("let me think " * 10, finish="length"), SUBMIT)
    assert "cut off" in trial.last_messages()[-1]["content"]


def test_the_call_that_fills_the_window_is_recorded(tmp_path: Path) -> None:
    filling = say("thinking …", finish="length", prompt=200, completion=56, reasoning="on and on")
    trial = Trial(tmp_path, LS, filling, window=256)
    assert (trial.result.stop, trial.result.steps) == (Stop.CONTEXT_OVERFLOW, 2)
    assert (trial.result.prompt_tokens, trial.result.completion_tokens) == (210, 61)
    assert (trial.steps[-1].message, trial.steps[-1].reasoning_content) == ("thinking …", "on and on")


def test_the_time_limit_ends_a_call_that_is_under_way(tmp_path: Path) -> None:
    slow = stream(*[{"choices": [{"delta": {"content": "x"}}]}] * 100, pause=0.1)
    started = time.monotonic()
    trial = Trial(tmp_path, LS, slow, budget=Budget(seconds=1))
    assert (trial.result.stop, trial.result.steps) == (Stop.TIME_LIMIT, 1)
    assert time.monotonic() - started < 4
    assert 1 <= trial.result.active_seconds < 3


def test_the_time_limit_ends_the_calls_of_one_reply(tmp_path: Path) -> None:
    """Sixteen commands of a minute each were a quarter of an hour beyond it."""
    sleep = '```json\n{"name": "bash", "arguments": {"command": "sleep 0.6"}}\n```\n'
    trial = Trial(tmp_path, say(sleep * 9), budget=Budget(seconds=1), tool_calls=ToolCallMode.LENIENT)
    assert (trial.result.stop, len(trial.sandbox.commands)) == (Stop.TIME_LIMIT, 2)
    assert trial.result.calls.recovered == 9


def test_a_preset_decides_how_much_of_an_output_is_shown(tmp_path: Path) -> None:
    budget = Budget(observation_characters=1000)
    trial = Trial(tmp_path, call("bash", {"command": "seq 9999"}), SUBMIT, budget=budget)
    shown = trial.steps[2].observations[0]
    assert 1000 < len(shown) < 1060
    assert shown.startswith("1\n2\n")
    assert shown.endswith("9999\n")


def test_a_flood_and_a_timeout_are_observations(tmp_path: Path) -> None:
    budget = Budget(command_seconds=1)
    flood = call("bash", {"command": "yes | head -c 300000"})
    trial = Trial(tmp_path, flood, call("bash", {"command": "sleep 30"}), SUBMIT, budget=budget)
    assert len(trial.steps[2].observations[0]) < 17_000
    assert "longer than 1 s" in trial.steps[3].observations[0]
