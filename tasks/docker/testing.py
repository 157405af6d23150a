"""One test run in one fresh container: apply a patch as swebench 5.0.2 does, deliver files, run a script, read back.

Exit codes and files come from the daemon; the log is bytes and decides nothing here. Once the tested code runs,
whatever happens to its container is its own doing: only a daemon that does not answer is a `SandboxError`.
Differs from swebench on purpose: no network, no SYS_ADMIN, a memory limit. Not here: what the log means.
"""

from __future__ import annotations

import io
import secrets
import shlex
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any

from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.utils.socket import frames_iter

from tasks.backend import APPLY_COMMANDS, RunRequest, RunResult, TestLimits
from tasks.docker.capture import Capture
from tasks.docker.daemon import DAEMON_ERRORS, client, daemon_errors, remove
from tasks.docker.sandbox import container_options
from tasks.errors import TaskError

PATCH_FILE = "/tmp/patch.diff"  # noqa: S108 - swebench's name, in the container
ALREADY = "git apply --check --reverse"
APPLIED_CODE = 100
UNDELIVERABLE = 99
COLLECT_BYTES = 64 << 20
GRACE_SECONDS = 2.0
"""How long a stream may stay open after its command has ended: a daemon that the tests left holds it."""


ONE_STREAM = 'exec /bin/bash "$0" 2>&1'
"""The daemon copies stdout and stderr side by side, in no order. The script's markers go to one, the tests' results to
the other: a result that overtook its marker would be no result."""


class TestContainers:
    """Runs requests in fresh containers of one image; implements `tasks.backend.RunTests`. Threads may share it."""

    __test__ = False

    def __init__(
        self,
        image: str,
        workdir: str,
        limits: TestLimits,
        *,
        script_file: str | None = None,
        run: str = "",
    ) -> None:
        """See `tasks.backend.Backend.tests`."""
        self._image, self._workdir, self._limits = image, workdir, limits
        self._script_file, self._labels = script_file, {"purpose": "grading", "run": run}

    def __call__(self, request: RunRequest, /) -> RunResult:
        """Raises `TaskError` when the image is not here, `SandboxError` when the daemon fails."""
        began = time.monotonic()
        with self._container() as container:
            script = self._script_file or f"/tmp/{secrets.token_hex(8)}.sh"  # noqa: S108 - in the container
            deliver(container, {PATCH_FILE: request.patch, script: request.script.encode()})
            applied_by = self._prepare(container, request)
            if applied_by is None:
                return RunResult(False, None, False, b"", {}, 0.0, time.monotonic() - began)
            if request.files:
                deliver(container, request.files)
            command = ["/bin/bash", "-c", ONE_STREAM, script]
            run = Exec(container, command, self._workdir, self._limits.log_bytes)
            code = run.finish(self._limits.seconds)
            collected = {
                path: data for path in request.collect if (data := collect(container, path)) is not None
            }
            total = time.monotonic() - began
            log, size = run.capture.contents(), run.capture.total
        return RunResult(
            True, code, run.timed_out, log, collected, run.seconds, total - run.seconds, applied_by, size
        )

    @contextmanager
    def _container(self) -> Iterator[Container]:
        limits = self._limits
        options = container_options(limits.container, self._labels, "root", limits.network, {})
        options["entrypoint"] = "bash"  # no supervisor: nobody talks to a test machine but the daemon
        life = limits.apply_seconds + limits.seconds + 600
        with daemon_errors(f"cannot start a container of {self._image}"):
            try:
                container = client().containers.create(
                    self._image, ["-c", f"exec sleep {life:.0f}"], entrypoint="bash", **options
                )
            except ImageNotFound as error:
                raise TaskError(f"image {self._image} is not on this machine") from error
        try:
            with daemon_errors(f"cannot start a container of {self._image}"):
                container.start()
            yield container
        finally:
            remove(container)

    def _prepare(self, container: Container, request: RunRequest) -> str | None:
        """Apply the patch and make room for files; the command that applied it, None when none did."""
        script = prepare_script(bool(request.patch), request.files)
        run = Exec(container, ["/bin/bash", "-c", script], self._workdir, 64 << 10)
        code = run.finish(self._limits.apply_seconds)
        return (
            (*APPLY_COMMANDS, ALREADY, "none")[code - APPLIED_CODE] if code and code >= APPLIED_CODE else None
        )


