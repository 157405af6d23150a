"""What may happen around a run: servers that fail at every byte, put off, stall and restart, and a daemon that restarts."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scaffolds.openai.config import Retries
from tasks.sandbox import ExecResult, Sandbox, SandboxError
from tests.fakes.openai_server import Answer, Body, FakeServer, as_stream, error
from tests.soak.small import CountedSandbox, CountingBackend, report, run_once, talk


class RestartingBackend(CountingBackend):
    """Its daemon is gone for half a second from the tenth command on."""

    def __init__(self) -> None:
        super().__init__()
        self.commands, self.back = itertools.count(1), 0.0
        self.lost = 0
        self._answers = lambda: time.monotonic() >= self.back

    def machine(self, task: str) -> Sandbox:
        self.check()
        return LostSandbox(task, self)

    def check(self) -> None:
        if time.monotonic() < self.back:
            self.lost += 1
            raise SandboxError("cannot reach the Docker daemon")


class LostSandbox(CountedSandbox):
    """Dies with its daemon."""

    def __init__(self, task: str, backend: RestartingBackend) -> None:
        super().__init__(task)
        self.backend = backend

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        if next(self.backend.commands) == 10:
            self.backend.back = time.monotonic() + 0.5
        self.backend.check()
        return super().exec(command, timeout=timeout, cwd=cwd)


class Weather(FakeServer):
    """Answers well, after it failed as a function says: `(number of the request, the good answer) → what comes first`."""

    def __init__(self, strike: Callable[[int, Answer], Answer | None]) -> None:
        super().__init__(self.chat)
        self._numbers, self._strike = itertools.count(), strike

    def chat(self, body: Body) -> Answer:
        good = talk(body)
        assert good.message is not None
        whole = as_stream(good.message) if body.get("stream") else good
        return self._strike(next(self._numbers), whole) or whole


def cut_at(offset: int, answer: Answer) -> Answer:
    """The answer's first bytes, and then a reset."""
    return Answer([b"".join(answer.pieces)[:offset]], content_type=answer.content_type, reset=True)


def size(*, stream: bool) -> int:
    """Bytes of the longest answer."""
    body: Body = {"messages": [{"role": "assistant"}], "stream": stream}
    good = talk(body)
    assert good.message is not None
    return len(b"".join((as_stream(good.message) if stream else good).pieces))


@contextmanager
def good_server() -> Iterator[FakeServer]:
    with Weather(lambda _number, _answer: None) as server:
        yield server


def undisturbed(directory: Path, *, stream: bool = True) -> str:
    with good_server() as server:
        run_once(directory, server.url, stream=stream)
    return report(directory)


def under(directory: Path, strike: Callable[[int, Answer], Answer | None], **more: Any) -> str:
    """The report of a run in such a weather."""
    with Weather(strike) as server:
        run_once(directory, server.url, **more)
    return report(directory)


def resets(offsets: Iterator[int]) -> Callable[[int, Answer], Answer | None]:
    """Every second request is cut off, each a byte later than the one before."""
    lock = threading.Lock()

    def strike(number: int, answer: Answer) -> Answer | None:
        with lock:
            offset = next(offsets, None) if number % 2 == 0 else None
        return None if offset is None else cut_at(offset, answer)

    return strike


def storm(number: int, answer: Answer) -> Answer | None:
    """Refusals, stalls before and in the middle of an answer, and resets, in turn."""
    whole = b"".join(answer.pieces)
    faults = (
        None,
        error(503, "busy"),
        Answer([], delay=1.5, reset=True),
        Answer([whole[:40], whole[40:]], content_type=answer.content_type, pause=1.0),
        cut_at(60, answer),
    )
    return faults[number % len(faults)] if number < 30 else None


def with_restart(directory: Path) -> str:
    """The server's process goes away in the middle, with all its connections, and is back after a while."""
    with Weather(lambda number, _answer: time.sleep(0.02)) as server:
        timer = threading.Timer(0.3, lambda: (server.go_away(), time.sleep(0.7), server.come_back()))
        timer.start()
        run_once(directory, server.url)
        timer.join()
    return report(directory)


def twenty_minutes(directory: Path, *, pages: bool) -> str:
    """503 for so long, by a clock a thousand times as fast; `pages`: a daemon that loads says so on every page, too."""
    until = 0.0

    def strike(number: int, _answer: Answer) -> Answer | None:
        nonlocal until
        until = until or (time.monotonic() + 1200 / FASTER if number >= 7 else 0.0)
        return error(503, LOADING) if time.monotonic() < until else None

    with Weather(strike) as server:
        listed = server.get["/v1/models"]
        if pages:
            server.get["/v1/models"] = lambda: (
                error(503, LOADING) if time.monotonic() < until else error(200, listed)
            )
        run_once(directory, server.url, retries=usual_but(FASTER))
    return report(directory)


FASTER = 1000
LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


def usual_but(faster: float) -> Retries:
    """The client's own patience by a faster clock."""
    usual = Retries()
    waits = ("seconds", "first_wait", "longest_wait")
    return usual.model_copy(update={name: getattr(usual, name) / faster for name in waits})


def with_daemon_restart(directory: Path) -> str:
    """The daemon goes away with every container in the middle, and is back after a while."""
    backend = RestartingBackend()
    with good_server() as server:
        run_once(directory, server.url, backend=backend)
    assert backend.lost, "attempts were under way"
    return report(directory)


def weathers(fresh: Iterator[Path]) -> Iterator[tuple[str, str]]:
    """Each with the report of a run in it."""
    for stream in (True, False):
        every = iter(range(size(stream=stream)))
        found, runs = "", 0
        while every.__length_hint__():
            found, runs = under(next(fresh), resets(every), stream=stream), runs + 1
        yield f"resets at every byte of {'streamed' if stream else 'whole'} answers ({runs} runs)", found
    yield "503, stalls, resets", under(next(fresh), storm)
    yield "a server that restarts", with_restart(next(fresh))
    yield "20 minutes of 503 on every page", twenty_minutes(next(fresh), pages=True)
    yield "20 minutes of 503 to every chat", twenty_minutes(next(fresh), pages=False)
    yield "a Docker daemon that restarts", with_daemon_restart(next(fresh))
