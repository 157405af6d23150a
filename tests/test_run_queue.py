"""What a run does besides attempts, and what its ledger says of it: order, ends, counts and grades, with scaffolds that are scripts."""

from __future__ import annotations

import errno
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evals.record import AttemptKey, Decision, Grade, GraderVerdict, Outcome, Party, Record
from evals.run.admission import Admission
from evals.run.ledger import Ledger
from evals.run.looks import Look
from scaffolds.model import ModelError, Trouble
from tasks.backend import Prepared, Progress, quiet
from tasks.errors import DiskFullError, GoldError, ServiceError, TaskError, UserError
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.test_run import PATCH, TASKS, make_run, make_task, record_of, resolve_one
from tests.test_scaffold_no_parser import leave_records

FOUR = [make_task(name) for name in ("one", "two", "three", "four")]
REFUSED = ModelError("401 bad key", kind=Trouble.REFUSED, retryable=False)


def refuse(_task: str) -> None:
    raise REFUSED


def events(directory: Path, *names: str) -> list[dict[str, Any]]:
    """Facts of the ledger's lines, without their times; all events where none is named."""
    lines = (directory / "ledger.jsonl").read_text().split("\n")[:-1]
    bodies = [json.loads(json.loads(line)["body"]) for line in lines]
    return [
        {name: fact for name, fact in body.items() if name != "time"}
        for body in bodies
        if not names or body["event"] in names
    ]


def test_the_ledger_tells_one_attempt_from_its_beginning_to_its_grade(tmp_path: Path) -> None:
    look = Look(scaffold="a", tasks=1, decision=Decision.UNDECIDED, reason="too few")
    run = make_run(tmp_path, tasks=TASKS[:1], scaffolds=["a"], look=lambda _key: look)
    run.work(workers=1, graders=1)
    key = {"scaffold": "a", "task_id": "one", "attempt": 1}
    record = record_of(tmp_path)
    assert events(tmp_path) == [
        {"event": "work-started", "remaining": 1, "ungraded": 0, "workers": 1},
        {"event": "attempt-started", **key},
        {"event": "attempt-recorded", **key, "patch": record.patch_sha256, "stop": "submitted"},
        {"event": "attempt-graded", **key, "outcome": "resolved", "grade_key": "k"},
        {"event": "look", **look.model_dump(mode="json")},
        {"event": "work-ended", "done": 1, "stopped": False},
    ]


def test_as_many_work_at_once_as_are_asked_for_or_admitted_or_one(tmp_path: Path) -> None:
    for name, admission, asked in (
        ("1", Admission(), {}),
        ("2", Admission(3), {}),
        ("3", Admission(3), {"workers": 2}),
    ):
        make_run(tmp_path / name, admission=admission).work(graders=1, **asked)
    started = [events(tmp_path / name, "work-started")[0]["workers"] for name in "123"]
    assert started == [1, 3, 2]


def test_a_run_is_finished_when_all_is_recorded_and_graded(tmp_path: Path) -> None:
    first = make_run(tmp_path, grade=None)
    assert not first.finished
    first.work(workers=1, graders=1)
    assert first.finished, "this one grades nothing"
    second = make_run(tmp_path)
    assert (second.finished, second.tally.done, second.tally.to_grade) == (False, 6, 6)
    second.work(workers=1, graders=1)
    assert (second.finished, second.tally.graded) == (True, 6)
    third = make_run(tmp_path, attempts=2)
    assert (third.finished, third.tally.done, third.tally.graded) == (False, 6, 6)
    third._ledger.close()
    ended = [one for one in events(tmp_path, "work-started") if one["ungraded"]]
    assert [(one["remaining"], one["ungraded"]) for one in ended] == [(0, 6)]


def test_somebody_watches_until_the_last_grade_now_and_then(tmp_path: Path) -> None:
    seen: list[int] = []

    def slow(task: Task, record: Record, directory: Path) -> Grade:
        before, end = len(seen), time.monotonic() + 60
        while len(seen) < before + 3 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.5)
        return resolve_one(task, record, directory)

    run = make_run(tmp_path, grade=slow, tasks=TASKS[:1], scaffolds=["a"])
    run.work(workers=1, graders=1, watch=lambda: seen.append(run.tally.graded))
    assert seen[-1] == 1
    assert 3 <= seen.count(0) < 100, "while it was graded"


