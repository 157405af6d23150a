"""The gateway over one connection, as a program meets it, in front of the real client and a scripted server."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from scaffolds.base import Budget, Settings, Step, Stop, ToolCallMode, Trajectory
from scaffolds.model import EmptyTurn, ModelError
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.programs import http
from scaffolds.programs.gateway import Gateway
from scaffolds.sampling import Sampling
from tests.fakes.openai_server import Answer, FakeServer, call, error, say
from tests.test_scaffold_hostile import CRAMMED, SEEN

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
BASH = {"name": "bash", "description": "Runs.", "parameters": {"type": "object"}}
HELLO = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"type": "function", "function": BASH}],
}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: LINE"}
CODEX = {
    "model": "m",
    "instructions": "You are codex.",
    "stream": True,
    "store": False,
    "tools": [
        {"type": "function", "strict": False, **BASH},
        {"type": "custom", "name": "apply_patch", "description": "Patches.", "format": GRAMMAR},
        {"type": "web_search"},
    ],
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: none."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Repair it."}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "I thought."},
        {"type": "function_call", "call_id": "c1", "name": "bash", "arguments": '{"command":"ls"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
    ],
}  # fmt: skip


class Desk:
    """One attempt's gateway, and a way to ask it."""

    def __init__(self, url: str, window: int | None, mode: ToolCallMode, **budget: Any) -> None:
        config = ModelConfig(
            base_url=url, model="m", retries=Retries(attempts=1), sampling=Sampling(temperature=0.5)
        )
        self.steps: list[Step] = []
        self.result = Trajectory(Stop.SUBMITTED)
        settings = Settings(budget=Budget(**budget), on_step=self.steps.append)
        model = OpenAIModel(config, window=window)
        self.gateway = Gateway(model, settings, self.result, has_tools=True, mode=mode)

    def connect(self) -> HTTPConnection:
        """A connection of its own, answered in a thread, as the sandbox forwards one."""
        ours, theirs = socket.socketpair()
        connection = HTTPConnection("gateway", timeout=20)
        connection.sock = ours
        raw = theirs.makefile("rwb", buffering=0)

        def answer() -> None:
            with theirs, raw:
                http.serve(self.gateway, raw)

        threading.Thread(target=answer, daemon=True).start()
        return connection

    def ask(self, path: str, body: Any, *, key: str | None = None, method: str = "POST") -> tuple[int, bytes]:
        connection = self.connect()
        head = {"Authorization": f"Bearer {key or self.gateway.token}"}
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), head)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        assert connection.sock is not None
        connection.sock.close()
        return found


@contextmanager
def desk(
    *script: Answer | Callable[[Any], Answer],
    window: int | None = None,
    mode: ToolCallMode = ToolCallMode.NATIVE,
    **budget: Any,
) -> Iterator[tuple[Desk, FakeServer]]:
    with FakeServer(*script) as server:
        made = Desk(server.url, window, mode, **budget)
        yield made, server
        made.gateway.close()


