"""Containers that vanish, commands that never begin, a run that is stopped at once: never a verdict, nothing kept.

Not covered here: a host that kills a container's processes past its daemon, which looks like the tested code's own doing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

import docker
import pytest
from docker.errors import APIError
from requests import PreparedRequest

from evals.grade import machine
from evals.grade.grader import Grader
from evals.record import Grade, Outcome, Party
from evals.run.attempt import Abandoned
from tasks import catalog
from tasks.backend import RunRequest, RunResult, TestLimits
from tasks.disk import cache_directory
from tasks.docker.images import resolve
from tasks.docker.testing import TestContainers
from tasks.sandbox import Limits, SandboxError
from tasks.task import Task
from tests.fakes.docker_calls import before_each_call, is_grading_call, remove_grading_containers

pytestmark = pytest.mark.docker
TASK_ID = "asclaimed__purl-1"
QUICK = TestLimits(seconds=60, log_bytes=64 << 10, container=Limits(memory=512 << 20, pids=128))


@pytest.fixture(scope="module")
def task(docker_daemon: None) -> Task:
    return catalog.load("bundled", ids=[TASK_ID])[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without test runs and calibrations; images and their clean copies are the machine's."""
    ours, fresh = cache_directory(), tmp_path / "cache" / "asclaimed"
    fresh.mkdir(parents=True)
    for shared in ("clean", "start", "locks"):
        (ours / shared).mkdir(parents=True, exist_ok=True)
        (fresh / shared).symlink_to(ours / shared)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return fresh


def containers(task: Task, workdir: str = "/testbed") -> TestContainers:
    return TestContainers(resolve(task.image).id, workdir, QUICK)


def a_run(task: Task) -> RunRequest:
    """What official, strict and calibration runs do, all in one: a patch, files, a script, files read back."""
    files = {"/opt/reporter/a.py": b"1"}
    script = "echo begin; sleep 0.3; echo result > /tmp/result; echo end"
    return RunRequest(
        task.checks.gold_patch.encode(), files, script, ("/tmp/result", "/opt/reporter/a.py", "/absent")
    )


def facts(result: RunResult) -> tuple[object, ...]:
    return result.applied_by, result.exit_code, result.timed_out, result.log, dict(result.collected)


class Remover:
    """Removes the grading containers before the n-th call that concerns them."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.calls = at, 0

    def __call__(self, request: PreparedRequest) -> None:
        if is_grading_call(request):
            self.calls += 1
            if self.calls == self.at:
                remove_grading_containers()


def test_a_container_that_is_removed_before_any_call_gives_no_result(task: Task) -> None:
    counting = Remover()
    with before_each_call(counting):
        whole = containers(task)(a_run(task))
    assert facts(whole)[1:4] == (0, False, b"begin\nend\n")
    assert dict(whole.collected) == {"/tmp/result": b"result\n", "/opt/reporter/a.py": b"1"}
    seen = 0
    for at in range(2, counting.calls + 1):
        with before_each_call(Remover(at)):
            try:
                result = containers(task)(a_run(task))
            except SandboxError:
                seen += 1
            else:
                assert (at, facts(result)) == (at, facts(whole))
    assert seen >= counting.calls - 4


@pytest.mark.parametrize("how", ["rm -f", "kill"])
@pytest.mark.parametrize("script", ["", "while :; do echo x; sleep 0.01; done & "])
def test_a_container_that_is_taken_away_while_the_tests_run_gives_no_result(
    task: Task, how: str, script: str
) -> None:
    def take_away() -> None:
        elsewhere, wanted = docker.from_env(), {"label": f"asclaimed.pid={os.getpid()}"}
        seen = ""
        while "sleep 31" not in seen:
            with suppress(APIError):  # one that is created and does not run yet
                seen = str([c.top() for c in elsewhere.containers.list(filters=wanted)])
        for container in elsewhere.containers.list(filters=wanted):
            container.kill() if how == "kill" else container.remove(force=True)
        elsewhere.close()

    thread = threading.Thread(target=take_away)
    thread.start()
    with pytest.raises(SandboxError):
        containers(task)(RunRequest(b"", {}, f"{script}sleep 31"))
    thread.join()


def test_what_the_tests_do_to_their_own_container_is_a_result(task: Task) -> None:
    result = containers(task)(RunRequest(b"", {}, "echo begin; kill -9 -1; sleep 9", ("/etc/passwd",)))
    assert (result.applied, result.exit_code, result.timed_out) == (True, None, False)
    assert result.log == b"begin\n"
    assert b"root" in result.collected["/etc/passwd"]


def never_begins(number: int) -> Remover:
    """The daemon answers 126 or 127 for the n-th command: its program is not there."""

    class Spoiler(Remover):
        def __call__(self, request: PreparedRequest) -> None:
            if str(request.url).endswith("/exec"):
                self.calls += 1
                if self.calls == self.at:
                    body = json.loads(request.body or "{}")
                    request.body = json.dumps({**body, "Cmd": ["/nowhere/bash"]}).encode()
                    request.headers["Content-Length"] = str(len(request.body))

    return Spoiler(number)


@pytest.mark.parametrize("number", [1, 2])
def test_a_command_that_never_began_is_the_sandboxs_failure(task: Task, number: int) -> None:
    with before_each_call(never_begins(number)), pytest.raises(SandboxError, match="did not begin"):
        containers(task)(a_run(task))


def test_a_missing_working_directory_is_the_sandboxs_failure(task: Task) -> None:
    with pytest.raises(SandboxError, match="did not begin in /nowhere"):
        containers(task, "/nowhere")(a_run(task))


def test_one_failed_exec_changes_no_grade(task: Task, cache: Path) -> None:
    with Grader(limits=QUICK, strict=False) as grader, before_each_call(never_begins(2)):
        assert grader.grade_patch(task, task.checks.gold_patch.encode()).outcome is Outcome.RESOLVED


class TestRunRemover:
    """Removes these containers while their tests run, counted as they are created."""

    __test__ = False

    def __init__(self, numbers: Container[int]) -> None:
        self.numbers, self.created, self.in_this, self.removed = numbers, 0, 0, 0

    def __call__(self, request: PreparedRequest) -> None:
        if str(request.url).endswith("/containers/create"):
            self.created, self.in_this = self.created + 1, 0
        if "/exec/" in str(request.url) and str(request.url).endswith("/json"):
            self.in_this += 1
            if self.created in self.numbers and self.in_this == 2:
                self.removed += 1
                remove_grading_containers()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_no_column_is_made_of_a_run_whose_container_vanished(
    task: Task, cache: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every one from the official run on, from the gold patch's, or from one of its controls'."""
    monkeypatch.setattr(machine, "TRIES", 2)
    removing = TestRunRemover(range(number, 1000))
    with Grader(limits=QUICK) as grader, before_each_call(removing):
        grade = grader.grade_patch(task, task.checks.gold_patch.encode())
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.SANDBOX)
    assert not (cache / "grading").exists()


