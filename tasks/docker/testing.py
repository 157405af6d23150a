"""One test run in one fresh container: apply a patch as swebench 5.0.2 does, deliver files, run a script, read back.

Exit codes and files come from the daemon; the log is bytes and decides nothing here. What the tested code does to its
container is its own doing. A container that was killed or removed from outside, a command that did not begin, a patch
that could not even be tried, and a daemon that does not answer are a `SandboxError`.
Differs from swebench on purpose: no network unless the limits allow one, no SYS_ADMIN, a
memory limit. Not here: what the log means.
"""

from __future__ import annotations

import io
import secrets
import shlex
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from docker.errors import APIError
from docker.models.containers import Container

from tasks.backend import APPLY_COMMANDS, RunRequest, RunResult, TestLimits
from tasks.docker.create import container_options, create
from tasks.docker.daemon import daemon_errors, remove
from tasks.docker.delivery import deliver
from tasks.docker.exec import Exec, bash, check_own_doing
from tasks.docker.oom import OomWatch
from tasks.docker.shortage import Shortage
from tasks.docker.stalls import stalls
from tasks.docker.watch import Watch, watch
from tasks.sandbox import SandboxError

PATCH_FILE = "/tmp/patch.diff"  # noqa: S108 - swebench's name, in the container
ALREADY = "git apply --check --reverse"
APPLIED_CODE = 100
UNDELIVERABLE = 99
COLLECT_BYTES = 64 << 20
NOT_APPLIED = (1, UNDELIVERABLE)


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
        proc: Path = Path("/proc"),
    ) -> None:
        """See `tasks.backend.Backend.tests`. `proc`: where the kernel tells of this machine's memory."""
        self._proc = proc
        self._image, self._workdir, self._limits = image, workdir, limits
        self._script_file, self._labels = script_file, {"purpose": "grading", "run": run}

    def __call__(self, request: RunRequest, /) -> RunResult:
        """Raises `TaskError` when the image is not here, `SandboxError` when the daemon fails."""
        began = time.monotonic()
        stalls()
        with self._container() as (container, watching, ooms):
            script = self._script_file or f"/tmp/{secrets.token_hex(8)}.sh"  # noqa: S108 - in the container
            deliver(container, {PATCH_FILE: request.patch, script: request.script.encode()})
            applied_by = self._prepare(container, request)
            if applied_by is None:
                return RunResult(False, None, False, b"", {}, 0.0, time.monotonic() - began)
            if request.files:
                deliver(container, request.files)
            asked = time.monotonic()
            run = Exec(container, bash('exec /bin/bash "$0"', script), self._workdir, self._limits.log_bytes)
            code = self._finish(run, watching)
            if run.timed_out and not watching.crowds:
                stalls().check(asked, self._limits.seconds, "the tests ran")
            if ooms.by_the_host():
                raise SandboxError("this machine ran out of memory: its kernel killed in the test container")
            collected = {
                path: data for path in request.collect if (data := collect(container, path)) is not None
            }
            if not run.timed_out and not watching.reason:  # we have killed those
                check_own_doing(container)
            total = time.monotonic() - began
            log, size = run.capture.contents(), run.capture.total
            kills = ooms.count()
        return RunResult(
            True,
            code,
            run.timed_out or bool(watching.reason),
            log,
            collected,
            run.seconds,
            total - run.seconds,
            applied_by,
            size,
            watching.reason,
            kills,
        )

    def _finish(self, run: Exec, watching: Watch) -> int | None:
        """The script's status; None after a timeout, its container's death, or when the watch ended it."""
        try:
            code = run.finish(self._limits.seconds)
        except SandboxError:
            if not watching.reason:
                raise
            return None
        return None if watching.reason else code

    @contextmanager
    def _container(self) -> Iterator[tuple[Container, Watch, OomWatch]]:
        limits = self._limits
        container_limits = limits.container.model_copy(
            update={"pids": min(limits.pids, limits.container.pids)}
        )
        options = container_options(
            container_limits, self._labels, "root", limits.network, environment(limits.network)
        )
        options["entrypoint"] = ["bash"]  # no supervisor: nobody talks to a test machine but the daemon
        life = limits.apply_seconds + limits.seconds + 600
        container = create(self._image, ["-c", f"exec sleep {life:.0f}"], options)
        try:
            with daemon_errors(f"cannot start a container of {self._image}"):
                container.start()
                container.reload()
            watching = watch(container, container_limits)
            shortage = Shortage(container, self._proc)
            try:
                yield container, watching, OomWatch(container)
                shortage.check()  # of a machine without memory no result is believed
            finally:
                watching.stop()
                shortage.stop()
        finally:
            remove(container)

    def _prepare(self, container: Container, request: RunRequest) -> str | None:
        """Apply the patch and make room for files; the command that applied it, None when none did."""
        script = prepare_script(bool(request.patch), request.files)
        run = Exec(container, bash(script, "prepare"), self._workdir, 64 << 10)
        code = run.finish(self._limits.apply_seconds)
        ways = dict(enumerate((*APPLY_COMMANDS, ALREADY, "none"), APPLIED_CODE))
        if code in ways:
            return ways[code]
        if code not in NOT_APPLIED:
            how = f"ended with status {code}" if code is not None else "did not end"
            raise SandboxError(f"applying the patch {how}, and no code of its own ran yet")
        with daemon_errors("cannot inspect a container"):
            container.reload()
            if OomWatch(container).count():
                raise SandboxError("the kernel killed for memory while the patch was applied")
        return None


def environment(network: bool) -> dict[str, str]:
    """Variables of the container: eval scripts reinstall with pip, which would ask an absent index again for 13 to 20 s."""
    return {} if network else {"PIP_RETRIES": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


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


def collect(container: Container, path: str) -> bytes | None:
    """One regular file through the daemon; None when it is absent, no regular file, or above 64 MB.

    A container that is gone looks the same: ask `check_own_doing` afterwards.
    """
    with daemon_errors("cannot read a file back"):
        try:
            return regular_file(container.get_archive(path)[0])
        except (APIError, tarfile.TarError):  # the daemon answers: it is the path, or the container
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
