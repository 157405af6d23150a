"""The way to a machine: makes a task's image ready, opens sandboxes, runs tests. Docker is one (`tasks.docker`).

Only types and what they share. Code that runs or grades tasks is given a backend and knows no other way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from pydantic import Field

from tasks.sandbox import Limits, Sandbox
from tasks.task import Compose, Frozen, ImageSpec, Task, Verifier

Progress = Callable[[str, float | None], None]
"""Called with what is being done and how much of it, 0 to 1; None = unknown. At least once a second while an image is
pulled, and one that raises ends that pull: so whoever is asked to stop can."""


def quiet(_what: str, _fraction: float | None) -> None:
    """The progress callback of those who do not watch."""


class Prepared(Frozen):
    """The images of one task, for the record."""

    image: str
    """Id of the image that attempts start from."""
    source: str
    """Id of the image that the task names; graders start from this one."""
    reference: str
    digest: str | None
    origin: str
    base: str | None
    notes: tuple[str, ...]
    """Findings about the image that a reader should know."""
    compose: Compose = Compose()
    """The task's, with ids of images that are here."""
    services: tuple[str, ...] = ()
    """`name=` and a digest in a registry, or an id, of each service's image."""

    @property
    def identity(self) -> str:
        """What the task's images are, graders' included: a digest in a registry, or an id; then those of its services."""
        return " ".join((self.digest or self.source, *self.services))


EVAL_FILE = "/eval.sh"
"""Where swebench puts the eval script."""
APPLY_COMMANDS = (
    "git apply --verbose",
    "git apply --verbose --3way",
    "git apply --verbose --reject",
    "patch --batch --forward --fuzz=5 -p1 -i",
)
"""swebench 5.0.2's, in its order; between two of them the tree is reset."""


class TestLimits(Frozen):
    """What one test run may use. Part of a grade's key."""

    __test__ = False  # not a test class, whatever its name looks like to pytest

    seconds: float = Field(default=1800.0, gt=0)
    """For the script; swebench's own default."""
    apply_seconds: float = Field(default=300.0, gt=0)
    log_bytes: int = Field(default=32 << 20, ge=1024)
    """Kept of a log, half head, half tail. A longer log is a flood: its tests count as failed."""
    network: bool = False
    pids: int = Field(default=512, ge=16)
    """Processes and threads of the tests, where `container` allows more: tests need fewer than agents."""
    container: Limits = Field(default_factory=Limits)


class RunRequest(NamedTuple):
    """One run in one fresh container of the task's image; a network only where the limits allow one."""

    patch: bytes
    """The candidate's patch, applied the way the official grader applies it; b"" = leave the start state."""
    files: Mapping[str, bytes]
    """Absolute path → content, written after the patch: owned by root, mode 0444, parents made (0755)."""
    script: str
    """Bash text, run by `bash` in the working directory. Its status is read from the daemon (exec's ExitCode)."""
    collect: tuple[str, ...] = ()
    """Absolute paths to read back through the daemon (get_archive) after the script ended; no size above 64 MB."""


class RunResult(NamedTuple):
    """What the daemon says of one run. Nothing in here is read from the log."""

    applied: bool
    """False: the patch did not apply, and nothing was run."""
    exit_code: int | None
    """None when the script timed out or its container died."""
    timed_out: bool
    log: bytes
    collected: Mapping[str, bytes]
    """Absolute path → content; a path that is absent, too large or no regular file is left out."""
    seconds: float
    """Wall time of the script alone."""
    startup_seconds: float = 0.0
    """Wall time of everything else: container, patch, delivery, reading back."""
    applied_by: str = ""
    """The command that applied the patch; "none" when there was nothing to apply."""
    log_bytes: int = 0
    """What the script wrote, whether or not it is in `log`."""
    ended: str = ""
    """Why we ended it before its time, as for a timeout: what it took from the machine; "" when we did not."""
    oom_kills: int = 0
    """Processes that the kernel killed because the container reached its own limit on memory."""


class VerifierRun(NamedTuple):
    """One run of a task's own verifier, in a fresh machine of a state that somebody left, without a network."""

    image: str
    """Id of the state's image."""
    workdir: str
    verifier: Verifier
    collect: tuple[str, ...]
    """Absolute paths to read back through the daemon once nothing runs in the machine any more."""
    limits: TestLimits
    """`seconds` of it is not used: the verifier has its own."""
    run: str = ""
    """Labels the machine, for `Backend.reap`."""
    compose: Compose = Compose()
    """Services of it are started beside the machine, fresh as well."""


