"""Parts of a run, each alone: its lock, its session and signals, what waits, who grades and calibrates, what is kept."""

from __future__ import annotations

import gzip
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.record import (
    AttemptKey,
    Flag,
    FlagKind,
    Grade,
    GraderVerdict,
    Outcome,
    Record,
    flag_of_text,
    grade_of,
    kept,
)
from evals.run import admission as admissions
from evals.run.admission import Admission
from evals.run.backlog import Backlog
from evals.run.exchanges import FILE, ExchangeLog, read_exchanges, shared_prefix
from evals.run.executor import LocalThreads
from evals.run.grading import Grading
from evals.run.kept_verification import KeptVerification, VerifierFacts
from evals.run.lock import begin_session, interruptible, run_lock
from evals.run.tally import Tally
from scaffolds.base import Stop
from scaffolds.model import Exchange
from tasks.backend import Left, VerifierResult
from tasks.errors import UserError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_context import plain_context
from tests.test_run import make_task

PATIENCE = 20.0
KEYS = tuple(AttemptKey(scaffold=name, task_id="one", attempt=1) for name in "abc")


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- one process, one session -------------------------------------------------------------------------------------


def test_a_run_directory_is_made_held_and_refused_to_the_next_by_name(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    with run_lock(run):
        for owner, named in ((None, str(os.getpid())), ("", "unknown"), ("7" * 30 + "\n", "7" * 20)):
            if owner is not None:
                (run / ".lock").write_text(owner)
            with pytest.raises(UserError, match=rf"\(process {named}\) works on"), run_lock(run):
                raise AssertionError
    with run_lock(run):
        assert (run / ".lock").read_text() == str(os.getpid())


def test_a_session_ends_those_before_it(tmp_path: Path) -> None:
    run = tmp_path / "new" / "run"
    first = begin_session(run)
    assert first.exists()
    second = begin_session(run)
    assert (first.exists(), second.exists()) == (False, True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_signal_is_gentle_once_ends_the_process_when_it_comes_again_and_a_third_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, over = list[str | int](), threading.Event()

    def leave(code: int) -> None:
        said.append(code)
        raise SystemExit  # which ends the thread that says so

    def at_once() -> None:
        said.append("at once")
        assert over.wait(PATIENCE)

    monkeypatch.setattr("os._exit", leave)
    with interruptible(gently=lambda: said.append("gently"), at_once=at_once):
        for number, heard in (
            (signal.SIGTERM, ["gently"]),
            (signal.SIGINT, ["gently", "at once"]),
            (signal.SIGINT, ["gently", "at once", 130]),
        ):
            signal.raise_signal(number)
            until(lambda heard=heard: said == heard)  # type: ignore[misc]
        over.set()
        until(lambda: said == ["gently", "at once", 130, 130])


def test_of_those_who_listen_for_signals_nothing_is_left_and_they_keep_no_process_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipes, make = list[int](), os.pipe

    def pipe() -> tuple[int, int]:
        pipes.extend(ends := make())
        return ends

    monkeypatch.setattr("os.pipe", pipe)
    with interruptible(gently=lambda: None, at_once=lambda: None):
        assert [one.daemon for one in threading.enumerate() if one.name == "signals"] == [True]
    assert "signals" not in [one.name for one in threading.enumerate()]
    assert signal.set_wakeup_fd(-1) == -1
    for end in pipes:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


# --- what waits, and where it is made -----------------------------------------------------------------------------


class CountedLock:
    def __init__(self) -> None:
        self._lock, self.taken = threading.Lock(), 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self.taken += 1

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()


def test_a_worker_sleeps_until_there_is_room_for_its_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admissions, "LOOK_SECONDS", 60.0)
    lock = CountedLock()
    admission, tally = Admission(1), Tally(total=2, lock=lock)  # type: ignore[arg-type]
    first, second, _ = KEYS
    backlog = Backlog(tally, threading.Event(), admission)
    for key in (first, second):
        with tally.lock:
            backlog.append(key)
    assert backlog.take() == first
    asked: list[AttemptKey | None] = []
    taking = threading.Thread(target=lambda: asked.append(backlog.take()), daemon=True)
    taking.start()
    time.sleep(0.2)
    assert asked == []
    assert lock.taken < 10, "it does not ask all the time"
    tally.ended(first)
    admission.ended(first)
    taking.join(PATIENCE)
    assert (asked, set(tally.under_way), len(backlog)) == ([second], {second}, 0)


def test_what_comes_back_after_its_scaffold_was_settled_is_dropped_and_comes_once_more(
    tmp_path: Path,
) -> None:
    a, b, c = KEYS
    tally = Tally(total=3)
    backlog = Backlog(tally, threading.Event(), Admission())
    backlog.extend([a, b])
    backlog.settle(["a"])
    assert (list(backlog), backlog.settled, tally.total) == ([b], {"a"}, 2)
    backlog.reopen(["c"], [c, a])
    assert (list(backlog), tally.total) == ([b, c], 1)
    backlog.reopen(["a"], [])
    assert (list(backlog), backlog.settled, tally.total) == ([b, c, a, a], set(), 3)
    backlog.reopen(["a"], [])
    assert (list(backlog), tally.total) == ([b, c, a, a], 3), "each comes back once"


def test_threads_make_what_there_is_and_die_with_the_process(tmp_path: Path) -> None:
    todo, backend = list(KEYS), PlainBackend()
    made: list[tuple[AttemptKey, object, bool]] = []
    over, watched = threading.Event(), list[float]()

    def make(key: AttemptKey, where: object) -> None:
        made.append((key, where, threading.current_thread().daemon))
        assert over.wait(PATIENCE)

    def watch() -> None:
        watched.append(time.monotonic())
        if len(watched) == 3:
            over.set()

    began = time.monotonic()
    LocalThreads(backend).execute(lambda: todo.pop(0) if todo else None, make, workers=2, watch=watch)
    assert sorted(made, key=str) == [(key, backend, True) for key in KEYS]
    assert watched[2] - began >= 0.4, "four times a second, and not all the time"


# --- grading ------------------------------------------------------------------------------------------------------


def grades(grade: Callable[[], None] | None, directory: Path) -> tuple[Grading, list[AttemptKey]]:
    context, told = plain_context(directory), list[AttemptKey]()

    def graded(key: AttemptKey, _grade: Grade) -> None:
        assert (key.directory(directory) / "grade.json").exists()
        told.append(key)

    def made(_task: Task, _record: Record, _directory: Path) -> Grade:
        assert grade
        grade()
        return GRADE

    grader = made if grade else None
    tasks: Mapping[str, Task] = {"one": make_task("one")}
    return Grading(grader, context, tasks, graded=graded, guard=lambda act: act()), told


GRADE = Grade(outcome=Outcome.RESOLVED, official=GraderVerdict(outcome=Outcome.RESOLVED), grader="g", key="k")


def write_records(directory: Path) -> None:
    for key in KEYS:
        key.directory(directory).mkdir(parents=True)
        record = Record(key=key, task_hash="h", image="i", stop=Stop.SUBMITTED, started="s")
        (key.directory(directory) / "record.json").write_text(record.model_dump_json())


def test_grades_that_are_under_way_are_waited_for(tmp_path: Path) -> None:
    write_records(tmp_path)
    go_on = threading.Event()
    grading, told = grades(lambda: [None][not go_on.wait(PATIENCE)], tmp_path)
    with grading.threads(2):
        assert grading.has_a_thread_to_spare
        grading.submit(*KEYS[:1])
        assert not grading.has_a_thread_to_spare
        assert grading.pending == [KEYS[0]]
        began = time.monotonic()
        grading.wait(0.05)
        assert 0.05 <= time.monotonic() - began < PATIENCE
        threading.Timer(0.1, go_on.set).start()
        grading.finish([KEYS[0], KEYS[2]])
        assert told == [KEYS[0]]
        assert grading.pending == []
        grading.submit(KEYS[1])
        grading.wait(PATIENCE)
        assert told == [KEYS[0], KEYS[1]]
        assert grading.has_a_thread_to_spare
        assert grading.use(lambda: told.append(KEYS[2])).result() is None
    assert told == list(KEYS)
    assert grade_of(KEYS[1].directory(tmp_path)) == GRADE


@pytest.mark.parametrize(("number", "spare"), [(0, False), (1, False), (2, True)])
def test_one_thread_at_least_grades_and_two_have_one_to_spare(
    number: int, spare: bool, tmp_path: Path
) -> None:
    write_records(tmp_path)
    grading, told = grades(lambda: None, tmp_path)
    with grading.threads(number):
        assert grading.has_a_thread_to_spare is spare
        grading.submit(*KEYS)
    assert told == list(KEYS) or number > 1
    assert set(told) == set(KEYS)


def test_without_a_grader_nothing_is_graded(tmp_path: Path) -> None:
    write_records(tmp_path)
    grading, told = grades(None, tmp_path)
    with grading.threads(1):
        grading.submit(*KEYS)
        assert grading.pending == []
    assert told == []


# --- what is kept -------------------------------------------------------------------------------------------------


def test_a_verifiers_run_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    left = {
        "/logs/verifier/reward.txt": Left(b"1\n"),
        "/logs/verifier/.missing": Left(b"curl"),
        "/logs/verifier/ctrf.json": Left(b"", "it is a link"),
    }
    run = VerifierResult(0, False, b"log", 3, left, 1.23456, 0.12345)
    made = KeptVerification.of("k", "kit", run)
    directory = tmp_path / "new" / "attempt"
    for _ in range(2):
        made.save(directory)
    assert KeptVerification.load(directory) == made == KeptVerification(made.facts, b"log", left)
    facts = made.facts
    assert (facts.seconds, facts.startup_seconds, facts.shared, facts.starts) == (1.235, 0.123, False, True)
    assert {path: one.file for path, one in facts.left.items()} == {
        "/logs/verifier/reward.txt": "reward.txt",
        "/logs/verifier/.missing": "missing",
        "/logs/verifier/ctrf.json": "",
    }
    assert (directory / "verifier/missing").read_bytes() == b"curl"
    assert KeptVerification.of("k", "kit", run, shared=True).facts.shared
    older = facts.model_dump(exclude={"shared"})
    assert VerifierFacts.model_validate(older).shared is False
    for name in ("verifier/reward.txt", "test.log", "verifier.json"):
        whole = (directory / name).read_bytes()
        (directory / name).write_bytes(b"0")
        assert name == "test.log" or KeptVerification.load(directory) is None
        (directory / name).unlink()
        assert KeptVerification.load(directory) is None
        (directory / name).write_bytes(whole)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (b"", b"abc", 0), (b"abc", b"", 0), (b"a", b"b", 0), (b"abc", b"abc", 3), (b"abc", b"abd", 2), (b"ab", b"abc", 2),
        (b"abc", b"ab", 2), (b"xbc", b"abc", 0), (b"a" * 1000, b"a" * 999 + b"b", 999), (b"a" * 7, b"a" * 1000, 7),
    ],
)  # fmt: skip
def test_what_two_requests_begin_with_is_found_to_the_byte(one: bytes, other: bytes, both: int) -> None:
    assert shared_prefix(one, other) == both