def test_a_container_that_vanishes_once_changes_no_grade(task: Task, cache: Path) -> None:
    """The official run's, then that of the first strict run, then one of the controls', each the first time."""
    removing = TestRunRemover({1, 3, 7})
    with Grader(limits=QUICK) as grader, before_each_call(removing):
        grade = grader.grade_patch(task, task.checks.gold_patch.encode())
    assert removing.removed == 3
    assert (grade.outcome, grade.strict and grade.strict.outcome) == (Outcome.RESOLVED, Outcome.RESOLVED)


def test_an_abandoned_grader_returns_nothing_and_keeps_nothing(
    task: Task, cache: Path, tmp_path: Path
) -> None:
    abandoned = threading.Event()

    def act(request: PreparedRequest) -> None:
        if str(request.url).endswith("/exec"):
            abandoned.set()
            remove_grading_containers()

    (tmp_path / "attempt").mkdir()
    with Grader(limits=QUICK, abandoned=abandoned) as grader, before_each_call(act), pytest.raises(Abandoned):
        grader.grade_patch(task, task.checks.gold_patch.encode(), tmp_path / "attempt")
    assert not list((tmp_path / "attempt").iterdir())
    assert not (cache / "grading").exists()


def test_ctrl_c_twice_while_grading_leaves_no_false_grade(cache: Path, tmp_path: Path) -> None:
    """Early in a grading, later in the next, and then the run goes on to its end."""
    run = tmp_path / "run"
    command = [
        str(Path(sys.executable).with_name("asclaimed")),
        *("run", "--tasks", "bundled", "--ids", TASK_ID, "--scaffold", "gold"),
        *("--out", str(run)),
    ]
    for later in (0.2, 1.0):
        stop_while_grading(command, tmp_path / "said", later)
        assert set(outcomes(run)) <= {Outcome.RESOLVED}
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert outcomes(run) == [Outcome.RESOLVED]


def outcomes(run: Path) -> list[Outcome]:
    return [Grade.model_validate_json(path.read_bytes()).outcome for path in run.rglob("grade.json")]


def stop_while_grading(command: list[str], said: Path, later: float) -> None:
    """Two interrupts, so many seconds after the first grading container is there; the second when the first was heard.

    The kernel makes one of two that come before the first was taken.
    """
    with said.open("wb") as stderr:
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)
    labels = [f"asclaimed.pid={child.pid}", "asclaimed.purpose=grading"]
    elsewhere, deadline = docker.from_env(), time.monotonic() + 120
    while not elsewhere.containers.list(filters={"label": labels}):
        assert time.monotonic() < deadline
        assert child.poll() is None
    elsewhere.close()
    time.sleep(later)
    child.send_signal(signal.SIGINT)
    while b"stopping: " not in said.read_bytes():
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
