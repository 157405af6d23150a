"""A bad night in small: the real queue, client and scaffold against a server of ours, killed, starved of disk and cut off.

After every fault the run is resumed, and its report must be that of an undisturbed run, times aside. Machines are none
(`PlainSandbox`): containers that a dead process leaves behind are the business of tests/test_end_to_end.py.
`python -m tests.soak` is the full sweep; tests/test_soak.py takes a sample of it.
"""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evals.report.summary import summarise
from evals.run.ledger import verify
from scaffolds.openai.config import Retries
from tasks.backend import NO_MOUNTS, Backend
from tasks.errors import DiskFullError, UserError
from tasks.sandbox import ExecResult, Limits, Sandbox, SandboxError
from tests.fakes.openai_server import Answer, Body, FakeServer, as_stream, call, error
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.served_run import make_task, plan_for, work
from tests.soak_flat import crowd, is_flat, recording

TASKS = [make_task(f"t{n}") for n in range(6)]
CALLS = 3
"""Of each attempt; the last one submits."""
WRITES = {"os.rename", "os.mkdir", "os.remove"}
RECORDING = 0.1
"""The most of a model call that its recording may be."""
TIMES = {"created", "active_seconds", "load"}


class CountedSandbox(PlainSandbox):
    """Solves its task, unless a command of its attempt ran twice, out of order or not as it was sent."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task, self.ran = task, list[str]()

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.ran.append(command)
        as_sent = self.ran == [command_of(n) for n in range(len(self.ran))]
        self.patch = b"+solved" if as_sent and self.task in ("t0", "t2", "t3") else b"+not"
        return ExecResult(f"{'fine' if as_sent else self.ran}\n", 0, False, 5, 0.0)


def command_of(turn: int) -> str:
    return f"printf 'turn {turn} \N{LATIN SMALL LETTER E WITH ACUTE}' > notes/{turn}.txt"


class CountingBackend(PlainBackend):
    """A machine for each attempt, which knows its task."""

    def open(
        self,
        image: str,
        *,
        workdir: str,
        limits: Limits,
        labels: Mapping[str, str],
        mounts: Mapping[str, Path] = NO_MOUNTS,
    ) -> Sandbox:
        return self.machine(labels["attempt"].split("/")[1])

    def machine(self, task: str) -> Sandbox:
        return CountedSandbox(task)


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


def talk(body: Body) -> Answer:
    """The same to the same conversation, whoever asks and how often."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return call("submit") if turn >= CALLS - 1 else call("bash", {"command": command_of(turn)})


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


PATIENT = Retries(attempts=50, seconds=60, first_wait=0.001, longest_wait=0.01)


def run_once(
    directory: Path,
    url: str,
    *,
    workers: int = 4,
    stream: bool = True,
    attempts: int = 1,
    retries: Retries = PATIENT,
    backend: Backend | None = None,
) -> None:
    """Work on it until its end, or go on with it."""
    plan = plan_for(url, attempts=attempts)
    assert plan.model is not None
    deadlines = plan.model.deadlines.model_copy(update={"first_byte": 1.0, "silence": 0.5})
    changed = {"retries": retries, "stream": stream, "deadlines": deadlines}
    plan = plan.model_copy(update={"model": plan.model.model_copy(update=changed)})
    work(directory, plan, TASKS, workers=workers, backend=backend or CountingBackend())


def report(directory: Path) -> str:
    """The whole report as text, times aside; the ledger's chain must hold and nothing half-written may lie about."""
    assert verify(directory / "ledger.jsonl") == []
    found = summarise(directory).model_dump(mode="json")
    return json.dumps(without_times(found), sort_keys=True, indent=1)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


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


def child(directory: Path, url: str, at: int | None, action: str) -> None:
    """A process that works on a run and meets its fate at its `at`-th write below the directory."""
    counts = itertools.count(1)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if at is None or not is_write(event, arguments, str(directory)) or next(counts) < at:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if event != "os.remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)
    try:
        run_once(directory, url, workers=2)
    except (DiskFullError, UserError, OSError) as stopped:
        sys.exit(f"{type(stopped).__name__}: {stopped}")


def is_write(event: str, arguments: tuple[Any, ...], below: str) -> bool:
    """What Python is about to do to the disk; `open` has the flags that the kernel gets."""
    if not arguments or not str(arguments[0]).startswith(below):
        return False
    return event in WRITES or (
        event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
    )


def start(directory: Path, url: str, at: int | None = None, action: str = "kill") -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak"])
    process = context.Process(target=child, args=(directory, url, at, action))
    process.start()
    return process


def struck_at(directory: Path, url: str, at: int, action: str) -> tuple[str, bool]:
    """The report after one fault at a write and a resume; and whether there were that many writes at all."""
    process = start(directory, url, at, action)
    process.join()
    struck = process.exitcode != 0
    again = start(directory, url)
    again.join()
    assert again.exitcode == 0, (at, action, again.exitcode)
    return report(directory), struck


def killed_after(directory: Path, url: str, seconds: float) -> str:
    """The report after a kill -9 at some moment and a resume."""
    process = start(directory, url)
    process.join(seconds)
    process.kill()
    process.join()
    again = start(directory, url)
    again.join()
    assert again.exitcode == 0, (seconds, again.exitcode)
    return report(directory)


def sweep(points: int = 200) -> None:
    """Everything, each in a directory of its own."""
    place = Path(tempfile.mkdtemp(prefix="asclaimed-soak-"))
    fresh = (place / f"{n}" / "run" for n in itertools.count())
    good = undisturbed(next(fresh))
    for name, found in weathers(fresh):
        say(name, found == good)
    with good_server() as server:
        for action in ("kill", "disk full"):
            for at in itertools.count(1):
                found, struck = struck_at(next(fresh), server.url, at, action)
                assert found == good, (action, at)
                if not struck:
                    break
            say(f"{action} at each of {at - 1} writes", True)
        chance = random.Random(0)
        for n in range(points):
            assert killed_after(next(fresh), server.url, chance.uniform(0.0, 1.5)) == good, n
        say(f"kill -9 at {points} random moments", True)
    shutil.rmtree(place)
    share = recording()
    say(f"recording is {share:.1%} of a model call", share <= RECORDING)
    seen = crowd(2000, 64)
    say(f"2,000 attempts, 64 at once: {', '.join(map(str, seen))}", is_flat(seen, 64))


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


def say(line: str, good: bool) -> None:
    print(f"{'same' if good else 'OTHER REPORT'}: {line}", flush=True)
    assert good, line


if __name__ == "__main__":
    sweep(int(sys.argv[1]) if sys.argv[1:] else 200)
