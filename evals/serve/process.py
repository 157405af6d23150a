"""A llama-server that runs: a process of this machine's own build, or a container. Both can be found again and stopped.

Not covered: servers that somebody else started; they are used when they fit and never stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from evals.serve.image import server_image
from evals.serve.probe import HOST
from tasks.backend import Progress
from tasks.disk import cache_directory, load_cached, write_atomic
from tasks.docker.service import Program, Service
from tasks.host import process_start

CACHE_RAM_MIB = 1024
"""For prompts of conversations that lost their slot: attempts at the same task start with the same prompt."""
STOP_SECONDS = 10


class Settings(NamedTuple):
    """How the server is started."""

    weights: Path
    name: str
    port: int
    context: int
    """Tokens of one conversation; llama-server divides its `--ctx-size` among the slots."""
    slots: int
    threads: int

    def command(self, host: str, weights: str) -> list[str]:
        """Options that every llama-server of the last years knows; newer ones travel in the environment."""
        numbers = {
            "--port": self.port,
            "--ctx-size": self.context * self.slots,
            "--parallel": self.slots,
            "--threads": self.threads,
            "--threads-batch": self.threads,
        }
        pairs = [part for option, value in numbers.items() for part in (option, str(value))]
        return [
            "llama-server",
            "--model",
            weights,
            "--alias",
            self.name,
            "--host",
            host,
            *pairs,
            "--jinja",
            "--metrics",
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {"LLAMA_ARG_CACHE_RAM": str(CACHE_RAM_MIB)}


class Running(Protocol):
    """A server that we started, now or in an earlier command."""

    what: str

    def is_alive(self) -> bool: ...

    def log_tail(self) -> str:
        """The last lines that it wrote; hostile enough to be cleaned before a terminal sees them."""
        ...

    def stop(self) -> None: ...


def start(settings: Settings, progress: Progress) -> Running:
    """Start a server: the machine's own `llama-server` where PATH has one, else in a container."""
    return Native.start(settings) if shutil.which("llama-server") else in_container(settings, progress)


def in_container(settings: Settings, progress: Progress) -> Service:
    """Debian's llama-server, listening on all addresses of a container whose port only this host reaches."""
    inside = f"/models/{settings.weights.name}"
    command = settings.command("0.0.0.0", inside)  # noqa: S104 - of the container
    image = server_image(progress).id
    return Service.start(
        Program(image, command, settings.environment, settings.weights, inside), settings.port
    )


def started_earlier(port: int | None = None) -> list[Running]:
    """Servers of ours that still run, on one port or on all."""
    return [*Native.find(port), *Service.find(port)]


class Native:
    """`llama-server` from PATH in a session of its own; a note in the cache directory finds it again."""

    def __init__(self, pid: int, started: str, port: int) -> None:
        self._pid, self._started = pid, started
        self._note = notes() / f"{port}.pid"
        self.what = f"process {pid} on port {port}"

    @classmethod
    def start(cls, settings: Settings) -> Native:
        log = str(notes() / f"{settings.port}.log")
        pid = os.posix_spawnp(  # not Popen, which would have us wait for what may outlive us
            "llama-server",
            settings.command(HOST, str(settings.weights)),
            os.environ | settings.environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        started = process_start(pid) or ""
        write_atomic(notes() / f"{settings.port}.pid", f"{pid} {started}".encode())
        return cls(pid, started, settings.port)

    @classmethod
    def find(cls, port: int | None) -> list[Native]:
        found = []
        for note in notes().glob("*.pid" if port is None else f"{port}.pid"):
            known = load_cached(note, pid_and_start)
            if known is not None:
                found.append(cls(*known, int(note.stem)))
        return [server for server in found if server.is_alive()]

    def is_alive(self) -> bool:
        """The same process, not another one that got its number; when it is our child and ended, this reaps it."""
        with suppress(ChildProcessError):  # an earlier command started it
            os.waitpid(self._pid, os.WNOHANG)
        return process_start(self._pid) == self._started

    def log_tail(self) -> str:
        return self._note.with_suffix(".log").read_bytes()[-2000:].decode(errors="replace")

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS
            if self.is_alive():
                os.kill(self._pid, number)
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(0.05)
        self._note.unlink(missing_ok=True)


def pid_and_start(note: bytes) -> tuple[int, str]:
    """Raises `ValueError` for a note that was cut."""
    pid, _, started = note.decode().partition(" ")
    return int(pid), started


def notes() -> Path:
    """Where process ids and logs of native servers lie."""
    directory = cache_directory() / "serve"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
