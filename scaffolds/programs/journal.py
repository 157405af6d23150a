"""A trajectory from what goes through the gateway: which conversation a request belongs to, and what is new in it.

What came of a call is known when the program asks again, so each step is told then, with its observations. Not covered: what
several sub-agents said to one another; their calls stand in the order in which they were answered.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from scaffolds.base import Step, ToolCallMode, Trajectory
from scaffolds.calls import MOST_RECOVERED, Call, count, parsed, recover, unread
from scaffolds.loop import agent_step
from scaffolds.model import Message, Reply, ToolCall
from scaffolds.programs.request import Request


class Waiting(NamedTuple):
    """A reply, until it is known what came of its calls."""

    reply: Reply
    calls: tuple[Call, ...]
    request: Request
    since: float


class Journal:
    """The steps of one attempt, in order. Not thread-safe."""

    def __init__(self, on_step: Callable[[Step], None], result: Trajectory, *, has_tools: bool) -> None:
        self._on_step, self._result, self._has_tools = on_step, result, has_tools
        self._system: str | None = None
        self._waiting: Waiting | None = None
        self._recovered = 0

    def is_side(self, request: Request) -> bool:
        """Whether it is none of the main conversation: with tools where that has none, or under other words."""
        if bool(request.tools) is not self._has_tools:
            return True
        if self._system is None:
            self._system = request.system
        return request.system != self._system and not self._answers(request)

    def _answers(self, request: Request) -> bool:
        """Whether it goes on from the last reply of the main conversation, whatever its first words are now."""
        ids = {call.id for call in self._waiting.calls} if self._waiting else set()
        return any(message.get("tool_call_id") in ids for message in request.messages)

    def heard(self, request: Request) -> None:
        """A request of the main conversation: what came of the last calls, and what is new beside."""
        news = after_last_answer(request.messages)
        told = {
            str(message["tool_call_id"]): message["content"] for message in news if message["role"] == "tool"
        }
        self.flush(told)
        for message in news:
            if message["role"] in ("system", "user"):
                self._on_step(Step(source=message["role"], message=message["content"]))
        if not self._result.tools:
            self._result.tools = request.tools

    def replied(self, request: Request, reply: Reply, mode: ToolCallMode) -> Reply:
        """A reply of the main conversation, as the program is to have it: `lenient` adds the calls in its text."""
        names = {str(tool["function"]["name"]) for tool in request.tools}
        calls = [known(parsed(call.id, call.name, call.arguments), names) for call in reply.tool_calls]
        if not calls and mode is ToolCallMode.LENIENT:
            calls = list(islice(recover(reply.content, names), MOST_RECOVERED))
            reply = reply._replace(tool_calls=tuple(self._numbered(call) for call in calls))
        elif not calls and names:
            self._result.calls.written += unread(reply, names)
        count(calls, self._result.calls)
        given = [call._replace(id=made.id) for call, made in zip(calls, reply.tool_calls, strict=True)]
        self._waiting = Waiting(reply, tuple(given), request, time.monotonic())
        return reply

    def _numbered(self, call: Call) -> ToolCall:
        self._recovered += 1
        return ToolCall(f"text_{self._recovered}", call.name, json.dumps(call.arguments, ensure_ascii=False))

    def aside(self, request: Request, reply: Reply) -> None:
        """A side call: one step, with nothing of what it was asked."""
        calls = [parsed(call.id, call.name, call.arguments) for call in reply.tool_calls]
        step = agent_step(reply, calls, (), 0.0)
        self._on_step(step.model_copy(update={"side": True, "asked": dict(request.asked)}))

    def flush(self, told: Mapping[str, str] | None = None) -> None:
        """Tell the last step; `told`: call id → what came of it."""
        if self._waiting is None:
            return
        reply, calls, request, since = self._waiting
        self._waiting = None
        observations = [(told or {}).get(str(call.id), "") for call in calls] if told else []
        step = agent_step(reply, calls, observations, time.monotonic() - since)
        self._on_step(step.model_copy(update={"asked": dict(request.asked)}))


def known(call: Call, names: set[str]) -> Call:
    return call if call.name in names or call.problem else call._replace(problem="there is no such tool")


def after_last_answer(messages: Sequence[Message]) -> Sequence[Mapping[str, Any]]:
    """What a program says for the first time: all that follows the model's last words."""
    last = max((n for n, message in enumerate(messages) if message["role"] == "assistant"), default=-1)
    return messages[last + 1 :]
