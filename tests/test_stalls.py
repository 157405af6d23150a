"""A time limit that passes while the machine stands still is the sandbox's failure: made again, and no agent's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from requests import PreparedRequest

from evals.record import Party
from scaffolds.base import Stop, Trajectory
from tasks.backend import RunRequest, TestLimits
from tasks.docker.stalls import StallWatch
from tasks.sandbox import SandboxError, SandboxFacts
from tasks.task import Brief
from tests.fakes.docker_calls import before_each_call
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.test_run import PATCH, Scripted, make_run, make_task, record_of


def test_a_beat_that_comes_late_is_time_that_was_lost() -> None:
    slow = threading.Event()
    watch = StallWatch(lambda: time.sleep(0.6) if slow.is_set() else None, beat=0.02, late=0.4)
    began = time.monotonic()
    slow.set()
    time.sleep(1.5)
    during = watch.since(began)
    slow.clear()
    time.sleep(0.7)
    after, moment = watch.since(began), time.monotonic()
    assert during >= 0.4
    assert after > 1.0
    with pytest.raises(SandboxError, match=r"stood still for \d s while a command ran"):
        watch.check(began, 9.0, "a command ran")
    watch.check(moment, 100.0, "a command ran")


class OutOfTime(Scripted):
    def solve(self, brief: Brief, model: object, sandbox: object) -> Trajectory:
        super().solve(brief, model, sandbox)
        return Trajectory(Stop.TIME_LIMIT, steps=1)


class Starved(PlainSandbox):
    """Its machine stands still for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(PATCH)
        self.seconds = seconds

    def facts(self) -> SandboxFacts:
        return super().facts()._replace(stalled_seconds=self.seconds)


@pytest.mark.parametrize(("lost", "party"), [(400.0, Party.SANDBOX), (30.0, None)])
def test_an_agent_that_ran_out_of_time_on_a_machine_that_stood_still_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: float, party: Party | None
) -> None:
    monkeypatch.setattr("tests.test_run.Scripted", OutOfTime)
    run = make_run(
        tmp_path, scaffolds=["a"], tasks=[make_task("one")], backend=PlainBackend(lambda: Starved(lost))
    )
    run.work(workers=1, graders=1)
    record = record_of(tmp_path)
    assert (record.failure.party if record.failure else None) is party
    assert (record.stop is Stop.TIME_LIMIT) is (party is None)


@contextmanager
def a_daemon_that_answers_late(seconds: float) -> Iterator[None]:
    def act(request: PreparedRequest) -> None:
        if str(request.url).endswith("/_ping"):
            time.sleep(seconds)

    with before_each_call(act):
        yield


@pytest.mark.docker
@pytest.mark.usefixtures("docker_daemon")
def test_commands_and_tests_that_end_at_their_limit_while_the_daemon_stands_still_have_no_result() -> None:
    from tasks.docker.images import sandbox_base
    from tasks.docker.sandbox import open_sandbox
    from tasks.docker.testing import TestContainers

    image = sandbox_base().id
    tests = TestContainers(image, "/", TestLimits(seconds=9))
    ended: list[Exception] = []

    def test_run() -> None:
        try:
            tests(RunRequest(b"", {}, "sleep 99"))
        except SandboxError as error:
            ended.append(error)

    with open_sandbox(image, workdir="/") as box, a_daemon_that_answers_late(7.5):
        thread = threading.Thread(target=test_run)
        thread.start()
        with pytest.raises(SandboxError, match="stood still for"):
            box.exec("sleep 99", timeout=9)
        thread.join()
        assert box.facts().stalled_seconds > 5
    assert [str(error).endswith("while the tests ran") for error in ended] == [True]
