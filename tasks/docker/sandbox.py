"""The Docker sandbox: one hardened container whose main process is our supervisor, spoken to over one attached stream.

The supervisor (tasks/supervisor, a static program put into the created container) enforces timeouts inside; we keep a
later deadline as a backup. When this process dies, however it dies, the stream's end stops the container.

Not covered: a kernel that is broken into, and daemons that do not speak Docker's API 1.40 or later.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from docker.models.containers import Container
from docker.types import Mount

from tasks import supervisor
from tasks.backend import NO_MOUNTS, VerifierResult
from tasks.docker import patch
from tasks.docker.blame import died_by_itself, supervisor_is_well
from tasks.docker.channel import Channel
from tasks.docker.create import container_options
from tasks.docker.daemon import daemon_errors, remove
from tasks.docker.delivery import create_supervised, read_only
from tasks.docker.oom import OomWatch
from tasks.docker.paths import check_file_result, checked
from tasks.docker.process import Companion, Process
from tasks.docker.stalls import stalls
from tasks.docker.state import changed_paths, commit_stopped, stop
from tasks.docker.stream import Connection, Stream
from tasks.docker.verifier import verify_running
from tasks.docker.watch import Watch, watch
from tasks.docker.wire import AttachStream, BrokenFrame, StreamClosed, StreamSilent
from tasks.errors import TaskError
from tasks.sandbox import Diff, ExecResult, Limits, MachineState, SandboxError, SandboxFacts, SandboxGone
from tasks.task import Verifier

ENVIRONMENT = {
    "PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat", "SYSTEMD_PAGER": "cat", "TERM": "dumb",
    "EDITOR": "true", "VISUAL": "true", "GIT_EDITOR": "true", "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive", "PIP_NO_INPUT": "1",
}  # fmt: skip
"""Nothing may wait for a person: pagers pass through, editors leave things as they are."""
GRACE_SECONDS = 30.0
"""How much later than a command's timeout we give up on the supervisor: it may wait for a busy machine."""
START_SECONDS = 120.0
FILE_SECONDS = 60.0
UNLIMITED = (1 << 63) - 1
NOTHING_MORE: Mapping[str, Any] = MappingProxyType({})
ATTACH = {"stdin": 1, "stdout": 1, "stream": 1}
"""The daemon closes the container's stdin when this stream ends, that is when we are gone."""


def open_sandbox(
    image: str,
    *,
    workdir: str = "/testbed",
    limits: Limits | None = None,
    labels: Mapping[str, str] | None = None,
    user: str = "",
    network: bool = False,
    environment: Mapping[str, str] | None = None,
    mounts: Mapping[str, Path] = NO_MOUNTS,
    volumes: Sequence[Mount] = (),
    more: Mapping[str, Any] = NOTHING_MORE,
) -> DockerSandbox:
    """Start a container of `image` (id or name) and wait until it takes commands. `more`: options of Docker's.

    Raises `TaskError` when the image is not on this machine, `SandboxError` when the daemon or the image cannot do it.
    """
    limits = limits or Limits()
    options = container_options(limits, labels or {}, user, network, {**ENVIRONMENT, **(environment or {})})
    options |= {"entrypoint": [supervisor.PATH], "stdin_open": True, "working_dir": workdir, **more}
    options["mounts"] = [*read_only(mounts), *volumes]
    container = create_supervised(image, [str(limits.idle_seconds), workdir], options)
    try:
        sandbox = DockerSandbox(container, workdir, limits)
    except BaseException:
        remove(container)
        raise
    try:
        sandbox.begin()
    except BaseException:
        sandbox.close()
        raise
    return sandbox


