"""A sandbox that is a directory of this machine: for tests of what does not need a container. Never for an agent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tasks.sandbox import Diff, ExecResult, MachineState, SandboxFacts, SandboxGone


class LocalSandbox:
    """Holds `directory`; `/testbed/...` means a path in it. `die_on` is a command that kills it."""

    def __init__(self, directory: Path, *, workdir: str = "/testbed", die_on: str | None = None) -> None:
        self._root = directory
        self._workdir = workdir
        self._die_on = die_on
        self._alive = True
        self.commands: list[str] = []
        self._git("init", "-q")
        self._git("add", "-A")
        self._git("-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "start", "--allow-empty")

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.commands.append(command)
        if command == self._die_on or not self._alive:
            self._alive = False
            raise SandboxGone("the shell is gone")
        if "\0" in command:
            return ExecResult("a command cannot contain a NUL byte\n", 2, False, 0, 0.0)
        started = time.monotonic()
        command = command.replace(self._workdir, str(self._root))
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=self._path(cwd or "."),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, late = process.communicate(timeout=timeout)[0], False
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, late = process.communicate()[0], True
        code = 124 if late else process.returncode if process.returncode >= 0 else 128 - process.returncode
        text = output.decode("utf-8", "replace")
        return ExecResult(text, code, late, len(output), time.monotonic() - started)

    def read(self, path: str) -> bytes:
        return self._path(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        target = self._path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def diff(self) -> Diff:
        self._alive = False
        self._git("add", "-A")
        return Diff(self._git("diff", "--cached", "--binary", "--full-index", "--no-renames"), ())

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        return MachineState("sha256:0", ())

    def facts(self) -> SandboxFacts:
        return SandboxFacts("sha256:local", self._alive, 0, None)

    def close(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _path(self, path: str) -> Path:
        if path == self._workdir or path.startswith(f"{self._workdir}/"):
            path = path[len(self._workdir) :].lstrip("/") or "."
        return self._root / path

    def _git(self, *arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=self._root, capture_output=True, check=True).stdout