def test_what_went_wrong_is_noted_with_the_attempt_that_it_met(tmp_path: Path) -> None:
    failures = [ModelError("reset"), SandboxError("gone")]

    def act(task: str) -> None:
        if task == "two" and failures:
            raise failures.pop(0)

    make_run(tmp_path, act, scaffolds=["a"]).work(workers=1, graders=1)
    key = {"scaffold": "a", "task_id": "two", "attempt": 1}
    assert events(tmp_path, "server-failed", "sandbox-failed") == [
        {"event": "server-failed", "message": "reset", "kind": ModelError("reset").kind, **key},
        {"event": "sandbox-failed", "message": "gone", **key},
    ]


def test_how_many_at_once_is_best_is_measured_anew_after_each_disturbance(tmp_path: Path) -> None:
    heard: list[str] = []

    class Heard(Admission):
        def disturbed(self) -> None:
            heard.append("disturbed")

        def ended(self, key: AttemptKey) -> None:
            heard.append(key.task_id)
            super().ended(key)

    failures = [ModelError("reset")]

    def act(task: str) -> None:
        if task == "two" and failures:
            raise failures.pop()

    make_run(tmp_path, act, scaffolds=["a"], admission=Heard(1)).work(graders=1)
    assert heard == ["one", "disturbed", "two", "two", "three"]


def test_what_was_spoiled_is_tried_again_once_and_not_after_a_stop(tmp_path: Path) -> None:
    def broken(task: str) -> None:
        if task == "two":
            raise SandboxError("gone")

    make_run(tmp_path / "1", broken, scaffolds=["a"]).work(workers=1, graders=1)
    assert events(tmp_path / "1", "unjudged-again") == [{"event": "unjudged-again", "attempts": 1}]
    ended = threading.Event()

    def broken_until_the_end(task: str) -> None:
        if task == "two":
            assert ended.wait(60), "the first one's grade stops the run meanwhile"
        raise SandboxError("gone")

    def stop(_key: AttemptKey) -> None:
        stopped.stop()
        ended.set()

    stopped = make_run(tmp_path / "2", broken_until_the_end, scaffolds=["a"], look=stop)
    stopped.work(workers=1, graders=1)
    assert (stopped.tally.done, events(tmp_path / "2", "unjudged-again")) == (1, [])


def test_a_fault_of_ours_ends_the_run_is_noted_and_nothing_begins_after_it(tmp_path: Path) -> None:
    def act(task: str) -> None:
        if task == "two":
            raise RuntimeError("our own fault")

    run = make_run(tmp_path, act, scaffolds=["a"])
    with pytest.raises(RuntimeError, match="our own fault"):
        run.work(workers=1, graders=1)
    assert [one["task_id"] for one in events(tmp_path, "attempt-started")] == ["one", "two"]
    assert events(tmp_path, "stopped", "work-ended") == [
        {"event": "stopped", "error": "RuntimeError: our own fault"},
        {"event": "work-ended", "done": 1, "stopped": True},
    ]
    assert run.tally.running == 0


def test_a_ledger_whose_end_does_not_fit_on_the_disk_ends_the_run_in_one_line(tmp_path: Path) -> None:
    class Full(Ledger):
        def end(self, event: str, **facts: Any) -> None:
            self.close()
            raise OSError(errno.ENOSPC, "No space left on device")

    run = make_run(tmp_path, scaffolds=["a"])
    run._ledger.close()
    run._ledger = Full(tmp_path / "ledger.jsonl")
    with pytest.raises(DiskFullError, match="is full"):
        run.work(workers=1, graders=1)
    again = make_run(tmp_path, lambda _task: None, scaffolds=["a"], attempts=2)
    again._ledger.close()
    again._ledger = Full(tmp_path / "ledger.jsonl")
    again._fatal = RuntimeError("the first")
    with pytest.raises(RuntimeError, match="the first"):
        again.work(workers=1, graders=1)


def test_whoever_grades_hears_of_an_end_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert not run._hooks.abandoned.is_set()
    run.abandon()
    assert run._hooks.abandoned.is_set()
    assert run._context.abandoned
    run._ledger.close()


