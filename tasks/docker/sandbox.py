"""The Docker sandbox: one hardened container whose main process is our supervisor, spoken to over one attached stream.

The supervisor (tasks/image/supervisor.bash) enforces timeouts inside; we keep a later deadline as a backup. When
this process dies, however it dies, the stream's end stops the container.

Not covered: a limit on the disk that a container fills (the daemon's storage driver decides whether there can be
one), a kernel that is broken into, and daemons that do not speak Docker's API 1.40 or later.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from docker.errors import ImageNotFound
from docker.models.containers import Container
from docker.types import LogConfig, Ulimit

from tasks.docker import patch
from tasks.docker.channel import Answer, Capture, Channel, ChannelClosed, ChannelSilent
from tasks.docker.daemon import LABEL, client, daemon_errors, owner_labels, remove
from tasks.docker.oom import OomWatch
from tasks.errors import TaskError
from tasks.sandbox import Diff, ExecResult, Limits, SandboxError, SandboxFacts, SandboxGone

SUPERVISOR = Path(__file__).parents[1] / "image" / "supervisor.bash"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
ENVIRONMENT = {
    "PAGER": "cat", "GIT_PAGER": "cat", "MANPAGER": "cat", "SYSTEMD_PAGER": "cat", "TERM": "dumb",
    "EDITOR": "true", "VISUAL": "true", "GIT_EDITOR": "true", "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive", "PIP_NO_INPUT": "1",
}  # fmt: skip
"""Nothing may wait for a person: pagers pass through, editors leave things as they are."""
LOGIN = r"""
exec 3<&0 4>&1 </dev/null >/dev/null 2>&1
exec bash -l -c '
    if [ -r "$BASH_ENV" ]; then . "$BASH_ENV"; fi
    unset BASH_ENV ENV
    for name in $(compgen -A function); do export -f "$name"; done
    exec bash -p -c "IFS= read -r -d \"\" -u 3 program; eval \"\$program\"" supervisor
'"""
"""A login shell's environment (conda's, say) is made once and inherited by each command. fd 3 and 4: the channel."""
GRACE_SECONDS = 30.0
"""How much later than a command's timeout we give up on the supervisor: it may wait for a busy machine."""
STARVING = 32
"""Running processes of one container from which on a silent supervisor is its own container's doing."""
START_SECONDS = 120.0
FILE_SECONDS = 60.0
WRITE_CHUNK = 1 << 18
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
) -> DockerSandbox:
    """Start a container of `image` (id or name) and wait until it takes commands.

    Raises `TaskError` when the image is not on this machine, `SandboxError` when the daemon or the image cannot do it.
    """
    limits = limits or Limits()
    options = container_options(limits, labels or {}, user, network, {**ENVIRONMENT, **(environment or {})})
    with daemon_errors(f"cannot create a container of {image}"):
        try:
            container = client().containers.create(image, ["-c", LOGIN], working_dir=workdir, **options)
        except ImageNotFound as error:
            raise TaskError(f"image {image} is not on this machine") from error
    try:
        return DockerSandbox(container, workdir, limits)
    except BaseException:
        remove(container)
        raise


