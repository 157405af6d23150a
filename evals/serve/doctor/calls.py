"""Tool calls and thoughts: do they come out where they belong, whole and streamed, and does an echoed thought go in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from evals.serve.doctor.finding import Finding, Form
from evals.serve.doctor.patient import Patient, fine, user
from scaffolds.calls import UNPARSED, recover
from scaffolds.model import EmptyTurn, Message, Reply, ToolCall

TOOL = {
    "type": "function",
    "function": {
        "name": "record",
        "description": "Write a text down.",
        "parameters": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
    },
}
TEXTS = ('say "hi" \\ it\'s', "two\nlines: naïve ☃")
"""Quotes, a backslash, a line break, letters beyond ASCII: where parsers go wrong."""
ROOM = {Form.SHORT: 512, Form.FULL: 1024, Form.THOROUGH: 8192}
"""Tokens for an answer with a call, thoughts included."""
ONE_CALL = {Form.SHORT: 10.0, Form.FULL: 20.0, Form.THOROUGH: 120.0}
"""Seconds for it."""
SAMPLES = {Form.SHORT: 1, Form.FULL: 1, Form.THOROUGH: 20}
"""Answers with one call; two with several follow, and are judged, too."""
EMPTY = {
    EmptyTurn.SWALLOWED_CALL: ("swallowed-call", "a tool call was taken for reasoning: no content, no call"),
    EmptyTurn.THOUGHT_ONLY: ("thought-only", "an answer ended inside its reasoning: no content, no call"),
    EmptyTurn.NOTHING: ("empty-answer", "an answer had no content, no call and no reasoning"),
}
THOUGHT = "I will first look at the harbour, then at the lantern, and only then at the orchard. " * 12


def order(texts: Sequence[str]) -> str:
    """The question that asks for calls."""
    orders = "\n".join(f"`record` with exactly this text:\n<<<{text}>>>" for text in texts)
    return (
        f"Call the tool {orders}\nDo nothing else: {len(texts)} tool call{'s' * (len(texts) > 1)}, no text."
    )


def tool_calls(patient: Patient) -> list[Finding]:
    """One call at a time, streamed as a run asks for it; a few samples, for some faults come and go."""
    how: dict[str, Any] = {"stream": patient.config.stream, "seconds": ONE_CALL[patient.form]}
    replies = [
        patient.question(order(TEXTS[:1]), tools=[TOOL], cap=ROOM[patient.form], **how)
        for _ in range(SAMPLES[patient.form])
    ]
    found = {finding.name: finding for reply in replies for finding in judged(patient, reply)}
    for vague in VAGUE:
        if len(found) > 1:
            found.pop(vague, None)
    return list(found.values())


VAGUE = ("tool-calls", "no-call")
"""What one answer tells, and another may tell better."""


def judged(patient: Patient, reply: Reply) -> list[Finding]:
    """What one answer to `order` tells."""
    thought = "<think>" in reply.content or "</think>" in reply.content
    extra = [patient.problem("thought-in-content", "reasoning stands in the content")] if thought else []
    return [_call(patient, reply), *extra]


def _call(patient: Patient, reply: Reply) -> Finding:
    if reply.tool_calls:
        return _arguments(patient, reply.tool_calls[0])
    if reply.empty in EMPTY:
        return patient.problem(*EMPTY[reply.empty])
    if UNPARSED.search(reply.content):
        return patient.problem(
            "wrong-parser", "a tool call is left in the content, in its template's own tags"
        )
    if any(recover(reply.content, {"record"})):
        return patient.problem(
            "calls-as-text", "the model writes its calls as JSON text; none comes natively"
        )
    return patient.problem("no-call", "asked for a tool call, the model made none")


def _arguments(patient: Patient, call: ToolCall) -> Finding:
    try:
        arguments: Any = json.loads(call.arguments)
    except ValueError:
        return patient.problem("broken-arguments", f"the arguments are no JSON: {call.arguments[:60]!r}")
    exact = isinstance(arguments, dict) and arguments.get("text") in TEXTS
    how = (
        "with quotes and escapes intact"
        if exact
        else "though not word for word (the model's doing, or escapes)"
    )
    return fine("tool-calls", f"native, {how}")


def several_calls(patient: Patient) -> list[Finding]:
    """Two in one answer, streamed and whole: parsers lose calls in streams."""
    streamed, whole = (
        patient.question(
            order(TEXTS), tools=[TOOL], cap=ROOM[patient.form], stream=stream, seconds=ONE_CALL[patient.form]
        )
        for stream in (True, False)
    )
    found = [one for reply in (streamed, whole) for one in judged(patient, reply) if one.name not in VAGUE]
    return [*found, *_counted(patient, len(streamed.tool_calls), len(whole.tool_calls))]


def _counted(patient: Patient, streamed: int, whole: int) -> list[Finding]:
    if whole > streamed == 0:
        what = f"{whole} calls in a whole answer, none in a streamed one"
        return [patient.problem("streamed-calls-lost", what)]
    most = max(streamed, whole)
    if not most:
        return []  # `tool_calls` says why
    return [fine("several-calls", f"{most} of 2 in one answer" + " (one a step)" * (most == 1))]


def echoed_reasoning(patient: Patient) -> list[Finding]:
    """Whether a thought of an earlier step of this turn is read again, told by the tokens that it adds."""
    if not patient.reasoning_field:
        return [fine("reasoning", "the model showed none")]
    without, with_it = (
        patient.ask(history(patient, thought), tools=[TOOL], cap=1).usage.prompt for thought in ("", THOUGHT)
    )
    if not with_it:
        return []  # without usage nothing tells
    if with_it - without < len(THOUGHT.split()) / 2:
        return [patient.problem("reasoning-dropped", "reasoning that is sent back does not reach the model")]
    return [fine("reasoning", f"in `{patient.reasoning_field}`, and what is sent back reaches the model")]


def history(patient: Patient, thought: str) -> list[Message]:
    """One step of an agent: a question, a thought with a call, and the call's result."""
    function = {"name": "record", "arguments": '{"text": "harbour"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    said: Message = {
        "role": "assistant",
        "content": "",
        **({patient.reasoning_field: thought} if thought else {}),
        "tool_calls": [call],
    }
    return [user("Record what you see."), said, {"role": "tool", "tool_call_id": "call_1", "content": "done"}]
