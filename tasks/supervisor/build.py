"""Builds the supervisor: `python tasks/supervisor/build.py`, and `setup_command` at every installation.

No dependency but `ziglang`, which is a C compiler with musl for both CPUs: it runs before asclaimed is installed. Not
covered: other compilers; a system's own cannot build for the other CPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
ARCHITECTURES = ("x86_64", "aarch64")
FLAGS = ("-std=c11", "-Os", "-static", "-s", "-Wall", "-Wextra", "-Werror")


class NoCompiler(Exception):  # noqa: N818
    """The package `ziglang` is not installed, or it failed."""


def sources() -> list[Path]:
    return sorted(HERE.glob("*.[ch]"))


def binary_path(architecture: str) -> Path:
    """Where the program of these sources lies: another source, another name."""
    content = b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in sources())
    version = hashlib.sha256(content + " ".join(FLAGS).encode()).hexdigest()[:12]
    return HERE / "bin" / f"supervisor-{architecture}-{version}"


def build(architectures: Iterable[str] = ARCHITECTURES) -> list[Path]:
    """Make what is missing; earlier versions go. Returns the programs' paths. Raises `NoCompiler`."""
    paths = {architecture: binary_path(architecture) for architecture in architectures}
    for architecture, path in paths.items():
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            compile_for(architecture, path)
            for old in path.parent.glob(f"supervisor-{architecture}-*"):
                if old != path:
                    old.unlink()
    return list(paths.values())


def compile_for(architecture: str, path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        raise NoCompiler("the Python package ziglang is not installed")
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / "supervisor"
        target = ("-target", f"{architecture}-linux-musl")
        names = [source.name for source in sources() if source.suffix == ".c"]
        command = [sys.executable, "-m", "ziglang", "cc", *target, *FLAGS, "-o", str(made), *names]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoCompiler(f"ziglang failed: {done.stderr.strip()[-500:]}")
        made.chmod(0o755)
        made.replace(path)


if __name__ == "__main__":
    build()
