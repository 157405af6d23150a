"""Calls as XML, in the notation of the Qwen3-Coder and OpenHands families: `<function=NAME><parameter=ARGUMENT>…`.

Values stand as they are, without escapes, so code needs none. Not covered: attributes, and other notations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from scaffolds.calls import LONGEST_READ, MOST_RECOVERED, Call, checked
from scaffolds.model import CUT_OFF, Reply
from scaffolds.tools import Tool
from tasks.untrusted import fit

INTRODUCTION = """\
You have these tools. To call one, write the following with its name and arguments, values as they are and without \
escapes, and stop after it:

<function=TOOL>
<parameter=ARGUMENT>
VALUE
</parameter>
</function>"""

FUNCTION, PARAMETER, FUNCTION_END, PARAMETER_END = "<function=", "<parameter=", "</function>", "</parameter>"
LONGEST_NAME = 100


def describe(tools: Mapping[str, Tool]) -> str:
    """The tools as prompt text."""
    lines = [json.dumps(tool.schema["function"], ensure_ascii=False) for tool in tools.values()]
    return "\n\n".join([INTRODUCTION, "\n".join(lines)])


def calls(reply: Reply, tools: Mapping[str, Tool]) -> list[Call]:
    """The calls of a reply, checked. One that an answer's end cut off is none."""
    return [checked(call, tools) for call in islice(_found(reply, tools), MOST_RECOVERED)]


def _found(reply: Reply, tools: Mapping[str, Tool]) -> Iterator[Call]:
    text = reply.content[:LONGEST_READ]
    for name, body, whole in _elements(text, FUNCTION, FUNCTION_END):
        if whole or reply.finish_reason != CUT_OFF:
            texts = {key: value for key, value, _ in _elements(body, PARAMETER, PARAMETER_END)}
            yield Call(None, name, _typed(texts, tools.get(name)))


def _elements(text: str, start: str, end: str) -> Iterator[tuple[str, str, bool]]:
    """(name, what is inside, whether it is closed) of each element. Each character is looked at once or twice."""
    at = text.find(start)
    while at >= 0:
        close = text.find(">", at, at + len(start) + LONGEST_NAME)
        if close < 0:
            at = text.find(start, at + len(start))
            continue
        stop = text.find(end, close)
        inside = text[close + 1 : stop if stop >= 0 else len(text)]
        yield text[at + len(start) : close].strip(), inside.removeprefix("\n").removesuffix("\n"), stop >= 0
        if stop < 0:
            return
        at = text.find(start, stop)


def _typed(texts: Mapping[str, str], tool: Tool | None) -> dict[str, Any]:
    """Values in the type that the tool's schema names; what is none stays text, for the check to complain of."""
    properties = tool.schema["function"]["parameters"]["properties"] if tool else {}
    return {
        key: text if properties.get(key, {}).get("type", "string") == "string" else _value(text)
        for key, text in texts.items()
    }


def _value(text: str) -> Any:
    try:
        return fit(json.loads(text))
    except (ValueError, RecursionError):
        return text
