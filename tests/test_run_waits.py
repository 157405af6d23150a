"""How a run waits for what is outside, and when it gives up: seconds on a clock that a test holds, no server and no daemon."""

from __future__ import annotations

import random
import threading
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from evals.record import AttemptKey
from evals.run import outages, same_server
from evals.run.outages import Outages, PatientPulls, Waits
from evals.run.same_server import FILE, Change, Changes, SameServer, ServerCheck, changes, finish_quarantine
from evals.run.tally import Tally
from scaffolds.model import ModelError, Served, Trouble
from tasks.backend import Prepared, Progress, quiet
from tasks.disk import write_json
from tasks.errors import MachineError, UserError
from tasks.sandbox import RegistryError, SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.served_run import make_task

KEYS = [AttemptKey(scaffold="s", task_id=f"t{n}", attempt=1) for n in range(4)]
REFUSED = ModelError("401", kind=Trouble.REFUSED, retryable=False)
DIGEST = "sha256:" + "0a" * 32


class Clock(threading.Event):
    """Waits for nothing and remembers for how long it should have; set after so many waits."""

    def __init__(self, until: int = 1000) -> None:
        super().__init__()
        self.until, self.waits = until, list[float]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if len(self.waits) >= self.until:
            self.set()
        return self.is_set()


def outages_with(
    troubles: Sequence[ModelError | None] = (),
    *,
    back: bool = True,
    clock: Clock | None = None,
    watch: SameServer | None = None,
) -> Outages:
    left = list(troubles)
    return Outages(
        Tally(),
        clock or Clock(),
        wait_for_server=lambda _stop: back,
        short_prompt=lambda: left.pop(0) if left else None,
        same_server=watch,
    )


def test_a_refusal_that_passes_is_waited_out_with_pauses_that_double_to_a_minute() -> None:
    clock = Clock()
    handled = outages_with([REFUSED] * 9, clock=clock).of_server(REFUSED, 0, worked=True)
    assert (handled.tries, clock.waits) == (0, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0])


def test_a_refusal_of_one_prompt_costs_its_tries_and_one_of_every_prompt_costs_none() -> None:
    def tries(*troubles: ModelError | None, back: bool) -> int:
        return outages_with(troubles, back=back).of_server(REFUSED, 0, worked=True).tries

    away = ModelError("gone", kind=Trouble.DOWN)
    assert tries(back=True) == outages.TRIES
    assert tries(REFUSED, back=False) == 0
    assert tries(away, back=True) == 0, "it went away meanwhile"
    assert tries(REFUSED, away, back=False) == 0, "it had refused the short prompt"
    assert tries(away, back=False) == outages.TRIES, "and so it had not been away"
    assert tries(ModelError("slow", kind=Trouble.STALLED), back=True) == 0


def test_a_server_that_refuses_all_is_given_up_at_once_before_it_worked_and_in_time_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    with pytest.raises(UserError, match="the model server refuses: 401"):
        outages_with([REFUSED] * 9, clock=clock).of_server(REFUSED, 0, worked=False)
    monkeypatch.setattr(outages, "REFUSAL_PATIENCE", -1.0)
    with pytest.raises(UserError, match="the model server refuses: 401"):
        outages_with([REFUSED] * 9, clock=clock).of_server(REFUSED, 0, worked=True)
    assert clock.waits == []
    monkeypatch.undo()
    stopped = Clock(until=2)
    assert outages_with([REFUSED] * 9, clock=stopped).of_server(REFUSED, 0, worked=True).tries == 0
    assert stopped.waits == [1.0, 2.0]


def test_a_daemon_is_asked_every_second_until_it_answers_or_patience_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, answers = Clock(), [False, False, False, True]
    handled = outages_with(clock=clock).of_sandbox(SandboxError("gone"), lambda: answers.pop(0))
    assert (handled.tries, clock.waits) == (1, [1.0] * 3)
    monkeypatch.setattr(outages, "DAEMON_PATIENCE", -1.0)
    with pytest.raises(MachineError, match="went away: start it"):
        outages_with(clock=Clock()).of_sandbox(SandboxError("gone"), lambda: False)


