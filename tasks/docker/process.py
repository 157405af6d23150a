"""A command of a sandbox that is talked to while it runs, and what a sandbox knows of others that run beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from tasks.docker.stream import Result, Stream

Blaming = Callable[[], AbstractContextManager[None]]
"""A block in which the end of the channel becomes `SandboxGone` or `SandboxError`."""


class Companion(Protocol):
    """A machine that is there for a sandbox, and goes with it."""

    def check(self) -> None:
        """Raises `SandboxError` where the machine around it broke it."""
        ...

    def close(self) -> None: ...


class Process:
    """A running command of a sandbox. All methods raise what those of `Sandbox` raise."""

    def __init__(self, stream: Stream, deadline: float, blaming: Blaming) -> None:
        self._stream, self._deadline, self._blaming = stream, deadline, blaming

    def write(self, data: bytes) -> None:
        """To its standard input, as it takes it. Raises `BrokenPipeError` when it has ended."""
        with self._blaming():
            self._stream.write(data, self._deadline)

    def close_input(self) -> None:
        with self._blaming():
            self._stream.close_input(self._deadline)

    def output(self) -> bytes:
        """The next piece of what it prints, both streams as they interleave; b"" when it has ended."""
        with self._blaming():
            return self._stream.output(self._deadline)

    def kill(self) -> None:
        """End it, and all that it started."""
        with self._blaming():
            self._stream.reset(self._deadline)

    @property
    def ended(self) -> bool:
        """As far as was heard by now: another command of the sandbox hears for this one, too."""
        return self._stream.ended

    def said(self) -> bytes:
        """All that it printed, once it has ended."""
        with self._blaming():
            return self._stream.everything(self._deadline)

    def status(self) -> int:
        return self.wait().code

    def wait(self) -> Result:
        """Its exit code, once it has ended; output that nobody asked for is dropped."""
        with self._blaming():
            self._stream.everything(self._deadline)
            return self._stream.finish(self._deadline)
