"""Answers with neither text nor a call: whose they are, that they are counted and shown, and when a run stops for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.commands.run import _report as write_reports
from evals.record import AttemptKey, Outcome, Record
from evals.report.empty_turns import empty_turn_lines
from evals.report.summary import summarise
from evals.results.score import load_attempts, score
from scaffolds.model import EmptyTurn
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig
from scaffolds.openai.transport import sdk_client
from tasks.errors import UserError
from tests.fakes.openai_server import Answer, Body, FakeServer, call, say
from tests.runs_on_disk import write_run
from tests.served_run import make_task, plan_for, work

SWALLOWED = {"reasoning_content": 'I list them. <tool_call>{"name": "bash", "arguments": {"command": "ls"}}'}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (say("", **SWALLOWED), EmptyTurn.SWALLOWED_CALL),
        (say(" \n", reasoning="<function=bash>"), EmptyTurn.SWALLOWED_CALL),
        (say("", finish="tool_calls"), EmptyTurn.SWALLOWED_CALL),
        (say("", reasoning_content="Let me see"), EmptyTurn.THOUGHT_ONLY),
        (say("", reasoning_content="Let me see <tool_call>", finish="length"), EmptyTurn.CUT),
        (say("", finish="length"), EmptyTurn.CUT),
        (say(""), EmptyTurn.NOTHING),
        (say("hi", **SWALLOWED), None),
        (say("hi", finish="length"), None),
        (call("bash", {"command": "ls"}), None),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_empty_answer_has_one_kind(answer: Answer, kind: EmptyTurn | None, stream: bool) -> None:
    with FakeServer(answer) as server:
        config = ModelConfig(base_url=server.url, model="fake", stream=stream)
        with sdk_client(config) as client:
            model = OpenAIModel(config, client=client)
            assert model.complete([{"role": "user", "content": "go"}]).empty is kind


def loses(share: int) -> Callable[[Body], Answer]:
    """Of ten answers, so many are swallowed calls; each attempt submits after its third call."""
    number = iter(range(10**6))

    def answer(body: Body) -> Answer:
        if next(number) % 10 < share:
            return say("", **SWALLOWED)
        turns = sum(message["role"] == "assistant" for message in body["messages"])
        return call("submit") if turns >= 3 else call("bash", {"command": "true"})

    return answer


TASKS = [make_task(f"t{n}") for n in range(30)]


def test_a_run_stops_where_a_fifth_of_the_first_fifty_calls_is_lost_and_counts_none_of_it(
    tmp_path: Path,
) -> None:
    with FakeServer(loses(2)) as server:
        with pytest.raises(
            UserError, match=r"10 of the first (?:4\d|50) model calls .*thoughts 10.*--accept-empty-turns"
        ):
            work(tmp_path, plan_for(server.url), TASKS, workers=4)
        assert not list(tmp_path.glob("bash/*/1/record.json"))
        assert list(tmp_path.glob("bash/*/1.failed-1/record.json")), "kept beside"
        calls = len(server.requests)
        assert calls < 60, "attempts under way end with the step that they are at"
    with FakeServer(loses(0)) as mended:
        again = work(tmp_path, plan_for(mended.url), TASKS, workers=4)
    assert (again.tally.done, again.finished) == (30, True)


def test_it_goes_on_where_the_plan_accepts_them_and_the_turns_count(tmp_path: Path) -> None:
    with FakeServer(loses(2)) as server:
        run = work(tmp_path, plan_for(server.url, accept_empty_turns=True), TASKS, workers=4)
        assert run.finished
        line = score("bash", load_attempts(tmp_path, [r.key for r in records(tmp_path)]))
        assert line.model_calls == len(server.requests)
        assert line.empty_turns == {"swallowed_call": (len(server.requests) + 9 - 1) // 10 * 2}


def test_fewer_do_not_stop_it(tmp_path: Path) -> None:
    with FakeServer(loses(1)) as server:
        run = work(tmp_path, plan_for(server.url), TASKS)
    assert run.finished


def records(directory: Path) -> list[Record]:
    return [Record.model_validate_json(p.read_bytes()) for p in sorted(directory.glob("*/*/1/record.json"))]


def test_accepting_them_may_change_on_a_resume(tmp_path: Path) -> None:
    with FakeServer(loses(0)) as server:
        work(tmp_path, plan_for(server.url), TASKS[:1])
        work(tmp_path, plan_for(server.url, accept_empty_turns=True), TASKS[:1])


def run_with_empty_ends(directory: Path) -> Path:
    """20 attempts: 8 solved; 5 ended on an empty answer, one of them solved all the same. So 7 of the other 15."""
    ended = {f"t{n}" for n in (0, 16, 17, 18, 19)}

    def outcome(key: AttemptKey) -> Outcome:
        return Outcome.RESOLVED if int(key.task_id[1:]) < 8 else Outcome.UNRESOLVED

    write_run(directory, outcome, tasks=20, scaffolds=("bash",), claim=None)
    (directory / "ledger.jsonl").touch()
    for path in directory.glob("bash/*/1/record.json"):
        facts: dict[str, Any] = json.loads(path.read_text()) | {"steps": 10}
        if path.parts[-3] in ended:
            facts |= {
                "empty_turns": {"swallowed_call": 2, "cut": 1},
                "ended_empty": "swallowed_call",
                "stop": "no_tool_call",
            }
        path.write_text(json.dumps(facts))
    return directory


def test_the_sensitivity_line_leaves_out_what_ended_on_them_and_the_rate_stays(tmp_path: Path) -> None:
    """Inverted it would be 20.0 % (of those that did), or 53.3 % (of the others, failed)."""
    summary = summarise(run_with_empty_ends(tmp_path / "run"))
    (line,) = summary.scores
    assert (line.rate, line.ended_empty) == (pytest.approx(0.4), 5)
    assert line.rate_without_empty == pytest.approx(7 / 15)
    (said,) = [one for one in summary.findings if "ended on such an answer" in one]
    assert said == (
        "bash: 5 of 20 judged attempts ended on such an answer: 40.0 % stays the rate; without them it would be 46.7 %"
    )


def test_every_report_shows_the_same_count_warning_and_cure(tmp_path: Path) -> None:
    directory = run_with_empty_ends(tmp_path / "run")
    write_reports(directory)
    html, markdown = (directory / "report.html").read_text(), (directory / "report.md").read_text()
    found = json.loads((directory / "report.json").read_text())
    assert found["scores"][0]["empty_turns"] == {"swallowed_call": 10, "cut": 5}
    for report in (html, markdown):
        assert "15/200" in report
    warnings = [line for line in found["findings"] if line.startswith("bash: 7.5 % of 200 model calls")]
    cures = [line for line in found["findings"] if "reasoning parser" in line or "--max-tokens" in line]
    assert (len(warnings), len(cures)) == (1, 2)
    for line in (*warnings, *cures):
        assert line[:40] in html


@pytest.mark.parametrize(("empty", "warned"), [(0, False), (1, False), (2, True)])
def test_the_warning_begins_at_two_per_cent(empty: int, warned: bool) -> None:
    line = score("bash", []).model_copy(update={"model_calls": 100, "empty_turns": {"nothing": empty}})
    assert bool(list(empty_turn_lines(line, ""))) is warned


def test_a_limit_is_no_empty_end(tmp_path: Path) -> None:
    """The last answer was empty, and it was the step limit that ended the attempt."""
    with FakeServer(call("bash", {"command": "true"}), say("")) as server:
        plan = plan_for(server.url, budget={"steps": 2})
        work(tmp_path, plan, TASKS[:1])
    (record,) = records(tmp_path)
    assert (record.stop, record.empty_turns, record.ended_empty) == (
        "step_limit",
        {EmptyTurn.NOTHING: 1},
        None,
    )


def test_an_attempt_that_ends_on_them_says_which(tmp_path: Path) -> None:
    with FakeServer(call("bash", {"command": "true"}), say("", **SWALLOWED)) as server:
        work(tmp_path, plan_for(server.url), TASKS[:1])
    (record,) = records(tmp_path)
    assert (record.stop, record.ended_empty) == ("no_tool_call", EmptyTurn.SWALLOWED_CALL)
    assert record.steps == 4, "the score rule stays: each counted as a turn"


def test_the_cure_is_that_of_the_server_that_ran() -> None:
    line = score("bash", []).model_copy(update={"model_calls": 100, "empty_turns": {"swallowed_call": 9}})
    found = {name: list(empty_turn_lines(line, name))[1] for name in ("vllm", "sglang", "unheard-of")}
    assert "vllm#35687" in found["vllm"]
    assert "--reasoning-parser of this model's family" in found["sglang"]
    assert "no reasoning parser" in found["unheard-of"]
