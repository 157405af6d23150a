"""Calls as fenced blocks: the block's first line names the tool. A tool with one text argument takes the block as it is.

The way of scaffolds that were made for models without a tool parser, which have one tool and run ```bash blocks.
Not covered: indented blocks, and fences of tildes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice

from scaffolds.calls import LONGEST_READ, MOST_RECOVERED, Call, checked, parsed
from scaffolds.model import CUT_OFF, Reply
from scaffolds.tools import Tool

INTRODUCTION = """\
You have these tools. To call one, write a fenced block whose first line is the fence and the tool's name, and stop \
after it. Use a longer fence where the block itself holds a fence."""
RAW, JSON = "the block is `{argument}`, as it stands", "the block is a JSON object with {arguments}"

BLOCK = re.compile(r"^(`{3,})(\w+)[ \t]*\n(.*?)(^\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)


def describe(tools: Mapping[str, Tool]) -> str:
    """The tools as prompt text."""
    return "\n\n".join([INTRODUCTION, *(_described(name, tool) for name, tool in tools.items())])


def _described(name: str, tool: Tool) -> str:
    function = tool.schema["function"]
    properties = function["parameters"]["properties"]
    argument = single_text(tool)
    rule = RAW.format(argument=argument) if argument else JSON.format(arguments=json.dumps(properties))
    body = argument.upper() if argument else json.dumps(dict.fromkeys(properties, "…"))
    return f"{name}: {function['description']}\n({rule})\n```{name}\n{body}\n```"


def single_text(tool: Tool) -> str:
    """The name of a tool's one argument, where it has one and that is text; else ""."""
    properties = tool.schema["function"]["parameters"]["properties"]
    names = [name for name, drawn in properties.items() if drawn.get("type") == "string"]
    return names[0] if len(properties) == 1 and names else ""


def calls(reply: Reply, tools: Mapping[str, Tool]) -> list[Call]:
    """The calls of a reply, checked. A block that an answer's end cut off is none: half a command may do harm."""
    return [checked(call, tools) for call in islice(_found(reply, tools), MOST_RECOVERED)]


def _found(reply: Reply, tools: Mapping[str, Tool]) -> Iterator[Call]:
    for match in BLOCK.finditer(reply.content[:LONGEST_READ]):
        name, body, end = match.group(2), match.group(3), match.group(4)
        if name in tools and (end or reply.finish_reason != CUT_OFF):
            yield _call(name, body, tools[name])


def _call(name: str, body: str, tool: Tool) -> Call:
    if argument := single_text(tool):
        return Call(None, name, {argument: body.removesuffix("\n")})
    return parsed(None, name, body if body.strip() else "{}")
