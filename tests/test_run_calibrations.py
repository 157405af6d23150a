"""What gold does under strict is found out while the model works, and never in the way of anything."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from evals.commands.progress import RunProgress
from evals.grade.grader import Grader
from evals.grade.store import RunStore
from evals.record import Grade, Record
from evals.run.calibrations import idles
from evals.run.tally import Tally
from tasks import catalog
from tasks.backend import RunRequest, RunResult
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.test_run import IDS, make_run, resolve_one

PATIENCE = 20.0


class Calibrator:
    """Notes what it is asked, and may block until nobody wants to know."""

    def __init__(self, *, blocks: bool = False) -> None:
        self.asked: list[str] = []
        self.threads: set[str] = set()
        self.feeds: list[bool] = []
        """Whether the thread that feeds it may end with the process."""
        self.blocks = blocks
        self.begun = threading.Event()

    def __call__(self, task: Task, wanted: Callable[[], bool]) -> str:
        self.asked.append(task.id)
        self.threads.add(threading.current_thread().name)
        self.feeds += [one.daemon for one in threading.enumerate() if one.name == "calibrations"]
        time.sleep(0.03)
        self.begun.set()
        while self.blocks and wanted():
            time.sleep(0.01)
        return "" if task.id != "two" else "the machine broke"


def test_each_task_is_calibrated_once_in_order_while_the_first_attempt_is_made(tmp_path: Path) -> None:
    calibrator = Calibrator()
    run = make_run(
        tmp_path, lambda _task: until(lambda: run.tally.calibrated == len(IDS)), calibrate=calibrator
    )
    run.work(workers=1, graders=2)
    assert calibrator.asked == IDS
    assert calibrator.feeds == [True] * 3, "nothing waits for it"
    assert (run.tally.calibrations, run.tally.calibrated) == (3, 3)
    lines = [
        json.loads(json.loads(line)["body"])
        for line in (tmp_path / "ledger.jsonl").read_text().split("\n")[:-1]
    ]
    noted = [(line["task"], line["why_not"]) for line in lines if line["event"] == "task-calibrated"]
    assert noted == [("one", ""), ("two", "the machine broke"), ("three", "")]
    took = [line["seconds"] for line in lines if line["event"] == "task-calibrated"]
    assert all(0 <= seconds < 60 and seconds == round(seconds, 1) for seconds in took)
    assert calibrator.threads.isdisjoint({threading.current_thread().name, "calibrations"}), "graders' own"


def until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return True


def test_the_end_of_a_run_waits_for_no_calibration(tmp_path: Path) -> None:
    calibrator = Calibrator(blocks=True)
    run = make_run(tmp_path, lambda _task: until(calibrator.begun.is_set), calibrate=calibrator)
    run.work(workers=2, graders=2)
    assert run.finished
    assert calibrator.asked == IDS[:1]
    assert (run.tally.calibrations, run.tally.calibrated) == (0, 0)


@pytest.mark.parametrize(
    ("graders", "idle", "scaffolds"),
    [(1, True, ("a",)), (2, False, ("a",)), (2, True, ("gold", "nop"))],
    ids=["one-thread", "busy-machine", "controls"],
)
def test_nothing_is_calibrated_ahead(
    tmp_path: Path, graders: int, idle: bool, scaffolds: tuple[str, ...]
) -> None:
    calibrator = Calibrator()
    looks, began = list[bool](), time.monotonic()

    def idles() -> bool:
        looks.append(idle)
        return idle

    run = make_run(
        tmp_path,
        lambda _task: calibrator.begun.wait(0.1),
        calibrate=calibrator,
        idles=idles,
        scaffolds=scaffolds,
    )
    run.work(workers=1, graders=graders)
    assert run.finished
    assert calibrator.asked == []
    assert len(looks) <= 2 + time.monotonic() - began, "once a second, and not all the time"


def test_while_grades_need_the_threads_nothing_is_calibrated_ahead(tmp_path: Path) -> None:
    calibrator, order = Calibrator(), list[tuple[str, int]]()

    def grade(task: Task, record: Record, directory: Path) -> Grade:
        until(lambda: run.tally.done == len(IDS))  # so that all wait for their grades at once
        order.append((task.id, len(calibrator.asked)))
        return resolve_one(task, record, directory)

    run = make_run(
        tmp_path, scaffolds=["a"], grade=grade, calibrate=calibrator, idles=lambda: run.tally.done == len(IDS)
    )
    run.work(workers=1, graders=2)
    assert sorted(order) == [(name, 0) for name in sorted(IDS)]


def test_the_bar_counts_calibrations_and_the_line_says_how_many() -> None:
    tally, out = Tally(total=4, done=1, grades=True, graded=1), io.StringIO()
    progress = RunProgress(tally, Console(file=out, force_terminal=True, width=200))
    assert "calibrated" not in progress.facts()
    tally.calibrations, tally.calibrated = 3, 1
    with progress:
        progress()
        assert progress.facts().endswith("1 of 3 tasks calibrated")
    assert "2/4" in out.getvalue()


@pytest.mark.parametrize(("idle", "expected"), [(100, True), (99, False)])
def test_a_machine_idles_that_does_nothing_half_of_the_time(
    tmp_path: Path, idle: int, expected: bool
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 10 500 30 0 0 0 7 7\ncpu0 1 1 1\n")
    waited = 40  # of its idle time, for disks
    after = f"cpu  {210 - idle} 0 10 {500 + idle - waited} {30 + waited} 0 0 0 9 9\n"
    later = threading.Timer(0.3, stat.write_text, [after])
    later.start()
    assert idles(tmp_path) is expected
    assert idles(tmp_path / "nothing")


def test_a_calibration_is_kept_for_the_grade_and_ends_when_nobody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (task,) = catalog.load("bundled", limit=1)
    requests: list[RunRequest] = []

    def machine(request: RunRequest) -> RunResult:
        requests.append(request)
        return RunResult(False, None, False, b"", {}, 0.0)

    with Grader(store=RunStore(tmp_path / "runs"), backend=PlainBackend(tests=machine)) as grader:
        assert "stopped" in grader.calibrate(task, lambda: False)
        assert requests == []
        assert grader.calibrate(task) == ""
        made = len(requests)
        assert made > 0
        assert grader.calibrate(task) == ""
        assert len(requests) == made
    assert list((tmp_path / "asclaimed/calibrations").glob("*.json"))


def test_a_machine_that_breaks_is_a_reason_and_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (task,) = catalog.load("bundled", limit=1)

    def broken(request: RunRequest) -> RunResult:
        raise SandboxError("the daemon went away")

    with Grader(store=RunStore(tmp_path / "runs"), backend=PlainBackend(tests=broken)) as grader:
        assert "the daemon went away" in grader.calibrate(task)
