"""What a program asks for, as our client can send it: messages and tools that any server takes, and what else was asked.

Everything that a server may not know (`store`, `prompt_cache_key`, `strict`, a `developer`, parts, a second system message) is
made plain here, once. Not covered: pictures, which become a line of text, and `n` > 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaffolds.calls import valid_arguments
from scaffolds.model import Message, ToolSchema
from tasks.untrusted import clean

OURS = ("messages", "input", "instructions", "tools", "model", "stream", "stream_options")
"""Keys of a request that are used; the rest is asked for and not sent."""
CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
LONGEST_WISH = 2000
THOUGHTS = ("reasoning_content", "reasoning")


class BadRequest(Exception):  # noqa: N818 - what a program is told, and no error of ours
    """The request cannot be read; the message says why."""


class Request(NamedTuple):
    """One request for an answer."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...]
    asked: Mapping[str, Any]
    """What it wants of sampling and the like: recorded, and the plan's is sent."""
    stream: bool = False
    usage: bool = True
    """Whether a streamed answer ends with its tokens."""
    custom: frozenset[str] = frozenset()
    """Names of tools that take bare text, which travels to the model as the argument `input`."""

    @property
    def cap(self) -> int | None:
        """The most tokens that it wants in the answer."""
        found = [self.asked[name] for name in CAPS if isinstance(self.asked.get(name), int)]
        return max(1, min(found)) if found else None

    @property
    def system(self) -> str:
        return str(self.messages[0]["content"]) if self.messages[0]["role"] == "system" else ""


def read_chat(body: Mapping[str, Any]) -> Request:
    """A request to `/v1/chat/completions`. Raises `BadRequest`."""
    options = body.get("stream_options")
    return Request(
        plain_messages(mappings(body.get("messages"))),
        tuple(plain_tool(tool.get("function")) for tool in mappings(body.get("tools") or ())),
        wishes(body),
        bool(body.get("stream")),
        isinstance(options, Mapping) and bool(options.get("include_usage")),
    )


def wishes(body: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in body.items() if name not in OURS and value is not None}
    return {name: value for name, value in found.items() if len(str(value)) <= LONGEST_WISH}


def mappings(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise BadRequest("messages and tools are lists of objects")
    return value


def plain_tool(function: Any) -> ToolSchema:
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise BadRequest("a tool is a function with a name")
    known = {
        key: function[key] for key in ("name", "description", "parameters") if function.get(key) is not None
    }
    return {"type": "function", "function": known}


def plain_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """As any chat template takes them: one system message, and that first. Raises `BadRequest` for none."""
    plain: list[dict[str, Any]] = []
    for message in messages:
        made = plain_message(message)
        if made["role"] == "system" and plain:
            if len(plain) == 1 and plain[0]["role"] == "system":
                plain[0]["content"] += f"\n\n{made['content']}"
                continue
            made["role"] = "user"
        plain.append(made)
    if not plain:
        raise BadRequest("there are no messages")
    return tuple(plain)


def plain_message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, text = str(message.get("role")), plain_text(message.get("content"))
    match role:
        case "system" | "developer":
            return {"role": "system", "content": text}
        case "tool" | "function":
            return {"role": "tool", "tool_call_id": str(message.get("tool_call_id") or ""), "content": text}
        case "assistant":
            thoughts = {name: message[name] for name in THOUGHTS if isinstance(message.get(name), str)}
            calls = [plain_call(call) for call in mappings(message.get("tool_calls") or ())]
            return {"role": role, "content": text, **thoughts} | ({"tool_calls": calls} if calls else {})
        case "user":
            return {"role": role, "content": text}
    raise BadRequest(f"there is no role {role[:40]!r}")


def plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise BadRequest("a tool call has a function")
    return made_call(call.get("id"), function.get("name"), str(function.get("arguments") or "{}"))


def made_call(id_: Any, name: Any, arguments: str) -> dict[str, Any]:
    function = {"name": str(name), "arguments": valid_arguments(arguments)}
    return {"id": str(id_ or ""), "type": "function", "function": function}


def plain_text(content: Any) -> str:
    """Text, whatever it came as."""
    if content is None or isinstance(content, str):
        return clean(content or "")
    if not isinstance(content, list):
        raise BadRequest("content is text or a list of parts")
    return clean("\n".join(part_text(part) for part in content))


def part_text(part: Any) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else part
    if isinstance(text, str):
        return text
    kind = str(part.get("type")) if isinstance(part, Mapping) else "part"
    return f"[{kind[:40]}: left out, the model is given text only]"
