"""One command of its own in a running container, and whose doing it is when that container dies.

Not covered: a `kill -9` of a container's processes by root on the host, past the daemon: it looks like the tested
code's own `kill -9 -1`.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from docker.models.containers import Container

from tasks.docker.blame import died_by_itself
from tasks.docker.capture import Capture
from tasks.docker.daemon import DAEMON_ERRORS, client, daemon_errors
from tasks.docker.hijacked import Hijacked
from tasks.sandbox import SandboxError

GRACE_SECONDS = 2.0
"""How long a stream may stay open after its command has ended: a daemon that the tests left holds it."""
KILLED = 128 + 9
DEATH_SECONDS = 3.0
"""How much later than a command's the daemon may note its container's death."""
STDOUT = 1
BEGIN = "printf %s {marker}; exec 2>&1\n{script}"
"""Bash text. The marker shows that the command began: a daemon that could not run it gives exit codes as well. From then on there
is one stream: of two, the daemon copies each at its own pace, and a test's result could overtake the script's marker."""


def bash(script: str, name: str) -> Callable[[str], list[str]]:
    """A command for `Exec`: bash text, and its `$0`."""
    return lambda marker: ["/bin/bash", "-c", BEGIN.format(marker=marker, script=script), name]


class Exec:
    """A command run by root, its output kept in bounded memory."""

    def __init__(
        self,
        container: Container,
        command: Callable[[str], list[str]],
        workdir: str,
        keep: int,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`command`: the words for a marker that it has to begin its output with. `keep`: bytes of output.

        `environment`: on top of the container's.
        """
        self.capture = Capture(keep // 2, keep // 2)
        self.timed_out = False
        self.seconds = 0.0
        self._container, self._workdir = container, workdir
        self._marker, self._head = secrets.token_hex(16).encode(), b""
        self._begun = self._broken = False
        self._began = time.monotonic()
        words = command(self._marker.decode())
        with daemon_errors("cannot run a command"):
            api: Any = client().api
            self._id = api.exec_create(
                container.id, words, user="0", workdir=workdir, environment=dict(environment or {})
            )["Id"]
            self._stream = Hijacked(api.exec_start(self._id, socket=True))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def finish(self, seconds: float) -> int | None:
        """Wait for the end; the exit code as the daemon has it, None after a timeout or the container's own death.

        Raises `SandboxError` when the command did not begin, or somebody else ended it or its container.
        """
        try:
            state = self._ended(self._began + seconds)
            broken = self._broken
        finally:
            self._stream.close()
        self.seconds = time.monotonic() - self._began
        if not check_own_doing(self._container):
            return None
        if not self._begun:
            raise SandboxError(f"a command did not begin in {self._workdir}: {self._complaint(state)}")
        if broken:
            raise SandboxError("the daemon broke off a command's output")
        if state["Running"]:
            self.timed_out = True
            with suppress(*DAEMON_ERRORS):
                self._container.kill()
            return None
        return int(state["ExitCode"]) if self._survived(state["ExitCode"]) else None

    def _survived(self, code: int) -> bool:
        """Whether the container outlived the command: who kills a container kills its commands a moment before."""
        deadline = time.monotonic() + (DEATH_SECONDS if code == KILLED else 0.0)
        while time.monotonic() < deadline:
            if not check_own_doing(self._container):
                return False
            time.sleep(0.2)
        return True

    def _ended(self, deadline: float) -> dict[str, Any]:
        """The daemon's word on the command once it has ended, lost its stream for good, or reached the deadline."""
        while True:
            self._reader.join(min(1.0, max(0.0, deadline - time.monotonic())))
            state = self._state()
            if not state["Running"]:
                self._reader.join(GRACE_SECONDS)
                return state
            if time.monotonic() >= deadline:
                return state
            if not self._reader.is_alive():
                if self._broken or not self._alive():
                    return state
                time.sleep(0.05)  # its stream ends a moment before the daemon knows of its end

    def _complaint(self, state: dict[str, Any]) -> str:
        """What the daemon wrote in the place of a command; no code of the image or the patch ran yet."""
        said = (self._head + self.capture.contents()).decode(errors="replace")
        printable = "".join(c if c.isprintable() else " " for c in said)
        return " ".join(printable.split())[:200] or f"exit code {state['ExitCode']}"

    def _state(self) -> dict[str, Any]:
        with daemon_errors("cannot inspect a command"):
            found: dict[str, Any] = client().api.exec_inspect(self._id)
            return found

    def _alive(self) -> bool:
        with daemon_errors("cannot inspect a container"):
            self._container.reload()
        return bool(self._container.attrs["State"]["Running"])

    def _read(self) -> None:
        try:
            for stream, chunk in self._stream.output():
                self._take(stream, chunk)
        except (*DAEMON_ERRORS, ValueError):  # the container died under it, the daemon did, or we closed it
            self._broken = True

    def _take(self, stream: int, chunk: bytes) -> None:
        """What comes before the whole marker waits; the marker itself is no output."""
        if not self._begun and stream == STDOUT:
            self._head += chunk
            if not self._head.startswith(self._marker):
                return
            self._begun, chunk = True, self._head[len(self._marker) :]
            self._head = b""
        self.capture.feed(chunk)


def check_own_doing(container: Container) -> bool:
    """True while it runs, False when it died of what is in it.

    Raises `SandboxError` when somebody outside killed or removed it: nothing that it left can be believed.
    """
    with daemon_errors("the test container is gone"):
        container.reload()
        state = container.attrs["State"]
        if state["Running"] and not state.get("Dead"):
            return True
        if died_by_itself(container):
            return False
    raise SandboxError("the test container was killed from outside")
