"""Live counts of a run for the progress display: what ended, what is under way, what is waited for. No drawing, no decisions."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evals.record import AttemptKey, Grade, Outcome
from scaffolds.base import Step


@dataclass
class UnderWay:
    """One attempt that has not ended."""

    began: float = field(default_factory=time.monotonic)
    steps: int = 0


@dataclass
class Tally:
    """Threads write it under its one lock; the display reads without it."""

    total: int = 0
    grades: bool = False
    """Whether this run grades what it records."""
    done: int = 0
    graded: int = 0
    resolved: int = 0
    unjudged: int = 0
    calibrations: int = 0
    """Tasks of which strict may need to know what gold does, from the first one that is asked about: often none is."""
    calibrated: int = 0
    """Of them, tried in this session."""
    completion_tokens: int = 0
    """Of this session, counted as steps end; what was recorded before does not count."""
    under_way: dict[AttemptKey, UnderWay] = field(default_factory=dict)
    over_budget: int = 0
    """Images that were let in though they did not fit into `images.disk`."""
    preparing: str = ""
    """The last that was heard of an image on its way here."""
    waiting: list[str] = field(default_factory=list)
    """One reason for each worker that waits for something outside to come back."""
    suspended: str = ""
    """The reason, when every worker waits."""
    paused: Callable[[], int] = lambda: 0
    """Of those under way, how many wait between two steps until the server has room for them."""
    unjudged_reasons: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def judged(self) -> int:
        return self.graded + self.unjudged

    @property
    def to_grade(self) -> int:
        """Attempts that have ended and have no grade yet."""
        return max(0, self.done - self.judged) if self.grades else 0

    @property
    def running(self) -> int:
        return len(self.under_way)

    def began(self, key: AttemptKey) -> None:
        """The caller holds the lock."""
        self.under_way[key] = UnderWay()

    def stepped(self, key: AttemptKey, step: Step) -> None:
        """A step of an attempt ended; only what the agent said is counted as one."""
        with self.lock:
            if step.source == "agent" and key in self.under_way:
                self.under_way[key].steps += 1
            self.completion_tokens += step.metrics.completion_tokens if step.metrics else 0

    def ended(self, key: AttemptKey) -> None:
        with self.lock:
            self.under_way.pop(key, None)

    @contextmanager
    def waits(self, reason: str) -> Iterator[None]:
        """This worker waits for something outside."""
        self._wait(reason, begins=True)
        try:
            yield
        finally:
            self._wait(reason, begins=False)

    def _wait(self, reason: str, *, begins: bool) -> None:
        with self.lock:
            if begins:
                self.waiting.append(reason)
            else:
                self.waiting.remove(reason)
            everyone = self.waiting and len(self.waiting) >= self.running
            self.suspended = self.waiting[0] if everyone else ""

    def count(self, grade: Grade, sign: int = 1) -> None:
        """Add a grade, or take it back. The caller holds the lock."""
        if grade.outcome is Outcome.NOT_JUDGED:
            self.unjudged += sign
            self.unjudged_reasons[f"{grade.party}: {grade.official.reason}"] += sign
            return
        self.graded += sign
        self.resolved += sign * (grade.outcome is Outcome.RESOLVED)