class DockerSandbox:
    """See `tasks.sandbox.Sandbox` for the contract; made by `open_sandbox`."""

    def __init__(self, container: Container, workdir: str, limits: Limits) -> None:
        self._container = container
        self._workdir = workdir
        self._limits = limits
        self._gone: str | None = None
        self._closed = False
        self._watch: Watch | None = None
        self.beside: list[Companion] = []
        """Closed with it."""
        self._opened = time.monotonic()
        stalls()
        with daemon_errors(f"cannot attach to container {container.short_id}"):
            self._channel = Channel(AttachStream(container.attach_socket(params=ATTACH)))

    def begin(self) -> None:
        """Start the container and wait until it takes commands."""
        with daemon_errors(f"cannot start container {self._container.short_id}"):
            self._container.start()
            self._container.reload()
        self.ooms = OomWatch(self._container)
        self._watch = watch(self._container, self._limits)
        self._start_supervisor()

    @property
    def container_id(self) -> str:
        return str(self._container.id)

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        if "\0" in command:
            return ExecResult("bash: a command cannot contain a NUL byte\n", 2, False, 0, 0.0)
        began = time.monotonic()
        limits, deadline = self._limits, began + timeout + GRACE_SECONDS
        with self._blaming():
            stream = self._start(command, timeout, cwd, limits.output_head, limits.output_tail, deadline)
            output = stream.everything(deadline).decode(errors="replace")
            result = stream.finish(deadline)
        if result.timed_out and not (self._watch and self._watch.crowds):
            stalls().check(began, timeout, "a command ran")
        return ExecResult(output, result.code, result.timed_out, result.total, time.monotonic() - began)

    def start(
        self, command: str, *, timeout: float, cwd: str | None = None, followed: bool = True
    ) -> Process:
        """Begin a command and talk to it: its standard input stays open, its output comes as it is written.

        `followed` False: nobody talks to it, and of its output head and tail are kept for its end.
        """
        deadline = time.monotonic() + timeout + GRACE_SECONDS
        limits = self._limits
        head, tail = (UNLIMITED, 0) if followed else (limits.output_head, limits.output_tail)
        with self._blaming():
            stream = self._start(command, timeout, cwd, head, tail, deadline, stdin=followed)
        return Process(stream, deadline, self._blaming)

    def forward(self, port: int, handler: Callable[[Connection], None]) -> None:
        """Serve 127.0.0.1:`port` inside, without any network: each connection gets `handler` in a thread of its own.

        Raises `OSError` where the port cannot be had.
        """
        with self._blaming():
            self._channel.listen(port, handler, time.monotonic() + FILE_SECONDS)

    def read(self, path: str) -> bytes:
        limit, deadline = self._limits.read, time.monotonic() + FILE_SECONDS
        with self._blaming():
            data, result = self._channel.read(checked(path), limit + 1, deadline)
        if result.code == errno.ENOENT:
            raise FileNotFoundError(f"no such file: {path}")
        check_file_result(result, path)
        if len(data) > limit:
            raise OSError(f"larger than {limit} bytes: {path}")
        return data

    def write(self, path: str, data: bytes) -> None:
        with self._blaming():
            result = self._channel.write(checked(path), data, time.monotonic() + FILE_SECONDS)
        check_file_result(result, path)

    def diff(self) -> Diff:
        self._end()
        return patch.extract(self._container, self._workdir)

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        self._end()
        repository, _, tag = name.partition(":")
        image = str(self._container.attrs["Image"])
        with daemon_errors(f"cannot keep the state of container {self._container.short_id}"):
            changed = tuple(changed_paths(self._container))
            kept = commit_stopped(self._container, image, repository, tag, labels)
        return MachineState(kept, changed)

    def verify(self, verifier: Verifier, collect: Sequence[str]) -> VerifierResult:
        """As `tasks.backend.VerifyingSandbox` has it."""
        assert self._watch is not None
        for one in self.beside:
            one.check()
        self._gone = self._gone or "it was verified"
        return verify_running(self._container, self._workdir, verifier, collect, self._watch, self.ooms)

    def facts(self) -> SandboxFacts:
        with daemon_errors(f"cannot inspect container {self._container.short_id}"):
            self._container.reload()
            ooms = self.ooms.count()
        state = self._container.attrs["State"]
        code = None if state["Running"] else int(state["ExitCode"])
        home_made = self._watch is not None and self._watch.crowds
        stalled = 0.0 if home_made else stalls().since(self._opened)
        return SandboxFacts(
            str(self._container.attrs["Image"]), bool(state["Running"]), ooms, code, round(stalled, 1)
        )

    def close(self) -> None:
        if not self._closed:
            if self._watch:
                self._watch.stop()
            self._channel.close()
            for one in reversed(self.beside):
                one.close()
            remove(self._container)
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _end(self) -> None:
        self.ooms.count()  # the cgroup goes away with the last process
        with daemon_errors(f"cannot stop container {self._container.short_id}"):
            stop(self._container)
        self._gone = self._gone or "it was stopped to look at its files"
        self._channel.close()

    def _start_supervisor(self) -> None:
        name = self._container.short_id
        try:
            self._channel.start(time.monotonic() + START_SECONDS)
        except StreamSilent as error:
            raise SandboxError(f"container {name} does not start: {error}") from error
        except (StreamClosed, BrokenFrame) as error:
            image = self._container.attrs["Config"]["Image"]
            if self._channel.said_hello:
                raise TaskError(
                    f"image {image} has no usable shell: neither bash nor sh starts in it"
                ) from error
            raise SandboxError(f"container {name} does not start: {error}") from error

    def _start(
        self,
        command: str,
        timeout: float,
        cwd: str | None,
        head: int,
        tail: int,
        deadline: float,
        *,
        stdin: bool = False,
    ) -> Stream:
        return self._channel.exec(
            command.encode(errors="surrogateescape"),
            checked(self._workdir if cwd is None else cwd),
            seconds=timeout,
            head=head,
            tail=tail,
            fallback=cwd is None,
            stdin=stdin,
            deadline=deadline,
        )

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """Turns the end of the channel into `SandboxGone` or `SandboxError`, by what the daemon says."""
        if self._gone:
            raise SandboxGone(self._gone)
        try:
            yield
        except (StreamClosed, StreamSilent, BrokenFrame) as error:
            self._blame(error)

    def _blame(self, error: Exception) -> None:
        """Decide, from what the daemon says, whose doing the end of the channel was; raises one or the other."""
        name = self._container.short_id
        if self._watch and self._watch.reason:
            self._gone = self._watch.reason
            raise SandboxGone(self._gone) from error
        if isinstance(error, BrokenFrame):
            self._gone = f"the sandbox no longer answers: {error}"
            raise SandboxGone(self._gone) from error
        with daemon_errors(f"container {name} stopped answering, and so did the daemon"):
            if isinstance(error, StreamClosed):
                self._container.wait(timeout=GRACE_SECONDS)
            self._container.reload()
            by_itself = self._container.attrs["State"]["Running"] or died_by_itself(self._container)
            if isinstance(error, StreamSilent) and supervisor_is_well(self._container):
                raise SandboxError(
                    f"container {name} did not get to answer: is this machine overloaded?"
                ) from error
        if not by_itself:
            raise SandboxError(f"container {name} was killed from outside") from error
        self._gone = f"the sandbox no longer answers: {error}"
        raise SandboxGone(self._gone) from error
