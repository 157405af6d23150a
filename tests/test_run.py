"""The run's promises: nothing lost, nothing twice, every fault booked to the right party."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Record, all_keys
from evals.results.score import load_attempts, score
from evals.run.admission import Admission
from evals.run.attempt import Abandoned
from evals.run.calibrations import Calibrate
from evals.run.executor import Executor
from evals.run.hooks import RunHooks
from evals.run.image_supply import ImagePolicy
from evals.run.ledger import Ledger, verify
from evals.run.looks import Look
from evals.run.queue import Run
from evals.run.set_aside import forget_unjudged
from evals.run.tool_calls import evidence
from scaffolds.base import Settings, Step, Stop, Trajectory
from scaffolds.model import ModelError, Trouble
from tasks.backend import Prepared
from tasks.errors import GoldError, MachineError, TaskError, UserError
from tasks.sandbox import SandboxError
from tasks.task import Brief, Checks, ImageSpec, Task
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_context import plain_context
from tests.fakes.plain_sandbox import PlainSandbox

PATCH = b"diff --git a/f b/f\n"


def make_task(name: str, statement: str = "p") -> Task:
    return Task(
        id=name,
        benchmark="test",
        image=ImageSpec(reference="none"),
        brief=Brief(task_id=name, repo="r", problem_statement=statement),
        checks=Checks(fail_to_pass=("t",), pass_to_pass=(), gold_patch="", test_patch=""),
    )


TASKS = [make_task("one"), make_task("two"), make_task("three")]
IDS = [task.id for task in TASKS]


class Scripted:
    """A scaffold that does what a function says."""

    def __init__(self, settings: Settings, act: Callable[[str], None]) -> None:
        self.settings, self.act = settings, act

    def solve(self, brief: Brief, model: object, sandbox: object) -> Trajectory:
        self.settings.on_step(Step(source="agent", message="working"))
        self.act(brief.task_id)
        return Trajectory(Stop.SUBMITTED, steps=1, completion_tokens=5)


def resolve_one(task: Task, record: Record, directory: Path) -> Grade:
    outcome = Outcome.RESOLVED if task.id == "one" else Outcome.UNRESOLVED
    return Grade(outcome=outcome, official=GraderVerdict(outcome=outcome), grader="test", key="k")


def make_run(
    directory: Path,
    act: Callable[[str], None] = lambda _task: None,
    *,
    attempts: int = 1,
    grade: Callable[[Task, Record, Path], Grade] | None = resolve_one,
    wait: Callable[[Callable[[], bool]], bool] = lambda _stop: False,
    backend: PlainBackend | None = None,
    tasks: Sequence[Task] = TASKS,
    look: Callable[[AttemptKey], Look | None] = lambda _key: None,
    short_prompt: Callable[[], ModelError | None] = lambda: None,
    scaffolds: Sequence[str] = ("a", "b"),
    executor: Executor | None = None,
    calibrate: Calibrate | None = None,
    idles: Callable[[], bool] = lambda: True,
    admission: Admission | None = None,
    images: ImagePolicy | None = None,
) -> Run:
    directory.mkdir(parents=True, exist_ok=True)
    context = plain_context(
        directory,
        backend=backend or PlainBackend(lambda: PlainSandbox(PATCH)),
        make_scaffold=lambda _name, _task, settings: Scripted(settings, act),
    )
    keys = list(all_keys(scaffolds, [task.id for task in tasks], attempts))
    more = {
        "executor": executor,
        "calibrate": calibrate,
        "idles": idles,
        "admission": admission or Admission(),
        "images": images or ImagePolicy(),
    }
    hooks = RunHooks(grade, wait, look, short_prompt, **more)
    return Run(context, tasks, keys, hooks, Ledger(directory / "ledger.jsonl"))


def record_of(directory: Path, scaffold: str = "a", task: str = "one", attempt: int = 1) -> Record:
    key = AttemptKey(scaffold=scaffold, task_id=task, attempt=attempt)
    return Record.model_validate_json((key.directory(directory) / "record.json").read_bytes())


def test_each_sandbox_is_labelled_so_that_a_stopped_run_finds_it(tmp_path: Path) -> None:
    backend = PlainBackend(lambda: PlainSandbox(PATCH))
    make_run(tmp_path, backend=backend, tasks=TASKS[:1]).work(workers=1, graders=1)
    assert backend.labels == [{"run": "test", "attempt": f"{scaffold}/one/1"} for scaffold in ("a", "b")]


def test_every_attempt_is_recorded_graded_and_scored(tmp_path: Path) -> None:
    run = make_run(tmp_path, attempts=2)
    run.work(workers=3, graders=2)
    assert (run.tally.done, run.tally.graded, run.tally.resolved) == (12, 12, 4)
    assert verify(tmp_path / "ledger.jsonl") == []
    assert (tmp_path / "a/one/1/patch.diff").read_bytes() == PATCH
    document = json.loads((tmp_path / "a/one/1/trajectory.json").read_text())
    assert document["schema_version"].startswith("ATIF-")
    assert document["steps"][0]["message"] == "working"
    line = score("a", load_attempts(tmp_path, list(all_keys(["a"], IDS, 2))))
    assert (line.resolved, line.judged, line.rate) == (2, 6, pytest.approx(1 / 3))


@pytest.mark.parametrize("file", ["record.json", "grade.json"])
def test_half_a_record_is_one_line_and_half_a_grade_is_made_again(tmp_path: Path, file: str) -> None:
    make_run(tmp_path).work(workers=1, graders=1)
    path = tmp_path / "a/one/1" / file
    whole, keys = path.read_bytes(), [AttemptKey(scaffold="a", task_id="one", attempt=1)]
    path.write_bytes(whole[:40])
    if file == "record.json":
        for read in (forget_unjudged, evidence):
            with pytest.raises(
                UserError, match=r"record\.json is damaged .* remove it to have its attempt made"
            ):
                read(tmp_path, keys)
        return
    assert forget_unjudged(tmp_path, keys) == 0
    make_run(tmp_path).work(workers=1, graders=1)
    assert path.read_bytes() == whole


def test_scaffolds_interleave_over_tasks() -> None:
    order = [(key.attempt, key.task_id, key.scaffold) for key in all_keys(["a", "b"], ["t", "u"], 2)]
    assert order[:4] == [(1, "t", "a"), (1, "t", "b"), (1, "u", "a"), (1, "u", "b")]
    assert order[4][0] == 2


def test_a_second_call_does_nothing_twice(tmp_path: Path) -> None:
    make_run(tmp_path).work(workers=2, graders=1)
    asked: list[str] = []
    again = make_run(tmp_path, asked.append)
    assert again.finished
    again.work(workers=2, graders=1)
    assert asked == []
    assert again.tally.resolved == 2


def test_what_was_recorded_ungraded_is_graded_later(tmp_path: Path) -> None:
    make_run(tmp_path, grade=None).work(workers=2, graders=1)
    assert not list(tmp_path.glob("*/*/*/grade.json"))
    later = make_run(tmp_path)
    later.work(workers=2, graders=1)
    assert len(list(tmp_path.glob("*/*/*/grade.json"))) == 6
    assert later.tally.graded == 6


def test_a_server_that_goes_away_suspends_and_costs_nothing(tmp_path: Path) -> None:
    failures = {"one": 7}

    def act(task: str) -> None:
        if failures.get(task, 0):
            failures[task] -= 1
            raise ModelError("connection refused")

    run = make_run(tmp_path, act, wait=lambda _stop: True)
    run.work(workers=1, graders=1)
    assert run.tally.done == 6
    assert all(record_of(tmp_path, "a", task).failure is None for task in IDS)
    assert len(list(tmp_path.glob("*/one/1.failed-*"))) == 7


def test_a_server_that_is_up_but_keeps_failing_is_not_judged_after_three_tries_and_one_at_the_end(
    tmp_path: Path,
) -> None:
    def act(task: str) -> None:
        if task == "two":
            raise ModelError("stalled", kind=Trouble.STALLED)

    run = make_run(tmp_path, act)
    run.work(workers=1, graders=1)
    failure = record_of(tmp_path, "a", "two").failure
    assert failure is not None
    assert failure.party == "server"
    assert len(list(tmp_path.glob("a/two/1.failed-*"))) == 4
    line = score("a", load_attempts(tmp_path, list(all_keys(["a"], IDS, 1))))
    assert (line.judged, line.unjudged_by) == (2, {"server": 1})
    assert line.bounds == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_a_missing_image_costs_its_own_attempts_and_no_other(tmp_path: Path) -> None:
    def prepare(task: Task) -> Prepared:
        if task.id == "two":
            raise TaskError("image nobody/has-it is not here and cannot be pulled")
        return plain_image(task)

    run = make_run(tmp_path, backend=PlainBackend(prepare=prepare))
    run.work(workers=1, graders=1)
    assert run.tally.done == 6
    failure = record_of(tmp_path, "b", "two").failure
    assert failure is not None
    assert "nobody/has-it" in failure.message
    assert record_of(tmp_path, "b", "three").failure is None


def test_a_gold_patch_that_does_not_apply_is_the_tasks_fault(tmp_path: Path) -> None:
    def act(_task: str) -> None:
        raise GoldError("the gold patch does not apply in its own image")

    make_run(tmp_path, act, tasks=TASKS[:1]).work(workers=1, graders=1)
    failure = record_of(tmp_path).failure
    assert failure is not None
    assert failure.party == "task"


def test_not_judged_can_be_tried_again_without_losing_anything(tmp_path: Path) -> None:
    def act(task: str) -> None:
        if task == "two":
            raise SandboxError("pull failed")

    make_run(tmp_path, act).work(workers=1, graders=1)
    assert forget_unjudged(tmp_path, list(all_keys(["a", "b"], IDS, 1))) == 2
    make_run(tmp_path).work(workers=1, graders=1)
    assert record_of(tmp_path, "a", "two").failure is None
    assert (tmp_path / "a/two/1.unjudged-1/record.json").exists()


def test_a_refusal_before_anything_worked_ends_the_run_with_one_line(tmp_path: Path) -> None:
    def act(_task: str) -> None:
        raise ModelError("401 bad key", kind=Trouble.REFUSED, retryable=False)

    run = make_run(tmp_path, act)
    with pytest.raises(UserError, match="bad key"):
        run.work(workers=1, graders=1)
    assert not list(tmp_path.glob("*/*/*/record.json"))


def test_a_daemon_that_dies_ends_the_run_and_records_nothing_false(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evals.run.outages.DAEMON_PATIENCE", 0.0)

    def act(_task: str) -> None:
        raise SandboxError("cannot connect")

    run = make_run(tmp_path, act, backend=PlainBackend(answers=lambda: False))
    with pytest.raises(MachineError, match="resume"):
        run.work(workers=2, graders=1)
    assert not list(tmp_path.glob("*/*/*/record.json"))


def test_our_own_mistake_stops_the_run_loudly(tmp_path: Path) -> None:
    def act(_task: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_run(tmp_path, act).work(workers=1, graders=1)


def test_a_gentle_stop_finishes_what_runs_and_resumes(tmp_path: Path) -> None:
    started = threading.Event()

    def act(_task: str) -> None:
        started.set()
        time.sleep(0.2)

    run = make_run(tmp_path, act)
    threading.Thread(target=lambda: (started.wait(5), run.stop())).start()
    run.work(workers=1, graders=1)
    assert 1 <= run.tally.done < 6
    again = make_run(tmp_path)
    again.work(workers=1, graders=1)
    assert again.tally.done == 6


def test_an_abandoned_attempt_leaves_no_record(tmp_path: Path) -> None:
    run = make_run(tmp_path, lambda _task: run.abandon())
    with pytest.raises(Abandoned):
        run.work(workers=1, graders=1)
    assert not list(tmp_path.glob("*/*/*/record.json"))


KILLED = """
import sys, time
from pathlib import Path
from tests.test_run import make_run

def act(task):
    if task == "two":
        Path(sys.argv[1], "in-two").touch()
        time.sleep(60)

make_run(Path(sys.argv[1]), act).work(workers=1, graders=1)
"""


def test_resume_after_kill_nine_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)], cwd=Path(__file__).parents[1]
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "in-two").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    asked: list[str] = []
    run = make_run(tmp_path, asked.append)
    run.work(workers=1, graders=1)
    assert sorted(asked) == ["three", "three", "two", "two"]
    assert run.tally.done == 6
    assert (tmp_path / "a/two/1.interrupted-1/steps.jsonl").exists()
    assert verify(tmp_path / "ledger.jsonl") == []
