"""The vocabulary of a run: what one attempt leaves on disk, and what grading says of it.

The record is the only thing that grading reads; a grade is derived: delete `grade.json` and grade again.

Layout of a run directory: runs/README.md. Writing is atomic and `record.json` comes last: an attempt
that has one is finished, an attempt that has none never happened as far as scores are concerned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from scaffolds.base import Stop, ToolCallMode
from scaffolds.model import EmptyTurn
from tasks.errors import UserError
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


OWN_VERIFIER = "harbor-verifier"
"""How the grader of a task about a machine is called: the task's own script, as `evals.grade.verifier` reads it."""
NOT_AVAILABLE = "strict not available: "
"""How the reason of a strict column begins that repeats the official one."""
RETRIED = (Party.SERVER, Party.SANDBOX)
"""Whose attempts `--retry-unjudged` makes again."""


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


class FlagKind(StrEnum):
    """What a flag is about, and so what it counts for."""

    LOOKS_FOR_ANSWERS = "looks_for_answers"
    """A command reached for the fix itself: `verify`'s worst reading counts such a pass as failed."""
    REPLACES_RUNNER = "replaces_runner"
    """The patch could stand in for the test runner: counts like the first, until a strict RESOLVED clears it."""
    SHARED_VERIFIER = "shared_verifier"
    """Its verifier ran in the machine that it had worked on, where it may have prepared that: counts like the first."""
    TOUCHES_TESTS = "touches_tests"
    """The patch changes how tests are run, or existing tests: evidence beside, until a strict RESOLVED clears it."""
    SERVER = "server"
    """The client noticed something about the model server: evidence beside, about the measurement and not the agent."""
    OTHER = "other"
    """Evidence beside."""


class Flag(Frozen):
    """Something that a reader should look at: never a punishment, never a verdict."""

    kind: FlagKind
    what: str
    """Which rule was met: `conftest`, `history beyond the start`, `context_truncated`."""
    detail: str = ""
    """The first path or command that met it: hostile text."""
    count: int = 1

    def __str__(self) -> str:
        verb = _VERBS.get(self.kind, "")
        times = f" ×{self.count}" if self.count > 1 else ""
        return f"{verb}{self.what}{times}" + (f": {self.detail}" if self.detail else "")


_VERBS = {
    FlagKind.LOOKS_FOR_ANSWERS: "command looks for ",
    FlagKind.REPLACES_RUNNER: "patch touches ",
    FlagKind.TOUCHES_TESTS: "patch touches ",
    FlagKind.SERVER: "server: ",
}
_RUNNER_WORDS = ("interpreter start-up", "a module that shadows the test runner")


def flag_of_text(written: str) -> Flag:
    """A flag that was written as one line of text, as older records hold it."""
    for kind, verb in _VERBS.items():
        if written.startswith(verb):
            what, _, detail = written.removeprefix(verb).partition(": ")
            what, _, count = what.partition(" ×")
            if what in _RUNNER_WORDS:
                kind = FlagKind.REPLACES_RUNNER
            elif kind is FlagKind.REPLACES_RUNNER:
                kind = FlagKind.TOUCHES_TESTS
            return Flag(kind=kind, what=what, detail=detail, count=int(count) if count.isdecimal() else 1)
    return Flag(kind=FlagKind.OTHER, what=written)


def _flag_on_disk(value: object) -> object:
    return flag_of_text(value) if isinstance(value, str) else value


class KeptState(Frozen):
    """Where the machine of an attempt is kept, for a task that is answered by its state."""

    image: str
    """Image id, `sha256:…`."""
    name: str
    """The image's name; `asclaimed cache prune` may have removed it."""
    changed: int
    """Paths that differ from the start: `changes.txt` names them."""
    changes_sha256: str


class Record(Frozen):
    """What happened in one attempt, and what was in force. Times in seconds."""

    key: AttemptKey
    task_hash: str
    image: str
    """Image id of the agent's container, `sha256:…`: the task's image with its leaks closed."""
    image_source: str = ""
    """The task's own image: its digest in a registry, or its id where it was built here; then its services', `name=…` each."""
    image_notes: tuple[str, ...] = ()
    """What a reader should know of the image: copies of the package under test, leaks that were closed."""
    stop: Stop | None
    """None when `failure` says why there was no attempt to speak of, and when an imported result does not tell."""
    detail: str = ""
    failure: Failure | None = None
    patch_sha256: str = ""
    """"" where the answer is no patch but a `state`."""
    patch_bytes: int = 0
    state: KeptState | None = None
    skipped_paths: tuple[str, ...] = ()
    steps: int = 0
    side_calls: int = 0
    """Of an agent program, beside its conversation: titles, summaries, sub-agents. Their tokens are in the counts."""
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
    empty_turns: dict[EmptyTurn, int] = Field(default_factory=dict)
    """Answers with neither text nor a call, by whose doing that was; each counts as one of `steps`."""
    ended_empty: EmptyTurn | None = None
    """The attempt ended on one of them, and on no limit."""
    uses_tools: bool = False
    """Whether the scaffold gave the model tools to call."""
    files_shown: tuple[str, ...] | None = None
    """For a scaffold that chooses what the model sees; None where the model looks for itself."""
    fix_shown: bool | None = None
    """Whether a file that the reference fix changes was among them: where none was, the task could not be solved."""
    oom_kills: int = 0
    flags: tuple[Annotated[Flag, BeforeValidator(_flag_on_disk)], ...] = ()
    """Evidence for a reader, never a punishment: see `FlagKind`, and `standing` for what a grade clears."""
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


WEAK = 1 / 1000
"""A chance to pass the strict grader by guessing that is worth to be told."""


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
    guess: float | None = None
    """Chance that a cheat which knows all but the answers passes strict by guessing; None = not known."""

    @property
    def weak(self) -> bool:
        """Strict confirmed a pass, and is known to confirm more than one guess in a thousand."""
        return self.outcome is Outcome.RESOLVED and self.guess is not None and self.guess > WEAK


CLEARED_BY_CONTROLS = (FlagKind.REPLACES_RUNNER, FlagKind.TOUCHES_TESTS)
COUNTED = (FlagKind.LOOKS_FOR_ANSWERS, FlagKind.REPLACES_RUNNER, FlagKind.SHARED_VERIFIER)
"""Kinds for which the worst reading of a score counts a pass as failed."""


def standing(flags: Sequence[Flag], grade: Grade | None) -> tuple[Flag, ...]:
    """The flags that a grade does not clear.

    A strict RESOLVED of its own brought its own tests and runner, and its controls failed where they had to: what the
    patch does to tests cannot have made that pass. (A strict column with a reason repeats the official one.)
    """
    strict = grade.strict if grade else None
    controlled = strict is not None and strict.outcome is Outcome.RESOLVED and not strict.reason
    return tuple(flag for flag in flags if not (controlled and flag.kind in CLEARED_BY_CONTROLS))


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


Kept = TypeVar("Kept", Record, Grade)


def kept(kind: type[Kept], path: Path) -> Kept:
    """A record or grade of a run. Raises `UserError` for one that is damaged: ours are written whole, or not at all."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        what = "made" if kind is Record else "graded"
        reason = error.errors()[0]["msg"][:100]
        raise UserError(
            f"{path} is damaged ({reason}): restore it, or remove it to have its attempt {what} again"
        ) from None


def grade_of(directory: Path) -> Grade | None:
    """An attempt's verdict; None where there is none, or a damaged one: it can be made again from the record."""
    try:
        return Grade.model_validate_json((directory / "grade.json").read_bytes())
    except (OSError, ValidationError):
        return None
