"""Whose doing a container's death was, on a machine so busy that its daemon has forgotten it before we ask."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from docker.models.containers import Container
from requests import PreparedRequest

from tasks.docker import events
from tasks.docker.blame import died_by_itself
from tasks.docker.create import container_options, create
from tasks.docker.daemon import client, remove
from tasks.docker.events import EventListener, actions_of, listener
from tasks.docker.exec import Exec, bash
from tasks.docker.images import sandbox_base
from tasks.sandbox import Limits, SandboxError
from tests.fakes.docker_calls import before_each_call

REMEMBERED = 256
"""Events that dockerd keeps (moby, daemon/events/events.go)."""
KILL_ALL = "kill -9 -1; sleep 60"


def forget_everything() -> None:
    """Other people's events, more of them than the daemon keeps."""
    for _ in range(REMEMBERED + 10):
        client().api.tag(sandbox_base().id, "asclaimed/test", "busy")
    client().api.remove_image("asclaimed/test:busy", noprune=True)


def dead(container: Container) -> None:
    container.wait(timeout=20)


@pytest.fixture
def container(docker_daemon: None) -> Iterator[Container]:
    """As one for tests: nothing in it but a sleeping process, and the daemon's init."""
    options = container_options(Limits(), {"purpose": "grading"}, "root", False, {})
    made = create(sandbox_base().id, ["-c", "exec sleep 100"], {**options, "entrypoint": ["bash"]})
    made.start()
    yield made
    remove(made)


@pytest.mark.docker
def test_who_kills_its_own_container_did_it_also_on_a_busy_machine(container: Container) -> None:
    run = Exec(container, bash(KILL_ALL, "tests"), "/", 1 << 16)
    dead(container)
    forget_everything()
    assert run.finish(60) is None


@pytest.mark.docker
def test_a_kill_from_outside_stays_one_also_on_a_busy_machine(container: Container) -> None:
    run = Exec(container, bash("sleep 60", "tests"), "/", 1 << 16)
    client().api.kill(container.id)
    dead(container)
    forget_everything()
    with pytest.raises(SandboxError, match="killed from outside"):
        run.finish(60)


@pytest.mark.docker
def test_of_what_was_not_listened_to_a_whole_memory_counts_and_no_half_one(docker_daemon: None) -> None:
    """A container that our listener does not know is as one that lived when the connection broke."""
    unknown = client().containers.create(sandbox_base().id, ["sh", "-c", "kill -9 $$"], init=True)
    try:
        unknown.start()
        dead(unknown)
        assert died_by_itself(unknown)
        forget_everything()
        unknown.rename(f"asclaimed-test-{unknown.short_id}")
        assert actions_of(unknown) == ()
    finally:
        remove(unknown)


@pytest.mark.docker
def test_workers_that_begin_at_once_share_one_listener(docker_daemon: None) -> None:
    """Else what one of them follows, another one that is asked about it does not know."""

    def slowly(request: PreparedRequest) -> None:
        if str(request.url).endswith("/info"):
            time.sleep(0.3)

    events.made.cache_clear()
    with before_each_call(slowly), ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: listener(), range(8)))) == 1


class Daemon:
    """Connections to events that a test speaks into, one after the other."""

    def __init__(self) -> None:
        self.said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.seconds, self.asked = 100, list[int]()
        self.away = False

    def clock(self) -> int:
        self.seconds += 1
        return self.seconds

    def subscribe(self, since: int) -> Iterator[dict[str, Any]]:
        self.asked.append(since)
        if self.away:
            raise ConnectionRefusedError
        while event := self.said.get():
            yield event

    def say(self, action: str, name: str = "a") -> None:
        self.said.put({"Type": "container", "Action": action, "Actor": {"ID": name}})

    def hang_up(self) -> None:
        self.said.put(None)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def listening(daemon: Daemon) -> EventListener:
    return EventListener(daemon.subscribe, daemon.clock)


def test_a_death_and_a_kill_that_are_told_late_are_waited_for(
    daemon: Daemon, listening: EventListener
) -> None:
    listening.follow("a")
    daemon.say("start")
    threading.Timer(0.3, daemon.say, ["die"]).start()
    threading.Timer(0.5, daemon.say, ["kill"]).start()
    assert listening.actions("a") == ("start", "die", "kill")


def test_events_of_others_and_without_an_actor_are_passed_over(
    daemon: Daemon, listening: EventListener
) -> None:
    listening.follow("a")
    daemon.say("kill", "b")
    daemon.said.put({"Action": "prune"})
    daemon.say("die")
    assert listening.actions("a") == ("die",)
    assert listening.actions("b") is None


def test_what_is_removed_is_not_kept_in_memory(daemon: Daemon, listening: EventListener) -> None:
    listening.follow("a")
    for action in ("start", "die", "destroy"):
        daemon.say(action)
    listening.follow("b")
    daemon.say("die", "b")
    assert listening.actions("b") == ("die",)
    assert listening.actions("a") is None


def test_a_broken_connection_leaves_nothing_certain_of_who_lived_then(
    daemon: Daemon, listening: EventListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of who began before there was another one; who begins after that is heard."""
    monkeypatch.setattr(events, "AGAIN_SECONDS", 0.2)
    listening.follow("before")
    daemon.say("die", "before")
    assert listening.actions("before") == ("die",)
    daemon.away = True
    daemon.hang_up()
    wait_for(daemon, 2)
    assert listening.actions("before") is None
    listening.follow("between")
    daemon.away = False
    wait_for(daemon, 3)
    listening.follow("after")
    for name in ("before", "between", "after"):
        daemon.say("die", name)
    assert listening.actions("after") == ("die",)
    assert [listening.actions(name) for name in ("before", "between")] == [None, None]
    assert daemon.asked == sorted(set(daemon.asked)), "each connection begins by the clock of its own time"


def wait_for(daemon: Daemon, connections: int) -> None:
    deadline = time.monotonic() + 10
    while len(daemon.asked) < connections:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_death_that_is_never_told_of_is_not_certain(
    listening: EventListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LATE_SECONDS", 0.2)
    listening.follow("a")
    assert listening.actions("a") is None


class Ended:
    """A container, as far as `times` asks it."""

    id = "a"

    def __init__(self, running: bool) -> None:
        self.attrs = {"State": {"Running": running}}


def test_kills_for_memory_are_counted_as_heard_though_the_daemon_has_forgotten_them(
    daemon: Daemon, listening: EventListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a dead container all of them, however late they come; where something may have been missed, as remembered."""
    monkeypatch.setattr(events, "listener", lambda: listening)
    monkeypatch.setattr(events, "events_of", lambda *_args, **_filters: [{"Action": "oom"}])
    listening.follow("a")
    for action in ("start", "oom", "oom"):
        daemon.say(action)
    deadline = time.monotonic() + 10
    while events.times(cast(Container, Ended(running=True)), "oom") < 2:
        assert time.monotonic() < deadline
    for delay, action in ((0.2, "oom"), (0.4, "die")):
        threading.Timer(delay, daemon.say, [action]).start()
    assert events.times(cast(Container, Ended(running=False)), "oom") == 3
    daemon.say("destroy")
    daemon.say("die", "b")
    listening.follow("b")
    daemon.say("die", "b")
    assert listening.actions("b") is not None
    assert events.times(cast(Container, Ended(running=False)), "oom") == 1
