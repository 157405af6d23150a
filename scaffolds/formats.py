"""How tool calls travel between a loop and a model: what the prompt says, how calls are read, how they are answered.

A format never decides what a call does. A new one has these three methods and its name in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from scaffolds import fenced, xml_calls
from scaffolds.base import ToolCallCounts, ToolCallMode
from scaffolds.calls import Call, count, describe, native, recovered, unread
from scaffolds.model import Message, Reply, ToolSchema
from scaffolds.tools import Tool


class CallFormat(Protocol):
    """One way of calling tools."""

    def prompt(self, system: str, tools: Mapping[str, Tool]) -> tuple[str, Sequence[ToolSchema]]:
        """The system prompt, and the schemas that go with each request."""
        ...

    def read(self, reply: Reply, tools: Mapping[str, Tool], counts: ToolCallCounts) -> list[Call]:
        """The calls of one reply, checked against the tools and counted; raises nothing for what a model wrote."""
        ...

    def answer(self, calls: Sequence[Call], observations: Sequence[str]) -> list[Message]:
        """What the model hears of its calls; `observations` may end before them."""
        ...


class Native:
    """The server's `tool_calls` alone count."""

    def prompt(self, system: str, tools: Mapping[str, Tool]) -> tuple[str, Sequence[ToolSchema]]:
        return system, [tool.schema for tool in tools.values()]

    def read(self, reply: Reply, tools: Mapping[str, Tool], counts: ToolCallCounts) -> list[Call]:
        if not reply.tool_calls:
            counts.written += unread(reply, tools)
        return count(native(reply, tools), counts)

    def answer(self, calls: Sequence[Call], observations: Sequence[str]) -> list[Message]:
        """A `tool` message for each."""
        return [
            {"role": "tool", "tool_call_id": call.id, "content": text}
            for call, text in zip(calls, observations, strict=False)
        ]


@dataclass(frozen=True)
class InText:
    """The tools are described in the prompt, and calls are read from the reply's text alone."""

    describe: Callable[[Mapping[str, Tool]], str]
    find: Callable[[Reply, Mapping[str, Tool]], list[Call]]

    def prompt(self, system: str, tools: Mapping[str, Tool]) -> tuple[str, Sequence[ToolSchema]]:
        return f"{system}\n\n{self.describe(tools)}", ()

    def read(self, reply: Reply, tools: Mapping[str, Tool], counts: ToolCallCounts) -> list[Call]:
        return count(self.find(reply, tools), counts)

    def answer(self, calls: Sequence[Call], observations: Sequence[str]) -> list[Message]:
        """One `user` message for all: a server knows no `tool` message without a call of its own."""
        told = [f"[{call.name}]\n{text}" for call, text in zip(calls, observations, strict=False)]
        return [{"role": "user", "content": "\n\n".join(told)}] if told else []


JSON = InText(describe, recovered)


class Lenient(Native):
    """`tool_calls`, and in a reply without one, JSON in its text."""

    def read(self, reply: Reply, tools: Mapping[str, Tool], counts: ToolCallCounts) -> list[Call]:
        return count(native(reply, tools) or recovered(reply, tools), counts)

    def answer(self, calls: Sequence[Call], observations: Sequence[str]) -> list[Message]:
        """All calls of a reply came the same way, and are answered that way."""
        came_as_text = any(call.id is None for call in calls)
        return JSON.answer(calls, observations) if came_as_text else super().answer(calls, observations)


FORMATS: dict[ToolCallMode, CallFormat] = {
    ToolCallMode.NATIVE: Native(),
    ToolCallMode.LENIENT: Lenient(),
    ToolCallMode.TEXT: JSON,
    ToolCallMode.FENCED: InText(fenced.describe, fenced.calls),
    ToolCallMode.XML: InText(xml_calls.describe, xml_calls.calls),
}
