"""Nothing that a model or its server says ends more than its attempt: replies of every shape, over HTTP, to the record on disk.

A reply here is anything that is bytes. What may come of it is a record that can be read back, or a `ModelError`.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals.record import AttemptKey, Record
from evals.run.attempt import run_attempt
from scaffolds.base import Budget, Settings, Stop, ToolCallMode
from scaffolds.catalog import names as names_of_scaffolds
from scaffolds.model import ModelError
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.text import Clip
from scaffolds.toolsets import TOOLSETS
from tasks.sandbox import Sandbox
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, call, say, stream
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_context import plain_context
from tests.fakes.plain_sandbox import PlainSandbox
from tests.test_run import make_task

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SCAFFOLDS = names_of_scaffolds()

texts = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["", "\ud800", "\u2028x\u2029\x85\x0c", "NaN", "12", "submit", "bash", "\0", "{" * 3000, "../x"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([10**400, -1, float("inf")])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | texts, inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = (
    *("command", "path", "view_range", "file_text", "old_str", "new_str", "insert_line"),
    *("file_path", "offset", "limit", "old_string", "new_string", "replace_all", "content", "patch"),
    *(
        "line_number",
        "filename",
        "file_name",
        "dir",
        "search_term",
        "file",
        "search",
        "replace",
        "text",
        "line",
    ),
)
TOOLS = sorted({name for tools in TOOLSETS.values() for name in tools(Clip())} | {"submit"})
PATCH_LINES = (
    *(
        "*** Begin Patch",
        "*** End Patch",
        "*** Update File: a.txt",
        "*** Add File: b",
        "*** Delete File: a.txt",
    ),
    *("*** Move to: c", "@@", "@@ x", "*** End of File", "-a", "+b", " c", "", "*** ", "a"),
)
WORDS = (
    "view",
    "create",
    "str_replace",
    "insert",
    "undo_edit",
    "true",
    "a.txt",
    "/testbed/a.txt",
    "/testbed",
)
patches = st.lists(st.sampled_from(PATCH_LINES), max_size=8).map(
    lambda lines: "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
)
arguments = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS) | patches | values, max_size=9)
raw_arguments = (
    arguments.map(json.dumps)
    | arguments
    | values
    | st.sampled_from(['{"command": ' * 900, "[" * 5000, '{"command": NaN}'])
)
names = st.sampled_from([*TOOLS, "nothing"]) | values
calls = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": names, "arguments": raw_arguments}) | values},
        optional={"id": values, "index": values},
    )
    | values,
    max_size=3,
)
written = st.builds(
    lambda name, a: f"```json\n{json.dumps({'name': name, 'arguments': a})}\n```",
    st.sampled_from(TOOLS),
    arguments | values,
)
fences = st.sampled_from(["```", "````", "``", "\n```", ""])
fenced = st.builds(
    lambda start, name, body, end: f"{start}{name}\n{body}\n{end}",
    fences,
    st.sampled_from([*TOOLS, "json", ""]),
    texts | patches | arguments.map(json.dumps),
    fences,
)
pieces = st.sampled_from(
    [
        "<function=bash>",
        "<function=",
        "<parameter=command>",
        "<parameter=",
        ">",
        "</parameter>",
        "</function>",
        "\n",
    ]
)
xml = st.lists(pieces | st.sampled_from(TOOLS) | texts | values.map(repr), max_size=12).map("".join)
written = written | fenced | xml
messages = (
    st.fixed_dictionaries(
        {},
        optional={
            "content": texts | written | values,
            "reasoning": texts | written | values,
            "tool_calls": calls | values,
        },
    )
    | values
)
usages = (
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("prompt_tokens", "completion_tokens", "prompt_tokens_details"), values)
    )
    | values
)
choices = st.builds(
    lambda message, finish, key: [{key: message, "finish_reason": finish}],
    messages,
    st.sampled_from(["stop", "length", "tool_calls"]) | values,
    st.sampled_from(["message", "delta"]),
)
bodies = st.fixed_dictionaries({"choices": choices | values}, optional={"usage": usages, "error": values})
answers = (
    bodies.map(lambda body: Answer([json.dumps(body).encode("utf-8", "surrogatepass")]))
    | st.lists(bodies, max_size=3).map(lambda chunks: stream(*chunks))
    | st.lists(bodies, max_size=3).map(lambda chunks: stream(*chunks, "data: [DONE]\n\n"))
    | st.binary(max_size=50).map(lambda raw: Answer([raw]))
)


class OneFile(PlainSandbox):
    """Holds `a.txt`, which is at `/testbed/a.txt`, too, and keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.files = dict.fromkeys(("a.txt", "/testbed/a.txt"), b"a\nx\r\n\xff c")

    def read(self, path: str) -> bytes:
        if path in self.files:
            return self.files[path]
        return super().read(path)

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data