def prepare_script(patch: bool, files: Mapping[str, bytes]) -> str:
    """Bash that applies the patch the four ways, makes the files' directories, and says in its status which way it was."""
    parents = sorted({str(PurePosixPath(path).parent) for path in files})
    room = f"mkdir -p -m 0755 -- {shlex.join(parents)} || exit {UNDELIVERABLE}; " if parents else ""
    if not patch:
        return f"{room}exit {APPLIED_CODE + len(APPLY_COMMANDS) + 1}"
    reset = "git checkout -- . ; git clean -fd"
    lines = [f"done_by() {{ {room}exit $1; }}"]
    for number, command in enumerate(APPLY_COMMANDS):
        lines.append(f"{reset if number else ':'}\n{command} {PATCH_FILE} && done_by {APPLIED_CODE + number}")
    lines.append(f"{ALREADY} {PATCH_FILE} && done_by {APPLIED_CODE + len(APPLY_COMMANDS)}\nexit 1")
    return "\n".join(lines)


class Exec:
    """One command of its own in a running container, its output kept in bounded memory."""

    def __init__(self, container: Container, command: list[str], workdir: str, keep: int) -> None:
        self.capture = Capture(keep // 2, keep // 2)
        self.timed_out = False
        self.seconds = 0.0
        self._container = container
        self._broken = False
        self._began = time.monotonic()
        with daemon_errors("cannot run a command"):
            api: Any = client().api
            self._id = api.exec_create(container.id, command, user="root", workdir=workdir)["Id"]
            self._socket = api.exec_start(self._id, socket=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def finish(self, seconds: float) -> int | None:
        """Wait for the end; the exit code as the daemon has it, None after a timeout or the container's death."""
        deadline = self._began + seconds
        while self._reader.is_alive() and time.monotonic() < deadline:
            self._reader.join(min(1.0, max(0.0, deadline - time.monotonic())))
            if self._reader.is_alive() and not self._state()["Running"]:
                self._reader.join(GRACE_SECONDS)
                break
        state = self._state()
        self._close()
        self.timed_out = bool(state["Running"]) and not self._broken
        self.seconds = time.monotonic() - self._began
        if self.timed_out:
            with suppress(*DAEMON_ERRORS):
                self._container.kill()
        return None if self.timed_out or self._died() else state["ExitCode"]

    def _close(self) -> None:
        """Docker's socket object keeps its response, and with it the connection, alive."""
        response = getattr(self._socket, "_response", None)
        if response is not None:
            response.close()
        self._socket.close()

    def _state(self) -> dict[str, Any]:
        with daemon_errors("cannot inspect a command"):
            found: dict[str, Any] = client().api.exec_inspect(self._id)
            return found

    def _died(self) -> bool:
        with daemon_errors("cannot inspect a container"):
            self._container.reload()
        return self._container.status != "running"

    def _read(self) -> None:
        try:
            for _, chunk in frames_iter(self._socket, tty=False):  # type: ignore[no-untyped-call]
                self.capture.feed(chunk)
        except (*DAEMON_ERRORS, ValueError):  # the container died under it, the daemon did, or we closed it
            self._broken = True


def deliver(container: Container, files: Mapping[str, bytes]) -> None:
    """Put files into a container: owned by root, mode 0444. Their directories are there already."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode, member.mtime = len(content), 0o444, int(time.time())
            tar.addfile(member, io.BytesIO(content))
    with daemon_errors("cannot deliver files"):
        container.put_archive("/", archive.getvalue())


def collect(container: Container, path: str) -> bytes | None:
    """One regular file through the daemon; None when it is absent, no regular file, or above 64 MB."""
    with daemon_errors("cannot read a file back"):
        try:
            return regular_file(container.get_archive(path)[0])
        except (NotFound, APIError, tarfile.TarError):
            return None


def regular_file(stream: Iterator[bytes]) -> bytes | None:
    """The content of a tar stream's first member, if that is a regular file of at most 64 MB."""
    received = bytearray()
    for chunk in stream:
        received += chunk
        if len(received) > COLLECT_BYTES + (1 << 20):
            return None
    with tarfile.open(fileobj=io.BytesIO(bytes(received))) as tar:
        member = tar.next()
        file = tar.extractfile(member) if member and member.isreg() else None
        return file.read() if file else None