def container_options(
    limits: Limits, labels: Mapping[str, str], user: str, network: bool, environment: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that keeps what is inside inside."""
    return {
        "entrypoint": "bash",
        "user": user,
        "environment": dict(environment),
        "labels": {**owner_labels(), **{f"{LABEL}{name}": value for name, value in labels.items()}},
        "stdin_open": True,
        "init": True,
        "network_mode": "bridge" if network else "none",
        "cap_drop": ["ALL"],
        "cap_add": list(CAPABILITIES),
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.pids,
        "mem_limit": limits.memory,
        "memswap_limit": limits.memory,
        "nano_cpus": int(limits.cpus * 1e9) if limits.cpus else None,
        "ulimits": [
            Ulimit(name="fsize", soft=limits.file, hard=limits.file),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "log_config": LogConfig(type="none"),
        "healthcheck": {"test": ["NONE"]},
    }


class DockerSandbox:
    """See `tasks.sandbox.Sandbox` for the contract; made by `open_sandbox`."""

    def __init__(self, container: Container, workdir: str, limits: Limits) -> None:
        self._container = container
        self._workdir = workdir
        self._limits = limits
        self._gone: str | None = None
        self._closed = False
        self._born = int(time.time()) - 1
        with daemon_errors(f"cannot start container {container.short_id}"):
            self._channel = Channel(container.attach_socket(params=ATTACH))
            container.start()
            container.reload()
        self._ooms = OomWatch(container, self._born)
        self._start_supervisor()

    @property
    def container_id(self) -> str:
        return str(self._container.id)

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        if "\0" in command:
            return ExecResult("bash: a command cannot contain a NUL byte\n", 2, False, 0, 0.0)
        began = time.monotonic()
        capture = Capture(self._limits.output_head, self._limits.output_tail)
        kind, place = ("default", self._workdir) if cwd is None else ("exec", cwd)
        body = command.encode(errors="surrogateescape")
        answer = self._request(kind, place, body, seconds=timeout, capture=capture)
        output = capture.contents().decode(errors="replace")
        return ExecResult(output, answer.exit_code, answer.timed_out, capture.total, time.monotonic() - began)

    def read(self, path: str) -> bytes:
        capture = Capture(self._limits.read + 1, 0)
        answer = self._request(
            "read", path, b"%d" % (self._limits.read + 1), seconds=FILE_SECONDS, capture=capture
        )
        if answer.exit_code == 2:
            raise FileNotFoundError(f"no such file: {path}")
        self._check_file_answer(answer, path)
        if capture.total > self._limits.read:
            raise OSError(f"larger than {self._limits.read} bytes: {path}")
        return capture.contents()

    def write(self, path: str, data: bytes) -> None:
        for at in range(0, max(1, len(data)), WRITE_CHUNK):
            body = escape(data[at : at + WRITE_CHUNK])
            kind = "append" if at else "write"
            answer = self._request(kind, path, body, seconds=FILE_SECONDS, capture=Capture(4096, 0))
            self._check_file_answer(answer, path)

    def diff(self) -> Diff:
        self._ooms.count()  # the cgroup goes away with the last process
        with daemon_errors(f"cannot stop container {self._container.short_id}"):
            stop(self._container)
        self._gone = self._gone or "it was stopped to look at its files"
        self._channel.close()
        return patch.extract(self._container, self._workdir)

    def facts(self) -> SandboxFacts:
        with daemon_errors(f"cannot inspect container {self._container.short_id}"):
            self._container.reload()
            ooms = self._ooms.count()
        state = self._container.attrs["State"]
        code = None if state["Running"] else int(state["ExitCode"])
        return SandboxFacts(str(self._container.attrs["Image"]), bool(state["Running"]), ooms, code)

    def close(self) -> None:
        if not self._closed:
            self._channel.close()
            remove(self._container)
            self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start_supervisor(self) -> None:
        try:
            self._channel.start(
                SUPERVISOR.read_text(),
                self._workdir,
                idle_seconds=self._limits.idle_seconds,
                patience=START_SECONDS,
            )
        except (ChannelClosed, ChannelSilent) as error:
            raise SandboxError(f"container {self._container.short_id} does not start: {error}") from error

    def _request(self, kind: str, place: str, body: bytes, *, seconds: float, capture: Capture) -> Answer:
        if self._gone:
            raise SandboxGone(self._gone)
        if "\0" in place:
            raise OSError("a path cannot contain a NUL byte")
        try:
            return self._channel.request(
                kind, place, body, seconds=seconds, grace=GRACE_SECONDS, capture=capture
            )
        except (ChannelClosed, ChannelSilent) as error:
            self._blame(error)
            raise AssertionError("unreachable") from error

    def _blame(self, error: Exception) -> None:
        """Decide, from what the daemon says, whose doing the end of the channel was; raises one or the other."""
        name = self._container.short_id
        with daemon_errors(f"container {name} stopped answering, and so did the daemon"):
            if isinstance(error, ChannelClosed):
                self._container.wait(timeout=GRACE_SECONDS)
            self._container.reload()
            by_itself = self._container.attrs["State"]["Running"] or died_by_itself(
                self._container, self._born
            )
            if isinstance(error, ChannelSilent) and supervisor_is_well(self._container):
                raise SandboxError(
                    f"container {name} did not get to answer: is this machine overloaded?"
                ) from error
        if not by_itself:
            raise SandboxError(f"container {name} was killed from outside") from error
        self._gone = f"the sandbox no longer answers: {error}"
        raise SandboxGone(self._gone) from error

    def _check_file_answer(self, answer: Answer, path: str) -> None:
        if answer.exit_code == 21:
            raise IsADirectoryError(f"is a directory: {path}")
        if answer.exit_code == 22:
            raise OSError(f"not a regular file: {path}")
        if answer.timed_out:
            raise OSError(f"no end of it after {FILE_SECONDS:.0f} s: {path}")
        if answer.exit_code:
            reason = answer.capture.contents()[-300:].decode(errors="replace").strip()
            raise OSError(f"{path}: {reason}")


def stop(container: Container) -> None:
    """Kill a container, and wait until nothing in it runs any more. A dead one is fine."""
    container.reload()
    if container.attrs["State"]["Running"]:
        container.kill()
    container.wait(timeout=60)


def died_by_itself(container: Container, born: int) -> bool:
    """True when the daemon saw it die and nobody asked for that.

    A daemon that was restarted meanwhile has forgotten the death: then it was the daemon's doing.
    """
    events = client().events(
        since=born,
        until=int(time.time()) + 1,
        decode=True,
        filters={"container": container.id, "type": "container"},
    )
    actions = [event["Action"] for event in events]
    return "die" in actions and "kill" not in actions


def supervisor_is_well(container: Container) -> bool:
    """Whether a silent supervisor is only kept waiting, by the host's own list of processes.

    False when it is gone or was stopped, or when its container runs so much that the starvation is home-made.
    """
    if not container.attrs["State"]["Running"]:
        return False
    listed = container.top(ps_args="-eo pid,ppid,stat")["Processes"]
    init = str(container.attrs["State"]["Pid"])
    children = sorted((int(pid), state) for pid, parent, state in listed if parent == init)
    busy = sum(state[0] in "RD" for _, _, state in listed)
    return bool(children) and children[0][1][0] not in "TtZX" and busy < STARVING


UNSAFE = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f\\]")


def escape(data: bytes) -> bytes:
    """Bytes for bash's `printf %b`, which turns them into exactly `data`."""
    return UNSAFE.sub(lambda match: b"\\0%03o" % match[0][0], data)
