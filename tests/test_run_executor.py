"""Wherever attempts are made: the same records, the same ledger, and a failure is looked into where it happened."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evals.record import Party, Record, all_keys
from evals.run.attempt import Abandoned, run_attempt
from evals.run.executor import Executor
from evals.run.hooks import RunHooks
from evals.run.ledger import Ledger, verify
from evals.run.lock import begin_session
from evals.run.queue import Run
from scaffolds.model import ModelError, Trouble
from scaffolds.openai.config import ModelConfig
from scaffolds.sampling import Sampling
from tasks.backend import Prepared
from tasks.errors import DiskFullError, GoldError, UserError
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.openai_server import Answer, FakeServer, call, error
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_context import plain_context
from tests.fakes.plain_sandbox import PlainSandbox
from tests.fakes.process_executor import ProcessExecutor
from tests.fakes.serial_executor import SerialExecutor
from tests.test_run import PATCH, TASKS, make_run, make_task

TIMES = {"started", "wall_seconds", "active_seconds"}


def working() -> PlainBackend:
    return PlainBackend(lambda: PlainSandbox(PATCH))


def events(directory: Path) -> list[dict[str, Any]]:
    """The ledger without its clock."""
    assert verify(directory / "ledger.jsonl") == []
    bodies = [
        json.loads(json.loads(line)["body"]) for line in (directory / "ledger.jsonl").read_text().splitlines()
    ]
    return [{name: value for name, value in body.items() if name != "time"} for body in bodies]


def records(directory: Path) -> dict[str, dict[str, Any]]:
    """Records and grades by path, without their clocks."""
    found = [*directory.glob("*/*/*/record.json"), *directory.glob("*/*/*/grade.json")]
    return {
        str(path.relative_to(directory)): {
            name: value for name, value in json.loads(path.read_bytes()).items() if name not in TIMES
        }
        for path in found
    }


def after_a_bad_night(directory: Path, executor: Executor | None = None) -> Path:
    """A run in which one task never gets a working machine and is tried again at the end."""

    def act(task: str) -> None:
        if task == "two":
            raise SandboxError("gone")

    make_run(directory, act, executor=executor, backend=working()).work(workers=1, graders=1)
    return directory


def test_the_same_records_and_ledger_wherever_attempts_are_made(tmp_path: Path) -> None:
    threads = after_a_bad_night(tmp_path / "threads")
    prepared: list[str] = []

    def daemon(name: str) -> PlainBackend:
        def prepare(task: Task) -> Prepared:
            prepared.append(name)
            return plain_image(task)

        return PlainBackend(lambda: PlainSandbox(PATCH), prepare=prepare)

    daemons = daemon("first"), daemon("second")
    serial = after_a_bad_night(tmp_path / "serial", SerialExecutor(daemons))
    assert records(serial) == records(threads)
    assert len(records(serial)) == 2 * (6 + 2), (
        "with those of the two attempts that were set aside and made again"
    )

    def told(directory: Path, *, of_grading: bool) -> list[dict[str, Any]]:
        """Grading has a thread of its own, so its lines fall where they fall."""
        return [one for one in events(directory) if (one["event"] == "attempt-graded") == of_grading]

    assert told(serial, of_grading=False) == told(threads, of_grading=False)
    assert "unjudged-again" in [one["event"] for one in events(serial)]
    assert sorted(map(str, told(serial, of_grading=True))) == sorted(map(str, told(threads, of_grading=True)))
    first, second = (len(daemon.labels) for daemon in daemons)
    assert first + second == sum(one["event"] == "attempt-started" for one in events(serial))
    assert (prepared.count("first"), prepared.count("second")) == (first, second), "an image where it is used"
    assert abs(first - second) <= 2, "each daemon has its share, in each of the two rounds"


def test_the_daemon_that_failed_is_the_one_that_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def answers(name: str) -> bool:
        asked.append(name)
        return True

    def broken() -> PlainSandbox:
        raise SandboxError("no space for a container")

    good = PlainBackend(lambda: PlainSandbox(PATCH), answers=lambda: answers("good"))
    bad = PlainBackend(broken, answers=lambda: answers("bad"))
    run = make_run(tmp_path, executor=SerialExecutor([bad, good]), scaffolds=["a"])
    run.work(workers=1, graders=1)
    assert run.finished
    assert asked
    assert set(asked) == {"bad"}
    failures = [
        Record.model_validate_json(path.read_bytes()).failure for path in tmp_path.glob("a/*/1/record.json")
    ]
    assert all(failure is None or failure.party is Party.SANDBOX for failure in failures)


def bash_run(directory: Path, server: FakeServer, *, tasks: Sequence[Task], executor: Executor | None) -> Run:
    """A real scaffold with a scripted server: nothing that an attempt needs is a closure."""
    context = plain_context(
        directory, backend=AWAY, model=ModelConfig(base_url=server.url, model="m", sampling=Sampling(seed=1))
    )
    keys = list(all_keys(["bash"], [task.id for task in tasks], 2))
    hooks = RunHooks(None, lambda _stopping: False, executor=executor)
    return Run(context, tasks, keys, hooks, Ledger(directory / "ledger.jsonl"))


AWAY = PlainBackend(partial(PlainSandbox, PATCH))
SCRIPT = (call("bash", {"command": "true"}), call("submit"))


@pytest.fixture(scope="module")
def away() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(AWAY) as executor:
        yield executor


def test_an_attempt_that_is_made_in_another_process_is_the_same(
    tmp_path: Path, away: ProcessExecutor
) -> None:
    for name, executor in (("here", None), ("away", away)):
        with FakeServer(*SCRIPT * 4) as server:
            run = bash_run(tmp_path / name, server, tasks=TASKS[:2], executor=executor)
            run.work(workers=1, graders=1)
        assert run.finished
        assert [request.body["seed"] for request in server.requests] == [1, 1, 1, 1, 2, 2, 2, 2]
    assert len(records(tmp_path / "away")) == 4
    assert records(tmp_path / "away") == records(tmp_path / "here")
    assert events(tmp_path / "away") == events(tmp_path / "here")
    assert AWAY.labels == [
        {"run": "test", "attempt": f"bash/{t}/{n}"} for n in (1, 2) for t in ("one", "two")
    ], "that of this process was asked for the one run only"


def test_a_run_that_is_stopped_at_once_stops_attempts_in_other_processes(
    tmp_path: Path, away: ProcessExecutor
) -> None:
    def stop(_request: Mapping[str, Any]) -> Answer:
        run.abandon()
        return SCRIPT[1]

    with FakeServer(stop) as server:
        run = bash_run(tmp_path, server, tasks=TASKS[:1], executor=away)
        with pytest.raises(Abandoned):
            run.work(workers=1, graders=1)
    assert (tmp_path / "bash/one/1/patch.diff").exists(), "it came to its end"
    assert records(tmp_path) == {}


def test_a_failure_in_another_process_is_booked_as_here(tmp_path: Path, away: ProcessExecutor) -> None:
    with FakeServer(error(400, {"error": {"message": "no such setting"}})) as server:
        run = bash_run(tmp_path, server, tasks=TASKS[:1], executor=away)
        with pytest.raises(UserError, match="refuses: the server answered 400: no such setting"):
            run.work(workers=1, graders=1)
    assert {one["kind"] for one in events(tmp_path) if one["event"] == "server-failed"} == {"refused"}


@pytest.mark.parametrize(
    "error",
    [
        ModelError("no", kind=Trouble.REFUSED, retryable=False),
        SandboxError("gone"),
        GoldError("does not fit"),
        DiskFullError("/var"),
        Abandoned(),
    ],
)
def test_what_ends_an_attempt_comes_back_whole_from_another_process(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))


def test_an_attempt_of_an_earlier_session_records_nothing(tmp_path: Path) -> None:
    lost, task = plain_context(tmp_path), make_task("one")
    begin_session(tmp_path)
    with pytest.raises(Abandoned):
        run_attempt(next(all_keys(["nop"], ["one"], 1)), task, plain_image(task), lost)
    assert records(tmp_path) == {}


def test_what_ends_a_run_is_raised_in_the_thread_that_called(tmp_path: Path) -> None:
    made_by: set[threading.Thread] = set()

    def act(_task: str) -> None:
        made_by.add(threading.current_thread())
        raise UserError("wrong")

    run = make_run(tmp_path, act, executor=SerialExecutor([working()]))
    with pytest.raises(UserError, match="wrong"):
        run.work(workers=4, graders=1)
    assert made_by == {threading.current_thread()}
    assert [one["event"] for one in events(tmp_path)].count("attempt-started") == 1, (
        "nothing new after a stop"
    )
