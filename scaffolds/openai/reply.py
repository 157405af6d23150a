"""From what a server sends, whole or streamed, to one `Reply`, and to the message that goes back into the history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scaffolds.calls import valid_arguments
from scaffolds.model import Message, Reply, Served, ToolCall, Trouble, Usage
from scaffolds.openai.empty import empty_turn
from scaffolds.openai.errors import NO_API, EmptyStream, Transient, classify
from tasks.untrusted import clean, loads

REASONING_FIELDS = ("reasoning_content", "reasoning")
"""llama-server, SGLang and older vLLM say the first, newer vLLM and Ollama the second."""
LONGEST_NAME = 200
MOST_TOKENS = 10**9
"""A count of tokens above it is no count."""


@dataclass
class CallDraft:
    """A tool call while its pieces arrive."""

    id: str
    index: int | None
    name: str = ""
    arguments: str = ""


@dataclass
class Draft:
    """An answer while its pieces arrive. A whole answer is one big piece."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    reasoning_field: str = REASONING_FIELDS[0]
    calls: list[CallDraft] = field(default_factory=list)
    finish_reason: str = ""
    usage: Usage | None = None
    served: Served = field(default_factory=Served)

    def add(self, chunk: Mapping[str, Any]) -> None:
        """One `chat.completion` or `chat.completion.chunk`; choices other than the first are ignored."""
        if chunk.get("error"):
            raise classify(200, chunk)
        if isinstance(chunk.get("usage"), Mapping):
            self.usage = _usage(chunk["usage"])
        self.served = Served(
            _name(chunk.get("model")) or self.served.model,
            _name(chunk.get("system_fingerprint")) or self.served.fingerprint,
        )
        for choice in (chunk.get("choices") or [])[:1]:
            self.finish_reason = str(choice.get("finish_reason") or self.finish_reason)
            self._add_delta(choice.get("delta") or choice.get("message") or {})

    def _add_delta(self, delta: Mapping[str, Any]) -> None:
        if delta.get("content"):
            self.content.append(_text(delta["content"]))
        for name in REASONING_FIELDS:
            if delta.get(name):
                self.reasoning.append(str(delta[name]))
                self.reasoning_field = name
                break  # some servers send both names with the same text
        for piece in delta.get("tool_calls") or ():
            self._add_call(piece)

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        function = piece.get("function") or {}
        call = self._find(str(piece.get("id") or ""), piece.get("index"), bool(function.get("name")))
        call.name = call.name or str(function.get("name") or "")
        arguments = function.get("arguments")
        call.arguments += (
            arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        )

    def _find(self, id_: str, index: int | None, is_named: bool) -> CallDraft:
        """By id first, by index second: Ollama gives every parallel call the index 0."""
        for call in reversed(self.calls):
            if id_ and call.id == id_:
                return call
            if not id_ and not is_named and index is not None and call.index == index:
                return call
        if not id_ and not is_named and self.calls and index is None:
            return self.calls[-1]
        self.calls.append(CallDraft(id_, index))
        return self.calls[-1]

    def reply(self, *, seconds: float, first_call: int) -> Reply:
        """`first_call` numbers the calls that the server left without an id, so that ids stay unique."""
        calls = tuple(
            ToolCall(
                clean(call.id) or f"call_{first_call + n}", clean(call.name), clean(call.arguments) or "{}"
            )
            for n, call in enumerate(self.calls)
        )
        content, reasoning = clean("".join(self.content)), clean("".join(self.reasoning))
        message = assistant_message(content, calls, {self.reasoning_field: reasoning} if reasoning else {})
        usage = self.usage or Usage()
        finish = clean(self.finish_reason)
        empty = empty_turn(content, calls, finish, reasoning)
        return Reply(content, calls, finish, usage, message, reasoning, seconds, self.served, empty)


def assistant_message(content: str, calls: tuple[ToolCall, ...], reasoning: Mapping[str, str]) -> Message:
    """What the server sees of this answer from now on; its reasoning goes back under the server's own name."""
    message: dict[str, Any] = {"role": "assistant", "content": content, **reasoning}
    if calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": valid_arguments(call.arguments)},
            }
            for call in calls
        ]
    return message


def parse_stream(raw: bytes) -> Draft:
    """A whole server-sent-events body. Raises `Transient` for a stream that breaks off, `EmptyStream` for an empty one."""
    draft, is_empty = Draft(), True
    for event, data in _events(raw):
        if data == "[DONE]":
            break
        chunk = _json(data)
        if event == "error":
            raise classify(200, chunk)
        draft.add(chunk)
        is_empty = False
    if is_empty:
        raise EmptyStream("the server ended its stream without saying anything")
    if not draft.finish_reason:
        raise Transient("the server's stream broke off before the answer was finished")
    return draft


def parse_whole(raw: bytes) -> Draft:
    """A whole JSON answer."""
    draft = Draft()
    body = _json(raw.decode("utf-8", "replace"))
    if not body.get("choices") and not body.get("error"):
        raise classify(200, body) if body.get("object") == "error" else Transient("the answer has no choices")
    draft.add(body)
    return draft


def _events(raw: bytes) -> Iterator[tuple[str, str]]:
    event = ""
    for line in raw.decode("utf-8", "replace").split("\n"):
        if line.startswith("data:"):
            yield event, line[5:].strip()
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif not line.strip():
            event = ""


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = loads(text)
    except ValueError as error:
        raise Transient(f"the server sent an answer that is not JSON{NO_API}", Trouble.REFUSED) from error
    if not isinstance(value, Mapping):
        raise Transient("the server sent JSON that is no object", Trouble.REFUSED)
    return value


def _usage(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, Mapping) else None
    return Usage(_count(usage.get("prompt_tokens")) or 0, _count(usage.get("completion_tokens")) or 0, cached)


def _count(value: Any) -> int | None:
    """A server's word as a number of tokens, also where it comes as text or as 12.0; None where it is none."""
    try:
        count = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(count) if 0 <= count <= MOST_TOKENS and not isinstance(value, bool) else None


def _name(value: Any) -> str:
    return clean(value)[:LONGEST_NAME] if isinstance(value, str) else ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
