"""The faults of `faulty_server`, and what each does to an answer: to its words, its status, or its bytes."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

from tests.fakes.openai_server import Answer, Body, error
from tests.fakes.simulated_model import Drafted, Said


class Fault(StrEnum):
    """What goes wrong; the first group comes as a perfect 200."""

    WRONG_PARSER = "a call stays in the content"
    CALL_AS_TEXT = "the model writes its calls as fenced JSON, and none is parsed"
    SWALLOWED_CALL = "a call is taken for reasoning: content empty, no call"
    THOUGHT_ONLY = "the answer ends inside its reasoning"
    UNPARSED_THOUGHT = "the reasoning stays in the content"
    EMPTY = "nothing at all"
    CUT = "cut in the middle with finish_reason length"
    HALF_CALL = "a call whose arguments are cut in the middle"
    REPEATED_CALL = "the same call twice, with one id"
    ONE_CALL = "of several calls only the first one arrives"
    LYING_FINISH = "cut at the cap, and finish_reason says stop"
    CAP_IGNORED = "max_tokens and max_completion_tokens change nothing"
    COMPLETION_CAP_IGNORED = "max_completion_tokens changes nothing"
    NO_USAGE = "no usage"
    TRUNCATION = "a prompt longer than half the stated window loses its head in silence"
    SMALL_WINDOW = "a prompt longer than half the stated window is refused"
    NO_CACHE = "the prefix cache hits on an identical prompt only"
    REASONING_DROPPED = "reasoning in the history does not reach the model"
    OTHER_MODEL = "another model, fingerprint and words"
    RANDOM = "another answer each time, whatever the seed"
    SHARED_POOL = "slots share one window: what overflows it ends all of them"
    NO_STREAMED_CALLS = "streamed answers lose their calls"

    LOADING = "503, loading"
    BUSY = "429"
    SERVER_ERROR = "500"
    BAD_GATEWAY = "502 and a web page"
    REFUSED_KEY = "401"
    WEB_PAGE = "200 and a web page"
    NOT_JSON = "200 and no JSON"
    RESET = "the connection is cut after `offset` bytes of the body"
    STALL = "silence of `seconds` after `offset` bytes of the body"
    BROKEN_STREAM = "the stream ends before the answer does"
    ERROR_EVENT = "an error inside a stream of status 200"
    EMPTY_STREAM = "a stream without anything in it"
    ENDLESS = "a stream that never ends"


class Planted(NamedTuple):
    """One fault in its place."""

    fault: Fault
    turn: int | None = None
    """Of the conversation, from 1; None = every one."""
    times: int | None = None
    """How often it strikes; None = always."""
    offset: int = 0
    seconds: float = 60.0


LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
STATUS = {
    Fault.LOADING: error(503, LOADING),
    Fault.BUSY: error(429, {"error": {"message": "slow down"}}, Retry_After="0"),
    Fault.SERVER_ERROR: error(500, {"error": {"message": "CUDA error", "type": "server_error", "code": 500}}),
    Fault.BAD_GATEWAY: Answer([b"<html>bad gateway</html>"], status=502, content_type="text/html"),
    Fault.REFUSED_KEY: error(401, {"error": {"message": "bad key"}}),
    Fault.WEB_PAGE: Answer([b"<!DOCTYPE html><html></html>"], content_type="text/html"),
    Fault.NOT_JSON: Answer([b"no json"]),
}


def shaped(
    said: Said, cap: int | None, faults: Mapping[Fault, Planted], turn: int, *, streamed: bool
) -> Drafted:
    """What the server makes of the model's words."""
    draft = Drafted(
        said.content, said.reasoning, [_call(turn, n, *call) for n, call in enumerate(said.calls)]
    )
    draft.finish = "tool_calls" if draft.calls else "stop"
    for fault in faults:
        if fault in WORDS:
            WORDS[fault](draft)
    if Fault.NO_STREAMED_CALLS in faults and streamed:
        draft.calls = []
    if cap is not None and draft.size > cap:
        draft.cut(cap, "stop" if Fault.LYING_FINISH in faults else "length")
    return draft


