"""The vocabulary of a run: what one attempt leaves on disk, and what grading says of it.

The record is the only thing that grading reads; a grade is derived: delete `grade.json` and grade again.

Layout of a run directory: runs/README.md. Writing is atomic and `record.json` comes last: an attempt
that has one is finished, an attempt that has none never happened as far as scores are concerned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from scaffolds.base import Stop, ToolCallMode
from tasks.task import Frozen


class Party(StrEnum):
    """Whose fault it was; decided once, outside the sandbox."""

    AGENT = "agent"
    """Budget, malformed calls, a broken sandbox of its own: in the denominator."""
    SERVER = "server"
    """The model server was down, stalled or not the one asked for: not judged."""
    SANDBOX = "sandbox"
    """Daemon, image or host disk: not judged."""
    TASK = "task"
    """The gold patch fails or doing nothing passes here: excluded for all scaffolds alike."""


class AttemptKey(Frozen):
    """Names one attempt of a run."""

    scaffold: str
    task_id: str
    attempt: int = Field(ge=1)

    def directory(self, run: Path) -> Path:
        return run / self.scaffold / self.task_id / str(self.attempt)


class Failure(Frozen):
    """Why there is nothing to judge."""

    party: Party
    message: str


class Record(Frozen):
    """What happened in one attempt, and what was in force. Times in seconds."""

    key: AttemptKey
    task_hash: str
    image: str
    """Image id of the agent's container, `sha256:…`: the task's image with its leaks closed."""
    image_source: str = ""
    """The task's own image: its digest in a registry, or its id where it was built here."""
    image_notes: tuple[str, ...] = ()
    """What a reader should know of the image: copies of the package under test, leaks that were closed."""
    stop: Stop | None
    """None when `failure` says why there was no attempt to speak of, and when an imported result does not tell."""
    detail: str = ""
    failure: Failure | None = None
    patch_sha256: str
    patch_bytes: int
    skipped_paths: tuple[str, ...] = ()
    steps: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    active_seconds: float = 0.0
    wall_seconds: float = 0.0
    tool_calls: ToolCallMode = ToolCallMode.NATIVE
    calls_native: int = 0
    calls_recovered: int = 0
    calls_malformed: int = 0
    calls_written: int = 0
    """Calls found in the text of replies in native mode, where nothing is run of them: the server did not parse them."""
    uses_tools: bool = False
    """Whether the scaffold gave the model tools to call."""
    files_shown: tuple[str, ...] | None = None
    """For a scaffold that chooses what the model sees; None where the model looks for itself."""
    fix_shown: bool | None = None
    """Whether a file that the reference fix changes was among them: where none was, the task could not be solved."""
    oom_kills: int = 0
    flags: tuple[str, ...] = ()
    """Evidence for a reader, never a punishment: test infrastructure touched, answers looked for."""
    started: str
    """ISO 8601, UTC."""


class Outcome(StrEnum):
    """The verdict on one attempt."""

    RESOLVED = "resolved"
    """Every FAIL_TO_PASS and PASS_TO_PASS test passed."""
    UNRESOLVED = "unresolved"
    """The patch was tested and at least one graded test did not pass, or the patch did not apply."""
    NO_PATCH = "no_patch"
    """Nothing was changed: in the denominator, not worth a test run."""
    VIOLATION = "violation"
    """It looked like a pass, and a negative control shows that the pass means nothing."""
    NOT_JUDGED = "not_judged"
    """No verdict; `party` says whose doing. Widens the bounds of the score."""


class GraderVerdict(Frozen):
    """What one grader says of an attempt."""

    outcome: Outcome
    reason: str = ""
    """One line; quotes nothing from inside the sandbox."""
    tests: dict[str, str] = Field(default_factory=dict)
    """Graded test id → `passed`, `failed`, `skipped`, `missing`, …"""


class Grade(Frozen):
    """Both columns for one attempt. `outcome` is the conservative one: RESOLVED only if both say so."""

    outcome: Outcome
    party: Party | None = None
    official: GraderVerdict
    strict: GraderVerdict | None = None
    grader: str
    """`swebench==5.0.2`, …"""
    key: str
    """Content key: task, image, patch, grader, limits. Equal keys, equal grades."""
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0
    test_seconds: float = 0.0
    """The bare test run's share of `seconds`."""


class Decision(StrEnum):
    """What can be said of a claim."""

    REPRODUCED = "reproduced"
    """The difference lies inside the margin."""
    NOT_REPRODUCED = "not reproduced under this protocol"
    """Lower than claimed, by more than the margin."""
    EXCEEDS = "exceeds the claim"
    """Higher than claimed, by more than the margin."""
    AT_LEAST = "at least as claimed, within the margin"
    """Asked one-sidedly: not lower than claimed by the margin or more."""
    BELOW = "below the claim by more than the margin"
    """Asked one-sidedly: lower than claimed by more than the margin."""
    UNDECIDED = "undecided"
    """The interval crosses the margin."""


def all_keys(scaffolds: Sequence[str], task_ids: Sequence[str], attempts: int) -> Iterator[AttemptKey]:
    """The denominator, in the order of work: attempt by attempt, task by task, scaffolds side by side."""
    for attempt in range(1, attempts + 1):
        for task_id in task_ids:
            for scaffold in scaffolds:
                yield AttemptKey(scaffold=scaffold, task_id=task_id, attempt=attempt)
