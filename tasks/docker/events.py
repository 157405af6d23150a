"""What happens to our containers, heard from the daemon while it happens.

The daemon itself remembers the last 256 events of the whole machine, which a busy one makes in seconds: a death that is asked
about later may be forgotten, or only the kill that caused it. Where the listener may have missed something (its connection
broke, the daemon was restarted) the daemon's memory is asked after all, and counts if it reaches back to the container's start.
Not covered: a daemon that drops events, as Docker does for a listener that is a thousand behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from docker.models.containers import Container

from tasks.docker.daemon import DAEMON_ERRORS, LABEL, client, daemon_errors, events_of, is_podman, now

Event = Mapping[str, Any]

LATE_SECONDS = 10.0
"""How much later than a container is seen dead the daemon's word on that may come."""
KILL_SECONDS = 0.5
"""How much later than a death the daemon may note the kill that caused it."""
AGAIN_SECONDS = 1.0
GONE = ("destroy", "remove")
ONE = threading.Lock()


class EventListener:
    """One thread that listens for as long as the process lives; others ask it."""

    def __init__(self, subscribe: Callable[[int], Iterable[Event]], clock: Callable[[], int]) -> None:
        """`subscribe`: events from a second of the daemon's clock on, until the connection ends. `clock`: that clock."""
        self._subscribe, self._clock = subscribe, clock
        self._news = threading.Condition()
        self._heard: dict[str, list[str]] = {}
        threading.Thread(target=self._listen, args=(clock(),), name="events", daemon=True).start()

    def follow(self, container_id: str) -> None:
        """From before its start on."""
        with self._news:
            self._heard[container_id] = []

    def actions(self, container_id: str) -> tuple[str, ...] | None:
        """All that happened to a container that is dead; None where that is not known for certain."""
        with self._news:
            self._news.wait_for(lambda: "die" in self._heard.get(container_id, ["die"]), LATE_SECONDS)
            self._news.wait_for(lambda: "kill" in self._heard.get(container_id, ["kill"]), KILL_SECONDS)
            heard = self._heard.get(container_id, [])
            return tuple(heard) if "die" in heard else None

    def so_far(self, container_id: str) -> tuple[str, ...] | None:
        """What was heard of a container that may run still; None where something may have been missed."""
        with self._news:
            heard = self._heard.get(container_id)
            return None if heard is None else tuple(heard)

    def _listen(self, since: int) -> None:
        while True:
            with suppress(*DAEMON_ERRORS, ValueError):
                for event in self._subscribe(since):
                    self._take(event)
            self._forget()
            time.sleep(AGAIN_SECONDS)
            with suppress(*DAEMON_ERRORS, ValueError):
                since = self._clock()
                self._forget()  # who was followed meanwhile may have started meanwhile

    def _take(self, event: Event) -> None:
        name, action = str((event.get("Actor") or {}).get("ID")), str(event.get("Action"))
        with self._news:
            if name in self._heard:
                self._heard[name].append(action)
                if action in GONE:
                    del self._heard[name]
                self._news.notify_all()

    def _forget(self) -> None:
        with self._news:
            self._heard.clear()
            self._news.notify_all()


def listener() -> EventListener:
    """The process's one listener, from before its first container on."""
    with ONE, daemon_errors("cannot ask the Docker daemon for the time"):
        return made()


@cache
def made() -> EventListener:
    return EventListener(subscribe, lambda: int(now().timestamp()))


def subscribe(since: int) -> Iterable[Event]:
    filters = {"type": "container"}
    if not is_podman():  # old ones know no labels here
        filters["label"] = f"{LABEL}pid={os.getpid()}"
    stream: Iterable[Event] = client().events(since=since, decode=True, filters=filters)
    return stream


def actions_of(container: Container) -> tuple[str, ...]:
    """What the daemon did to a dead container and saw it do, in order; empty where it has forgotten part of that."""
    heard = listener().actions(str(container.id))
    if heard is not None:
        return heard
    remembered = _remembered(container)
    return remembered if "start" in remembered else ()


def times(container: Container, action: str) -> int:
    """How often the daemon told of an action until now, as far as it was heard or is remembered."""
    name = str(container.id)
    runs = container.attrs["State"].get("Running")
    heard = listener().so_far(name) if runs else listener().actions(name)
    return (_remembered(container) if heard is None else heard).count(action)


def _remembered(container: Container) -> tuple[str, ...]:
    return tuple(str(event["Action"]) for event in events_of(container, type="container"))
