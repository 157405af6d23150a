"""The client against a real HTTP server that plays what servers are known to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from scaffolds.model import ContextOverflow, ModelError, TimeUp, Trouble
from scaffolds.openai.client import OpenAIModel, conversation, encode
from scaffolds.openai.config import Deadlines, ModelConfig, Retries
from scaffolds.openai.transport import MOST_CLIENTS, shared_client
from scaffolds.sampling import Sampling
from tests.fakes.openai_server import Answer, FakeServer, call, error, say, stream

HELLO = [{"role": "user", "content": "hello"}]
QUICK = Retries(attempts=3, seconds=5, first_wait=0.01, longest_wait=0.05)


def model(server: FakeServer, **kw: Any) -> OpenAIModel:
    kw = {"retries": QUICK, **kw}
    window = kw.pop("window", None)
    return OpenAIModel(ModelConfig(base_url=server.url, model="fake", **kw), window=window)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_reply_has_text_usage_and_a_message_for_the_history(streamed: bool) -> None:
    with FakeServer(say("hi there", prompt=12, completion=3)) as server:
        reply = model(server, stream=streamed).complete(HELLO)
    assert (reply.content, reply.finish_reason, reply.usage[:2]) == ("hi there", "stop", (12, 3))
    assert reply.message == {"role": "assistant", "content": "hi there"}
    assert reply.seconds > 0


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_under_the_servers_own_name(name: str, streamed: bool) -> None:
    with FakeServer(say("4", **{name: "2 + 2"})) as server:
        reply = model(server, stream=streamed).complete(HELLO)
    assert reply.reasoning == "2 + 2"
    assert reply.message == {"role": "assistant", "content": "4", name: "2 + 2"}


@pytest.mark.parametrize("streamed", [True, False])
def test_broken_arguments_are_kept_raw_and_go_back_as_an_object(streamed: bool) -> None:
    """llama-server answers 500 to every later call when they go back as they were."""
    with FakeServer(call("bash", '{"command": "ls')) as server:
        reply = model(server, stream=streamed).complete(HELLO)
    assert reply.tool_calls[0].arguments == '{"command": "ls'
    sent = reply.message["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent) == {"unparsed": '{"command": "ls'}


@pytest.mark.parametrize("raw", ['{"a": "\\ud800"}', "[1]", '"text"', '{"a": NaN}', "{" * 5000])
def test_arguments_that_no_server_would_parse_are_quoted(raw: str) -> None:
    with FakeServer(call("bash", raw)) as server:
        reply = model(server).complete(HELLO)
    assert json.loads(reply.message["tool_calls"][0]["function"]["arguments"]) == {"unparsed": raw}


def chunk(*calls: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": finish}]}


def piece(id_: str | None, index: int | None, name: str | None, arguments: str) -> dict[str, Any]:
    return {"id": id_, "index": index, "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(
            [chunk(piece("a", 0, "f", "{}")), chunk(piece("b", 0, "g", "{}"))], id="ollama: index always 0"
        ),
        pytest.param(
            [
                chunk(piece("a", 0, "f", "")),
                chunk(piece("b", 1, "g", "")),
                chunk(piece(None, 0, None, "{}")),
                chunk(piece(None, 1, None, "{}")),
            ],
            id="interleaved by index",
        ),
        pytest.param(
            [chunk(piece("a", 0, "f", "{")), chunk(piece("a", 0, "f", "}")), chunk(piece("b", 1, "g", "{}"))],
            id="id repeated in each piece",
        ),
        pytest.param(
            [
                chunk(piece("a", None, "f", "{")),
                chunk(piece(None, None, None, "}")),
                chunk(piece("b", None, "g", "{}")),
            ],
            id="no index",
        ),
    ],
)
def test_streamed_calls_are_put_together_by_id_then_index(chunks: list[dict[str, Any]]) -> None:
    with FakeServer(stream(*chunks, chunk(finish="tool_calls"), "data: [DONE]\n\n")) as server:
        reply = model(server).complete(HELLO)
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("a", "f", "{}"), ("b", "g", "{}")]


def test_calls_without_an_id_get_distinct_ones() -> None:
    with FakeServer(call("bash", {"command": "ls"}, call_id="")) as server:
        client = model(server)
        ids = [client.complete(HELLO).tool_calls[0].id for _ in range(3)]
    assert len(set(ids)) == 3


LOADING = error(503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
PASSING = [
    LOADING,
    error(429, {"error": {"message": "slow down"}}, Retry_After="0"),
    error(502, "<html>bad gateway</html>"),
    error(500, {"error": {"message": "CUDA error", "type": "server_error", "code": 500}}),
    Answer([], reset=True),
    Answer([b"data: {}\n\n"], content_type="text/event-stream", reset=True),
    stream({"choices": [{"delta": {"content": "half"}}]}),
    Answer([b"not json"]),
    Answer([b'{"choices": 5}']),
]


@pytest.mark.parametrize("trouble", PASSING, ids=lambda a: f"{a.status}-{b''.join(a.pieces)[:20]!r}")
def test_what_passes_is_tried_again(trouble: Answer) -> None:
    with FakeServer(trouble, say("ok")) as server:
        client = model(server)
        assert client.complete(HELLO).content == "ok"
    assert client.warnings["retried"] == 1


FINAL = [
    error(
        400,
        {"error": {"message": "Field 'temperature': type must be number", "type": "invalid_request_error"}},
    ),
    error(401, {"error": "bad key"}),
    error(
        500,
        {
            "error": {
                "code": 500,
                "message": "Failed to parse tool call arguments as JSON: …",
                "type": "server_error",
            }
        },
    ),
    stream('event: error\ndata: {"error": {"message": "no such template", "code": 400}}\n\n'),
]


@pytest.mark.parametrize("trouble", FINAL, ids=lambda a: str(a.status))
def test_what_will_not_pass_is_refused_at_once(trouble: Answer) -> None:
    with FakeServer(trouble, say("ok")) as server:
        with pytest.raises(ModelError) as caught:
            model(server).complete(HELLO)
        assert len(server.requests) == 1
    assert (caught.value.kind, caught.value.retryable) == (Trouble.REFUSED, False)
    assert "\n" not in str(caught.value)


def without_a_stream(answer: Answer) -> Callable[[Mapping[str, Any]], Answer]:
    """llama-cpp-python: an error after the stream has begun is an empty stream of status 200."""
    return lambda body: stream() if body.get("stream") else answer


def test_an_empty_stream_is_asked_again_without_one() -> None:
    with FakeServer(without_a_stream(OVERFLOWS[1])) as server:
        with pytest.raises(ContextOverflow):
            model(server).complete(HELLO)
        assert [request.body.get("stream", False) for request in server.requests] == [True, False]
    with FakeServer(without_a_stream(say("ok"))) as server:
        client = model(server)
        assert client.complete(HELLO).content == "ok"
    assert client.warnings == {}


def test_an_empty_stream_that_nobody_explains_passes() -> None:
    with FakeServer(stream("data: [DONE]\n\n")) as server:
        with pytest.raises(ModelError) as caught:
            model(server).complete(HELLO)
        assert len(server.requests) == 2
    assert caught.value.retryable


WEB_PAGES = [
    Answer([b"<!DOCTYPE html><html>Sign in</html>"], content_type="text/html; charset=utf-8"),
    Answer([b"\n<html><body>Open WebUI</body></html>"]),
]


@pytest.mark.parametrize("page", WEB_PAGES, ids=["by type", "by content"])
def test_a_web_page_is_noticed_at_once(page: Answer) -> None:
    with FakeServer(page) as server:
        with pytest.raises(ModelError, match=r"web page.*--base-url") as caught:
            model(server).complete(HELLO)
        assert len(server.requests) == 1
    assert (caught.value.kind, caught.value.retryable) == (Trouble.REFUSED, False)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_option(status: int) -> None:
    refusal = error(status, {"error": "bad key"})
    with FakeServer(refusal) as server, pytest.raises(ModelError, match=r"bad key.*--api-key-env"):
        model(server).complete(HELLO)


OVERFLOWS = [
    error(
        400,
        {
            "error": {
                "code": 400,
                "message": "request (12030 tokens) exceeds",
                "type": "exceed_context_size_error",
            }
        },
    ),
    error(
        400,
        {
            "error": {
                "message": "This model's maximum context length is 4096 tokens.",
                "type": "BadRequestError",
                "code": 400,
            }
        },
    ),
    error(
        400,
        {
            "object": "error",
            "message": "Requested token count exceeds the model's maximum",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    stream(
        'event: error\ndata: {"error": {"message": "the number of tokens to keep from the initial prompt is greater than the context length"}}\n\n'
    ),
    error(400, {"error": {"message": "…", "code": "context_length_exceeded"}}),
]


@pytest.mark.parametrize("overflow", OVERFLOWS)
def test_every_servers_overflow_is_one_fact_and_never_tried_again(overflow: Answer) -> None:
    with FakeServer(overflow) as server:
        with pytest.raises(ContextOverflow):
            model(server).complete(HELLO)
        assert len(server.requests) == 1


def test_an_answer_that_fills_the_window_is_an_overflow_and_a_long_one_is_not() -> None:
    with FakeServer(say("1, 2", finish="length", prompt=224, completion=32)) as server:
        with pytest.raises(ContextOverflow) as caught:
            model(server, window=256).complete(HELLO)
        assert caught.value.reply is not None
        assert caught.value.reply.content == "1, 2"
        assert model(server, window=257).complete(HELLO).finish_reason == "length"


def test_a_history_cut_off_in_silence_is_counted() -> None:
    with FakeServer(say("a", prompt=2000), say("b", prompt=2050), say("c", prompt=2050)) as server:
        client = model(server)
        history = list(HELLO)
        for _ in range(3):
            history += [client.complete(history).message, *HELLO]
        assert client.warnings["context_truncated"] == 1


def test_a_server_that_is_gone_is_down_and_retryable() -> None:
    with FakeServer(say("x")) as server:
        client = model(server)
    with pytest.raises(ModelError) as caught:
        client.complete(HELLO)
    assert (caught.value.kind, caught.value.retryable) == (Trouble.DOWN, True)


def test_an_unknown_model_is_told_apart() -> None:
    missing = error(
        404, {"error": {"message": "The model `fake` does not exist.", "type": "NotFoundError", "code": 404}}
    )
    with FakeServer(missing) as server, pytest.raises(ModelError) as caught:
        model(server).complete(HELLO)
    assert caught.value.kind is Trouble.WRONG_MODEL


def test_text_that_the_server_cannot_parse_is_the_models_doing() -> None:
    trouble = error(
        500,
        {
            "error": {
                "code": 500,
                "message": "Failed to parse input at pos 12: <tool_call>",
                "type": "server_error",
            }
        },
    )
    with FakeServer(trouble) as server:
        client = model(server)
        reply = client.complete(HELLO)
        assert len(server.requests) == QUICK.attempts
    assert (reply.content, reply.finish_reason, client.warnings["unparsable"]) == ("", "unparsable", 1)


PING = 'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
STALLS = {
    "before the headers": (Answer([b"{}"], delay=3), Deadlines(first_byte=0.3)),
    "after the headers": (stream(PING, pause=3), Deadlines(first_byte=0.3)),
    "in the middle": (stream(PING, PING, pause=1.5), Deadlines(silence=0.3)),
    "for ever, in small pieces": (stream(*[PING] * 60, pause=0.05), Deadlines(total=0.5)),
}


@pytest.mark.parametrize("where", STALLS)
def test_a_stalled_answer_is_given_up(where: str) -> None:
    answer, deadlines = STALLS[where]
    started = time.monotonic()
    with FakeServer(answer) as server, pytest.raises(ModelError) as caught:
        model(server, deadlines=deadlines, retries=Retries(attempts=1)).complete(HELLO)
    assert caught.value.kind is Trouble.STALLED
    assert time.monotonic() - started < 2.5


def test_a_slow_first_byte_is_no_stall() -> None:
    slow = Answer(
        [b"data: " + b'{"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\n'],
        content_type="text/event-stream",
        pause=0.6,
    )
    with FakeServer(slow) as server:
        assert model(server, deadlines=Deadlines(silence=0.2)).complete(HELLO).content == "ok"


SLOW = {
    "before the headers": Answer([b"{}"], delay=3),
    "in small pieces": stream(*[PING] * 60, pause=0.05),
}


@pytest.mark.parametrize("where", SLOW)
def test_the_attempts_own_time_ends_a_call_and_is_never_tried_again(where: str) -> None:
    started = time.monotonic()
    with FakeServer(SLOW[where]) as server:
        client = model(server)
        with pytest.raises(TimeUp) as caught:
            client.complete(HELLO, seconds=0.5)
        assert len(server.requests) == 1
    assert 0.4 <= caught.value.seconds <= time.monotonic() - started < 2
    told = {"silent_until_time_limit": 1} if where == "before the headers" else {}
    assert client.warnings == told  # a server that may be dead is no plain limit


def test_a_server_that_is_dead_by_its_own_deadline_is_not_out_of_the_attempts_time() -> None:
    """Both are 1,800 s by default: a server that never answers must not count as the agent's failure."""
    with FakeServer(SLOW["before the headers"]) as server:
        client = model(server, deadlines=Deadlines(first_byte=0.4), retries=Retries(attempts=1))
        with pytest.raises(ModelError) as caught:
            client.complete(HELLO, seconds=0.4)
    assert caught.value.kind is Trouble.STALLED


