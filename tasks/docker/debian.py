"""A Debian root file system without a registry: `debootstrap` against the machine's own apt mirror.

Not covered: machines that are not Debian or Ubuntu, and users who are not root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import MachineError

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "git", "patch", "procps", "python3", "python3-pytest")
"""What the `sandbox` target of the Dockerfile would otherwise install."""
DEFAULT_MIRROR = "http://deb.debian.org/debian"
SCRIPT = "/usr/share/debootstrap/scripts/sid"
"""Fits every Debian suite since 2018; the debootstrap of an older machine has no script by a newer suite's name."""
EXPECTED_STEPS = 500
"""Lines that debootstrap prints for these packages, about: the denominator of the progress bar."""
TIMEOUT_SECONDS = 1200


@contextmanager
def root(
    directory: str,
    progress: Callable[[str, float | None], None],
    suite: str = SUITE,
    packages: Sequence[str] = PACKAGES,
) -> Iterator[IO[bytes]]:
    """Bootstrap into `directory` and yield a tar stream of it. Raises `MachineError`, one line."""
    if os.geteuid() != 0:
        raise MachineError(
            "no image registry is reachable, and building the base image without one needs root"
        )
    install_debootstrap(progress)
    bootstrap(directory, progress, suite, packages)
    command = ["tar", "-C", directory, "--numeric-owner", "--one-file-system", "--exclude=./var/cache/apt/archives/*.deb",
               "--exclude=./var/lib/apt/lists/*", "-c", "."]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        yield tar.stdout


def install_debootstrap(progress: Callable[[str, float | None], None]) -> None:
    if shutil.which("debootstrap"):
        return
    progress("installing debootstrap", None)
    try:
        subprocess.run(["apt-get", "install", "-y", "-qq", "debootstrap"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MachineError(
            "no image registry is reachable: install `debootstrap` to build without one"
        ) from error


def bootstrap(
    directory: str, progress: Callable[[str, float | None], None], suite: str, packages: Sequence[str]
) -> None:
    """Run debootstrap, a step of progress for each line that it prints."""
    mirror = apt_mirror()
    include = f"--include={','.join(packages)}"
    command = [
        "timeout",
        str(TIMEOUT_SECONDS),
        "debootstrap",
        "--variant=minbase",
        include,
        suite,
        directory,
        mirror,
    ]
    command.append(SCRIPT)
    last = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for step, line in enumerate(process.stdout):
            last = line.strip()
            progress(f"bootstrapping Debian {suite} from {mirror}", min(1.0, step / EXPECTED_STEPS))
    if process.returncode:
        raise MachineError(f"debootstrap of {suite} from {mirror} failed: {last[:200]}")


def apt_mirror(etc: Path = Path("/etc/apt")) -> str:
    """The first Debian archive in the machine's apt sources (one-line or deb822 style)."""
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not file.is_file() or file.suffix not in {".list", ".sources"}:
            continue
        for uri in re.findall(
            r"^(?:deb\s+(?:\[.*?\]\s*)?|URIs:\s*)(https?://\S+)", file.read_text(), re.MULTILINE
        ):
            if uri.rstrip("/").endswith("/debian"):
                return str(uri)
    return DEFAULT_MIRROR
