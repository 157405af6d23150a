"""What a person sees while a run works, from its first minute on."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from evals.commands.progress import RunProgress, duration
from evals.record import AttemptKey, Grade, Record
from evals.run.admission import Admission
from evals.run.tally import Tally
from scaffolds.base import Metrics, Step
from tasks.task import Task
from tests.test_run import TASKS, make_run, resolve_one

KEYS = [AttemptKey(scaffold="a", task_id=name, attempt=1) for name in ("one", "two")]


def screen(tally: Tally) -> RunProgress:
    return RunProgress(tally, Console(file=io.StringIO()))


def test_a_run_that_has_not_ended_anything_shows_what_is_under_way(tmp_path: Path) -> None:
    lines: list[str] = []
    run = make_run(tmp_path, lambda _task: lines.append(progress.facts()), tasks=TASKS[:1], scaffolds=["a"])
    progress = screen(run.tally)
    assert progress.facts() == "starting"
    run.work(workers=1, graders=1)
    assert lines == ["1 under way: 1 step, the longest for 0 s"]
    assert progress.facts() == "1 resolved of 1 graded · 0 unjudged"


def test_tokens_count_as_steps_end() -> None:
    tally = Tally(total=2)
    tally.began(KEYS[0])
    progress = screen(tally)
    for _step in range(3):
        tally.stepped(KEYS[0], Step(source="agent", message="hm", metrics=Metrics(completion_tokens=40)))
    tally.stepped(KEYS[0], Step(source="user", message="a reminder"))
    assert tally.completion_tokens == 120
    assert progress.facts().startswith("1 under way: 3 steps, the longest for 0 s · ")
    assert progress.facts().endswith(" tok/s")


def test_waiting_is_shown_and_suspended_only_when_everybody_waits() -> None:
    tally = Tally(total=2)
    progress = screen(tally)
    for key in KEYS:
        tally.began(key)
    with tally.waits("waiting for the registry: 429"):
        assert progress.facts().endswith("1 of 2: waiting for the registry: 429")
        with tally.waits("waiting for the registry: 429"):
            assert progress.facts().endswith("SUSPENDED: waiting for the registry: 429")
    tally.preparing = "pulling x 40 %"
    assert progress.facts().endswith("pulling x 40 %")


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (12240, "3.4 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_grading_that_goes_on_after_the_attempts_is_seen_with_the_time_it_takes() -> None:
    tally = Tally(total=4, done=4, grades=True)
    out = io.StringIO()
    progress = RunProgress(tally, Console(file=out, force_terminal=True, width=200))
    assert progress.facts().endswith("4 to grade")
    with progress:
        tally.graded, tally.unjudged = 1, 1
        progress()
        assert progress.facts().endswith("2 to grade, 0 s")
    assert "grading" in out.getvalue()
    assert "2/4" in out.getvalue()
    tally.graded = 3
    assert "to grade" not in progress.facts()


def test_attempts_that_wait_for_room_are_told_from_those_that_work(tmp_path: Path) -> None:
    admission, released, lines = Admission(2), threading.Event(), list[str]()

    def act(task: str) -> None:
        if task == "two":
            admission.most = 1
            admission.pause(AttemptKey(scaffold="a", task_id="two", attempt=1), released.is_set)
            return
        while not admission.paused:
            time.sleep(0.01)
        lines.append(progress.facts())
        released.set()

    run = make_run(tmp_path, act, tasks=TASKS[:2], scaffolds=["a"], admission=admission)
    progress = screen(run.tally)
    run.work(workers=2, graders=1)
    assert lines == ["2 under way: 2 steps, the longest for 0 s, 1 waiting for room on the server"]
    assert "waiting" not in progress.facts()


def test_tasks_to_calibrate_are_shown_once_one_is_asked_about(tmp_path: Path) -> None:
    shown: list[str] = []

    def calibrate(_task: Task, _goes_on: object) -> str:
        shown.append(progress.facts())
        return ""

    def act(_task: str) -> None:
        assert shown or "calibrated" not in progress.facts()
        time.sleep(0.2)

    run = make_run(tmp_path, act, calibrate=calibrate, idles=lambda: run.tally.done > 1)
    progress = screen(run.tally)
    run.work(workers=1, graders=2)
    assert "0 of 3 tasks calibrated" in shown[0]


def test_a_run_that_leaves_grading_for_later_shows_none_of_it() -> None:
    assert "to grade" not in screen(Tally(total=4, done=4)).facts()


def test_a_run_that_grades_says_what_waits_for_a_grade(tmp_path: Path) -> None:
    lines: list[str] = []

    def grade(task: Task, record: Record, directory: Path) -> Grade:
        lines.append(progress.facts())
        return resolve_one(task, record, directory)

    run = make_run(tmp_path, grade=grade, tasks=TASKS[:1], scaffolds=["a"])
    progress = screen(run.tally)
    run.work(workers=1, graders=1)
    assert "1 to grade" in lines[0]