def test_exchanges_that_share_nothing_and_those_that_failed_read_back(tmp_path: Path) -> None:
    made = [
        Exchange(b"first", 200, "a/b", b"x"),
        Exchange(b"other", error="no connection"),
        Exchange(b"other", 0, "", b"half", "cut"),
    ]
    assert list(read_exchanges(tmp_path)) == []
    with ExchangeLog(tmp_path) as log:
        assert list(tmp_path.iterdir()) == []
        for number, one in enumerate(made, 1):
            log(one)
            assert list(read_exchanges(tmp_path)) == made[:number], "on disk before the next one"
    assert list(read_exchanges(tmp_path)) == made
    assert gzip.decompress((tmp_path / FILE).read_bytes()), "it is closed as any reader of gzip wants it"


def test_a_flag_is_said_with_its_number_from_two_on() -> None:
    said: dict[str, dict[str, Any]] = {
        "patch touches conftest": {"kind": FlagKind.TOUCHES_TESTS, "what": "conftest"},
        "command looks for the reflog ×2: git reflog": {
            "kind": FlagKind.LOOKS_FOR_ANSWERS, "what": "the reflog", "detail": "git reflog", "count": 2,
        },
        "server: retried ×3": {"kind": FlagKind.SERVER, "what": "retried", "count": 3},
        "something": {"kind": FlagKind.OTHER, "what": "something"},
    }  # fmt: skip
    for words, given in said.items():
        assert str(Flag(**given)) == words
        assert flag_of_text(words) == Flag(**given)
    assert flag_of_text("server: slow ×many").count == 1