def test_each_request_is_a_prefix_of_the_next() -> None:
    """Prefix caches, and readers of logs, rely on it: the history only grows, byte by byte."""
    tools = [{"type": "function", "function": {"name": "bash", "parameters": {}}}]
    with FakeServer(
        call("bash", '{"command":  "ls"}', reasoning="let me see é"), say("x\ud83d"), call("bash", '{"broken')
    ) as server:
        client = model(server, sampling=Sampling(temperature=0.7, extra={"chat_template_kwargs": {"a": 1}}))
        history: list[Any] = list(HELLO)
        for _ in range(4):
            history += [
                client.complete(history, tools=tools).message,
                {"role": "tool", "tool_call_id": "call_0", "content": "é \x00 ok"},
            ]
    raw = [request.raw for request in server.requests]
    assert all(after.startswith(before.removesuffix(b"]}") + b",") for before, after in pairwise(raw))
    assert server.requests[0].body["chat_template_kwargs"] == {"a": 1}


def test_the_key_is_sent_and_never_dumped() -> None:
    config = ModelConfig(base_url="http://h:1", model="m", api_key="sk-secret")  # type: ignore[arg-type]
    assert "sk-secret" not in config.model_dump_json() + repr(config) + str(encode(config, HELLO, ()))
    assert config.base_url == "http://h:1/v1"
    with FakeServer(say("x")) as server:
        OpenAIModel(config.model_copy(update={"base_url": server.url})).complete(HELLO)
    assert server.requests[0].headers["authorization"] == "Bearer sk-secret"


