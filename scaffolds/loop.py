"""The tool loop: ask, run what was called, tell what happened, until done or spent.

The history is append-only and its messages are never changed, so that the server's prefix cache keeps hitting.
The agent-active clock counts the model's and the commands' seconds, not the wait for a server that is away.
Nothing that a model says may end more than its own attempt: a call becomes an action only in its tool's own type.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from scaffolds.base import Metrics, Settings, Step, Stop, ToolCallRecord, Trajectory
from scaffolds.calls import Call
from scaffolds.formats import FORMATS, CallFormat
from scaffolds.history import History, kept, shown
from scaffolds.model import CUT_OFF, ContextOverflow, Message, Model, Reply, TimeUp, ToolSchema
from scaffolds.review import review
from scaffolds.submit import SubmitProtocol, is_marked
from scaffolds.tools import BashArguments, Tool
from tasks.sandbox import Sandbox, SandboxGone

SUBMIT = "submit"
"""Name of the tool that ends the session; the same word as a whole bash command does it too."""
MOST_MALFORMED = 4
"""Replies in a row without one call that can be understood."""
LEAST_SECONDS = 1.0
"""What a call or a command is given when the attempt's time is as good as over."""

REMIND = "There was no tool call in your answer. Call a tool to go on, or {submit} if the task is solved."
CUT = "Your answer was cut off because it was too long. Write less, and call one tool."
STEPS_LEFT = "\n[{left} steps are left]"


@dataclass(frozen=True)
class Rules:
    """In what a loop may differ beside its tools and its settings."""

    submit: SubmitProtocol = SubmitProtocol.TOOL
    history: History = History.ALL
    reminders: int = 2
    """Replies in a row without a call that are answered; the next one ends the session."""
    steps_left: bool = False
    """Whether each observation ends with the number of steps that are left."""
    review: bool = False
    """Whether the first submission is answered with the change that was made."""
    about_machine: bool = False
    """Whether the task is about a machine, whose change is files and not a repository's difference."""


