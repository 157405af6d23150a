"""The tool loop that `bash` and `edit` share: ask, run what was called, tell what happened, until done or spent.

The history is append-only and its messages are never changed, so that the server's prefix cache keeps hitting.
The agent-active clock counts the model's and the commands' seconds, not the wait for a server that is away.
Nothing that a model says may end more than its own attempt: a call becomes an action only in its tool's own type.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from scaffolds.base import Metrics, Settings, Step, Stop, ToolCallRecord, Trajectory
from scaffolds.calls import Call
from scaffolds.formats import FORMATS, CallFormat
from scaffolds.model import CUT_OFF, ContextOverflow, Message, Model, Reply, TimeUp, ToolSchema
from scaffolds.tools import BashArguments, Tool
from tasks.sandbox import Sandbox, SandboxGone

SUBMIT = "submit"
"""Name of the tool that ends the session; the same word as a whole bash command does it too."""
MOST_REMINDERS = 2
"""Replies in a row without a call that are answered; the next one ends the session."""
MOST_MALFORMED = 4
"""Replies in a row without one call that can be understood."""
LEAST_SECONDS = 1.0
"""What a call or a command is given when the attempt's time is as good as over."""

REMIND = (
    "There was no tool call in your answer. Call a tool to go on, or call `submit` if the task is solved."
)
CUT = "Your answer was cut off because it was too long. Write less, and call one tool."


@dataclass
class Loop:
    """One attempt. `run` may be called once."""

    settings: Settings
    tools: dict[str, Tool]
    model: Model
    sandbox: Sandbox
    result: Trajectory = field(default_factory=lambda: Trajectory(Stop.SUBMITTED, uses_tools=True))
    history: list[Message] = field(default_factory=list)
    without_call: int = 0
    malformed: int = 0

    @property
    def _format(self) -> CallFormat:
        return FORMATS[self.settings.tool_calls]

    def run(self, system: str, task: str) -> Trajectory:
        """Work until there is a reason to stop. Raises `ModelError` and `SandboxError` only."""
        system, schemas = self._format.prompt(system, self.tools)
        self._open(system, task)
        stop = None
        while stop is None:
            stop = self._spent() or self._turn(schemas)
        self.result.stop = stop
        return self.result

    def _open(self, system: str, task: str) -> None:
        for source, text in (("system", system), ("user", task)):
            self.history.append({"role": source, "content": text})
            self.settings.on_step(Step(source=source, message=text))

    def _spent(self) -> Stop | None:
        budget, used = self.settings.budget, self.result
        if used.steps >= budget.steps:
            return Stop.STEP_LIMIT
        if budget.tokens is not None and used.prompt_tokens + used.completion_tokens >= budget.tokens:
            return Stop.TOKEN_LIMIT
        return Stop.TIME_LIMIT if self._is_late() else None

    def _is_late(self) -> bool:
        left = seconds_left(self.settings, self.result)
        return left is not None and left <= 0

    def _turn(self, schemas: Sequence[ToolSchema]) -> Stop | None:
        """One call of the model and what follows from it."""
        seconds = seconds_left(self.settings, self.result, least=LEAST_SECONDS)
        try:
            reply = self.model.complete(self.history, tools=schemas, seconds=seconds)
        except (ContextOverflow, TimeUp) as end:
            return no_reply(end, self.result, self.settings)
        return self._step(reply)

    def _step(self, reply: Reply) -> Stop | None:
        """Everything that follows from one reply; a reason to stop, if there is one."""
        count_reply(self.result, reply)
        self.history.append(reply.message)
        calls = self._format.read(reply, self.tools, self.result.calls)
        before = self.result.active_seconds
        observations: list[str] = []
        try:
            stop = self._apply_all(calls, observations)
        except SandboxGone as gone:
            stop, self.result.detail = Stop.SANDBOX_BROKEN, str(gone)
        self._answer(calls, observations, reply)
        self.settings.on_step(agent_step(reply, calls, observations, self.result.active_seconds - before))
        return stop or self._patience(calls)

    def _apply_all(self, calls: Sequence[Call], observations: list[str]) -> Stop | None:
        for call in calls:
            if is_submission(call):
                return Stop.SUBMITTED
            if self._is_late():
                return Stop.TIME_LIMIT
            observations.append(self._apply(call))
        return None

    def _apply(self, call: Call) -> str:
        if call.checked is None:
            return f"This call was not understood: {call.problem}."
        left = seconds_left(self.settings, self.result, least=LEAST_SECONDS)
        longest = self.settings.budget.command_seconds
        timeout = longest if left is None else min(longest, left)
        started = time.monotonic()
        try:
            return self.tools[call.name].apply(self.sandbox, call.checked, timeout)
        finally:
            self.result.active_seconds += time.monotonic() - started

    def _answer(self, calls: Sequence[Call], observations: Sequence[str], reply: Reply) -> None:
        """Appends what the model hears: of its calls, or that there was none."""
        self.history += self._format.answer(calls, observations)
        if not calls:
            text = CUT if reply.finish_reason == CUT_OFF else REMIND
            self.history.append({"role": "user", "content": text})

    def _patience(self, calls: Sequence[Call]) -> Stop | None:
        """Ends a session in which nothing understandable comes any more."""
        self.without_call = 0 if calls else self.without_call + 1
        understood = any(not call.problem for call in calls)
        self.malformed = self.malformed + 1 if calls and not understood else 0
        if self.without_call > MOST_REMINDERS:
            return Stop.NO_TOOL_CALL
        return Stop.MALFORMED if self.malformed >= MOST_MALFORMED else None