def events(raw: bytes) -> list[dict[str, Any]]:
    lines = [line[6:] for line in raw.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def test_an_answer_whole_and_streamed() -> None:
    thought = call("bash", {"command": "ls"}, text="I look.", reasoning_content="Hm.")
    with desk(thought) as (ours, server):
        status, raw = ours.ask(CHAT, HELLO)
        choice = json.loads(raw)["choices"][0]
        assert (status, choice["finish_reason"]) == (200, "tool_calls")
        status, raw = ours.ask(CHAT, {**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    found = events(raw)
    deltas = [one["choices"][0]["delta"] for one in found if one["choices"]]
    assert [next(iter(delta), "") for delta in deltas] == [
        "role",
        "reasoning_content",
        "content",
        "tool_calls",
        "",
    ]
    assert deltas[3]["tool_calls"][0]["function"] == choice["message"]["tool_calls"][0]["function"]
    assert found[-1]["usage"]["total_tokens"] == 15
    assert raw.endswith(b"data: [DONE]\n\n")
    assert server.requests[0].headers["authorization"] == "Bearer none"


def test_responses_are_read_as_messages_and_answered_as_events() -> None:
    with desk(call("apply_patch", {"input": "*** Begin Patch"}, reasoning_content="Now.")) as (ours, server):
        raw = ours.ask(RESPONSES, CODEX)[1]
    body = server.requests[0].body
    assert [(m["role"], m.get("content")) for m in body["messages"]] == [
        ("system", "You are codex.\n\nSandbox: none."),
        ("user", "Repair it."),
        ("assistant", ""),
        ("tool", "a.py"),
        ("assistant", ""),
        ("tool", "done"),
    ]
    assert body["messages"][2]["reasoning_content"] == "I thought."
    assert body["messages"][4]["tool_calls"][0]["function"]["arguments"] == '{"input": "*** Begin"}'
    assert [tool["function"]["name"] for tool in body["tools"]] == ["bash", "apply_patch"]
    assert "start: LINE" in body["tools"][1]["function"]["description"]
    found = events(raw)
    assert [one["type"].removeprefix("response.") for one in found] == [
        "created", "output_item.added", "output_item.done", "output_item.added", "output_item.done", "completed",
    ]  # fmt: skip
    thought, patch = found[-1]["response"]["output"]
    assert (thought["type"], thought["encrypted_content"]) == ("reasoning", "Now.")
    assert (patch["type"], patch["name"], patch["input"]) == (
        "custom_tool_call",
        "apply_patch",
        "*** Begin Patch",
    )
    assert found[-1]["response"]["usage"]["total_tokens"] == 15


@pytest.mark.parametrize(("path", "body"), [(CHAT, HELLO), (RESPONSES, CODEX)])
def test_a_conversation_that_is_too_long_is_told_as_programs_expect(path: str, body: dict[str, Any]) -> None:
    full = error(400, {"error": {"message": "too long", "type": "exceed_context_size_error", "code": 400}})
    with desk(full) as (ours, _):
        status, raw = ours.ask(path, body)
        assert ours.gateway.overflowed
        assert not ours.gateway.over.is_set()
    said = json.loads(raw) if path == CHAT else events(raw)[0]["response"]
    assert (status, said["error"]["code"]) == (400 if path == CHAT else 200, "context_length_exceeded")


def test_a_server_that_fails_ends_the_attempt_and_is_to_blame() -> None:
    with desk(error(500, "boom")) as (ours, _):
        assert ours.ask(CHAT, HELLO)[0] == 503
        assert ours.gateway.over.is_set()
        assert isinstance(ours.gateway.failure, ModelError)
        assert ours.ask(CHAT, {**HELLO, "again": 1})[0] == 503


def slowly(_body: object) -> Answer:
    time.sleep(0.4)
    return say("Done.")


def test_a_repeated_request_joins_the_one_under_way() -> None:
    with desk(slowly) as (ours, server), ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: ours.ask(CHAT, HELLO), range(3)))
        assert [status for status, _ in answers] == [200] * 3
        assert (len(server.requests), ours.result.steps) == (1, 1)
        ours.ask(CHAT, HELLO)
        assert len(server.requests) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_slow_answer_is_announced(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PATIENCE", 0.05)
    monkeypatch.setattr(http, "BEAT", 0.05)
    with desk(slowly) as (ours, _):
        raw = ours.ask(CHAT, {**HELLO, "stream": stream})[1]
    assert raw.startswith(b": still at work\n\n: still at work" if stream else b"  ")
    told = events(raw)[1]["choices"][0]["delta"] if stream else json.loads(raw)["choices"][0]["message"]
    assert told["content"] == "Done."


CAPS = {(None, 4000): 4000, (1000, 4000): None, (100_000, 4000): 4000, (None, None): None}


@pytest.mark.parametrize(("window", "asked"), CAPS)
def test_a_cap_is_kept_where_the_window_has_room_for_it(window: int | None, asked: int | None) -> None:
    with desk(say("Done."), window=window) as (ours, server):
        ours.ask(CHAT, {**HELLO, "max_completion_tokens": asked, "temperature": 1.5})
    body = server.requests[0].body
    assert (body.get("max_tokens"), body["temperature"]) == (CAPS[window, asked], 0.5)
    assert ours.steps[-1].asked == {"temperature": 1.5, **({"max_completion_tokens": asked} if asked else {})}


def test_calls_in_the_text_are_handed_on_where_that_is_asked_for() -> None:
    written = say('```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```')
    with desk(written, mode=ToolCallMode.LENIENT) as (ours, _):
        message = json.loads(ours.ask(CHAT, HELLO)[1])["choices"][0]["message"]
    assert message["tool_calls"][0]["function"] == {"name": "bash", "arguments": '{"command": "ls"}'}
    assert (ours.result.calls.recovered, ours.result.calls.native) == (1, 0)
    with desk(written) as (ours, _):
        assert "tool_calls" not in json.loads(ours.ask(CHAT, HELLO)[1])["choices"][0]["message"]
    assert ours.result.calls.written == 1


def test_an_empty_answer_keeps_its_class() -> None:
    with desk(say("", reasoning_content="Hm.")) as (ours, _):
        ours.ask(CHAT, HELLO)
    assert ours.result.empty_turns == {EmptyTurn.THOUGHT_ONLY: 1}
    assert ours.steps[-1].empty is EmptyTurn.THOUGHT_ONLY


def test_side_calls_are_counted_apart() -> None:
    title = {"messages": [{"role": "user", "content": "A title?"}], "max_tokens": 20}
    helper = {**HELLO, "messages": [{"role": "system", "content": "You help."}, *HELLO["messages"]]}
    with desk(say("A title"), say("I begin."), say("I help."), say("Done.")) as (ours, _):
        for body in (title, HELLO, helper, {**HELLO, "messages": [*HELLO["messages"], *HELLO["messages"]]}):
            ours.ask(CHAT, body)
    assert (ours.result.steps, ours.result.side_calls, ours.result.prompt_tokens) == (2, 2, 40)
    told = [(step.source, step.message, step.side) for step in ours.steps if step.source == "agent"]
    assert sorted(told) == sorted(
        [
            ("agent", "A title", True),
            ("agent", "I begin.", False),
            ("agent", "I help.", True),
            ("agent", "Done.", False),
        ]
    )


@pytest.mark.parametrize(
    ("limit", "stop"), [({"steps": 1}, Stop.STEP_LIMIT), ({"tokens": 15}, Stop.TOKEN_LIMIT)]
)
def test_the_budget_is_the_attempts(limit: dict[str, int], stop: Stop) -> None:
    with desk(say("Done."), **limit) as (ours, server):
        assert [ours.ask(CHAT, {**HELLO, "n": n})[0] for n in range(3)] == [200, 503, 503]
        assert (ours.gateway.stop, len(server.requests)) == (stop, 1)
        assert ours.gateway.over.is_set()


BROKEN: dict[str, tuple[Any, int]] = {
    "no JSON": (b"{", 400),
    "a list": ([], 400),
    "no messages": ({"messages": []}, 400),
    "an unknown role": ({"messages": [{"role": "god", "content": "x"}]}, 400),
    "a number as messages": ({"messages": 5}, 400),
    "numbers as content": ({"messages": [{"role": "user", "content": 5}]}, 400),
    "a tool without a name": ({**HELLO, "tools": [{"type": "function"}]}, 400),
    "deep nesting": (b'{"messages": ' + b"[" * 5000, 400),
    "a picture": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 200),
    "broken arguments": (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "{"}}]}]},
        200,
    ),
}  # fmt: skip


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("name", BROKEN)
def test_a_request_that_cannot_be_read_is_told_so(name: str, path: str) -> None:
    body, status = BROKEN[name]
    if path == RESPONSES and isinstance(body, dict):
        body = {
            "input": body["messages"],
            "tools": [{**one, "type": "function"} for one in body.get("tools", ())],
        }
    with desk(say("Done.")) as (ours, _):
        assert ours.ask(path, body)[0] == status
        assert ours.gateway.failure is None


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_other_routes_and_keys_are_refused_and_counted(method: str) -> None:
    with desk(say("Done.")) as (ours, server):
        assert ours.ask("/v1/completions", b"", method=method)[0] == 404
        assert ours.ask(CHAT, HELLO, key="sk-real")[0] == 401
        assert json.loads(ours.ask("/v1/models", b"", method="GET")[1])["data"][0]["id"] == "m"
        assert sorted(ours.gateway.refused) == [
            "another key than the attempt's",
            f"no route {method} /v1/completions",
        ]
        assert server.requests == []


