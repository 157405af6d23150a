"""Wherever attempts are made: the same records, the same ledger, and a failure is looked into where it happened."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from evals.record import Party, Record
from evals.run.executor import Executor
from evals.run.ledger import verify
from tasks.backend import Prepared
from tasks.errors import UserError
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_sandbox import PlainSandbox
from tests.fakes.serial_executor import SerialExecutor
from tests.test_run import PATCH, make_run

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
