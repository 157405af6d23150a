"""Docker as a `Backend`: the one that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from tasks.docker import beside, daemon
from tasks.docker.images import resolve
from tasks.docker.inventory import drop_image
from tasks.docker.kit import kit, mount
from tasks.docker.prepare import prepare
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.testing import TestContainers
from tasks.docker.verifier import verify
from tasks.sandbox import Limits
from tasks.task import Compose, ImageSpec, Task, Verifier


@dataclass(frozen=True)
class DockerBackend:
    """See `tasks.backend.Backend`."""

    stall_seconds: float | None = None
    """After which a pull without progress is broken off; None = as `tasks.docker.pull` has it."""

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        return prepare(task, progress, patience=self.stall_seconds)

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
    ) -> DockerSandbox:
        sandbox = open_sandbox(
            image,
            workdir=workdir,
            limits=limits,
            labels=labels,
            environment=compose.environment,
            mounts=mounts,
            volumes=[mount(kit(verifier.packages))] if verifier else [],
            more=beside.options(compose),
        )
        try:
            beside.accompany(sandbox, compose, limits, labels)
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def image(self, spec: ImageSpec, progress: Progress = quiet) -> str:
        return resolve(spec, progress, patience=self.stall_seconds).id

    def tests(
        self, image: str, workdir: str, limits: TestLimits, *, script_file: str | None = None, run: str = ""
    ) -> RunTests:
        return TestContainers(image, workdir, limits, script_file=script_file, run=run)

    def kit(self, packages: Sequence[str], progress: Progress = quiet) -> str:
        return kit(packages, progress)

    def verify(self, run: VerifierRun) -> VerifierResult:
        if not run.compose.services:
            return verify(run)
        opened = self.open(
            run.image,
            workdir=run.workdir,
            limits=run.limits.container,
            labels={"purpose": "verifying", "run": run.run},
            verifier=run.verifier,
            compose=run.compose,
        )
        with opened as sandbox:
            return sandbox.verify(run.verifier, run.collect)

    def forget(self, name: str) -> None:
        drop_image(name)

    def reap(self, run: str | None = None) -> None:
        if run is None:
            daemon.reap()
        else:
            daemon.remove_run(run)

    def answers(self) -> bool:
        return daemon.answers()
