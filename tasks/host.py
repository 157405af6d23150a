"""Which boot, process and process namespace this is: enough to know, later, that whoever made something is gone. And what one computed.

Linux says so in `/proc`; elsewhere (macOS) `ps` and `sysctl` do.
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

PROC = Path("/proc")


@cache
def boot_id(proc: Path = PROC) -> str:
    """Changes with every boot; without Linux's `/proc` what macOS says, and "" where nobody knows."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return first_line("sysctl", "-n", "kern.bootsessionuuid")


@cache
def pid_namespace(proc: Path = PROC) -> str:
    try:
        return str((proc / "self/ns/pid").readlink())
    except OSError:
        return ""


def process_start(pid: int, proc: Path = PROC) -> str | None:
    """When a process began, in whatever terms this system has; None when there is none. Pids are used again, pairs are not."""
    if not (proc / "self").exists():
        return first_line("ps", "-o", "lstart=", "-p", str(pid)) or None
    try:
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def cpu_seconds(pid: int, proc: Path = PROC) -> float | None:
    """What a process has computed so far, in seconds of one processor; None where nobody says, or it is gone."""
    try:
        user, system = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return None
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def first_line(*command: str) -> str:
    """Of a command's output; "" when it fails or is not there."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except OSError:
        return ""
    return done.stdout.split("\n", 1)[0].strip() if done.returncode == 0 else ""