@dataclass
class Loop:
    """One attempt. `run` may be called once."""

    settings: Settings
    tools: dict[str, Tool]
    model: Model
    sandbox: Sandbox
    rules: Rules = field(default_factory=Rules)
    result: Trajectory = field(default_factory=lambda: Trajectory(Stop.SUBMITTED, uses_tools=True))
    history: list[Message] = field(default_factory=list)
    without_call: int = 0
    malformed: int = 0
    reviewed: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def _format(self) -> CallFormat:
        return FORMATS[self.settings.tool_calls]

    def run(self, system: str, task: str) -> Trajectory:
        """Work until there is a reason to stop. Raises `ModelError` and `SandboxError` only."""
        system, schemas = self._format.prompt(system, self.tools)
        self.result.tool_calls = self.settings.tool_calls
        self.result.tools = tuple(tool.schema for tool in self.tools.values())
        self._open(system, task)
        stop = None
        while stop is None:
            stop = spent(self.settings, self.result) or self._turn(schemas)
        self.result.stop = stop
        return self.result

    def _open(self, system: str, task: str) -> None:
        for source, text in (("system", system), ("user", task)):
            self.history.append({"role": source, "content": text})
            self.settings.on_step(Step(source=source, message=text))

    def _turn(self, schemas: Sequence[ToolSchema]) -> Stop | None:
        """One call of the model and what follows from it."""
        seconds = seconds_left(self.settings, self.result, least=LEAST_SECONDS)
        try:
            reply = self.model.complete(
                shown(self.rules.history, self.history), tools=schemas, seconds=seconds
            )
        except (ContextOverflow, TimeUp) as end:
            return no_reply(end, self.result, self.settings)
        return self._step(reply)

    def _step(self, reply: Reply) -> Stop | None:
        """Everything that follows from one reply; a reason to stop, if there is one."""
        count_reply(self.result, reply)
        self.history.append(kept(self.rules.history, reply.message))
        before, written = self.result.active_seconds, self.result.calls.written
        calls = self._format.read(reply, self.tools, self.result.calls)
        observations: list[str] = []
        try:
            stop = self._apply_all(calls, observations)
        except SandboxGone as gone:
            stop, self.result.detail = Stop.SANDBOX_BROKEN, str(gone)
        self._answer(calls, observations, reply)
        self.settings.on_step(agent_step(reply, calls, observations, self.result.active_seconds - before))
        is_silent = self._falls_silent(reply) and not calls and self.result.calls.written == written
        return stop or (Stop.SUBMITTED if is_silent else self._patience(calls))

    def _apply_all(self, calls: Sequence[Call], observations: list[str]) -> Stop | None:
        for number, call in enumerate(calls):
            if not is_submission(call):
                if is_late(self.settings, self.result):
                    return Stop.TIME_LIMIT
                observations.append(self._apply(call))
                if self.rules.submit is not SubmitProtocol.MARKER or not is_marked(observations[-1]):
                    continue
            if not self._asks_for_review():
                return Stop.SUBMITTED
            observations[number:] = [self._timed(self._review)]
        return None

    def _asks_for_review(self) -> bool:
        asks = self.rules.review and not self.reviewed
        self.reviewed = self.reviewed or asks
        return asks

    def _review(self, timeout: float) -> str:
        since = self.began if self.rules.about_machine else None
        clip = self.settings.budget.clip
        return review(self.sandbox, self.rules.submit.how, clip, timeout, machine_since=since)

    def _apply(self, call: Call) -> str:
        checked = call.checked
        if checked is None:
            return f"This call was not understood: {call.problem}."
        return self._timed(lambda timeout: self.tools[call.name].apply(self.sandbox, checked, timeout))

    def _timed(self, act: Callable[[float], str]) -> str:
        """What is done in the sandbox is given a command's time, and counts as the agent's."""
        left = seconds_left(self.settings, self.result, least=LEAST_SECONDS)
        longest = self.settings.budget.command_seconds
        with clock(self.result):
            return act(longest if left is None else min(longest, left))

    def _answer(self, calls: Sequence[Call], observations: list[str], reply: Reply) -> None:
        """Appends what the model hears: of its calls, or that there was none."""
        if self.rules.steps_left and observations:
            observations[-1] += STEPS_LEFT.format(left=self.settings.budget.steps - self.result.steps)
        self.history += self._format.answer(calls, observations)
        if not calls:
            text = CUT if reply.finish_reason == CUT_OFF else REMIND.format(submit=self.rules.submit.how)
            self.history.append({"role": "user", "content": text})

    def _patience(self, calls: Sequence[Call]) -> Stop | None:
        """Ends a session in which nothing understandable comes any more."""
        self.without_call = 0 if calls else self.without_call + 1
        understood = any(not call.problem for call in calls)
        self.malformed = self.malformed + 1 if calls and not understood else 0
        if self.without_call > self.rules.reminders:
            return Stop.NO_TOOL_CALL
        return Stop.MALFORMED if self.malformed >= MOST_MALFORMED else None

    def _falls_silent(self, reply: Reply) -> bool:
        """An answer in words, which ends the session under `silence`; one that is empty or was cut off is none."""
        is_answer = bool(reply.content.strip()) and reply.finish_reason != CUT_OFF
        return self.rules.submit is SubmitProtocol.SILENCE and is_answer


def is_submission(call: Call) -> bool:
    if call.checked is None:
        return False
    said = call.checked.command.strip() if isinstance(call.checked, BashArguments) else call.name
    return said == SUBMIT


def spent(settings: Settings, result: Trajectory) -> Stop | None:
    """The limit that an attempt has reached, if it has."""
    budget = settings.budget
    if result.steps >= budget.steps:
        return Stop.STEP_LIMIT
    if budget.tokens is not None and result.prompt_tokens + result.completion_tokens >= budget.tokens:
        return Stop.TOKEN_LIMIT
    return Stop.TIME_LIMIT if is_late(settings, result) else None


def is_late(settings: Settings, result: Trajectory) -> bool:
    left = seconds_left(settings, result)
    return left is not None and left <= 0


def seconds_left(settings: Settings, result: Trajectory, *, least: float = float("-inf")) -> float | None:
    """Agent-active seconds that the attempt still has, but no fewer than `least`; None without a limit."""
    most = settings.budget.seconds
    return None if most is None else max(least, most - result.active_seconds)


@contextmanager
def clock(result: Trajectory) -> Iterator[None]:
    """Counts what is done in the sandbox as the agent's time."""
    started = time.monotonic()
    try:
        yield
    finally:
        result.active_seconds += time.monotonic() - started


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
        first_byte=reply.first_byte,
        served=reply.served,
        empty=reply.empty,
    )