def test_a_key_in_the_environment_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-someone")
    with FakeServer(say("x")) as server:
        model(server).complete(HELLO)
    assert "sk-of-someone" not in str(server.requests[0].headers)


def test_an_attempts_seed_is_its_own() -> None:
    with FakeServer(say("x"), say("x"), say("x")) as server:
        config = ModelConfig(base_url=server.url, model="fake", sampling=Sampling(seed=1))
        for number in (1, 7):
            conversation(config, number).complete(HELLO)
        conversation(config.model_copy(update={"sampling": Sampling()}), 7).complete(HELLO)
    assert [request.body.get("seed") for request in server.requests] == [1, 7, None]


def recorded(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob("llama-server-*/*.json")):
        case = json.loads(path.read_text())
        if case.get("request", {}).get("path") == "/v1/chat/completions":
            yield path.stem, case["response"]


def replay(response: dict[str, Any]) -> Answer:
    kind = response["headers"]["Content-Type"]
    if "sse_lines" in response:
        body = "\n\n".join(response["sse_lines"]) + "\n\n"
    else:
        body = json.dumps(response["body"])
    return Answer([body.encode()], status=response["status"], content_type=kind)


def expected(response: dict[str, Any]) -> str:
    text = json.dumps(response)
    if response["status"] == 200:
        return "reply"
    return "overflow" if "exceed_context_size_error" in text else "refused"


