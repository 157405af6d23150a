"""What a wrong command line or a wrong path gets: one line that says what to do, an exit code, no traceback."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.commands import output
from evals.commands.application import app
from evals.commands.grade import without_limits
from evals.commands.run import _exit_code, spoiled
from evals.commands.stopping import resuming
from evals.record import AttemptKey, Failure, Outcome, Party, Record
from evals.run.plan import RunPlan, load_plan, plan_keys, settings
from tasks.backend import TestLimits
from tasks.errors import UserError
from tasks.sandbox import Limits
from tests.command_line import asclaimed
from tests.runs_on_disk import write_attempt, write_run


def without_docker(*words: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the client of this one stays with its daemon."""
    return subprocess.run(
        [sys.executable, "-m", "evals", *map(str, words)],
        capture_output=True, text=True, check=False, env=os.environ | {"DOCKER_HOST": "unix:///nowhere"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "--out", "FILE", "--scaffold", "gold"), "FILE"),
        (("run", "--out", "FILE/below", "--scaffold", "gold"), "FILE"),
        (("run", "--out", "/proc/none", "--scaffold", "gold"), "/proc/none"),
        (("report", "FILE"), "FILE is not a run directory"),
        (("grade", "FILE"), "FILE is not a run directory"),
        (("tasks", "check", "--tasks", "bundled", "--limit", "1", "--out", "FILE/below"), "FILE/below"),
        (("tasks", "check", "--tasks", "bundled", "--limit", "1", "--out", "/proc"), "/proc is a directory"),
        (("tasks", "check", "--tasks", "bundled", "--limit", "1", "--out", "new/"), "new/ names a directory"),
        (("bench", "--out", "/proc/none"), "cannot write /proc/none"),
        (("import", "auto", "nothing.json", "--out", "FILE"), "FILE is not empty"),
        (("run", "--base-url", "http://127.0.0.1:1/v1"), "give --model"),
        (("run", "--scaffold", "gould"), "did you mean 'gold'?"),
        (("run", "--set", "budgt.steps=3"), "did you mean 'budget.steps'?"),
        (("run", "--set", "budget.steps"), "KEY=VALUE"),
        (("run", "--max-steps", "3", "--set", "budget.steps=many"), "--max-steps"),
        (("claims", "show", "qwen3.6-27b/swe-bench-verifed"), "did you mean 'qwen3.6-27b/swe-bench-verified"),
        (("claims", "list", "--model", "nosuch"), "no claim"),
    ],
)
def test_one_line_and_two(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    done = asclaimed(*(word.replace("FILE", str(file)) for word in words))
    assert done.returncode == 2
    assert says.replace("FILE", str(file)) in done.stderr
    assert done.stderr.count("\n") == 1
    assert file.read_text() == "mine"


def test_a_reader_who_went_away_and_a_closed_or_full_stream_are_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "evals", "claims", "list", "--json"]
    unread = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (unread.returncode, unread.stderr) == (141, "")
    for redirected, said in (
        ("<&- >&-", (0, "")),
        (">/dev/full", (3, "asclaimed: No space left on device\n")),
    ):
        done = subprocess.run(
            ["bash", "-c", f"{shlex.join(command)} {redirected}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == said


def test_letters_that_a_locale_lacks_are_question_marks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evals", "plan", "qwen3.6-27b/swe-bench-verified", "--margin", "8"],
        capture_output=True, encoding="latin-1", check=False, env=os.environ | {"PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "margin ±8 points" in done.stdout
    assert re.search(r"100% +\?\n", done.stdout)


def test_ctrl_c_before_anything_began_is_no_traceback() -> None:
    late = "import builtins, os, signal, sys; sys.argv = ['asclaimed', 'claims', 'list']; real = builtins.__import__\n"
    late += "def stop(name, *rest): return os.kill(os.getpid(), 2) if name.startswith('evals.commands.app') else real(name, *rest)\n"
    late += (
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job lacks\n"
    )
    late += "from evals.cli import main; builtins.__import__ = stop; main()"
    done = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


def test_ctrl_c_while_a_module_is_loaded_ends_whoever_swallows_it() -> None:
    swallowing = """
import os, signal, sys
class Swallows:
    def find_spec(self, name, *rest):
        if name == "evals.commands.claims":
            try: os.kill(os.getpid(), signal.SIGINT)
            except KeyboardInterrupt: pass
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job lacks
sys.meta_path.insert(0, Swallows())
sys.argv = ["asclaimed", "claims", "list"]
from evals.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", swallowing], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_grading_without_limits_leaves_all_else_as_it_was() -> None:
    limits = TestLimits(seconds=7, container=Limits(memory=1 << 30))
    assert without_limits(limits) == TestLimits(
        seconds=7, container=Limits(memory=1 << 30, allow_unlimited=True)
    )


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = asclaimed(
        "run", "--scaffold", "gold", "--limit", "1", "--out", tmp_path / "run", XDG_CACHE_HOME="/proc/x"
    )
    assert done.returncode in (2, 3)
    assert "Traceback" not in done.stderr
    assert "/proc/x" in done.stderr


def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    for command in ("report", "nightly"):
        assert "\x1b" not in asclaimed(command, tmp_path / "none", NO_COLOR="1", FORCE_COLOR="1").stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_both_ways_to_ask_for_help(option: str) -> None:
    pages = [asclaimed(*group, option) for group in ((), ("run",), ("claims",), ("claims", "list"))]
    assert [page.returncode for page in pages] == [0] * 4
    assert all(page.stdout.startswith("Usage: asclaimed") for page in pages)


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the tree, by its words."""
    from typer.main import get_command

    def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        inner = command.list_commands(None) if hasattr(command, "list_commands") else []
        if not inner:
            yield name, command
        for word in inner:
            yield from below(f"{name} {word}".strip(), command.get_command(None, word))

    yield from below("", get_command(app))


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in commands()
        for parameter in command.params
        if not getattr(parameter, "help", "")
    ]
    assert silent == []


def test_every_command_with_results_prints_them_as_json() -> None:
    silent = {
        name
        for name, command in commands()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert silent == {"serve"}


def test_json_is_one_document(tmp_path: Path) -> None:
    resolved = tmp_path / "resolved.json"
    resolved.write_text(json.dumps({"resolved": ["django__django-11099"]}))
    out = tmp_path / "run"
    imported = asclaimed(
        "import", "resolved", resolved, "--tasks", "swebench-verified", "--model", "m", "--scaffold", "s",
        "--out", out, "--json",
    )  # fmt: skip
    assert json.loads(imported.stdout)["tasks"] == 500, imported.stderr
    assert len(json.loads(asclaimed("report", out, out, "--json").stdout)) == 2
    assert {"Docker", "disk"} <= json.loads(without_docker("doctor", "--json").stdout).keys()


def test_a_pipe_is_wide_and_all_commands_write_through_one_console(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert output.console().width >= 160
    monkeypatch.setenv("COLUMNS", "90")
    assert output.console().width == 90
    own = Path(output.__file__)
    assert [path.name for path in own.parent.glob("*.py") if " Console(" in path.read_text()] == [own.name]


def test_any_key_of_a_plan_can_be_set() -> None:
    plan = load_plan(
        None,
        {"tasks": "bundled"}
        | settings(["budget.seconds=7", "workers=3", "looks=[5, 9]", "claim=x", "margin=8"]),
    )
    assert (plan.budget.seconds, plan.workers, plan.looks) == (7, 3, (5, 9))
    assert {"model.sampling.temperature", "sandbox.memory", "tasks"} <= set(plan_keys())
    assert set(RunPlan.model_fields) == {key.split(".")[0] for key in plan_keys()}


def test_an_unknown_key_of_a_file_is_named_with_its_like(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("tasks: bundled\nworker: 3\n")
    with pytest.raises(UserError, match=r"plan\.yaml: there is no key `worker`; did you mean 'workers'\?"):
        load_plan(tmp_path / "plan.yaml", {})


def test_a_run_that_stops_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["asclaimed", "run", "my plan.yaml"])
    assert resuming(Path("runs/x")) == "asclaimed run 'my plan.yaml' --out runs/x"
    monkeypatch.setattr(sys, "argv", ["asclaimed", "run", "--out=runs/x"])
    assert resuming(Path("runs/x")) == "asclaimed run --out=runs/x"


def test_the_exit_codes_of_the_readme(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED, margin=8)
    (run / "ledger.jsonl").touch()
    claim = "qwen3.6-27b/swe-bench-verified"
    codes = {
        0: [("report", run), ("verify", claim, run), ("compare", run)],
        2: [("report", tmp_path), ("verify", "none", run), ("compare", run, "--by", "x"), ("run", "--bad")],
    }
    found = {
        (code, words): asclaimed(*words).returncode
        for code, all_words in codes.items()
        for words in all_words
    }
    assert {key: got for key, got in found.items() if got != key[0]} == {}
    assert without_docker("doctor").returncode == 3
    new = ("run", "--scaffold", "gold", "--limit", "1", "--out", tmp_path / "new")
    assert without_docker(*new).returncode == 3
    assert [_exit_code(True, False), _exit_code(True, True), _exit_code(False, True)] == [0, 1, 130]


def test_a_run_without_grades_counts_what_it_could_not_make(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: None, tasks=2, scaffolds=("edit",))
    assert spoiled(run) == 0
    key = AttemptKey(scaffold="edit", task_id="t0", attempt=1)
    write_attempt(run, key, Outcome.UNRESOLVED)
    (key.directory(run) / "grade.json").unlink()
    assert spoiled(run) == 0
    path = key.directory(run) / "record.json"
    failure = Failure(party=Party.SANDBOX, message="no image")
    path.write_text(
        Record.model_validate_json(path.read_bytes())
        .model_copy(update={"failure": failure})
        .model_dump_json()
    )
    assert spoiled(run) == 1
