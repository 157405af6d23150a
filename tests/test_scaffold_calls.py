"""Tool calls read from replies: what is native, what is recovered, what is malformed, and that each is counted."""

from __future__ import annotations

import json
import time

import pytest

from scaffolds.base import ToolCallCounts, ToolCallMode
from scaffolds.calls import Call, describe, native
from scaffolds.editor import Editor, EditorArguments
from scaffolds.formats import FORMATS
from scaffolds.model import Reply, ToolCall, Usage
from scaffolds.tools import Bash, Submit, Tool

TOOLS: dict[str, Tool] = {"bash": Bash(), "str_replace_editor": Editor(), "submit": Submit()}


def reply(text: str = "", *native: ToolCall) -> Reply:
    return Reply(text, native, "stop", Usage(), {})


def read(text: str, mode: ToolCallMode = ToolCallMode.LENIENT) -> tuple[list[Call], ToolCallCounts]:
    counts = ToolCallCounts()
    return FORMATS[mode].read(reply(text), TOOLS, counts), counts


LS = '{"name": "bash", "arguments": {"command": "ls"}}'
WRITTEN = {
    "json fence": f"I will look.\n```json\n{LS}\n```\nThen we see.",
    "fence without a language": f"```\n{LS}\n```",
    "fence that is cut off": f"```json\n{LS}",
    "bare": LS,
    "bare in prose": f"Sure! {LS} is my call.",
    "hermes tags": f"<tool_call>\n{LS}\n</tool_call>",
    "tags of qwen": f"<tools>\n{LS}\n</tools>",
    "doubled braces": "{" + LS + "}",
    "parameters instead of arguments": '{"name": "bash", "parameters": {"command": "ls"}}',
    "arguments as text": json.dumps({"name": "bash", "arguments": '{"command": "ls"}'}),
    "openai's own shape": '{"type": "function", "function": ' + LS + "}",
    "after broken JSON": '{"name": "bash", "arg ' + LS,
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_calls_written_as_text_are_recovered_and_counted(text: str) -> None:
    calls, counts = read(text)
    assert [(c.id, c.name, c.arguments, c.problem) for c in calls] == [(None, "bash", {"command": "ls"}, "")]
    assert (counts.native, counts.recovered, counts.malformed) == (0, 1, 0)


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN.keys())
def test_native_mode_runs_nothing_that_is_text_and_counts_it(text: str) -> None:
    assert read(text, ToolCallMode.NATIVE) == ([], ToolCallCounts(written=1))


OF_FAMILIES = {
    "qwen3-coder": "<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>",
    "mistral": '[TOOL_CALLS]bash{"command": "ls"}',
    "llama": "<|python_tag|>bash.call(command='ls')",
    "deepseek": "<｜tool▁calls▁begin｜>",
    "gpt-oss": "<|channel|>commentary to=functions.bash <|message|>{}",
    "kimi": "<|tool_calls_section_begin|>",
    "glm": "<tool_call>bash\n<arg_key>command</arg_key>",
    "minimax": '<invoke name="bash">',
}


@pytest.mark.parametrize("text", OF_FAMILIES.values(), ids=OF_FAMILIES.keys())
def test_a_call_in_the_format_of_a_family_shows_that_the_server_has_no_parser(text: str) -> None:
    assert read(text, ToolCallMode.NATIVE)[1].written == 1
    counts = ToolCallCounts()
    swallowed = reply()._replace(reasoning=f"I will look. {text}")
    FORMATS[ToolCallMode.NATIVE].read(swallowed, TOOLS, counts)
    assert counts.written == 1


def test_native_mode_counts_no_plain_talk() -> None:
    for text in ("", "I called bash.", '```json\n{"a": 1}\n```', "<tool> calls", "f(x)"):
        assert read(text, ToolCallMode.NATIVE)[1].written == 0


def test_a_raw_line_break_in_a_string_is_forgiven() -> None:
    calls, _ = read('```json\n{"name": "bash", "arguments": {"command": "cat <<X\nhello\nX"}}\n```')
    assert calls[0].arguments == {"command": "cat <<X\nhello\nX"}


@pytest.mark.parametrize(
    "text", ["", "no call", '{"a": 1}', '{"name": "Ada", "age": 3}', "{" * 3000, "[" * 3000]
)
def test_text_without_a_call_has_none(text: str) -> None:
    assert read(text) == ([], ToolCallCounts())


