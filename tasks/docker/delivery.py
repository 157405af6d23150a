"""Files into containers: as an archive that the daemon unpacks, or another way where it cannot.

Docker 28 and 29 on Linux before 6.6 unpack none: without the system call fchmodat2 they look for a /proc that a
container's files do not have. Found out at the first archive, once a process.
"""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container
from docker.types import Mount

from tasks import supervisor
from tasks.docker.create import create
from tasks.docker.daemon import architecture, client, daemon_errors, is_local, remove
from tasks.docker.hijacked import Hijacked
from tasks.errors import MachineError
from tasks.sandbox import SandboxError

CANNOT_UNPACK = threading.Event()
SIGN = "/proc/self/fd"
PLACE = 'rm -rf -- "$0" && cat >"$0" && chmod 0444 -- "$0"'


def unpacked(container: Container, archive: bytes) -> bool:
    """Unpack a tar at the container's root; False where this daemon cannot."""
    if not CANNOT_UNPACK.is_set():
        try:
            return bool(container.put_archive("/", archive))
        except APIError as error:
            if SIGN not in str(error.explanation):
                raise
            CANNOT_UNPACK.set()
    return False


def supervisor_mounts() -> list[Mount]:
    """Where the supervisor cannot be unpacked into a container, it is mounted from this machine."""
    if not CANNOT_UNPACK.is_set():
        return []
    if not is_local():
        raise MachineError(
            "this Docker cannot put files into containers (28 and 29 cannot on Linux before 6.6): "
            "update its kernel, or use another Docker"
        )
    program = supervisor.program(architecture())
    return [Mount(supervisor.PATH, str(program), type="bind", read_only=True)]


def create_supervised(image: str, arguments: list[str], options: dict[str, Any]) -> Container:
    """A container with the supervisor in it."""
    mounts = supervisor_mounts()
    container = create(image, arguments, {**options, "mounts": [*mounts, *options.get("mounts", ())]})
    try:
        with daemon_errors(f"cannot prepare a container of {image}"):
            if mounts or unpacked(container, supervisor.archive(architecture())):
                return container
    except BaseException:
        remove(container)
        raise
    remove(container)
    return create_supervised(image, arguments, options)


def read_only(mounts: Mapping[str, Path]) -> list[Mount]:
    """Directories of this machine, at their paths inside. Raises `MachineError` for a daemon elsewhere, which has none."""
    if mounts and not is_local():
        raise MachineError("an agent program is read from this machine: it needs a Docker daemon on it")
    return [Mount(inside, str(path), type="bind", read_only=True) for inside, path in mounts.items()]


def deliver(container: Container, files: Mapping[str, bytes]) -> None:
    """Put files into a running container: owned by root, mode 0444. Their directories are there already."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode, member.mtime = len(content), 0o444, int(time.time())
            tar.addfile(member, io.BytesIO(content))
    with daemon_errors("cannot deliver files"):
        if not unpacked(container, archive.getvalue()):
            for path, content in files.items():
                pour(container, path, content)


def pour(container: Container, path: str, content: bytes) -> None:
    """Put one file into a running container through the standard input of a command."""
    api: Any = client().api
    command = ["/bin/bash", "-c", PLACE, path]
    created = api.exec_create(container.id, command, stdin=True, user="root", workdir="/")["Id"]
    stream = Hijacked(api.exec_start(created, socket=True))
    try:
        stream.give(content)
    finally:
        stream.close()
    code = api.exec_inspect(created)["ExitCode"]
    if code != 0:
        raise SandboxError(f"cannot deliver {path}: status {code}")
