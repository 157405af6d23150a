"""One shot: which files are shown, how an answer is read, and what is written."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.record import AttemptKey, Outcome, Record
from evals.report.summary import summarise
from evals.run.attempt import run_attempt
from scaffolds import load
from scaffolds.answers import AnswerFormat, asked
from scaffolds.base import Budget, Settings, Step, Stop, Trajectory
from scaffolds.files import CHARACTER_BUDGET, LIST, budget_for, lines_of, relevant_files
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.whole_files import Place, parse_files
from tasks.task import Brief, MachineBrief
from tests.fakes.local_sandbox import LocalSandbox
from tests.fakes.openai_server import Answer, FakeServer, error, say, stream
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_context import plain_context
from tests.runs_on_disk import write_run
from tests.test_run import make_task

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
    assert parse_files(answer, TWO, Place("/testbed")) == {"pkg/calc.py": NEW}


def test_a_path_in_a_first_line_comment() -> None:
    answer = f"```python\n# pkg/calc.py\n{NEW}```"
    assert parse_files(answer, TWO, Place("/testbed")) == {"pkg/calc.py": f"# pkg/calc.py\n{NEW}"}


def test_one_shown_file_needs_no_path() -> None:
    assert parse_files(f"Here:\n```python\n{NEW}```", ONE, Place("/testbed")) == {"pkg/calc.py": NEW}


def test_a_block_without_a_path_is_the_one_file_that_it_resembles() -> None:
    assert parse_files(f"Here:\n```python\n{NEW}```", TWO, Place("/testbed")) == {"pkg/calc.py": NEW}
    twins = {**ONE, "pkg/same.py": ONE["pkg/calc.py"]}
    assert parse_files(f"Here:\n```python\n{NEW}```", twins, Place("/testbed")) == {}
    assert parse_files("Run:\n```\npip install it\n```", TWO, Place("/testbed")) == {}
    both = f"```python\n{NEW}```\n\npkg/text.py\n```\nx = 2\n```"
    assert parse_files(both, TWO, Place("/testbed")) == {"pkg/calc.py": NEW, "pkg/text.py": "x = 2\n"}


def test_several_files_and_a_new_one() -> None:
    answer = f"pkg/calc.py\n```\n{NEW}```\npkg/text.py\n```\nx = 2\n```\npkg/new.py\n```\ny = 1\n```"
    assert set(parse_files(answer, TWO, Place("/testbed"))) == {"pkg/calc.py", "pkg/text.py", "pkg/new.py"}


@pytest.mark.parametrize("path", ["../evil.py", "/etc/passwd.py", ".git/hooks/x.py", "a/../../evil.py"])
def test_paths_outside_the_repository_are_not_written(path: str) -> None:
    assert parse_files(f"{path}\n```\n{NEW}```", TWO, Place("/testbed")) == {}


@pytest.mark.parametrize("answer", ["", "I cannot.", "```", "```\n```", "pkg/calc.py\n```\n\n```"])
def test_an_answer_without_a_file(answer: str) -> None:
    assert parse_files(answer, ONE, Place("/testbed")) == {}


def test_endings_stay_as_they_were() -> None:
    shown = {"w.py": "a\r\nb\r\n", "n.py": "x"}
    answer = "w.py\n```\na\nc\n```\nn.py\n```\ny\n```"
    assert parse_files(answer, shown, Place("/testbed")) == {"w.py": "a\r\nc\r\n", "n.py": "y"}


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


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> LocalSandbox:
    """900 sources whose paths alone fill 150 KB: more than the 128 KB of output that a sandbox keeps."""
    root = tmp_path_factory.mktemp("large")
    folder = root / ("a_package_with_a_long_name/" * 6) / "inner"
    folder.mkdir(parents=True)
    for n in range(900):
        text = f"def common_helper_{n % 7}(): ...\n" + f"class Model{n}: ...\n"
        (folder / f"module_number_{n:04}_of_many.py").write_text(text)
    (folder / "module_number_0450_of_many.py").write_text("def parse_header(x): ...\n")
    return LocalSandbox(root)


def test_every_file_of_a_large_tree_is_listed(large: LocalSandbox) -> None:
    listing = lines_of(large, LIST, "/testbed", 60)
    assert len(listing) == 900
    assert sum(len(line) + 1 for line in listing) > 128 << 10


def test_the_file_that_the_report_is_about_is_found_anywhere_in_a_large_tree(large: LocalSandbox) -> None:
    shown = relevant_files(large, brief("Model7 and `parse_header` fail, common_helper_3 too"), timeout=60)
    assert [path.rsplit("/")[-1] for path in shown][:2] == [
        "module_number_0450_of_many.py",
        "module_number_0007_of_many.py",
    ]


def test_the_listing_leaves_nothing_behind(large: LocalSandbox) -> None:
    relevant_files(large, brief("parse_header"), timeout=60)
    made = {name for command in large.commands for name in re.findall(r"/tmp/asclaimed-\w+", command)}
    assert len(made) >= 2
    assert not any(Path(name).exists() for name in made)


def test_a_larger_window_shows_more() -> None:
    assert budget_for(None) == budget_for(8192) == CHARACTER_BUDGET
    assert budget_for(32_768) == 39_321
    assert budget_for(1_000_000) == 200_000


def solve(root: Path, *answer: Answer, **settings: Any) -> tuple[Trajectory, list[Step]]:
    steps: list[Step] = []
    with FakeServer(*answer) as server:
        config = ModelConfig(base_url=server.url, model="m", retries=Retries(attempts=1))
        scaffold = load("oneshot", Settings(on_step=steps.append, **settings))
        result = scaffold.solve(brief("add() subtracts"), OpenAIModel(config), LocalSandbox(root))
        assert len(server.requests) == 1
    return result, steps


def test_an_answer_that_was_cut_is_malformed_and_nothing_of_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/calc.py").write_text(ONE["pkg/calc.py"])
    result, steps = solve(tmp_path, say(f"pkg/calc.py\n```python\n{NEW}```\nAnd", finish="length"))
    assert (result.stop, result.calls.malformed) == (Stop.MALFORMED, 1)
    assert "cut off" in result.detail
    assert "cut off" in steps[-1].observations[0]
    assert (tmp_path / "pkg/calc.py").read_text() == ONE["pkg/calc.py"]


def test_a_file_that_was_not_shown_is_not_overwritten_and_a_new_one_is_written(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/calc.py").write_text(ONE["pkg/calc.py"])
    huge = "x = 1\n" * CHARACTER_BUDGET
    (tmp_path / "pkg/app.py").write_text(huge)
    unseen = f"pkg/app.py\n```python\n{NEW}```\n"
    result, steps = solve(tmp_path, say(unseen))
    assert (result.stop, result.files_shown) == (Stop.MALFORMED, ("pkg/calc.py",))
    assert "not shown" in result.detail
    result, steps = solve(tmp_path, say(f"{unseen}\npkg/new.py\n```\ny = 1\n```"))
    assert (result.stop, (tmp_path / "pkg/new.py").read_text()) == (Stop.SUBMITTED, "y = 1\n")
    assert "not shown" in steps[-1].observations[-1]
    assert (tmp_path / "pkg/app.py").read_text() == huge


def test_time_ends_the_one_call(tmp_path: Path) -> None:
    slow = say(f"pkg/calc.py\n```python\n{NEW}```")
    pieces = stream(*[{"choices": [{"delta": {"content": "x"}}]}] * 100, pause=0.1)
    for answer in (pieces, replace(slow, delay=5, message=None)):
        started = time.monotonic()
        result, _ = solve(tmp_path, answer, budget=Budget(seconds=1))
        assert result.stop is Stop.TIME_LIMIT
        assert time.monotonic() - started < 3
        assert 1 <= result.active_seconds < 2


@pytest.mark.parametrize(
    "answer", ["-" * 200_000, "a/" * 100_000, " " * 200_000, "`" * 200_000, "#" + " " * 200_000]
)
@pytest.mark.parametrize("form", ["{}\n```\nx\n```", "```{}\nx\n```", "```\n{}\n```", "{}"])
def test_hostile_repetition_in_an_answer_costs_no_time(form: str, answer: str) -> None:
    started = time.process_time()
    parse_files(form.format(answer), TWO, Place("/testbed"))
    assert time.process_time() - started < 1


FIX = "diff --git a/{0} b/{0}\n--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"


@pytest.mark.parametrize(("changed", "shown"), [("pkg/calc.py", True), ("pkg/app.py", False)])
def test_a_record_says_whether_the_fix_could_be_seen(changed: str, shown: bool, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "pkg").mkdir(parents=True)
    (repository / "pkg/calc.py").write_text(ONE["pkg/calc.py"])
    (repository / "pkg/app.py").write_text("x = 1\n" * CHARACTER_BUDGET)
    task = make_task("one")
    task = task.model_copy(
        update={"checks": task.checks.model_copy(update={"gold_patch": FIX.format(changed)})}
    )
    with FakeServer(say("I cannot.")) as server:
        context = plain_context(
            tmp_path,
            backend=PlainBackend(lambda: LocalSandbox(repository)),
            model=ModelConfig(base_url=server.url, model="m"),
        )
        key = AttemptKey(scaffold="oneshot", task_id="one", attempt=1)
        record = run_attempt(key, task, plain_image(task), context)
    assert (record.files_shown, record.fix_shown) == (("pkg/calc.py",), shown)


def test_the_report_counts_tasks_on_which_nothing_of_the_fix_was_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: Outcome.UNRESOLVED, tasks=4, scaffolds=["oneshot"])
    (run / "ledger.jsonl").touch()
    for task, shown in (("t0", False), ("t1", False), ("t2", True)):
        path = run / "oneshot" / task / "1/record.json"
        record = Record.model_validate_json(path.read_bytes())
        path.write_text(record.model_copy(update={"fix_shown": shown, "calls_written": 2}).model_dump_json())
    findings = summarise(run).findings
    assert (
        "oneshot: 6 tool calls were written as text, which the server did not parse, and were not run"
        in findings
    )
    (line,) = [line for line in findings if "reference fix" in line]
    assert line.startswith("oneshot: on 2 of 4 tasks no file that the reference fix changes was shown")


def about_machine(statement: str) -> MachineBrief:
    return MachineBrief(task_id="t", repo="maths", problem_statement=statement, workdir="/app")


@pytest.mark.parametrize("form", AnswerFormat)
def test_a_question_without_a_repository_is_asked_as_it_stands(form: AnswerFormat) -> None:
    system, task = asked(form, {}, about_machine("Write 6 × 7 to /app/answer.txt."))
    assert task.startswith("Write 6 × 7 to /app/answer.txt.")
    assert not any(word in system + task for word in ("repair", "reported", "Correct the code", "as it is."))


@pytest.mark.parametrize(
    ("answer", "files"),
    [
        ("/app/answer.txt\n```\n42\n```", {"answer.txt": "42\n"}),
        ("answer.txt\n```\n42\n```", {"answer.txt": "42\n"}),
        ("/srv/out/answer.txt\n```\n42\n```", {"/srv/out/answer.txt": "42\n"}),
        ("../answer.txt\n```\n42\n```", {}),
        ("The answer is 42.", {}),
    ],
)
def test_an_answer_goes_where_it_says_on_a_machine(answer: str, files: dict[str, str]) -> None:
    assert parse_files(answer, {}, Place("/app", anywhere=True)) == files
    inside = {path: text for path, text in files.items() if "/" in path and not path.startswith("/")}
    assert parse_files(answer, {}, Place("/app")) == inside


def test_the_root_of_a_machine_is_not_read_out_to_a_model(repository: Path) -> None:
    brief = about_machine("parse_header").model_copy(update={"workdir": "/"})
    assert relevant_files(LocalSandbox(repository), brief, timeout=20) == {}