def is_submission(call: Call) -> bool:
    if call.checked is None:
        return False
    said = call.checked.command.strip() if isinstance(call.checked, BashArguments) else call.name
    return said == SUBMIT


def seconds_left(settings: Settings, result: Trajectory, *, least: float = float("-inf")) -> float | None:
    """Agent-active seconds that the attempt still has, but no fewer than `least`; None without a limit."""
    most = settings.budget.seconds
    return None if most is None else max(least, most - result.active_seconds)


def no_reply(end: ContextOverflow | TimeUp, result: Trajectory, settings: Settings) -> Stop:
    """Books a call that brought nothing to act on; what the model said until its window was full is recorded."""
    result.detail = str(end)
    if isinstance(end, TimeUp):
        result.active_seconds += end.seconds
        return Stop.TIME_LIMIT
    if end.reply is not None:
        count_reply(result, end.reply)
        settings.on_step(agent_step(end.reply, (), (), 0.0))
    return Stop.CONTEXT_OVERFLOW


def count_reply(result: Trajectory, reply: Reply) -> None:
    """Adds one model call to the totals."""
    result.steps += 1
    result.prompt_tokens += reply.usage.prompt
    result.completion_tokens += reply.usage.completion
    result.active_seconds += reply.seconds
    result.last_empty = reply.empty
    if reply.empty:
        result.empty_turns[reply.empty] += 1


def agent_step(reply: Reply, calls: Sequence[Call], observations: Sequence[str], seconds: float) -> Step:
    """The trajectory's step; raw arguments that could not be parsed are kept in it."""
    return Step(
        source="agent",
        message=reply.content,
        reasoning_content=reply.reasoning or None,
        tool_calls=tuple(
            ToolCallRecord(
                tool_call_id=call.id or f"text_{n}", function_name=call.name, arguments=call.arguments
            )
            for n, call in enumerate(calls)
        ),
        observations=tuple(observations),
        metrics=Metrics(
            prompt_tokens=reply.usage.prompt,
            completion_tokens=reply.usage.completion,
            cached_tokens=reply.usage.cached,
        ),
        seconds=reply.seconds + seconds,
        served=reply.served,
        empty=reply.empty,
    )