def _call(turn: int, n: int, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": f"call_{turn}_{n}", "type": "function", "function": function}


def _texts(draft: Drafted) -> list[str]:
    """The calls, each as the JSON object that a model writes."""
    functions = [call["function"] for call in draft.calls]
    whole = [{"name": f["name"], "arguments": json.loads(f["arguments"])} for f in functions]
    return [json.dumps(one, ensure_ascii=False) for one in whole]


def _wrong_parser(draft: Drafted) -> None:
    draft.content += "".join(f"<tool_call>\n{text}\n</tool_call>" for text in _texts(draft))
    draft.calls, draft.finish = [], "stop"


def _call_as_text(draft: Drafted) -> None:
    draft.content += "\n".join(f"```json\n{text}\n```" for text in _texts(draft))
    draft.calls, draft.finish = [], "stop"


def _swallowed(draft: Drafted) -> None:
    if draft.calls:
        draft.reasoning += "".join(f"<tool_call>\n{text}\n</tool_call>" for text in _texts(draft))
        draft.content, draft.calls, draft.finish = "", [], "stop"


def _thought_only(draft: Drafted) -> None:
    draft.reasoning = draft.reasoning or "I think about it, and"
    draft.content, draft.calls, draft.finish = "", [], "stop"


def _unparsed_thought(draft: Drafted) -> None:
    draft.content = f"<think>{draft.reasoning or 'Hm.'}</think>{draft.content}"
    draft.reasoning = ""


def _empty(draft: Drafted) -> None:
    draft.content, draft.reasoning, draft.calls, draft.finish = "", "", [], "stop"


def _cut(draft: Drafted) -> None:
    draft.cut(max(1, draft.size // 2), "length")


def _half_call(draft: Drafted) -> None:
    for call in draft.calls[-1:]:
        arguments = call["function"]["arguments"]
        call["function"]["arguments"] = arguments[: len(arguments) // 2]
        draft.finish = "length"


def _repeated_call(draft: Drafted) -> None:
    draft.calls = draft.calls * 2


def _one_call(draft: Drafted) -> None:
    draft.calls = draft.calls[:1]


WORDS: Mapping[Fault, Callable[[Drafted], None]] = {
    Fault.WRONG_PARSER: _wrong_parser,
    Fault.CALL_AS_TEXT: _call_as_text,
    Fault.SWALLOWED_CALL: _swallowed,
    Fault.THOUGHT_ONLY: _thought_only,
    Fault.UNPARSED_THOUGHT: _unparsed_thought,
    Fault.EMPTY: _empty,
    Fault.CUT: _cut,
    Fault.HALF_CALL: _half_call,
    Fault.REPEATED_CALL: _repeated_call,
    Fault.ONE_CALL: _one_call,
}


def overflow(
    size: int, window: int, message: str = "the request exceeds the available context size"
) -> Answer:
    """llama-server's way."""
    numbers = {"n_prompt_tokens": size, "n_ctx": window}
    return error(
        400, {"error": {"message": message, "type": "exceed_context_size_error", "code": 400, **numbers}}
    )


def cap_of(body: Body, faults: Mapping[Fault, Planted]) -> int | None:
    """Tokens that this answer may have."""
    if Fault.CAP_IGNORED in faults:
        return None
    newer = None if Fault.COMPLETION_CAP_IGNORED in faults else body.get("max_completion_tokens")
    return body.get("max_tokens") or newer


def on_the_wire(answer: Answer, faults: Mapping[Fault, Planted]) -> Answer:
    """The bytes of a finished answer, and what becomes of them on their way."""
    for fault, planted in faults.items():
        if fault in WIRE:
            answer = WIRE[fault](answer, planted)
    return answer


def _reset(answer: Answer, planted: Planted) -> Answer:
    kept = b"".join(answer.pieces)[: planted.offset]
    return replace(answer, pieces=[kept] if kept else [], reset=True)


def _stall(answer: Answer, planted: Planted) -> Answer:
    if not planted.offset:
        return replace(answer, delay=planted.seconds)
    return replace(answer, pieces=_with_silence(b"".join(answer.pieces), planted))


def _with_silence(raw: bytes, planted: Planted) -> Iterator[bytes]:
    yield raw[: planted.offset]
    time.sleep(planted.seconds)
    yield raw[planted.offset :]


def _broken_stream(answer: Answer, planted: Planted) -> Answer:
    raw = b"".join(answer.pieces)
    return replace(answer, pieces=[raw[: planted.offset or len(raw) // 3]])


def _error_event(answer: Answer, _planted: Planted) -> Answer:
    body = json.dumps({"error": {"message": "the model crashed", "type": "server_error", "code": 500}})
    return replace(
        answer, pieces=[f"event: error\ndata: {body}\n\n".encode()], content_type="text/event-stream"
    )


def _empty_stream(answer: Answer, _planted: Planted) -> Answer:
    return replace(answer, pieces=[], content_type="text/event-stream")


def _endless(answer: Answer, _planted: Planted) -> Answer:
    first = next(iter(answer.pieces))
    is_stream = answer.content_type == "text/event-stream"
    return replace(answer, pieces=itertools.repeat(first if is_stream else b" "), pause=0.01)


WIRE: Mapping[Fault, Callable[[Answer, Planted], Answer]] = {
    Fault.RESET: _reset,
    Fault.STALL: _stall,
    Fault.BROKEN_STREAM: _broken_stream,
    Fault.ERROR_EVENT: _error_event,
    Fault.EMPTY_STREAM: _empty_stream,
    Fault.ENDLESS: _endless,
}
