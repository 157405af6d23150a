"""What server, sandbox or registry spoiled in this session, so that it is tried once more when all else is done.

Never because of a score. Not here: when that is (`queue`), nor what `--retry-unjudged` forgets (`set_aside`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from evals.record import AttemptKey, Grade, grade_of
from evals.run.set_aside import AGAIN, forget, seen_through, set_aside
from evals.run.tally import Tally


class Again(NamedTuple):
    """What is to be done over: whole attempts, and the grading of those that were seen through."""

    attempts: list[AttemptKey]
    grades: list[AttemptKey]


class Spoiled:
    """One run's, in memory: the next session has `--retry-unjudged` for what is left."""

    def __init__(self, run: Path, tally: Tally) -> None:
        self._run, self._tally = run, tally
        self._grades: dict[AttemptKey, Grade | None] = {}
        """With the grade where there is one."""

    def attempt(self, key: AttemptKey) -> None:
        """Its record will say that nobody could make it."""
        self._grades[key] = None

    def graded(self, key: AttemptKey, grade: Grade) -> None:
        """Keep a grade that was counted if the attempt or the grading was spoiled. The caller holds the tally's lock."""
        if key in self._grades or (grade.party in AGAIN and seen_through(key.directory(self._run))):
            self._grades[key] = grade

    def quarantine(self, keys: Collection[AttemptKey], why: str) -> None:
        """Set attempts aside for another reason, and their grades out of the counts."""
        for key in keys:
            with self._tally.lock:
                directory = key.directory(self._run)
                if grade := grade_of(directory):
                    self._tally.count(grade, -1)
                self._grades.pop(key, None)
                set_aside(directory, why)
                self._tally.done -= 1

    def without(self, scaffolds: Collection[str]) -> list[AttemptKey]:
        """Except those of scaffolds that are decided already."""
        with self._tally.lock:  # the last grade may be counted and not yet kept
            return [key for key in self._grades if key.scaffold not in scaffolds]

    def take_back(self, keys: Sequence[AttemptKey]) -> Again:
        """Uncount these and set aside the attempts among them that nobody could make."""
        again = Again([], [])
        with self._tally.lock:
            for key in keys:
                grade = self._grades.pop(key)
                if grade is not None:
                    self._tally.count(grade, -1)
                if forget(key.directory(self._run)):
                    self._tally.done -= 1
                    again.attempts.append(key)
                else:
                    again.grades.append(key)
        return again
