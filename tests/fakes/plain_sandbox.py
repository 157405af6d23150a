"""A machine of no depth: remembers what was asked and hands out the patch it was told. For tests of the run, not of machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from tasks.sandbox import Diff, ExecResult, MachineState, SandboxFacts


class PlainSandbox:
    def __init__(self, patch: bytes = b"") -> None:
        self.patch = patch
        self.closed = False

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        return ExecResult("", 0, False, 0, 0.0)

    def read(self, path: str) -> bytes:
        raise FileNotFoundError(path)

    def write(self, path: str, data: bytes) -> None: ...

    def diff(self) -> Diff:
        return Diff(self.patch, ())

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        return MachineState("sha256:0", ())

    def facts(self) -> SandboxFacts:
        return SandboxFacts("sha256:0", True, 0, None)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
