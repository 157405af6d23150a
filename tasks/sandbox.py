"""The sandbox contract: one disposable machine that holds one repository.

Every implementation must pass `tests/test_sandbox_contract.py`. What a command does (fails, times out, floods) is
a result. What the agent did to its own machine is `SandboxGone`. What the host did to us is `SandboxError`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, Self, runtime_checkable

from pydantic import Field

from tasks.task import Frozen


class Limits(Frozen):
    """What one container may use, and how much of its output we keep. Sizes in bytes."""

    memory: int = Field(default=4 << 30, ge=64 << 20)
    """RAM, shared memory included; there is no swap."""
    pids: int = Field(default=1024, ge=16)
    cpus: float | None = Field(default=None, gt=0)
    """CPU quota; None = all of the machine's but a half: the daemon and the run itself need to go on."""
    file: int = Field(default=16 << 30, ge=1 << 20)
    """The largest file that a process may write."""
    disk: int = Field(default=10 << 30, ge=1 << 20)
    """All that the container may write to the disk, beside what its image holds."""
    output_head: int = Field(default=64 << 10, ge=0)
    output_tail: int = Field(default=64 << 10, ge=0)
    read: int = Field(default=64 << 20, ge=0)
    """The largest file that `read` returns."""
    allow_unlimited: bool = False
    """Go on where the machine cannot enforce `memory` or `pids`; otherwise nothing is started there."""
    idle_seconds: int = Field(default=48 * 3600, ge=1)
    """The supervisor ends when no request comes for so long, even if the stream never breaks."""


class ExecResult(NamedTuple):
    """What one command did."""

    output: str
    """stdout and stderr as they interleaved, UTF-8 with replacement; head and tail when it was long."""
    exit_code: int
    """As the shell reports it: 128 + n for signal n, 124 when `timed_out`."""
    timed_out: bool
    total_bytes: int
    """Bytes that the command wrote, whether or not they are in `output`."""
    seconds: float


class Diff(NamedTuple):
    """What changed under the working directory since the start state."""

    patch: bytes
    """`git diff --binary --full-index --no-renames` format, applies with `git apply`; b"" when nothing changed."""
    skipped: tuple[str, ...]
    """One line for each path that a patch cannot carry (device, socket, over the size cap), with the reason."""


class MachineState(NamedTuple):
    """A stopped machine, kept whole."""

    image: str
    """Image id, `sha256:…`, of which any number of machines can be started in this state."""
    changed: tuple[str, ...]
    """Every path that differs from the start, `added /app/x`, `changed …` or `deleted …`; hostile text, sorted by path."""


class SandboxFacts(NamedTuple):
    """What the daemon and the kernel say of the machine: never read from the text inside it."""

    image: str
    """Image id, `sha256:…`."""
    alive: bool
    oom_kills: int
    exit_code: int | None
    stalled_seconds: float = 0.0
    """How long, since it was opened, the machine around it stood still."""


class SandboxError(Exception):
    """The machine broke under us: daemon, pull, host disk. Never the agent's doing; the attempt may be retried."""


class RegistryError(SandboxError):
    """A registry did not hand out an image now and may do so later: 429, 500, a cut download, no network.

    "Not found" and "unauthorized" are none: they are a `TaskError`, and final.
    """


class SandboxGone(Exception):  # noqa: N818 - what happened, not an error of ours
    """The agent broke its own machine: killed the command channel, its container or its memory."""


@runtime_checkable
class Sandbox(Protocol):
    """One machine. Not thread-safe: one agent, one command at a time.

    Errors common to all methods: `SandboxError` (host), `SandboxGone` (agent killed it; `diff` still works).
    """

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        """Run `command` with bash in a session of its own; stdin closed, no tty; `timeout` in seconds.

        A timeout that passed while the machine stood still is a `SandboxError`.
        """
        ...

    def read(self, path: str) -> bytes:
        """Contents of a regular file (relative paths: from the working directory).

        Raises `FileNotFoundError`, `IsADirectoryError` or `OSError` (too large, not a regular file).
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Create or replace a file and its parent directories. Raises `OSError` when the path forbids it."""
        ...

    def diff(self) -> Diff:
        """Stop the machine for good, then say what changed under the working directory. Callable on a dead one."""
        ...

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        """Stop the machine for good, then keep it under an image name. Callable on a dead one, instead of `diff`."""
        ...

    def facts(self) -> SandboxFacts: ...

    def close(self) -> None:
        """Remove every trace; idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Command(Protocol):
    """A command that is under way. All methods raise what those of `Sandbox` raise, and may be called from any thread."""

    def close_input(self) -> None: ...

    def output(self) -> bytes:
        """The next piece of what it prints, both streams as they interleave; b"" when it has ended."""
        ...

    def kill(self) -> None:
        """End it, and all that it started."""
        ...

    def status(self) -> int:
        """Wait for its end; its exit code, as the shell reports it."""
        ...


@runtime_checkable
class ProgramSandbox(Sandbox, Protocol):
    """A sandbox in which a program can be followed while it runs, and can ask the host over a port of its own loopback."""

    def start(self, command: str, *, timeout: float, cwd: str | None = None) -> Command: ...

    def forward(self, port: int, handler: Callable[[io.RawIOBase], None]) -> None:
        """Serve 127.0.0.1:`port` inside, without any network: each connection gets `handler` in a thread of its own.

        Raises `OSError` where the port cannot be had.
        """
        ...