class Left(NamedTuple):
    """What lay at a path when a verifier had ended."""

    data: bytes = b""
    problem: str = ""
    """Why it was not read, one line of ours: a link, a pipe, too large; "" when it was."""


class VerifierResult(NamedTuple):
    """What the daemon says of one run of a verifier. Its files are as hostile as its log: tested code can write them."""

    exit_code: int | None
    """None when it timed out or its container died."""
    timed_out: bool
    log: bytes
    log_bytes: int
    left: Mapping[str, Left]
    """Absolute path → what lay there; a path with nothing is left out."""
    seconds: float
    startup_seconds: float = 0.0
    ended: str = ""
    oom_kills: int = 0
    starts: bool = True
    """False: the daemon, asked several times, starts no machine in this state, and `log` has its words."""


@runtime_checkable
class VerifyingSandbox(Sandbox, Protocol):
    """A sandbox in which a task's own verifier can run while what the agent started still does."""

    def verify(self, verifier: Verifier, collect: Sequence[str]) -> VerifierResult:
        """Run it and stop the machine. `collect` as in `VerifierRun`. Raises `SandboxError`, `TaskError`."""
        ...


class RunTests(Protocol):
    """Runs one request in a fresh container; called from several threads at once."""

    def __call__(self, request: RunRequest, /) -> RunResult:
        """Raises `SandboxError` when the machine broke, and nothing for what the tested code did."""
        ...


class ImageStore(Protocol):
    """The images of tasks that a registry has, as a run with a budget sees them. Raises as `Backend` does."""

    def is_missing(self, task: Task) -> bool:
        """Whether its image would have to be pulled."""
        ...

    def stored(self) -> int:
        """Bytes of all images, what they share counted once."""
        ...

    def would_add(self, task: Task) -> int:
        """Bytes that pulling its image, and closing its leaks, would add; an estimate where no registry tells."""
        ...

    def evict(self, task: Task) -> str:
        """Remove its image and what was made of it; why it stays, else "". What was here before the run stays, unless the
        plan says otherwise; so do images of its services, for other tasks' may be the same."""
        ...


NO_MOUNTS: Mapping[str, Path] = MappingProxyType({})
NO_COMPOSE = Compose()


class Backend(Protocol):
    """Threads share one. Everything raises `SandboxError` where the machine fails, `MachineError` where there is none."""

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        """Find, pull or build the task's image and close its leaks; quick when that was done before.

        Raises `TaskError` for an image that is missing or unclean, `RegistryError` for one that may be had later.
        """
        ...

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
        """A sandbox of a prepared image (its id). `labels` name the run and the attempt, for `reap`.

        `mounts`: path inside → directory of this machine, to be read there. Raises `MachineError` where that cannot be.
        `verifier`: it is to run in there when the agent is gone: its kit is there from the start, and the sandbox is a
        `VerifyingSandbox`.
        `compose`: its services serve when this returns, and are gone with the sandbox. Raises `ServiceError` for one that
        does not come up.
        """
        ...

    def image(self, spec: ImageSpec, progress: Progress = quiet) -> str:
        """Id of the image that a task names, as it came: graders start from it. Raises `TaskError` without one."""
        ...

    def tests(
        self, image: str, workdir: str, limits: TestLimits, *, script_file: str | None = None, run: str = ""
    ) -> RunTests:
        """Runs tests in fresh machines of one image (its id). `script_file` None = a new, unguessable name each time.

        `run` labels the machines, for `reap`.
        """
        ...

    def kit(self, packages: Sequence[str], progress: Progress = quiet) -> str:
        """Make ready what verifiers that install these packages need in the place of a network; quick when it is there.

        Returns its name, which changes with its contents. Raises `TaskError` for packages that are not to be had.
        """
        ...

    def verify(self, run: VerifierRun) -> VerifierResult:
        """Raises `SandboxError` when the machine broke, `TaskError` for a kit, and nothing for what the tested code did."""
        ...

    def forget(self, name: str) -> None:
        """Remove a state that `Sandbox.keep` kept under this name."""
        ...

    def reap(self, run: str | None = None) -> None:
        """Remove the machines that dead processes of ours left behind, or all that this process has for a run."""
        ...

    def answers(self) -> bool:
        """Whether it is there now; raises nothing."""
        ...