def test_every_recorded_answer_of_a_llama_server(shared_data: Path) -> None:
    cases = list(recorded(shared_data / "servers"))
    with FakeServer(*[replay(response) for _, response in cases]) as server:
        client = model(server, retries=Retries(attempts=1))
        got = [outcome(client) for _ in cases]
    wrong = [
        (name, one, expected(response))
        for (name, response), one in zip(cases, got, strict=True)
        if one != expected(response)
    ]
    assert wrong == []
    assert set(got) == {"reply", "overflow", "refused"}


def outcome(client: OpenAIModel) -> str:
    try:
        client.complete(HELLO)
    except ContextOverflow:
        return "overflow"
    except ModelError as refused:
        return f"retried: {refused}" if refused.retryable else "refused"
    return "reply"


def test_a_recorded_full_window_is_an_overflow(shared_data: Path) -> None:
    path = shared_data / "servers/llama-server-qwen1.5b-ctx256/generation_fills_window.json"
    with (
        FakeServer(replay(json.loads(path.read_text())["response"])) as server,
        pytest.raises(ContextOverflow),
    ):
        model(server, window=256).complete(HELLO)


def test_a_server_has_one_client_and_the_oldest_is_closed() -> None:
    key, deadlines = SecretStr("none"), Deadlines()
    servers = [f"http://127.0.0.1:9/{number}/v1" for number in range(MOST_CLIENTS + 1)]
    made = [shared_client(server, key, deadlines) for server in servers[:-1]]
    assert shared_client(servers[0], key, deadlines) is made[0], "used again: now the second is the oldest"
    shared_client(servers[-1], key, deadlines)
    assert [client.is_closed() for client in made] == [False, True] + [False] * (MOST_CLIENTS - 2)
    assert shared_client(servers[1], key, deadlines) is not made[1]