def test_several_calls_keep_their_order_and_their_number_is_bounded() -> None:
    names = [call.arguments["command"] for call in read(LS + LS.replace("ls", "pwd"))[0]]
    assert names == ["ls", "pwd"]
    assert len(read(LS * 100)[0]) == 16


def test_native_calls_win_over_text() -> None:
    counts = ToolCallCounts()
    both = reply(LS, ToolCall("call_1", "submit", "{}"))
    assert [c.name for c in FORMATS[ToolCallMode.LENIENT].read(both, TOOLS, counts)] == ["submit"]
    assert [c.name for c in FORMATS[ToolCallMode.TEXT].read(both, TOOLS, counts)] == ["bash"]
    assert (counts.native, counts.recovered) == (1, 1)


MALFORMED = {
    "broken JSON": ToolCall("c", "bash", '{"command": "ls'),
    "no object": ToolCall("c", "bash", '"ls"'),
    "unknown tool": ToolCall("c", "python", "{}"),
    "missing argument": ToolCall("c", "bash", "{}"),
    "wrong type": ToolCall("c", "bash", '{"command": ["ls"]}'),
    "not one of": ToolCall("c", "str_replace_editor", '{"command": "delete", "path": "a"}'),
    "null": ToolCall("c", "bash", '{"command": null}'),
    "null for a choice": ToolCall("c", "str_replace_editor", '{"command": null, "path": "a"}'),
    "null for a path": ToolCall("c", "str_replace_editor", '{"command": "view", "path": null}'),
    "a list of no numbers": ToolCall(
        "c", "str_replace_editor", '{"command": "view", "path": "a", "view_range": [1, "2"]}'
    ),
    "nested too deeply": ToolCall("c", "bash", '{"command": "ls", "x": ' + "[" * 500 + "]" * 500 + "}"),
    "nested far too deeply": ToolCall("c", "bash", '{"command": "ls", "x": ' + "[" * 5000 + "]" * 5000 + "}"),
    "true is no number": ToolCall(
        "c", "str_replace_editor", '{"command": "insert", "path": "a", "insert_line": true}'
    ),
}


@pytest.mark.parametrize("call", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_call_that_cannot_be_run_says_why(call: ToolCall) -> None:
    counts = ToolCallCounts()
    (read_call,) = FORMATS[ToolCallMode.NATIVE].read(reply("", call), TOOLS, counts)
    assert read_call.problem
    assert read_call.checked is None
    assert (counts.native, counts.malformed) == (0, 1)


def test_null_for_what_is_optional_is_nothing() -> None:
    call = ToolCall("c", "str_replace_editor", '{"command": "view", "path": "a", "view_range": null}')
    (found,) = FORMATS[ToolCallMode.NATIVE].read(reply("", call), TOOLS, ToolCallCounts())
    assert (found.problem, found.checked) == ("", EditorArguments(command="view", path="a"))


HOSTILE = {
    "braces": '{"a":' * 40_000,
    "brackets": "[{" * 40_000,
    "almost too deep": ('{"a":' * 900 + "x") * 40,
    "open tags": "<tools>" * 40_000,
    "open fences": "```\n" * 40_000,
    "ticks": "`" * 200_000,
    "quotes": '{"' * 80_000,
    "marks": "<function=" * 20_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("mode", ToolCallMode)
def test_hostile_repetition_costs_no_time(text: str, mode: ToolCallMode) -> None:
    started = time.process_time()
    read(text, mode)
    assert time.process_time() - started < 1


def test_lone_surrogates_never_get_through() -> None:
    (call,) = read('{"name": "bash", "arguments": {"command": "echo \\ud800"}}')[0]
    json.dumps(call.arguments, ensure_ascii=False).encode()


def test_the_description_for_text_mode_names_each_tool() -> None:
    assert all(f'"name": "{name}"' in describe(TOOLS) for name in TOOLS)


@pytest.mark.parametrize("finish", ["length", "tool_calls"])
def test_the_last_call_of_an_answer_that_was_cut_off_is_not_run_even_where_the_server_mended_it(
    finish: str,
) -> None:
    whole = ToolCall("a", "bash", '{"command": "ls"}')
    mended = ToolCall("b", "bash", '{"command": "rm -rf build"}')
    first, last = native(Reply("", (whole, mended), finish, Usage(), {}), TOOLS)
    assert first.checked
    assert bool(last.checked) is (finish != "length")
    assert ("cut off" in last.problem) is (finish == "length")