def test_noise_ends_the_connection_and_nothing_else() -> None:
    with desk(say("Done.")) as (ours, _):
        for noise in (
            b"\0" * 70_000,
            b"GET\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        ):
            sock = ours.connect().sock
            assert sock is not None
            sock.sendall(noise)
            sock.shutdown(socket.SHUT_WR)
            io.BufferedReader(sock.makefile("rb", buffering=0)).read()
            sock.close()
        assert ours.ask(CHAT, HELLO)[0] == 200


def told(raw: bytes) -> list[dict[str, Any]]:
    return events(raw) if raw.startswith((b"data:", b"event:")) else [json.loads(raw)]


@pytest.mark.parametrize("name", [*SEEN, *CRAMMED])
def test_whatever_the_model_says_is_handed_on_in_good_order(name: str) -> None:
    """A program's own parser is not ours to guard, but each answer is JSON, and the trajectory goes to disk."""
    answer = SEEN.get(name) or say(CRAMMED[name], reasoning_content="on and on " * 1000)
    for mode in (ToolCallMode.NATIVE, ToolCallMode.LENIENT):
        with desk(answer, mode=mode) as (made, _):
            for path, body in ((CHAT, HELLO), (RESPONSES, CODEX)):
                for stream in (True, False):
                    status, raw = made.ask(path, {**body, "stream": stream})
                    assert (status, bool(told(raw))) == (200, True)
        assert made.gateway.failure is None
        for step in made.steps:
            json.loads(step.model_dump_json())
