"""The supervisor: a small static C program that is the main process of every sandbox container.

supervisor.h describes its protocol; `tasks/docker/channel.py` speaks the other end. It is built by the PyPI package
`ziglang`, for both CPUs, when asclaimed is installed; in a checkout also whenever its sources changed. The same sources
make the same bytes. Not here: what the sandbox does with it (`tasks.docker.sandbox`).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import cache
from pathlib import Path

from tasks.disk import exclusive
from tasks.errors import MachineError
from tasks.supervisor.build import ARCHITECTURES, NoCompiler, binary_path, build

PATH = "/.asclaimed/supervisor"
"""Where it lies in a container."""


def program(architecture: str) -> Path:
    """The program for a machine of this `uname -m`. Raises `MachineError` when it cannot be had."""
    if architecture not in ARCHITECTURES:
        raise MachineError(
            f"no supervisor for {architecture}: sandboxes run on {' and '.join(ARCHITECTURES)}"
        )
    path = binary_path(architecture)
    if not path.exists():
        with exclusive("supervisor-build"):
            if not path.exists():
                make(architecture)
    return path


@cache
def binary(architecture: str) -> bytes:
    """Its bytes. Raises as `program` does."""
    return program(architecture).read_bytes()


def make(architecture: str) -> None:
    try:
        build((architecture,))
    except (NoCompiler, OSError) as error:
        raise MachineError(f"the sandbox supervisor is not built ({error}): run `make setup`") from error


def digests() -> dict[str, str]:
    """CPU → sha256 of its program, of those that are built; for the manifest."""
    built = [name for name in ARCHITECTURES if binary_path(name).exists()]
    return {name: hashlib.sha256(binary(name)).hexdigest() for name in built}


@cache
def archive(architecture: str) -> bytes:
    """A tar of the program at `PATH`, for a container that was created and not started."""
    data, packed = binary(architecture), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder, program = PATH.strip("/").split("/")
        entry = tarfile.TarInfo(folder)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        entry = tarfile.TarInfo(f"{folder}/{program}")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
