"""The dialect of `/v1/responses`, which codex speaks: read into messages and tools, answered as items and events.

A tool that takes bare text (`custom`, such as apply_patch with its grammar) travels to the model as a function with the argument
`input`: no local server enforces the grammar. Thoughts come back to us as `encrypted_content` and go to the server again.
Not covered: stored responses (`previous_response_id`), background ones, and tools that a server would run itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaffolds.calls import parsed
from scaffolds.model import CUT_OFF, Message, Reply, ToolCall, ToolSchema
from scaffolds.programs.chat import Refusal
from scaffolds.programs.request import (
    Request,
    made_call,
    mappings,
    plain_messages,
    plain_text,
    plain_tool,
    wishes,
)

INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}
CALLS = ("function_call", "custom_tool_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output")


def read_responses(body: Mapping[str, Any]) -> Request:
    """A request to `/v1/responses`. Raises `BadRequest`."""
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else mappings(given)
    system = [{"role": "system", "content": body["instructions"]}] if body.get("instructions") else []
    tools = [tool for tool in mappings(body.get("tools") or ()) if tool.get("type") in ("function", "custom")]
    custom = frozenset(str(tool.get("name")) for tool in tools if tool["type"] == "custom")
    return Request(
        plain_messages([*system, *messages_of(items)]),
        tuple(as_function(tool) for tool in tools),
        wishes(body),
        bool(body.get("stream")),
        custom=custom,
    )


def as_function(tool: Mapping[str, Any]) -> ToolSchema:
    if tool["type"] == "function":
        return plain_tool(tool)
    grammar = tool.get("format")
    definition = grammar.get("definition") if isinstance(grammar, Mapping) else None
    said = (
        f"{tool.get('description') or ''}\n\nGrammar of `input`:\n{definition}"
        if definition
        else tool.get("description")
    )
    return plain_tool({"name": tool.get("name"), "description": said, "parameters": INPUT})


def messages_of(items: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Chat messages: thoughts, text and calls that follow one another are one answer of the assistant."""
    made: list[dict[str, Any]] = []
    for item in items:
        kind, role = item.get("type", "message"), item.get("role")
        if kind in OUTPUTS:
            text = item.get("output")
            content = text if isinstance(text, str | list) else json.dumps(text)
            made.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind in CALLS or kind == "reasoning" or (kind == "message" and role == "assistant"):
            add_to_answer(made, item, kind)
        elif kind == "message":
            made.append({"role": role, "content": item.get("content")})
    return made  # type: ignore[return-value]


def add_to_answer(made: list[dict[str, Any]], item: Mapping[str, Any], kind: str) -> None:
    if not made or made[-1]["role"] != "assistant":
        made.append({"role": "assistant", "content": ""})
    answer = made[-1]
    if kind == "message":
        answer["content"] += plain_text(item.get("content"))
    elif kind == "reasoning":
        if isinstance(item.get("encrypted_content"), str):
            answer["reasoning_content"] = item["encrypted_content"]
    else:
        arguments = item.get("arguments") if kind == CALLS[0] else json.dumps({"input": item.get("input")})
        call = made_call(item.get("call_id"), item.get("name"), str(arguments or "{}"))
        answer.setdefault("tool_calls", []).append(call)


def items_of(request: Request, reply: Reply, number: int) -> list[dict[str, Any]]:
    """What an answer consists of, in order."""
    items: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        items.append({"type": "reasoning", "summary": summary, "encrypted_content": reply.reasoning})
    if reply.content or not reply.tool_calls:
        text = {"type": "output_text", "text": reply.content, "annotations": []}
        items.append({"type": "message", "role": "assistant", "status": "completed", "content": [text]})
    items += [call_item(call, request.custom) for call in reply.tool_calls]
    return [{"id": f"item_{number}_{n}", **item} for n, item in enumerate(items)]


def call_item(call: ToolCall, custom: frozenset[str]) -> dict[str, Any]:
    same = {"call_id": call.id, "name": call.name, "status": "completed"}
    if call.name not in custom:
        return {"type": CALLS[0], **same, "arguments": call.arguments}
    text = parsed(call.id, call.name, call.arguments).arguments.get("input", call.arguments)
    return {"type": CALLS[1], **same, "input": str(text)}


def response(model: str, reply: Reply, number: int, items: list[dict[str, Any]]) -> dict[str, Any]:
    given, is_cut = reply.usage, reply.finish_reason == CUT_OFF
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": number // 10**9,
        "model": model,
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": items,
        "usage": {
            "input_tokens": given.prompt,
            "input_tokens_details": {"cached_tokens": given.cached or 0},
            "output_tokens": given.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": given.prompt + given.completion,
        },
    }


def whole(model: str, request: Request, reply: Reply) -> dict[str, Any]:
    number = time.time_ns()
    return response(model, reply, number, items_of(request, reply, number))


def streamed(model: str, request: Request, reply: Reply) -> Iterator[bytes]:
    """Each item when it is added and done, its text between; the response when it is created and completed."""
    number = time.time_ns()
    items = items_of(request, reply, number)
    made = response(model, reply, number, items)
    yield event("response.created", response={**made, "status": "in_progress", "output": [], "usage": None})
    for index, item in enumerate(items):
        yield event("response.output_item.added", output_index=index, item=begun(item))
        if item["type"] == "message":
            place = {"item_id": item["id"], "output_index": index, "content_index": 0}
            yield event("response.output_text.delta", **place, delta=item["content"][0]["text"])
            yield event("response.output_text.done", **place, text=item["content"][0]["text"])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=made)


def begun(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item before anything is in it."""
    empty = {"content": [], "arguments": "", "input": "", "summary": [], "status": "in_progress"}
    return {key: empty.get(key, value) for key, value in item.items()}


def failed(model: str, refusal: Refusal) -> bytes:
    """The end of a stream without an answer."""
    error = {"code": refusal.code, "message": refusal.message}
    made = {"id": f"resp_{time.time_ns()}", "object": "response", "model": model, "status": "failed"}
    return event("response.failed", response={**made, "error": error})


def event(kind: str, **body: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()