class Stage:
    """One server for all attempts: making one costs more than an attempt."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.config = ModelConfig(base_url=server.url, model="m", retries=Retries(attempts=1))

    def attempt(
        self,
        directory: Path,
        scaffold: str,
        mode: ToolCallMode,
        *script: Answer,
        sandbox: Sandbox | None = None,
    ) -> Record:
        """One attempt as a run makes it, from the server's bytes to the record."""
        self.server.script = list(script)
        self.server.requests.clear()
        context = plain_context(
            directory,
            backend=PlainBackend(lambda: sandbox or OneFile()),
            settings=Settings(budget=Budget(steps=6, command_seconds=5), tool_calls=mode),
            model=self.config,
        )
        key = AttemptKey(scaffold=scaffold, task_id="one", attempt=1)
        task = make_task("one")
        run_attempt(key, task, plain_image(task), context)
        json.loads((key.directory(directory) / "trajectory.json").read_bytes())
        return Record.model_validate_json((key.directory(directory) / "record.json").read_bytes())


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with FakeServer(say("")) as server:
        yield Stage(server)


@FUZZ
@given(
    script=st.lists(answers, min_size=1, max_size=4),
    scaffold=st.sampled_from(SCAFFOLDS),
    mode=st.sampled_from(ToolCallMode),
)
def test_a_reply_of_any_shape_ends_no_more_than_its_attempt(
    stage: Stage, script: list[Answer], scaffold: str, mode: ToolCallMode
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        try:
            stage.attempt(Path(directory), scaffold, mode, *script)
        except ModelError:
            return  # nobody's attempt: the run tries again or books it to the server


DEEP = "[" * 100_000 + "]" * 100_000
SEEN: dict[str, Answer] = {
    "null for a required argument": call("bash", '{"command": null}'),
    "null for the editor's": call("str_replace_editor", '{"command": "view", "path": null}'),
    "no object at all": call("bash", "null"),
    "a lone surrogate as a command": call("bash", '{"command": "echo \\ud800"}'),
    "a lone surrogate as an id": call("bash", '{"command": "true"}', call_id="\ud800"),
    "a lone surrogate as a tool's name": call("\ud800", "{}"),
    "a lone surrogate as text": say("\ud800"),
    "a lone surrogate as a thought": say("", reasoning="\udfff"),
    "usage as text": say("x", prompt="12", completion="3"),
    "usage without end": say("x", prompt=float("inf"), completion=float("nan")),
    "arguments nested 900 deep": call("bash", '{"command": "true", "x": ' + "[" * 900 + "]" * 900 + "}"),
    "arguments nested far deeper": call("bash", '{"command": "true", "x": ' + DEEP + "}"),
    "arguments nested as an object": say("", tool_calls=[{"function": {"name": "bash", "arguments": [[[]]]}}]),
    "ends of line that are none in JSON": say("a\u2028b\u2029c\x85d\x0ce"),
    "and in a command": call("bash", {"command": "echo 'a\u2028b\x85c'"}),
    "a NUL": call("bash", {"command": "a\0b"}),
}  # fmt: skip


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("name", SEEN)
def test_what_once_ended_a_run_ends_its_attempt(
    name: str, streamed: bool, stage: Stage, tmp_path: Path
) -> None:
    answer = SEEN[name]
    if not streamed:
        answer = Answer(answer.pieces)  # whole, although a stream was asked for
    (repository := tmp_path / "repository").mkdir()
    record = stage.attempt(tmp_path, "edit", ToolCallMode.NATIVE, answer, sandbox=LocalSandbox(repository))
    assert record.stop in (Stop.MALFORMED, Stop.NO_TOOL_CALL, Stop.STEP_LIMIT)


CRAMMED = {
    "a thousand fences": "```bash\n" * 1000,
    "a megabyte of fences": "```bash\ntrue\n```\n" * 60_000,
    "a megabyte of open functions": "<function=bash>" * 70_000,
    "a megabyte of open parameters": "<function=bash>" + "<parameter=command>" * 55_000,
    "a megabyte of names without an end": "<function=" * 100_000,
    "values nested too deeply": "<function=open><parameter=line_number>" + "[" * 90_000,
    "only a thought": "",
}


@pytest.mark.parametrize("name", CRAMMED)
@pytest.mark.parametrize("mode", ToolCallMode)
def test_a_reply_without_end_or_sense_ends_in_a_named_stop(
    name: str, mode: ToolCallMode, stage: Stage, tmp_path: Path
) -> None:
    answer = say(CRAMMED[name], reasoning_content="on and on " * 1000)
    started = time.monotonic()
    record = stage.attempt(tmp_path, "base-windowed", mode, answer)
    assert record.stop in (Stop.MALFORMED, Stop.NO_TOOL_CALL, Stop.STEP_LIMIT)
    assert record.tool_calls is mode
    assert time.monotonic() - started < 20


DEEP_BODIES = [
    Answer([b'{"choices": ' + DEEP.encode() + b"}"]),
    stream('data: {"choices": ' + DEEP + "}\n\n"),
    Answer([DEEP.encode()], status=400),
    Answer([b'{"error": ' + DEEP.encode() + b"}"], status=500),
]


@pytest.mark.parametrize("answer", DEEP_BODIES, ids=range(4))
def test_a_body_nested_too_deeply_is_the_servers_failure(
    answer: Answer, stage: Stage, tmp_path: Path
) -> None:
    with pytest.raises(ModelError):
        stage.attempt(tmp_path, "edit", ToolCallMode.NATIVE, answer)


def test_usage_that_comes_as_text_is_counted_and_nonsense_is_not(stage: Stage, tmp_path: Path) -> None:
    odd = say("x", prompt="12", completion=float("inf"))
    record = stage.attempt(tmp_path, "edit", ToolCallMode.NATIVE, odd)
    assert (record.prompt_tokens, record.completion_tokens) == (36, 0)
