"""A backend without a machine behind it: what a test says is prepared, opened and alive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tasks.backend import (
    NO_COMPOSE,
    NO_MOUNTS,
    Prepared,
    Progress,
    RunTests,
    TestLimits,
    VerifierResult,
    VerifierRun,
    quiet,
)
from tasks.errors import TaskError
from tasks.sandbox import Limits, Sandbox
from tasks.task import Compose, ImageSpec, Task, Verifier
from tests.fakes.plain_sandbox import PlainSandbox


def plain_image(_task: Task) -> Prepared:
    return Prepared(
        image="sha256:0", source="sha256:0", reference="r", digest=None, origin="present", base=None, notes=()
    )


def always() -> bool:
    return True


class PlainBackend:
    """Implements `tasks.backend.Backend`. Can be pickled where what it is given can."""

    def __init__(
        self,
        open_sandbox: Callable[[], Sandbox] = PlainSandbox,
        *,
        prepare: Callable[[Task], Prepared] = plain_image,
        answers: Callable[[], bool] = always,
        tests: RunTests | None = None,
        verify: Callable[[VerifierRun], VerifierResult] | None = None,
    ) -> None:
        self._open, self._prepare, self._answers, self._tests = open_sandbox, prepare, answers, tests
        self._verify = verify
        self.labels: list[Mapping[str, str]] = []
        """Of each sandbox that was opened."""
        self.reaped: list[str | None] = []
        self.forgotten: list[str] = []

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        return self._prepare(task)

    def open(
        self,
        image: str,
        *,
        workdir: str,
        limits: Limits,
        labels: Mapping[str, str],
        mounts: Mapping[str, Path] = NO_MOUNTS,
        verifier: Verifier | None = None,
        compose: Compose = NO_COMPOSE,
    ) -> Sandbox:
        self.labels.append(labels)
        return self._open()

    def image(self, spec: ImageSpec, progress: Progress = quiet) -> str:
        if self._tests is None and self._verify is None:
            raise TaskError(f"image {spec.reference} is not on this machine")
        return "sha256:0"

    def tests(
        self, image: str, workdir: str, limits: TestLimits, *, script_file: str | None = None, run: str = ""
    ) -> RunTests:
        assert self._tests is not None
        return self._tests

    def kit(self, packages: Sequence[str], progress: Progress = quiet) -> str:
        return "no kit"

    def verify(self, run: VerifierRun) -> VerifierResult:
        if self._verify is None:
            raise TaskError("nothing is verified here")
        return self._verify(run)

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    def reap(self, run: str | None = None) -> None:
        self.reaped.append(run)

    def answers(self) -> bool:
        return self._answers()
