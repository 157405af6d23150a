"""A server in a container that outlives the command that started it; its port is published on loopback only.

Not covered: waiting until it answers, and what it answers; its owner knows that.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from docker.errors import NotFound
from docker.models.containers import Container

from tasks.docker.daemon import LABEL, client, daemon_errors, remove
from tasks.errors import MachineError
from tasks.sandbox import SandboxError

LOOPBACK = "127.0.0.1"
PORT_LABEL = f"{LABEL}serve"


class Program(NamedTuple):
    """What a service runs."""

    image: str
    """Image id."""
    command: list[str]
    environment: Mapping[str, str]
    file: Path
    """The one file of the host that it reads; it runs as that file's owner."""
    file_inside: str
    """Where it finds the file."""


class Service:
    """One such container, found again by its port."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.what = f"container {container.name}"

    @classmethod
    def start(cls, program: Program, port: int) -> Self:
        """Raises `SandboxError`, `MachineError`; a container that does not start is removed."""
        owner = program.file.stat()
        with daemon_errors(f"cannot start a server on port {port}"):
            container = client().containers.create(
                program.image,
                program.command,
                name=f"asclaimed-serve-{port}",
                environment=dict(program.environment),
                labels={PORT_LABEL: str(port)},
                ports={f"{port}/tcp": (LOOPBACK, port)},
                volumes={str(program.file): {"bind": program.file_inside, "mode": "ro"}},
                user=f"{owner.st_uid}:{owner.st_gid}",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                init=True,
            )
            try:
                container.start()
            except BaseException:
                with suppress(SandboxError):  # what kept it from starting is the error to tell
                    remove(container)
                raise
            return cls(container)

    @classmethod
    def find(cls, port: int | None) -> list[Self]:
        """The services on a port, or all; none where there is no Docker."""
        label = PORT_LABEL if port is None else f"{PORT_LABEL}={port}"
        try:
            containers = client().containers
        except MachineError:
            return []
        with daemon_errors("cannot list containers"):
            return [cls(each) for each in containers.list(all=True, filters={"label": label})]

    def is_alive(self) -> bool:
        with daemon_errors(f"cannot look at {self.what}"):
            try:
                self._container.reload()
            except NotFound:
                return False
        return bool(self._container.status == "running")

    def log_tail(self) -> str:
        with daemon_errors(f"cannot read the log of {self.what}"):
            return bytes(self._container.logs(tail=20)).decode(errors="replace")

    def stop(self) -> None:
        remove(self._container)
