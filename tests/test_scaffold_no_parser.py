"""A server without a tool parser is never a silent zero: the run stops with the flag that mends it. Over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.record import AttemptKey, Record, all_keys
from evals.run.hooks import RunHooks
from evals.run.ledger import Ledger, verify
from evals.run.queue import Run
from scaffolds.base import Settings, Stop, ToolCallMode
from scaffolds.openai.config import ModelConfig
from tasks.errors import UserError
from tasks.task import Task
from tests.fakes.openai_server import Answer, FakeServer, call, error, say
from tests.fakes.plain_context import plain_context
from tests.test_run import make_task, resolve_one

WRITTEN = say('```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```')
XML = say("<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>")
TALK = say("I would look at the code first.")
SUBMIT = call("submit")
TASKS = [make_task(f"t{n}") for n in range(6)]
Script = Answer | Callable[[Mapping[str, Any]], Answer]


def run_over(
    directory: Path,
    *script: Script,
    scaffolds: tuple[str, ...] = ("bash",),
    mode: ToolCallMode = ToolCallMode.NATIVE,
    tasks: Sequence[Task] = TASKS,
    workers: int = 1,
) -> Run:
    """A run of real scaffolds against a scripted server."""
    directory.mkdir(exist_ok=True)
    with FakeServer(*script) as server:
        context = plain_context(
            directory,
            settings=Settings(tool_calls=mode),
            model=ModelConfig(base_url=server.url, model="m"),
        )
        keys = list(all_keys(scaffolds, [task.id for task in tasks], 1))
        hooks = RunHooks(resolve_one, lambda _stop: False)
        run = Run(context, tasks, keys, hooks, Ledger(directory / "ledger.jsonl"))
        run.work(workers=workers, graders=1)
    return run


def records(directory: Path) -> list[Record]:
    paths = sorted(directory.glob("*/*/1/record.json"))
    return [Record.model_validate_json(path.read_bytes()) for path in paths]


@pytest.mark.parametrize("answer", [WRITTEN, XML], ids=["json", "xml"])
def test_calls_in_the_text_stop_the_run_and_name_the_flag(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run_over(tmp_path, answer)
    line = str(caught.value)
    assert "the model wrote 6 as text" in line
    for flag in ("--jinja", "--enable-auto-tool-choice --tool-call-parser", "--tool-calls lenient"):
        assert flag in line
    assert "\n" not in line
    assert len(list(tmp_path.glob("bash/*/1.failed-1/record.json"))) == 2
    assert records(tmp_path) == []
    assert verify(tmp_path / "ledger.jsonl") == []


def test_no_call_of_any_kind_stops_the_run_after_the_first_attempts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in the first 3 attempts, and none as text either"):
        run_over(tmp_path, TALK)
    assert records(tmp_path) == []


def test_a_run_of_one_attempt_is_no_silent_zero_either(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="in the first attempt"):
        run_over(tmp_path, TALK, tasks=TASKS[:1])


def test_while_another_attempt_is_under_way_its_calls_may_still_come(tmp_path: Path) -> None:
    """Nothing is left to begin when the first of two ends without a call; the second then makes one."""

    def answer(asked: Mapping[str, Any]) -> Answer:
        if "of those who talk" in json.dumps(asked):
            return TALK
        for _ in range(1000):
            if "attempt-recorded" in (tmp_path / "ledger.jsonl").read_text():
                break
            time.sleep(0.01)
        time.sleep(0.3)  # for what would be said of the first one
        return SUBMIT

    tasks = [make_task("t0", "One of those who talk."), make_task("t1", "Another one.")]
    assert run_over(tmp_path, answer, tasks=tasks, workers=2).finished
    assert [record.calls_native for record in records(tmp_path)] == [0, 1]


def test_a_mended_server_makes_the_spoiled_attempts_again(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        run_over(tmp_path, WRITTEN)
    run = run_over(tmp_path, SUBMIT)
    assert run.finished
    assert {record.calls_native for record in records(tmp_path)} == {1}


def test_a_resume_remembers(tmp_path: Path) -> None:
    """Two attempts without a call, a stop, and a third one: the records of both sessions count together."""
    run_over(tmp_path, TALK, TALK, TALK, SUBMIT, tasks=TASKS[:2])  # a call came: nothing to complain of
    assert len(records(tmp_path)) == 2
    assert run_over(tmp_path, TALK).finished
    silent = tmp_path / "silent"
    leave_records(silent, 2)
    with pytest.raises(UserError, match="in the first 3 attempts"):
        run_over(silent, TALK)
    leave_records(done := tmp_path / "done", 6)
    with pytest.raises(UserError, match="in the first 6 attempts"):
        run_over(done, TALK)


def leave_records(directory: Path, count: int) -> None:
    """As a run leaves them that was killed before it could tell."""
    for task in TASKS[:count]:
        key = AttemptKey(scaffold="bash", task_id=task.id, attempt=1)
        path = key.directory(directory) / "record.json"
        path.parent.mkdir(parents=True)
        record = Record(
            key=key,
            task_hash="h",
            image="sha256:0",
            stop=Stop.NO_TOOL_CALL,
            patch_sha256="0",
            patch_bytes=0,
            steps=3,
            uses_tools=True,
            started="2026-01-01T00:00:00+00:00",
        )
        path.write_text(record.model_dump_json())


def test_attempts_that_still_run_and_call_keep_the_run_going(tmp_path: Path) -> None:
    """Those that end first are the ones that gave up; the others must not be thrown away for them."""

    def by_worker(body: Mapping[str, Any]) -> Answer:
        said = len(body["messages"])
        talks = any("only talk" in str(message["content"]) for message in body["messages"])
        return TALK if talks else call("bash", {"command": "true"}) if said < 40 else SUBMIT

    chatty = [make_task(f"c{n}", "only talk") for n in range(3)]
    run = run_over(tmp_path, by_worker, tasks=[TASKS[0], *chatty, *TASKS[1:3]], workers=6)
    assert run.finished
    assert sorted(record.calls_native for record in records(tmp_path)) == [0, 0, 0, 20, 20, 20]


def test_a_scaffold_without_tools_and_lenient_mode_are_measured(tmp_path: Path) -> None:
    assert run_over(tmp_path / "oneshot", TALK, scaffolds=("oneshot",)).finished
    assert run_over(tmp_path / "lenient", TALK, mode=ToolCallMode.LENIENT).finished
    assert run_over(tmp_path / "text", TALK, mode=ToolCallMode.TEXT).finished
    assert {r.uses_tools for r in records(tmp_path / "oneshot")} == {False}


def test_a_scaffold_without_tools_beside_one_does_not_hide_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tool call came through"):
        run_over(tmp_path, TALK, scaffolds=("bash", "oneshot"), tasks=TASKS[:1])
    assert [record.key.scaffold for record in records(tmp_path)] == ["oneshot"]


def test_a_malformed_native_call_shows_that_there_is_a_parser(tmp_path: Path) -> None:
    assert run_over(tmp_path, call("bash", "{")).finished


def test_a_conversation_that_never_fitted_says_nothing_of_the_parser(tmp_path: Path) -> None:
    overflow = error(400, {"error": {"type": "exceed_context_size_error", "message": "too long"}})
    assert run_over(tmp_path, overflow).finished
