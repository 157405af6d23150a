"""Answers in the dialect of `/v1/chat/completions`, whole or streamed. An answer is told at once, when it is there."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from scaffolds.model import ContextOverflow, Reply
from scaffolds.programs.request import Request

DONE = b"data: [DONE]\n\n"


class Refusal:
    """What a program is told where there is no answer, and under which status."""

    def __init__(self, error: Exception) -> None:
        is_full = isinstance(error, ContextOverflow)
        self.status = 400 if is_full else 503
        self.code = "context_length_exceeded" if is_full else "attempt_over"
        self.message = str(error) if is_full else "there is no answer: this attempt is over"

    @property
    def body(self) -> dict[str, Any]:
        kind = "invalid_request_error" if self.status == 400 else "server_error"
        return {"error": {"message": self.message, "type": kind, "code": self.code}}


def event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def head(model: str) -> dict[str, Any]:
    now = time.time_ns()
    return {"id": f"chatcmpl-{now}", "created": now // 10**9, "model": model}


def message(reply: Reply) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": reply.content or None}
    if reply.reasoning:
        made["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        made["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    return made


def finish(reply: Reply) -> str:
    return "tool_calls" if reply.tool_calls else reply.finish_reason or "stop"


def usage(reply: Reply) -> dict[str, Any]:
    given = reply.usage
    cached = {} if given.cached is None else {"prompt_tokens_details": {"cached_tokens": given.cached}}
    return {
        "prompt_tokens": given.prompt,
        "completion_tokens": given.completion,
        "total_tokens": given.prompt + given.completion,
        **cached,
    }


def whole(model: str, _request: Request, reply: Reply) -> dict[str, Any]:
    choice = {"index": 0, "message": message(reply), "finish_reason": finish(reply)}
    return {**head(model), "object": "chat.completion", "choices": [choice], "usage": usage(reply)}


def streamed(model: str, request: Request, reply: Reply) -> Iterator[bytes]:
    """The thoughts, the text, each call, why it ended, the tokens."""
    same = {**head(model), "object": "chat.completion.chunk"}
    for delta in deltas(reply):
        yield event({**same, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield event({**same, "choices": [{"index": 0, "delta": {}, "finish_reason": finish(reply)}]})
    if request.usage:
        yield event({**same, "choices": [], "usage": usage(reply)})
    yield DONE


def deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    """Never an empty list of calls, on which some programs hang."""
    made = message(reply)
    yield {"role": "assistant", "content": ""}
    if reply.reasoning:
        yield {"reasoning_content": reply.reasoning}
    if reply.content:
        yield {"content": reply.content}
    for number, call in enumerate(made.get("tool_calls", ())):
        yield {"tool_calls": [{"index": number, **call}]}


def failed(_model: str, refusal: Refusal) -> bytes:
    """The end of a stream that had begun."""
    return event(refusal.body) + DONE
