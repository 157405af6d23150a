"""Python packages for a verifier's kit, from whatever package index pip is set up for here.

For the kit's Python and the daemon's processor, not for ours. Only wheels: nothing of a package is run on this machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import MachineError, TaskError

PLATFORMS = ("manylinux_2_36", "manylinux_2_35", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_27", "manylinux_2_24",
             "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010", "manylinux_2_5", "manylinux1", "linux")  # fmt: skip
"""Of glibc 2.36 (Debian 12) and older."""
FETCH_SECONDS = 1800
UNREACHABLE = ("Connection", "Temporary failure", "Name or service", "timed out", "ProxyError")


def fetch(packages: Sequence[str], directory: Path, python: str, architecture: str) -> None:
    """Into `directory`: `wheels/`, and unpacked `site/`. `python` is `3.11`.

    Raises `TaskError` for packages that no wheel is to be had of, `MachineError` where there is no index.
    """
    wheels, site = directory / "wheels", directory / "site"
    wheels.mkdir()
    site.mkdir()
    if not packages:
        return
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    for platform in PLATFORMS:
        target += ["--platform", f"{platform}_{architecture}"]
    pip("download", *target, "--dest", str(wheels), *packages, wanted=packages)
    found = sorted(str(wheel) for wheel in wheels.glob("*.whl"))
    pip(
        "install",
        *target,
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        str(site),
        *found,
        wanted=packages,
    )


def pip(*arguments: str, wanted: Sequence[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        *arguments,
    ]
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PIP_CONSTRAINT", "PYTHONPATH")
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=FETCH_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise MachineError(
            f"the package index did not deliver {', '.join(wanted)} in {FETCH_SECONDS} s"
        ) from error
    if done.returncode:
        message = f"the kit cannot have {', '.join(wanted)}: {complaint(done.stderr)}"
        raise (MachineError if any(word in done.stderr for word in UNREACHABLE) else TaskError)(message)


def complaint(stderr: str) -> str:
    """pip's first error, in one line and without the list of all versions that there are."""
    said = [line for line in stderr.split("\n") if line.startswith("ERROR")] or [stderr[-200:]]
    return " ".join(said[0].partition(" (from versions:")[0].removeprefix("ERROR: ").split())[:300]