def test_a_control_that_was_recorded_says_nothing_of_the_server(tmp_path: Path) -> None:
    make_run(tmp_path, scaffolds=["nop"]).work(workers=1, graders=1)
    with pytest.raises(UserError, match="the model server refuses: 401 bad key"):
        make_run(tmp_path, refuse, scaffolds=["nop", "a"]).work(workers=1, graders=1)
    assert not list(tmp_path.glob("a/*/1/record.json"))


class Lacking(PlainBackend):
    """Has no image of some tasks, for a reason."""

    def __init__(self, *names: str, error: type[TaskError] = TaskError) -> None:
        super().__init__(lambda: PlainSandbox(PATCH))
        self.names, self.error = names, error

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        if task.id in self.names:
            raise self.error("it cannot be had")
        return super().prepare(task, progress)


def test_what_is_held_back_at_the_end_ends_the_run_and_is_not_spent(tmp_path: Path) -> None:
    """Two of four tasks have no image, and the server refuses the other two: fewer than tell of a server, but all there are."""
    run = make_run(tmp_path, refuse, tasks=FOUR, scaffolds=["a"], backend=Lacking("one", "two"))
    with pytest.raises(UserError, match="the model server refuses: 401 bad key"):
        run.work(workers=1, graders=1)
    assert sorted(path.parts[-3] for path in tmp_path.glob("a/*/1/record.json")) == ["one", "two"]
    again = make_run(tmp_path, refuse, tasks=FOUR, scaffolds=["a"])
    with pytest.raises(UserError, match="401 bad key"):
        again.work(workers=1, graders=1)
    assert again.tally.done == 2, "attempts that were never made say nothing of the server either"


@pytest.mark.parametrize(
    ("error", "party"), [(TaskError, Party.SANDBOX), (GoldError, Party.TASK), (ServiceError, Party.TASK)]
)
def test_whose_doing_it_is_that_a_task_cannot_be_had(
    error: type[TaskError], party: Party, tmp_path: Path
) -> None:
    run = make_run(tmp_path, scaffolds=["a"], backend=Lacking("two", error=error))
    run.work(workers=1, graders=1)
    failure = record_of(tmp_path, "a", "two").failure
    assert failure
    assert (failure.party, failure.message, run.tally.done) == (party, "it cannot be had", 3)


def test_a_server_that_parses_no_calls_is_noted_before_anything_is_asked_of_it(tmp_path: Path) -> None:
    asked: list[str] = []
    leave_records(tmp_path, 3)
    tasks = [make_task(f"t{n}") for n in range(6)]
    run = make_run(tmp_path, asked.append, tasks=tasks, scaffolds=["bash"])
    with pytest.raises(UserError, match="in the first 3 attempts"):
        run.work(workers=1, graders=1)
    assert asked == []
    assert [one["attempts"] for one in events(tmp_path, "no-tool-calls")] == [3]
    assert len(events(tmp_path, "stopped")) == 1
    assert len(list(tmp_path.glob("bash/*/1.failed-1"))) == 3


def test_two_records_without_a_call_are_not_enough_while_more_attempts_are_to_come(tmp_path: Path) -> None:
    leave_records(tmp_path, 2)
    asked: list[str] = []
    tasks = [make_task(f"t{n}") for n in range(3)]
    with pytest.raises(UserError, match="in the first 2 attempts"):
        make_run(tmp_path, asked.append, tasks=tasks, scaffolds=["bash"]).work(workers=1, graders=1)
    assert asked == ["t2"], "the last one made no call either"


def test_a_grade_that_is_none_is_counted_with_its_reason(tmp_path: Path) -> None:
    def lost(task: Task, record: Record, directory: Path) -> Grade:
        column = GraderVerdict(outcome=Outcome.NOT_JUDGED, reason="no row")
        return Grade(outcome=Outcome.NOT_JUDGED, party=Party.TASK, official=column, grader="g", key="")

    run = make_run(tmp_path, grade=lost, scaffolds=["a"])
    run.work(workers=2, graders=2)
    assert (run.tally.unjudged, run.tally.graded, dict(run.tally.unjudged_reasons)) == (
        3,
        0,
        {"task: no row": 3},
    )
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("grade")]
    assert AttemptKey(scaffold="a", task_id="one", attempt=1) not in run.tally.under_way
