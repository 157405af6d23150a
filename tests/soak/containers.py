"""kill -9 of the command line itself, in the middle of attempts and of gradings, with real containers and processes.

After the resume the report is that of an undisturbed run, no container and no process of the killed one is left, and
containers that are not its own stand untouched: one that is nobody's of ours, one of another run under way, one that
another machine made.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tasks.disk import cache_directory
from tasks.docker.daemon import LABEL, owner_labels
from tests.fakes.openai_server import Answer, Body, FakeServer, call
from tests.soak.small import report

ASCLAIMED = str(Path(sys.executable).with_name("asclaimed"))
MOMENTS = 12
PATIENCE = 30.0
"""Seconds in which what a killed process leaves behind has to be gone after a resume."""
SOLVED, UNSOLVED = "asclaimed__vowels-1", "asclaimed__greet-1"
TURNS = ("sleep 0.3; ls", "sed -i 's/aeio/aeiou/' vowels.py 2>&1; git status --short", "true")


class Killed(NamedTuple):
    """What came of one kill -9."""

    seconds: float
    """After the start."""
    under_way: bool
    """Else the run was over before."""
    wrong: str
    """Of the report, of what was left behind or of who was touched; "" for nothing."""


def talk(body: Body) -> Answer:
    """The same to the same conversation; its second command solves one of the tasks."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return call("submit") if turn >= len(TURNS) else call("bash", {"command": TURNS[turn]})


def killed_commands(place: Path, moments: int, chance: random.Random) -> Iterator[Killed]:
    """At random moments of a run's whole time."""
    with FakeServer(talk) as server:
        good, whole = undisturbed(place, server.url)
        with bystanders() as others:
            before = states(others)
            for number in range(moments):
                seconds, there = chance.uniform(0, whole), place / f"{number}"
                pids, under_way = killed_after(there, server.url, seconds)
                touched = "" if states(others) == before else "a container of somebody else was touched"
                wrong = "" if report(there / "run") == good else "another report"
                yield Killed(seconds, under_way, wrong or left_behind(pids) or touched)


def undisturbed(place: Path, url: str) -> tuple[str, float]:
    """The report and the seconds of the second run: at the first one images are built and gold is tried."""
    for name in ("cold", "warm"):
        began = time.monotonic()
        assert start(place / name, url).wait() == 0, (place / name / "log").read_text()
    return report(place / "warm" / "run"), time.monotonic() - began


def killed_after(place: Path, url: str, seconds: float) -> tuple[tuple[int, int], bool]:
    """The ids of the process that was killed and of the one that went on; whether the first was still at work."""
    first = start(place, url)
    with suppress(subprocess.TimeoutExpired):
        first.wait(seconds)
    under_way = first.poll() is None
    first.kill()
    first.wait()
    second = start(place, url)
    assert second.wait() == 0, (place / "log").read_text()
    return (first.pid, second.pid), under_way


def start(place: Path, url: str) -> subprocess.Popen[bytes]:
    """In a session of its own, by which its processes are known."""
    place.mkdir(parents=True, exist_ok=True)
    command = [
        *(ASCLAIMED, "run", "--tasks", "starter", "--ids", f"{SOLVED},{UNSOLVED}", "--scaffold", "bash"),
        *("--base-url", url, "--model", "fake", "--workers", "2", "--out", str(place / "run")),
    ]
    with (place / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(place), start_new_session=True
        )


def environment(place: Path) -> dict[str, str]:
    """The machine's cache but for what is kept of test runs: else nothing would be graded in a container."""
    ours, fresh = cache_directory(), place / "cache" / "asclaimed"
    if not fresh.exists():
        fresh.mkdir(parents=True)
        for shared in ours.iterdir():
            if shared.name != "grading":
                (fresh / shared.name).symlink_to(shared)
    return {**os.environ, "XDG_CACHE_HOME": str(fresh.parent)}


def left_behind(pids: Sequence[int]) -> str:
    """What is still there of processes that are over, or ""."""
    deadline = time.monotonic() + PATIENCE
    while left := [*containers_of(pids), *processes_of(pids)]:
        if time.monotonic() > deadline:
            return f"left behind: {', '.join(left)}"
        time.sleep(0.5)
    return ""


def containers_of(pids: Sequence[int]) -> list[str]:
    found = (docker("ps", "-aq", "--filter", f"label={LABEL}pid={pid}").split() for pid in pids)
    return [f"container {name}" for names in found for name in names]


def processes_of(pids: Sequence[int]) -> Iterator[str]:
    """Of their sessions."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) in pids and fields[0] != "Z":
                yield f"process {stat.parent.name}"


@contextmanager
def bystanders() -> Iterator[tuple[str, ...]]:
    """Ids of containers that are no business of the run's: not ours at all, of a living run, of another machine."""
    elsewhere = {f"{LABEL}host": "elsewhere", f"{LABEL}pid": "1", f"{LABEL}started": "1"}
    owners: tuple[Mapping[str, str], ...] = ({}, owner_labels(), owner_labels() | elsewhere)
    image = docker("images", "-q", "--filter", f"reference=asclaimed/{SOLVED}").split()[0]
    ids: list[str] = []
    try:
        for labels in owners:
            words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
            ids.append(docker("run", "-d", "--network", "none", *words, image, "sleep", "infinity").strip())
        yield tuple(ids)
    finally:
        if ids:
            docker("rm", "-f", *ids)


def states(ids: Sequence[str]) -> str:
    """Since when each of them runs."""
    return docker("inspect", "-f", "{{.Id}} {{.State.Status}} {{.State.StartedAt}}", *ids)


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout
