"""`asclaimed grade RUN` and `tasks check` as a shell sees them: exit codes, and Ctrl-C while tests run. No machine is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evals.grade.check_tasks import check
from evals.grade.grader import Grader
from evals.grade.regrade import grade_run, to_grade
from evals.imports.predictions import Prediction, record_predictions
from evals.record import Failure, Grade, Outcome, Party, Record
from evals.run.lock import Stop
from evals.run.plan import RunPlan
from tasks import catalog
from tasks.backend import TestLimits
from tasks.disk import write_json
from tests.command_line import asclaimed

TASK_ID = "asclaimed__purl-1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two attempts without a patch, the second of which a server spoiled."""
    task = catalog.load("bundled", ids=[TASK_ID])[0]
    directory = tmp_path / "run"
    record_predictions(directory, [Prediction(task.id, "m", b"")] * 2, RunPlan(tasks="bundled"), [task])
    path = directory / "m" / task.id / "2" / "record.json"
    record = Record.model_validate_json(path.read_bytes())
    write_json(
        path, record.model_copy(update={"failure": Failure(party=Party.SERVER, message="it was gone")})
    )
    return directory


def test_an_attempt_that_stays_not_judged_is_exit_code_1_each_time(run: Path) -> None:
    done = asclaimed("grade", run)
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.strip().split("\n")] == [
        ["no_patch", f"m/{TASK_ID}/1"],
        ["not_judged", f"m/{TASK_ID}/2"],
    ]
    assert "2 graded, 0 resolved, 1 not judged; official and strict differ on 0\n" in done.stderr
    again = asclaimed("grade", run)
    assert (again.returncode, again.stdout) == (1, "")
    assert "0 graded, 0 resolved, 0 not judged" in again.stderr
    assert again.stderr.endswith("differ on 0; 1 of before stay not judged\n")


def test_where_all_is_judged_it_is_exit_code_0(run: Path) -> None:
    for path in run.glob("m/*/2/record.json"):
        path.unlink()
    done = asclaimed("grade", run)
    assert (done.returncode, "of before" in done.stderr) == (0, False)
    assert asclaimed("grade", run, "--regrade").returncode == 0


def test_once_stopping_is_asked_for_nothing_more_is_begun(run: Path) -> None:
    stop = Stop()
    with Grader(strict=False) as grader:
        grades = grade_run(run, grader, *to_grade(run, again=False), workers=1, stop=stop)
        assert next(grades).grade.outcome is Outcome.NO_PATCH
        stop.asked.set()
        assert len(list(grades)) <= 1, "one may have been begun"
        (run / "m" / TASK_ID / "1" / "grade.json").unlink()
        assert list(grade_run(run, grader, *to_grade(run, again=False), workers=1, stop=stop)) == []
    tasks = catalog.load("bundled", ids=[TASK_ID])
    checked = check(tasks, k=1, limits=TestLimits(), grader="swebench==5.0.2", workers=1, stop=stop)
    assert list(checked) == []


def containers(label: str, pid: int) -> list[str]:
    labels = ("--filter", f"label=asclaimed.run={label}", "--filter", f"label=asclaimed.pid={pid}")
    return subprocess.run(["docker", "ps", "-aq", *labels], capture_output=True, text=True).stdout.split()


@pytest.mark.docker
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_tests_run_ends_with_130_and_no_container(
    docker_daemon: None, tmp_path: Path, times: int
) -> None:
    """Once, the attempt that is tested gets its grade and the next one is not begun; twice, it gets none."""
    task = catalog.load("bundled", ids=[TASK_ID])[0]
    run, patch = tmp_path / f"run-{os.getpid()}", b"--- /dev/null\n+++ b/stray.txt\n@@ -0,0 +1 @@\n+nothing\n"
    predictions = [Prediction(task.id, "m", patch), Prediction(task.id, "m", patch + b"\n")]
    record_predictions(run, predictions, RunPlan(tasks="bundled"), [task])
    command = [str(Path(sys.executable).with_name("asclaimed")), "grade", str(run), "--fresh"]
    with (tmp_path / "said").open("w") as stderr:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    deadline = time.monotonic() + 120
    while not containers(run.name, child.pid):
        assert child.poll() is None
        assert time.monotonic() < deadline
    child.send_signal(signal.SIGINT)
    if times == 2:  # once the first was heard: the kernel makes one of two that come before
        while "stopping: " not in (tmp_path / "said").read_text():
            assert child.poll() is None
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    said = (tmp_path / "said").read_text()
    assert child.returncode == 130, said
    assert "stopping: what runs is finished first; Ctrl-C again stops now" in said
    assert said.endswith(f"to go on: asclaimed grade {run}\n")
    grades = [Grade.model_validate_json(path.read_bytes()) for path in run.rglob("grade.json")]
    assert [grade.outcome for grade in grades] == [Outcome.UNRESOLVED] * (times == 1)
    assert len(out.split("\n")[:-1]) == len(grades)
    assert containers(run.name, child.pid) == []
