"""Tool calls: read from a reply, natively or out of its text, and checked against the tools that exist (see `formats`).

Small local models write their calls as text: in ```json fences, as bare JSON, in <tool_call> tags, at times with
the braces doubled. What is recovered that way is counted, because it is help that the server did not give.
Not covered: calls in a programming language's syntax; XML parameters and ```bash blocks have formats of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError

from scaffolds.base import ToolCallCounts
from scaffolds.model import CUT_OFF, Reply
from scaffolds.tools import Arguments, Tool
from tasks.untrusted import clean, fit

MOST_RECOVERED = 16
"""Of one reply; a small model that loops writes hundreds."""
TAGGED = re.compile(r"<(tool_call|tools|function_call)>(.*?)(?:</\1>|\Z)", re.DOTALL)
FENCED = re.compile(r"```[a-zA-Z_]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
MOST_BRACES = 2000
"""Of one text, where an object may begin: each try costs time, and code in a reply has braces too."""
UNPARSED = re.compile(
    r"<tool_call>|<function=\w|<invoke name=|\[TOOL_CALLS\]|<\|python_tag\|>|<\|tool_calls?_|<｜tool▁call"
    r"|to=functions\.\w"
)
"""How the chat templates of the model families begin a call; where one reaches us, its server has no parser for it."""
DECODER = json.JSONDecoder(strict=False)
"""Not strict: small models put raw line breaks into JSON strings."""
LONGEST_READ = 200_000
"""Characters of a text in which calls are looked for; a model that loops writes megabytes of braces."""


class Call(NamedTuple):
    """One call, understood or not. `problem` is what to tell the model when it was not."""

    id: str | None
    """None when the call was recovered from text: its answer cannot be a `tool` message."""
    name: str
    arguments: dict[str, Any]
    """As the model wrote them, for the record."""
    problem: str = ""
    checked: Arguments | None = None
    """What the tool is given; None when there is a problem."""


def native(reply: Reply, tools: Mapping[str, Tool]) -> list[Call]:
    """The calls that the server parsed, checked.

    Of an answer that was cut off the last one is never run: some servers close its quotes and braces, and half a command
    is another command.
    """
    calls = [checked(parsed(call.id, call.name, call.arguments), tools) for call in reply.tool_calls]
    if calls and reply.finish_reason == CUT_OFF and not calls[-1].problem:
        calls[-1] = calls[-1]._replace(
            checked=None, problem="the answer was cut off before this call was whole"
        )
    return calls


def recovered(reply: Reply, tools: Mapping[str, Tool]) -> list[Call]:
    """The calls in the text of a reply, checked."""
    return [checked(call, tools) for call in islice(recover(reply.content, tools), MOST_RECOVERED)]


def count(calls: list[Call], counts: ToolCallCounts) -> list[Call]:
    """The same calls, each one counted once: native, recovered, or malformed."""
    for call in calls:
        _count(call, counts)
    return calls


def unread(reply: Reply, tools: Container[str]) -> int:
    """Calls that the model made and the server did not parse, also where it took them for thoughts."""
    for text in (reply.content[:LONGEST_READ], reply.reasoning[:LONGEST_READ]):
        found = sum(call.name in tools for call in islice(recover(text, tools), MOST_RECOVERED))
        if found or UNPARSED.search(text):
            return found or 1
    return 0


def _count(call: Call, counts: ToolCallCounts) -> None:
    if call.problem:
        counts.malformed += 1
    elif call.id is None:
        counts.recovered += 1
    else:
        counts.native += 1


def parsed(id_: str | None, name: str, raw: str) -> Call:
    """A call whose arguments came as JSON text."""
    try:
        arguments = fit(DECODER.decode(raw))
    except RecursionError:
        return Call(id_, name, {"unparsed": raw}, "the arguments are nested too deeply")
    except ValueError as error:
        return Call(id_, name, {"unparsed": raw}, f"the arguments are not valid JSON ({error})")
    if not isinstance(arguments, dict):
        return Call(id_, name, {"unparsed": raw}, "the arguments are not a JSON object")
    return Call(id_, name, arguments)


def valid_arguments(raw: str) -> str:
    """`raw` where it is a JSON object, else an object that quotes it.

    llama-server answers 500 to a history whose arguments do not parse, which would end the attempt.
    """
    try:
        parsed = json.loads(raw, parse_constant=_no_constant)
        is_sound = isinstance(parsed, dict) and fit(parsed) is parsed
    except (ValueError, RecursionError):
        is_sound = False
    return raw if is_sound else json.dumps({"unparsed": clean(raw)})


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is Python's, not JSON's")


def recover(text: str, names: Container[str]) -> Iterator[Call]:
    """Calls written as text. Tags win over fences, fences over bare JSON, so that nothing is read twice."""
    text = text[:LONGEST_READ]
    sources = [m.group(2) for m in TAGGED.finditer(text)] or [m.group(1) for m in FENCED.finditer(text)]
    found = [call for source in sources for call in _objects(source, names)]
    yield from found or _objects(text, names)


def _objects(text: str, names: Container[str]) -> Iterator[Call]:
    """Each JSON object in `text` that looks like a call: `{"name": …, "arguments": {…}}`."""
    end = 0
    for _ in range(MOST_BRACES):
        if (at := text.find("{", end)) < 0:
            return
        value, end = _decode(text, at)
        call = _as_call(value, names)
        if call is not None:
            yield call


def _decode(text: str, at: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(text, at)
    except RecursionError:
        return None, len(text)  # no call looks like that, and each further brace would cost as much again
    except ValueError:
        return None, at + 1  # also what undoubles `{{"name": …}}`


def _as_call(value: Any, names: Container[str]) -> Call | None:
    if not isinstance(value, dict):
        return None
    inner = value.get("function")
    value = inner if isinstance(inner, dict) else value
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters"))
    if not isinstance(name, str) or (arguments is None and name not in names):
        return None
    if isinstance(arguments, str):
        return parsed(None, name, arguments)
    try:
        return Call(None, name, fit(arguments) if isinstance(arguments, dict) else {})
    except ValueError as error:
        return Call(None, name, {}, f"the arguments cannot be used: {error}")


def checked(call: Call, tools: Mapping[str, Tool]) -> Call:
    """The call with its arguments in its tool's own type, or with what is wrong with them."""
    call = call._replace(name=clean(call.name))
    if call.problem:
        return call._replace(arguments=fit(call.arguments))
    if call.name not in tools:
        return call._replace(problem=f"there is no tool {call.name!r}; the tools are {', '.join(tools)}")
    try:
        return call._replace(checked=tools[call.name].arguments.model_validate(call.arguments))
    except ValidationError as error:
        return call._replace(problem=_complaint(error))


def _complaint(error: ValidationError) -> str:
    """Every argument that is wrong and why, without quoting what was sent."""
    found = error.errors(include_url=False, include_input=False)
    if missing := [str(one["loc"][0]) for one in found if one["type"] == "missing"]:
        return f"missing argument: {', '.join(missing)}"
    return "; ".join(f"argument {'.'.join(map(str, one['loc']))!r}: {one['msg'].lower()}" for one in found)


def describe(tools: Mapping[str, Tool]) -> str:
    """The tools as prompt text."""
    lines = [
        "You have these tools. To call one, write a JSON object in a fence, exactly like this, and stop:",
        '```json\n{"name": "TOOL", "arguments": {"ARGUMENT": "VALUE"}}\n```',
    ]
    lines += [json.dumps(tool.schema["function"], ensure_ascii=False) for tool in tools.values()]
    return "\n".join(lines)
