"""What is kept of a test run, so that the same patch is never tested twice and any grader version can judge it later.

An attempt's directory and the user's cache hold the same two files: `test.json` and `test.log` (bytes, as they came;
gzipped in the cache). The cache is keyed by content and may be deleted at any time. Broken machines leave nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import ValidationError

from evals.record import GraderVerdict
from tasks.backend import RunResult, TestLimits
from tasks.disk import cache_directory, write_atomic, write_json
from tasks.task import Frozen, Task

LAYOUT = "2"
"""Part of every key: raise it when a backend runs tests in another way."""
FACTS, LOG = "test.json", "test.log"


class StrictFacts(Frozen):
    """The strict column of a run, and the version of our strict grader that gave it. Times in seconds."""

    version: str
    column: GraderVerdict
    available: bool = True
    """False: the column only repeats the official one of its time, with the reason."""
    evidence: tuple[str, ...] = ()
    seconds: float = 0.0
    startup_seconds: float = 0.0
    guess: float | None = None
    """Chance that a cheat which knows all but the answers gets through; None where that is not known."""


class TestFacts(Frozen):
    """What the daemon said of one run of the official eval script. Times in seconds."""

    __test__ = False

    key: str
    """Content key of the run, without grader versions: any version may judge the log."""
    image: str
    applied_by: str
    """The command that applied the patch; "" when none did, and then nothing was run."""
    exit_code: int | None = None
    """The script's, from the daemon; None after a timeout or when the tests brought their container down."""
    timed_out: bool = False
    ended: str = ""
    """Why we ended it before its time, as for a timeout: what it took from the machine; "" when we did not."""
    oom_kills: int = 0
    """Processes that were killed because the container reached its own limit on memory."""
    log_bytes: int = 0
    """What the tests wrote; more than the size of `test.log` when the middle was left out."""
    log_sha256: str = ""
    seconds: float = 0.0
    startup_seconds: float = 0.0
    strict: StrictFacts | None = None


class KeptRun(NamedTuple):
    """Facts and the log that belongs to them."""

    facts: TestFacts
    log: bytes

    @property
    def cut(self) -> bool:
        return self.facts.log_bytes > len(self.log)

    @classmethod
    def of(cls, key: str, image: str, run: RunResult) -> Self:
        """What is kept of a run, under its key."""
        facts = TestFacts(
            key=key,
            image=image,
            applied_by=run.applied_by,
            exit_code=run.exit_code,
            timed_out=run.timed_out,
            ended=run.ended,
            oom_kills=run.oom_kills,
            log_bytes=run.log_bytes,
            log_sha256=digest(run.log),
            seconds=round(run.seconds, 3),
            startup_seconds=round(run.startup_seconds, 3),
        )
        return cls(facts, run.log)

    def save(self, directory: Path) -> None:
        """Into an attempt's directory, the log first."""
        if self.facts.applied_by:
            write_atomic(directory / LOG, self.log)
        write_json(directory / FACTS, self.facts)

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """What `save` wrote; None when it is not there, not whole, or not what `test.json` says it is."""
        try:
            facts = TestFacts.model_validate_json((directory / FACTS).read_bytes())
            log = (directory / LOG).read_bytes() if facts.applied_by else b""
        except (OSError, ValidationError):
            return None
        return cls(facts, log) if digest(log) == facts.log_sha256 else None


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run_key(task: Task, image: str, patch: bytes, limits: TestLimits) -> str:
    """Equal keys, equal runs: task content, image id, patch bytes, limits."""
    parts = [LAYOUT, task.content_hash, image, digest(patch), limits.model_dump(mode="json")]
    return digest(json.dumps(parts, sort_keys=True).encode())


def grade_key(run: str, grader: str, strict: str) -> str:
    """`run_key`, the official grader's version and the strict grader's."""
    return digest(f"{run} {grader} {strict}".encode())


def strict_version() -> str:
    """Changes with any source file of the strict grader."""
    sources = sorted(files("evals.grade.strict").iterdir(), key=lambda file: file.name)
    content = b"\0".join(file.read_bytes() for file in sources if file.name.endswith(".py"))
    return digest(content)[:16]


class RunStore:
    """Test runs by key, under the user's cache directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or cache_directory() / "grading"

    def get(self, key: str) -> KeptRun | None:
        home = self._home(key)
        try:
            facts = TestFacts.model_validate_json((home / FACTS).read_bytes())
            log = gzip.decompress((home / f"{LOG}.gz").read_bytes())
        except (OSError, EOFError, zlib.error, ValidationError):
            return None
        return KeptRun(facts, log) if digest(log) == facts.log_sha256 else None

    def put(self, tested: KeptRun) -> None:
        home = self._home(tested.facts.key)
        home.mkdir(parents=True, exist_ok=True)
        write_atomic(home / f"{LOG}.gz", gzip.compress(tested.log, compresslevel=1, mtime=0))
        write_json(home / FACTS, tested.facts)

    def _home(self, key: str) -> Path:
        return self.directory / "runs" / key[:2] / key