class Registry(PlainBackend):
    """Refuses where a script says so, and remembers which digests it was asked for."""

    def __init__(self, *script: bool, origin: str = "pulled", digest: str | None = f"i@{DIGEST}") -> None:
        super().__init__()
        self.script, self.origin, self.digest = list(script), origin, digest
        self.asked: list[str | None] = []

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        self.asked.append(task.image.digest)
        if self.script and self.script.pop(0):
            raise RegistryError("429")
        return plain_image(task).model_copy(update={"origin": self.origin, "digest": self.digest})


def test_an_image_is_the_same_one_to_the_end_of_the_session() -> None:
    pulls, registry = PatientPulls(Tally(), Clock()), Registry()
    for digest in (f"i@{DIGEST}", f"i@{DIGEST.replace('a', 'b')}", None):
        registry.digest = digest
        pulls.prepare(make_task("one"), registry)
    assert registry.asked == [registry.asked[0], DIGEST, DIGEST]
    assert registry.asked[0] != DIGEST


def test_a_pull_is_tried_again_after_half_a_pause_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, _high: low)
    clock = Clock()
    PatientPulls(Tally(), clock).prepare(make_task("one"), Registry(*[True] * 8))
    assert clock.waits == [2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 150.0, 150.0]


def test_after_one_pull_in_vain_others_are_tried_once_until_the_registry_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "PULL_WAITS", Waits(patience=-1.0))
    clock = Clock()
    pulls = PatientPulls(Tally(), clock)

    def refused(registry: Registry) -> int:
        """How often it was waited before that failed."""
        clock.waits.clear()
        with pytest.raises(RegistryError):
            pulls.prepare(make_task("one"), registry)
        return len(clock.waits)

    assert refused(Registry(True)) == 0
    monkeypatch.setattr(outages, "PULL_WAITS", Waits())
    assert refused(Registry(*[True] * 3)) == 0
    pulls.prepare(make_task("one"), Registry(origin="present"))
    assert refused(Registry(*[True] * 3)) == 0, "what is here says nothing of the registry"
    pulls.prepare(make_task("one"), Registry())
    clock.waits.clear()
    pulls.prepare(make_task("one"), Registry(*[True] * 3))
    assert len(clock.waits) == 3
    clock.set()
    assert refused(Registry(True)) == 0
    clock.clear()
    clock.waits.clear()
    pulls.prepare(make_task("one"), Registry(True))
    assert len(clock.waits) == 1, "a stop is not the registry's doing"


class Watch:
    """A watch over a server of which a test says what is not as it was, and what was quarantined of it."""

    def __init__(self, run: Path, *said: str | None, expected: Served | None = None) -> None:
        self.said, self.taken, self.noted = list(said), list[list[AttemptKey]](), list[bool]()
        self.run = run
        self.watch = SameServer(run, ServerCheck(expected, self.changed), self.quarantine)

    def changed(self) -> str | None:
        return self.said.pop(0) if self.said else ""

    def quarantine(self, keys: Collection[AttemptKey]) -> None:
        self.taken.append(list(keys))
        self.noted.append(changes(self.run).changes[-1].moved)


def test_after_an_outage_it_is_asked_once_whether_the_server_is_the_same(tmp_path: Path) -> None:
    asked: list[str] = []

    def changed() -> str:
        asked.append("")
        return ""

    watch = SameServer(tmp_path, ServerCheck(None, changed), lambda _keys: None)
    waits = outages_with(watch=watch)
    assert waits.of_server(ModelError("away"), 0, worked=True).tries == 0
    assert len(asked) == 1
    assert waits.of_server(ModelError("away"), 0, worked=True).tries == 0
    assert len(asked) == 2, "of each outage"
    calm = outages_with(watch=watch, back=False)
    assert calm.of_server(ModelError("once"), 0, worked=True).tries == 1
    assert len(asked) == 2, "nothing was away"


def test_a_change_that_was_seen_is_settled_and_costs_no_try(tmp_path: Path) -> None:
    server = Watch(tmp_path, "another", "another", "")
    server.watch.ask()
    waits = outages_with(watch=server.watch, back=False)
    assert waits.of_server(ModelError("changed", kind=Trouble.CHANGED), 0, worked=True).tries == 0
    assert (server.watch.suspect, len(changes(tmp_path).changes)) == (False, 1)


