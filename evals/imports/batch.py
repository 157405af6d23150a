"""What an importer hands over: attempts of somebody else, with their verdicts where there are any."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from evals.record import Outcome, Party
from scaffolds.base import Stop
from tasks.errors import UserError
from tasks.untrusted import loads

UNJUDGED = "imported: not graded by anybody"
MOST_BYTES = 500_000_000
"""Of one file that is read whole."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
"""What may become a directory's name."""


class SourceVerdict(NamedTuple):
    """What a source says of one attempt."""

    outcome: Outcome
    reason: str = ""
    party: Party | None = None


@dataclass(frozen=True)
class ImportedAttempt:
    """One attempt as its source tells it. Zero and None mean "does not say"."""

    task: str
    system: str
    """The scaffold, or the whole system where a source has one name for both."""
    model: str | None = None
    verdict: SourceVerdict | None = None
    patch: bytes | None = None
    stop: Stop | None = None
    detail: str = ""
    steps: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    started: str = ""
    files: tuple[tuple[str, Path], ...] = ()
    """Name in the attempt's directory → the source's file, copied as it is."""


@dataclass(frozen=True)
class Batch:
    """All that one source holds."""

    kind: str
    judge: str
    """Whose verdicts these are."""
    attempts: tuple[ImportedAttempt, ...]
    rest: SourceVerdict | None = None
    """Verdict on tasks that a system does not list; None: they are missing, not failed."""
    systems: tuple[str, ...] = ()
    """Where `rest` holds: every system of the source, one that solved nothing included."""
    benchmark: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there is anybody's verdict in it."""
        return self.judge != UNJUDGED

    def judged_by(self, other: Batch) -> Batch:
        """The same attempts with the verdicts of `other`. Raises `UserError` when it is not clear whose they are."""
        names = {attempt.system for attempt in other.attempts} | set(other.systems)
        ours = {attempt.system for attempt in self.attempts}
        if len(names) > 1 and not ours <= names:
            raise UserError(f"the verdicts are on {len(names)} systems, none of them called {min(ours)}")
        said = {(a.system, a.task): a.verdict for a in other.attempts}
        attempts = tuple(
            replace(
                a,
                verdict=said.get(
                    (a.system if len(names) > 1 else min(names), a.task), other.rest or a.verdict
                ),
            )
            for a in self.attempts
        )
        return replace(self, attempts=attempts, judge=other.judge, notes=self.notes + other.notes)


def read_json(path: Path) -> Any:
    """A JSON file. Raises `UserError` in one line."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB: split it")
        return loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {str(error)[:200]}") from None


def inner(value: Any, *keys: str) -> Any:
    """`value[k1][k2]…`, None as soon as one is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def count(value: Any) -> int:
    """A source's word as a count; 0 when it is none."""
    return (
        int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
        else 0
    )


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""
