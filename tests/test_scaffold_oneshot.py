"""One shot: which files are shown, how an answer is read, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaffolds import load
from scaffolds.base import Settings, Stop
from scaffolds.files import CHARACTER_BUDGET, relevant_files
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig
from scaffolds.whole_files import parse_files
from tasks.task import Brief
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import FakeServer, error, say

ONE = {"pkg/calc.py": "def add(a, b):\n    return a - b\n"}
TWO = {**ONE, "pkg/text.py": "x = 1\n"}
NEW = "def add(a, b):\n    return a + b\n"


def brief(statement: str) -> Brief:
    return Brief(task_id="t", repo="r/r", problem_statement=statement)


FORMS = {
    "path on the line before": f"pkg/calc.py\n```python\n{NEW}```",
    "path in bold": f"**`pkg/calc.py`**\n\n```python\n{NEW}```\nDone.",
    "path in the info line": f"```python pkg/calc.py\n{NEW}```",
    "path after a colon": f"```python:pkg/calc.py\n{NEW}```",
    "absolute path": f"/testbed/pkg/calc.py\n```\n{NEW}```",
    "basename only": f"calc.py:\n```\n{NEW}```",
    "heading": f"### File: pkg/calc.py\n```py\n{NEW}```",
    "no end of the fence": f"pkg/calc.py\n```python\n{NEW}",
    "after chatter with a snippet": f"The bug is `a - b`.\n\npkg/calc.py\n```python\n{NEW}```",
}


@pytest.mark.parametrize("answer", FORMS.values(), ids=FORMS.keys())
def test_a_path_is_found_where_models_put_it(answer: str) -> None:
    assert parse_files(answer, TWO, "/testbed") == {"pkg/calc.py": NEW}


def test_a_path_in_a_first_line_comment() -> None:
    answer = f"```python\n# pkg/calc.py\n{NEW}```"
    assert parse_files(answer, TWO, "/testbed") == {"pkg/calc.py": f"# pkg/calc.py\n{NEW}"}


def test_one_shown_file_needs_no_path() -> None:
    assert parse_files(f"Here:\n```python\n{NEW}```", ONE, "/testbed") == {"pkg/calc.py": NEW}


def test_a_block_without_a_path_is_the_one_file_that_it_resembles() -> None:
    assert parse_files(f"Here:\n```python\n{NEW}```", TWO, "/testbed") == {"pkg/calc.py": NEW}
    twins = {**ONE, "pkg/same.py": ONE["pkg/calc.py"]}
    assert parse_files(f"Here:\n```python\n{NEW}```", twins, "/testbed") == {}
    assert parse_files("Run:\n```\npip install it\n```", TWO, "/testbed") == {}
    both = f"```python\n{NEW}```\n\npkg/text.py\n```\nx = 2\n```"
    assert parse_files(both, TWO, "/testbed") == {"pkg/calc.py": NEW, "pkg/text.py": "x = 2\n"}


def test_several_files_and_a_new_one() -> None:
    answer = f"pkg/calc.py\n```\n{NEW}```\npkg/text.py\n```\nx = 2\n```\npkg/new.py\n```\ny = 1\n```"
    assert set(parse_files(answer, TWO, "/testbed")) == {"pkg/calc.py", "pkg/text.py", "pkg/new.py"}


@pytest.mark.parametrize("path", ["../evil.py", "/etc/passwd.py", ".git/hooks/x.py", "a/../../evil.py"])
def test_paths_outside_the_repository_are_not_written(path: str) -> None:
    assert parse_files(f"{path}\n```\n{NEW}```", TWO, "/testbed") == {}


@pytest.mark.parametrize("answer", ["", "I cannot.", "```", "```\n```", "pkg/calc.py\n```\n\n```"])
def test_an_answer_without_a_file(answer: str) -> None:
    assert parse_files(answer, ONE, "/testbed") == {}


def test_endings_stay_as_they_were() -> None:
    shown = {"w.py": "a\r\nb\r\n", "n.py": "x"}
    answer = "w.py\n```\na\nc\n```\nn.py\n```\ny\n```"
    assert parse_files(answer, shown, "/testbed") == {"w.py": "a\r\nc\r\n", "n.py": "y"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {
        "src/alpha.py": "def common(): ...\ndef parse_header(x): ...\n",
        "src/beta.py": "def common(): ...\n",
        "src/gamma.py": "def common(): ...\n",
        "tests/test_alpha.py": "parse_header",
        "README.md": "parse_header",
        "setup.cfg": "[a]",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rare_identifiers_and_named_files_come_first(repository: Path) -> None:
    sandbox = LocalSandbox(repository)
    shown = relevant_files(sandbox, brief("`parse_header` fails with common input"), timeout=20)
    assert list(shown) == ["src/alpha.py", "src/beta.py", "src/gamma.py"]
    assert next(iter(relevant_files(sandbox, brief("see src/gamma.py"), timeout=20))) == "src/gamma.py"
    assert relevant_files(sandbox, brief("see src/gamma.py"), timeout=20) == relevant_files(
        sandbox, brief("see src/gamma.py"), timeout=20
    )


def test_tests_and_configuration_are_shown_only_where_there_is_no_code(tmp_path: Path) -> None:
    (tmp_path / "setup.cfg").write_text("[a]")
    assert list(relevant_files(LocalSandbox(tmp_path), brief("x"), timeout=20)) == ["setup.cfg"]


def test_files_beyond_the_budget_and_binary_ones_are_left_out(repository: Path) -> None:
    (repository / "src/huge.py").write_text("parse_header = 1\n" * (CHARACTER_BUDGET // 10))
    (repository / "src/blob.c").write_bytes(b"parse_header\xff\xfe\0")
    shown = relevant_files(LocalSandbox(repository), brief("parse_header"), timeout=20)
    assert list(shown) == ["src/alpha.py", "src/beta.py", "src/gamma.py"]
    assert sum(map(len, shown.values())) <= CHARACTER_BUDGET


@pytest.mark.parametrize(
    ("answer", "stop", "content"),
    [
        (say(f"pkg/calc.py\n```python\n{NEW}```"), Stop.SUBMITTED, NEW),
        (say("It should add."), Stop.MALFORMED, ONE["pkg/calc.py"]),
        (
            error(400, {"error": {"type": "exceed_context_size_error"}}),
            Stop.CONTEXT_OVERFLOW,
            ONE["pkg/calc.py"],
        ),
    ],
)
def test_one_call_and_its_files(answer: object, stop: Stop, content: str, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/calc.py").write_text(ONE["pkg/calc.py"])
    with FakeServer(answer) as server:  # type: ignore[arg-type]
        model = OpenAIModel(ModelConfig(base_url=server.url, model="m"))
        result = load("oneshot", Settings()).solve(brief("add() subtracts"), model, LocalSandbox(tmp_path))
        assert len(server.requests) == 1
    assert result.stop is stop
    assert (tmp_path / "pkg/calc.py").read_text() == content


def test_a_dead_sandbox_is_the_agents_stop(tmp_path: Path) -> None:
    sandbox = LocalSandbox(tmp_path)
    sandbox.diff()
    with FakeServer(say("x")) as server:
        model = OpenAIModel(ModelConfig(base_url=server.url, model="m"))
        assert load("oneshot", Settings()).solve(brief("x"), model, sandbox).stop is Stop.SANDBOX_BROKEN