def test_what_was_recorded_before_a_check_is_good_and_what_came_after_it_is_quarantined(
    tmp_path: Path,
) -> None:
    server = Watch(tmp_path, "", "another", "another", None, "")
    watch, clock = server.watch, Clock()
    watch.recorded(KEYS[0], 0)
    assert (watch.ask(), watch.unverified) == ("", False)
    watch.recorded(KEYS[1], 0)
    assert watch.unverified
    assert watch.settle(clock) is True
    assert (server.taken, server.noted) == ([[KEYS[1]]], [False]), "noted before it is moved"
    (change,) = changes(tmp_path).changes
    assert (change.what, change.attempts, change.moved) == ("another", (KEYS[1],), True)
    assert clock.waits == [1.0, 2.0], "until it is itself again"
    assert (watch.times, watch.suspect, watch.unverified) == (1, False, False)
    for times in (0, 2):
        KEYS[2].directory(tmp_path).mkdir(parents=True)
        with pytest.raises(ModelError, match="changed while this attempt was made"):
            watch.recorded(KEYS[2], times)
    assert len(list((tmp_path / "s/t2").glob("1.quarantined-*"))) == 2
    watch.recorded(KEYS[2], 1)
    assert watch.unverified


def test_a_good_check_clears_nothing_while_a_change_is_not_settled(tmp_path: Path) -> None:
    server = Watch(tmp_path, "another", "", "", expected=Served("m", ""))
    watch = server.watch
    watch.see(Served("m", "fp-1"))
    watch.see(None)
    watch.recorded(KEYS[0], 0)
    with pytest.raises(ModelError, match="bears the system_fingerprint 'fp-2', the run began with 'fp-1'"):
        watch.see(Served("m", "fp-2"))
    first = watch.ask()
    assert first == watch.ask(), "the first word stands"
    assert "fp-2" in first
    with pytest.raises(ModelError):
        watch.see(None)
    KEYS[1].directory(tmp_path).mkdir(parents=True)
    with pytest.raises(ModelError, match="changed while"):
        watch.recorded(KEYS[1], 1)
    assert watch.settle(Clock()) is True
    assert (server.taken, watch.times) == ([[KEYS[0]]], 1)
    watch.see(Served("m", "fp-1"))


def test_at_the_third_change_two_servers_share_the_address(tmp_path: Path) -> None:
    watch = Watch(tmp_path, *["another", ""] * 2, "another").watch
    assert [watch.settle(Clock()) for _ in range(2)] == [True, True]
    with pytest.raises(UserError, match=r"the server changed 3 times \(another\)"):
        watch.settle(Clock())
    assert len(changes(tmp_path).changes) == 3


def test_a_server_that_stays_another_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(until=8)
    assert Watch(tmp_path, *["another"] * 20).watch.settle(clock) is True
    assert clock.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0], "until the run was stopped"
    monkeypatch.setattr(same_server, "PATIENCE", -1.0)
    with pytest.raises(UserError, match=r"another\. Serve the same model"):
        Watch(tmp_path, *["another"] * 20).watch.settle(Clock())


def test_only_what_was_not_moved_yet_is_moved_by_the_next_session(tmp_path: Path) -> None:
    finish_quarantine(tmp_path)
    assert not (tmp_path / FILE).exists(), "nothing was ever another"
    for key in KEYS[:2]:
        key.directory(tmp_path).mkdir(parents=True)
    moved = Change(time="2026-01-01T00:00:00+00:00", what="x", attempts=(KEYS[0],), moved=True)
    half = moved.model_copy(update={"attempts": (KEYS[1],), "moved": False})
    write_json(tmp_path / FILE, Changes(changes=(moved, half)))
    finish_quarantine(tmp_path)
    assert KEYS[0].directory(tmp_path).exists(), "made again since"
    assert [path.name for path in (tmp_path / "s/t1").iterdir()] == ["1.quarantined-1"]
    assert [change.moved for change in changes(tmp_path).changes] == [True, True]


def test_the_timer_asks_in_a_thread_that_holds_nobody_up_and_ends(tmp_path: Path) -> None:
    asked = threading.Event()

    def changed() -> str:
        asked.set()
        return ""

    before = set(threading.enumerate())
    watch = SameServer(tmp_path, ServerCheck(None, changed, every=0.01), lambda _keys: None)
    with watch.watched():
        (timer,) = set(threading.enumerate()) - before
        assert timer.daemon
        assert asked.wait(20)
    timer.join(20)
    assert not timer.is_alive()
    assert ServerCheck(None, changed).every == 600, (
        "seconds; what was made since the last check is made again"
    )
