"""Who judges a finished test run: chosen by the task's benchmark. On a machine that is none; Docker is in test_grade_patch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evals.grade.grader import Grader
from evals.grade.judge import Judge, Judgement, NotJudged
from evals.grade.store import KeptRun, RunStore, TestFacts
from evals.grade.swebench import SwebenchJudge
from evals.record import Grade, GraderVerdict, Outcome, Party
from tasks import catalog
from tasks.backend import APPLY_COMMANDS, RunRequest, RunResult, TestLimits
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_judge import PlainJudge

PATCH = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"
REWARDED = RunResult(
    True, 0, False, b"reward 1", {}, 0.5, applied_by=APPLY_COMMANDS[0], log_bytes=len(b"reward 1")
)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return catalog.load("bundled", limit=1)[0]


@pytest.fixture
def grade_with(task: Task, tmp_path: Path) -> Callable[..., tuple[Grade, list[RunRequest]]]:
    """Grades a patch with a judge for one benchmark; also what the machine was asked to run."""

    def grade(
        judge: Judge, benchmark: str = task.benchmark, run: RunResult = REWARDED
    ) -> tuple[Grade, list[RunRequest]]:
        asked: list[RunRequest] = []

        def machine(request: RunRequest, /) -> RunResult:
            asked.append(request)
            return run

        store, backend = RunStore(tmp_path / "runs"), PlainBackend(tests=machine)
        with Grader(store=store, strict=False, backend=backend, judges={benchmark: judge}) as grader:
            return grader.grade_patch(task, PATCH), asked

    return grade


def by_reward(run: KeptRun) -> Judgement:
    outcome = Outcome.RESOLVED if run.log == b"reward 1" else Outcome.UNRESOLVED
    return Judgement(GraderVerdict(outcome=outcome), ("no regression tests",))


def nobody_can_say(run: KeptRun) -> Judgement:
    raise NotJudged(Party.TASK, "the verifier could not fetch its tools")


def never_asked(run: KeptRun) -> Judgement:
    raise AssertionError("there is no run to judge")


def test_the_benchmarks_judge_says_what_runs_and_what_came_of_it(
    task: Task, grade_with: Callable[..., tuple[Grade, list[RunRequest]]]
) -> None:
    grade, asked = grade_with(PlainJudge(by_reward))
    assert asked == [RunRequest(PATCH, {"/verify/id": task.id.encode()}, PlainJudge.script)]
    assert (grade.outcome, grade.grader) == (Outcome.RESOLVED, PlainJudge.name)
    assert grade.evidence == ("no regression tests",)


def test_a_judge_that_cannot_say_gives_no_verdict(
    grade_with: Callable[..., tuple[Grade, list[RunRequest]]],
) -> None:
    grade, _ = grade_with(PlainJudge(nobody_can_say))
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.TASK)
    assert (grade.grader, grade.official.reason) == (
        PlainJudge.name,
        "the verifier could not fetch its tools",
    )


def test_no_judge_is_asked_about_a_patch_that_does_not_apply(
    grade_with: Callable[..., tuple[Grade, list[RunRequest]]],
) -> None:
    grade, _ = grade_with(PlainJudge(never_asked), run=REWARDED._replace(applied=False, applied_by=""))
    assert (grade.outcome, grade.grader) == (Outcome.UNRESOLVED, PlainJudge.name)
    assert grade.official.reason.startswith("the patch does not apply")


def test_every_other_benchmark_is_swebenchs(
    task: Task, grade_with: Callable[..., tuple[Grade, list[RunRequest]]]
) -> None:
    grade, asked = grade_with(PlainJudge(never_asked), "another")
    assert (grade.outcome, grade.grader) == (Outcome.UNRESOLVED, "swebench==5.0.2")
    assert [task.checks.row["base_commit"] in request.script for request in asked] == [True]


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"ended": "it wrote 11 GB", "timed_out": True}, "were stopped: it wrote 11 GB"),
        ({"timed_out": True}, "did not end within 60 s"),
        ({"log_bytes": 2_000_000}, "the tests wrote 2 MB"),
    ],
)
def test_a_run_that_was_ended_is_not_resolved_for_swebench(
    task: Task, ended: dict[str, object], words: str
) -> None:
    facts = TestFacts(key="", image="", applied_by="git apply").model_copy(update=ended)
    judgement = SwebenchJudge("swebench==5.0.2", TestLimits(seconds=60)).judge(task, KeptRun(facts, b""))
    assert judgement.column.outcome is Outcome.UNRESOLVED
    assert words in judgement.column.reason