@pytest.mark.parametrize(
    ("outcome", "guess", "weak"),
    [
        (Outcome.RESOLVED, 1 / 1000, False), (Outcome.RESOLVED, 1 / 999, True), (Outcome.RESOLVED, 1.0, True),
        (Outcome.RESOLVED, None, False), (Outcome.UNRESOLVED, 1.0, False), (Outcome.UNRESOLVED, None, False),
    ],
)  # fmt: skip
def test_a_pass_is_weak_that_more_than_one_guess_in_a_thousand_has(
    outcome: Outcome, guess: float | None, weak: bool
) -> None:
    assert GRADE.model_copy(update={"outcome": outcome, "guess": guess}).weak is weak


def test_a_damaged_file_is_named_with_the_first_hundred_characters_of_why(tmp_path: Path) -> None:
    record = Record(key=KEYS[0], task_hash="h", image="i", stop=Stop.SUBMITTED, started="s")
    assert kept(Record, write(tmp_path, record.model_dump_json())) == record
    for kind, text, what in (
        (Record, record.model_dump_json().replace('"submitted"', '"none"'), "made"),
        (Grade, GRADE.model_dump_json().replace('"resolved"', '"none"'), "graded"),
    ):
        with pytest.raises(UserError, match=f"to have its attempt {what} again") as error:
            kept(kind, write(tmp_path, text))  # type: ignore[type-var]
        why = str(error.value).partition("is damaged (")[2].partition("): restore")[0]
        assert why.startswith("Input should be '")
        assert (len(why) == 100) is (kind is Record), why
    assert grade_of(tmp_path) is None


def write(directory: Path, text: str) -> Path:
    path = directory / "any.json"
    path.write_text(text)
    return path
