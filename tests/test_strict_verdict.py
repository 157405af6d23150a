"""What the strict grader concludes from what it saw; the runs themselves are in test_exploits."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from evals.grade.strict import suite
from evals.grade.strict.baseline import Calibration
from evals.grade.strict.delivery import Observed
from evals.grade.strict.language import Names
from evals.grade.strict.mixed import Mixed, affordable, durations, expected_of
from evals.grade.strict.negative_controls import Control
from evals.grade.strict.result_file import Results
from evals.grade.strict.runners import PYTHON
from evals.grade.strict.script import put_together, take_apart
from evals.grade.strict.variants import Copy, Varied
from evals.grade.strict.verdict import drawn, judge, objections_of, strict_verdict
from evals.record import GraderVerdict, Outcome
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task

GOLD = Calibration(baseline={"t.py::a": "passed", "t.py::b": "skipped", "t.py::c": "xfailed"}, exit_code=0)
GOOD = {"t.py::a": "passed", "t.py::b": "skipped", "t.py::c": "xfailed"}

NAMES = Names("/s", "m", "/r", "k")


def seen(states: dict[str, str] | None = None, **other: object) -> Observed:
    """A run in which all went well, but for what is said."""
    results = Results(GOOD | (states or {}), bool(other.pop("ended", True)), int(other.pop("forged", 0)))  # type: ignore[call-overload]
    return Observed(True, False, 0, results, (), 1.0, 0.5)._replace(**other)  # type: ignore[arg-type]


def test_the_states_of_gold_are_a_would_be_pass() -> None:
    assert judge(seen(), GOLD) == GraderVerdict(outcome=Outcome.RESOLVED, tests=GOOD)


@pytest.mark.parametrize(
    ("run", "outcome", "reason"),
    [
        (seen({"t.py::a": "xfailed"}), Outcome.UNRESOLVED, "1 of 3 graded tests did not pass"),
        (seen({"t.py::a": "skipped"}), Outcome.UNRESOLVED, "1 of 3"),
        (seen({"t.py::b": "failed"}), Outcome.UNRESOLVED, "1 of 3"),
        (seen(applied=False), Outcome.UNRESOLVED, "does not apply"),
        (seen(timed_out=True), Outcome.UNRESOLVED, "in time"),
        (seen(ended=False), Outcome.UNRESOLVED, "did not come to its end"),
        (seen(exit_code=None), Outcome.UNRESOLVED, "did not come to its end"),
        (seen(exit_code=1), Outcome.UNRESOLVED, "exited with 1"),
        (seen(forged=2), Outcome.VIOLATION, "2 lines"),
        (seen(tampered=("t.py",)), Outcome.VIOLATION, "1 delivered test files"),
        (seen({"t.py::other": "failed"}, exit_code=1), Outcome.RESOLVED, ""),
        (seen({"t.py::b": "passed", "t.py::c": "passed"}), Outcome.RESOLVED, ""),
    ],
)
def test_each_way_not_to_pass(run: Observed, outcome: Outcome, reason: str) -> None:
    column = judge(run, GOLD)
    assert (column.outcome, reason in column.reason) == (outcome, True)


def test_what_gold_does_too_is_no_objection() -> None:
    gold = GOLD.model_copy(update={"exit_code": 1, "tampered": ("t.py",)})
    assert judge(seen(exit_code=1, tampered=("t.py",)), gold).outcome is Outcome.RESOLVED


MIXED = GOLD.model_copy(
    update={
        "mixed": Mixed(
            tests={},
            true=frozenset({"t.py::a_1", "t.py::a_3"}),
            false=frozenset({"t.py::a_2"}),
            stands_for={"t.py::a": ("t.py::a_1", "t.py::a_2", "t.py::a_3")},
            replaced=frozenset({"t.py::a"}),
            functions=frozenset({"a"}),
            guess=1 / 4,
            exit_code=1,
        )
    }
)
COPIES = {"t.py::a_1": "passed", "t.py::a_2": "failed", "t.py::a_3": "passed"}


@pytest.mark.parametrize(
    ("states", "exit_code", "outcome", "reason"),
    [
        ({}, 1, Outcome.RESOLVED, ""),
        ({"t.py::a_2": "passed"}, 1, Outcome.VIOLATION, "1 copies of tests that are false did not fail"),
        ({"t.py::a_2": "skipped"}, 1, Outcome.VIOLATION, "did not fail"),
        ({"t.py::a_2": None}, 1, Outcome.VIOLATION, "did not fail"),
        ({"t.py::a_1": "failed"}, 1, Outcome.UNRESOLVED, "1 of 3 graded tests"),
        ({"t.py::a_3": None}, 1, Outcome.UNRESOLVED, "1 of 3 graded tests"),
        ({"t.py::a": "passed"}, 1, Outcome.VIOLATION, "not in the files"),
        ({}, 0, Outcome.VIOLATION, "exited with 0"),
        ({"t.py::a_4": "passed"}, 1, Outcome.RESOLVED, ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_true_copies_must_pass_and_false_ones_fail(
    states: dict[str, str | None], exit_code: int, outcome: Outcome, reason: str
) -> None:
    """A copy that nobody counts (`a_4`) may do what it likes."""
    named = GOOD | COPIES | states
    found = {
        name: state for name, state in named.items() if state and (name != "t.py::a" or "t.py::a" in states)
    }
    run = seen(exit_code=exit_code)
    column = judge(run._replace(results=run.results._replace(states=found)), MIXED)
    assert (column.outcome, reason in column.reason) == (outcome, True)


def test_copies_are_cut_down_to_what_they_may_cost() -> None:
    assert affordable(1.0, 2.1) == affordable(100.0, 90.0) == affordable(100.0, 120.0) == 1
    assert affordable(100.0, 150.0) == pytest.approx(21 / 50)
    assert affordable(1.0, 13.0) == pytest.approx(0.1)


def test_what_copies_cost_is_told_by_one_run() -> None:
    """`b` took 9 s for three copies; as it was it would have taken 3 s, and the run 6 s less."""
    varied = Varied("b", tuple(Copy(f"b_{n}", (n == 1,)) for n in range(3)), (3,), relation=False, values=3)
    seconds = {"t.py::b_0": 2.0, "t.py::b_1": 4.0, "t.py::b_2": 3.0, "t.py::c": 1.0}
    run = seen(seconds=20.0)
    results = run.results._replace(states=dict.fromkeys(seconds, "passed"), seconds=seconds)
    assert durations([varied], run._replace(results=results)) == (14.0, 20.0)
    crowded = run._replace(results=results, seconds=5.0)
    assert durations([varied], crowded) == (2.0, 5.0), "side by side: they took half of what they say"


def test_copies_count_as_far_as_gold_does_what_they_ask_for() -> None:
    varied = Varied(
        "a",
        (Copy("a_1", (True,)), Copy("a_2", (False,)), Copy("a_3", (False,))),
        (3,),
        relation=False,
        values=3,
    )
    plain = seen()

    def expected(**states: str) -> object:
        results = plain.results._replace(states={f"t.py::{name}": state for name, state in states.items()})
        return expected_of(varied, plain, plain._replace(results=results))

    assert expected(a_1="passed", a_2="failed", a_3="passed") == {
        "t.py::a_1": ("t.py::a", True),
        "t.py::a_2": ("t.py::a", False),
    }
    assert expected(a_1="failed", a_2="failed", a_3="failed") is None
    assert expected(a_1="passed", a_2="passed", a_3="passed") is None
    assert expected(a_1="passed", a_2="failed") is None


CONTROL = Control(name="bodies", tests={}, must_fail=frozenset({"t.py::a"}), covers=frozenset(), exit_code=1)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (seen({"t.py::a": "failed"}, exit_code=1), []),
        (seen({"t.py::a": "passed"}, exit_code=1), ["1 tests made to fail did not fail"]),
        (seen({"t.py::a": "xfailed"}, exit_code=1), ["did not fail"]),
        (seen({"t.py::a": "skipped"}, exit_code=1), ["did not fail"]),
        (seen({"t.py::a": "failed"}, exit_code=0), ["exited with 0"]),
        (seen({"t.py::a": "failed"}, exit_code=1, forged=1), ["not our reporter's"]),
        (
            seen(exit_code=None)._replace(results=Results({}, False, 0)),
            ["1 tests made to fail gave no result"],
        ),
    ],
)
def test_what_a_control_objects_to(run: Observed, words: list[str]) -> None:
    found = objections_of(CONTROL, run)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))


def task(test_patch: str, ids: tuple[str, ...]) -> Task:
    checks = Checks(fail_to_pass=ids, pass_to_pass=(), gold_patch="", test_patch=test_patch)
    return Task(
        id="x__x-1", benchmark="x", image=ImageSpec(reference="x"), checks=checks,
        brief=Brief(task_id="x__x-1", repo="x/x", problem_statement=""),
    )  # fmt: skip


def no_runs(request: RunRequest, /) -> RunResult:
    pytest.fail("nothing may be run")


@pytest.mark.parametrize(
    "script", ["echo no markers\n", ": '>>>>> Start Test Output'\nnpx mocha\n: '>>>>> End Test Output'\n"]
)
def test_where_strict_cannot_judge_it_says_so_and_why(script: str, tmp_path: Path) -> None:
    official = GraderVerdict(outcome=Outcome.RESOLVED, tests={"a": "passed"})
    patch = "diff --git a/test/a.js b/test/a.js\n"
    verdict = strict_verdict(
        task(patch, ("a",)),
        script,
        b"x",
        image_id="i",
        official=official,
        run_tests=no_runs,
        calibrations=tmp_path,
    )
    assert verdict.column.outcome is Outcome.RESOLVED
    assert verdict.column.reason.startswith("strict not available: ")
    assert verdict.evidence


def test_every_recorded_script_comes_apart(shared_data: Path) -> None:
    for line in (shared_data / "grading" / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        parts = take_apart(row["eval_script"])
        assert parts is not None
        assert len(parts.tests) == 1
        assert parts.restored
        text = "\n".join(parts.setup)
        assert "EOF_" not in text
        assert "git apply" not in text
        assert not any(line.startswith("git checkout") for line in parts.setup)
        script = put_together(parts, PYTHON, NAMES, copies={"a b/t.py": "/d/0"}, deleted=["gone.py"])
        subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_a_marker_inside_the_test_patch_is_text() -> None:
    script = "git apply -v - <<'EOF_1'\n+: '>>>>> Start Test Output'\nEOF_1\n: '>>>>> Start Test Output'\npytest\n: '>>>>> End Test Output'\nx\n"
    assert take_apart(script) == ((), ("pytest",), ())


def test_the_script_removes_links_and_ends_as_the_tests_end(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repo = tmp_path / "repo"
    (repo / "a").mkdir(parents=True)
    (repo / "a" / "tests").symlink_to(elsewhere)
    (repo / "old.py").write_text("old")
    (tmp_path / "new").write_text("new")
    parts = take_apart(": '>>>>> Start Test Output'\ntrue\n(exit 7)\n: '>>>>> End Test Output'\n")
    assert parts is not None
    copies = {"a/tests/t.py": str(tmp_path / "new")}
    script = put_together(parts, PYTHON, NAMES, copies=copies, deleted=["old.py"])
    done = subprocess.run(["bash", "-c", script], cwd=repo, check=False)
    assert done.returncode == 7
    assert (repo / "a" / "tests" / "t.py").read_text() == "new"
    assert not (repo / "old.py").exists()
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    ("expected", "state"),
    [
        ("t.py::a", "passed"),
        ("t.py::p[x", "failed"),
        ("t.py::p[x y]", "passed"),
        ("t.py::o[/c.py]", "passed"),
        ("t.py::q[lon", "passed"),
        ("test_u (m.T)", "failed"),
        ("t.py::nothing", "missing"),
    ],
)
def test_ids_are_found_as_the_parsers_write_them(expected: str, state: str) -> None:
    reported = suite.Reported(
        {
            "t.py::a": "passed",
            "t.py::p[x y]": "passed",
            "t.py::p[x z]": "failed",
            "t.py::o[/a/b/c.py]": "passed",
            "t.py::q[long one]": "passed",
            "test_u (m.T)": "failed",
        }
    )
    assert reported.state(expected) == state


def test_files_come_from_patch_script_and_ids() -> None:
    patch = "diff --git a/tests/x.py b/tests/y.py\n"
    found = suite.test_paths(
        task(patch, ("p/t.py::C::test_a[x/y]", "test_b (app.tests.T)", "../up.py::t")), ["r.py"]
    )
    assert found[:4] == ("tests/x.py", "tests/y.py", "r.py", "p/t.py")
    assert {"app/tests.py", "tests/app/tests.py"} <= set(found)
    assert not any(".." in path for path in found)


def test_the_test_patch_is_applied_on_the_host() -> None:
    patch = "diff --git a/t.py b/t.py\n--- a/t.py\n+++ b/t.py\n@@ -1 +1 @@\n-old\n+new\n"
    assert suite.with_test_patch({"t.py": b"old\n", "other.py": None}, patch) == {
        "t.py": b"new\n",
        "other.py": None,
    }
    with pytest.raises(ValueError, match="does not apply"):
        suite.with_test_patch({"t.py": b"different\n"}, patch)


def test_runs_come_in_an_order_that_is_drawn_and_now_and_then_one_comes_twice() -> None:
    with_control = GOLD.model_copy(update={"negative_controls": (CONTROL,)})
    runs = [drawn(with_control, Random(seed)) for seed in range(400)]
    assert all(None in found and CONTROL in found for found in runs)
    assert 120 < sum(found[0] is None for found in runs) < 280
    assert 20 < sum(len(found) == 3 for found in runs) < 90
    assert all(drawn(GOLD, Random(seed)) == [None] for seed in range(50)), (
        "one run has nothing to be told from"
    )
