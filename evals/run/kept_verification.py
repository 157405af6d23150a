"""What is kept of a verifier's run: in an attempt's directory, and of untouched images in the user's cache.

`verifier.json` (written last), `test.log`, and in `verifier/` the files that were read back.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import ValidationError

from tasks.backend import Left, VerifierResult
from tasks.disk import write_atomic, write_json
from tasks.task import Frozen, Task, Verifier

FACTS, LOG, FILES = "verifier.json", "test.log", "verifier"
TEXT, JSON, MISSING = "/logs/verifier/reward.txt", "/logs/verifier/reward.json", "/logs/verifier/.missing"
"""What a verifier leaves: its reward, and what it asked the kit's stand-ins for in vain."""


def collected(verifier: Verifier) -> tuple[str, ...]:
    """Paths to read back."""
    return tuple(filter(None, (TEXT, JSON, MISSING, verifier.ctrf)))


class LeftFacts(Frozen):
    file: str
    """Beside `verifier.json`; "" where it was not read."""
    sha256: str
    problem: str


class VerifierFacts(Frozen):
    """What the daemon said of one run of a verifier. Times in seconds."""

    key: str
    kit: str
    exit_code: int | None
    timed_out: bool
    ended: str
    oom_kills: int
    starts: bool
    log_bytes: int
    seconds: float
    startup_seconds: float
    left: dict[str, LeftFacts]
    shared: bool = False
    """It ran in the agent's own machine, beside what the agent had started."""


def shared_key(task: Task, kit: str) -> str:
    """Of a run in the agent's own machine: there is one for each attempt."""
    return hashlib.sha256(f"shared\0{task.content_hash}\0{kit}".encode()).hexdigest()


class KeptVerification(NamedTuple):
    """A run of a verifier, as it is kept in an attempt's directory and, for untouched images, in the cache."""

    facts: VerifierFacts
    log: bytes
    left: dict[str, Left]

    @classmethod
    def of(cls, key: str, kit: str, run: VerifierResult, *, shared: bool = False) -> Self:
        left = {
            path: LeftFacts(
                file="" if found.problem else path.rpartition("/")[2].lstrip("."),
                sha256=hashlib.sha256(found.data).hexdigest(),
                problem=found.problem,
            )
            for path, found in run.left.items()
        }
        facts = VerifierFacts(
            key=key,
            kit=kit,
            exit_code=run.exit_code,
            timed_out=run.timed_out,
            ended=run.ended,
            oom_kills=run.oom_kills,
            starts=run.starts,
            log_bytes=run.log_bytes,
            seconds=round(run.seconds, 3),
            startup_seconds=round(run.startup_seconds, 3),
            left=left,
            shared=shared,
        )
        return cls(facts, run.log, dict(run.left))

    def save(self, directory: Path) -> None:
        """The facts last."""
        (directory / FILES).mkdir(parents=True, exist_ok=True)
        write_atomic(directory / LOG, self.log)
        for path, found in self.left.items():
            if name := self.facts.left[path].file:
                write_atomic(directory / FILES / name, found.data)
        write_json(directory / FACTS, self.facts)

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """What `save` wrote; None when it is not there or not whole."""
        try:
            facts = VerifierFacts.model_validate_json((directory / FACTS).read_bytes())
            log = (directory / LOG).read_bytes()
            left = {path: kept(directory, found) for path, found in facts.left.items()}
        except (OSError, ValidationError, ValueError):
            return None
        return cls(facts, log, left)


def kept(directory: Path, found: LeftFacts) -> Left:
    data = (directory / FILES / found.file).read_bytes() if found.file else b""
    if hashlib.sha256(data).hexdigest() != found.sha256:
        raise ValueError
    return Left(data, found.problem)
