"""Tonight's fresh attempts against the baseline: what is compared with what, and what it adds up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.record import Outcome
from evals.results.table import Results, Row
from evals.stats import eprocess
from tasks.task import Frozen


class Counts(Frozen):
    """Tonight's passes under one reading of the attempts that were not judged."""

    passes: int
    rank: float
    """Chance of as few or fewer, if nothing changed."""


class Watched(Frozen):
    """What one scaffold showed in one night."""

    scaffold: str
    grader: str
    tasks: tuple[str, ...]
    """Fresh attempts that the baseline can be set against; an id counts once for each."""
    outcomes: tuple[int | None, ...]
    """1 passed, 0 not, None not judged; later nights are set against these too."""
    unjudged: int
    expected: float
    """Passes, at the baseline's rates."""
    shifts: tuple[float, ...]
    """How far a drop since each night so far would move the passes: see `eprocess`."""
    worst: Counts
    """Unjudged attempts failed."""
    best: Counts
    """Unjudged attempts passed."""

    def tally(self, grader: str) -> tuple[Counter[str], Counter[str]]:
        """Judged attempts and passes at each task, if `grader` judged them."""
        judged = [(t, o) for t, o in zip(self.tasks, self.outcomes, strict=True) if o is not None]
        if grader != self.grader:
            judged = []
        return Counter(task for task, _ in judged), Counter(task for task, passed in judged if passed)

    def night(self, counts: Counts) -> eprocess.Night:
        return eprocess.Night(counts.rank, self.shifts)


class Standing(Frozen):
    """Evidence of one scaffold over all nights: natural logarithms.

    An alarm is raised when the evidence reaches `needed`, and stays raised until there is a new baseline.
    """

    scaffold: str
    nights: int
    compared: int
    """Attempts set against the baseline, over all nights."""
    evidence: float
    evidence_if_unjudged_failed: float
    needed: float
    alarm: bool
    alarm_if_unjudged_failed: bool


class Place(NamedTuple):
    """What must be the same for two outcomes to be set against each other."""

    scaffold: str
    task: str
    task_hash: str
    grader: str

    @staticmethod
    def of(row: Row) -> Place:
        return Place(row.system.scaffold, row.task, row.task_hash, row.grader)


@dataclass(frozen=True)
class Baseline:
    """Judged outcomes of the frozen run, and what the nights since then showed."""

    outcomes: Mapping[Place, Sequence[int]]
    """0 or 1 for each judged attempt, in order."""
    earlier: Sequence[Watched]
    """Nights with fresh attempts, oldest first, of all scaffolds."""

    @staticmethod
    def of(results: Results, earlier: Sequence[Watched]) -> Baseline:
        outcomes: defaultdict[Place, list[int]] = defaultdict(list)
        for row in results.rows:
            if row.outcome is not Outcome.NOT_JUDGED:
                outcomes[Place.of(row)].append(int(row.outcome is Outcome.RESOLVED))
        return Baseline(outcomes, [one for one in earlier if one.tasks])

    def at(self, row: Row, grader: str) -> Sequence[int]:
        """Outcomes that this attempt may be set against; an attempt without a grade takes the night's `grader`."""
        return self.outcomes.get(Place.of(row)._replace(grader=row.grader or grader), ())


class Seen(NamedTuple):
    """Attempts at tonight's tasks (T,): the baseline's, each earlier night's, tonight's."""

    tasks: tuple[str, ...]
    made: NDArray[np.int64]
    """(nights + 1, T)."""
    passed: NDArray[np.int64]
    """(T,), without tonight's."""


def watched(scaffold: str, rows: Sequence[Row], baseline: Baseline) -> Watched:
    """Set one scaffold's fresh attempts against the baseline; tasks that it lacks are left out.

    What another grader judged, or what was another task at the time, is not compared.
    """
    grader = next((row.grader for row in rows if row.grader), "")
    known = [row for row in rows if baseline.at(row, grader)]
    before = {row.task: baseline.at(row, grader) for row in known}
    seen = all_seen(
        known, before, [one.tally(grader) for one in baseline.earlier if one.scaffold == scaffold]
    )
    return Watched(
        scaffold=scaffold,
        grader=grader,
        tasks=tuple(row.task for row in known),
        outcomes=tuple(value(row, unjudged=None) for row in known),
        unjudged=sum(row.outcome is Outcome.NOT_JUDGED for row in rows),
        expected=float(sum(np.mean(before[row.task]) for row in known)),
        shifts=eprocess.shifts(seen.made) if known else (),
        worst=counts(known, seen, unjudged=0),
        best=counts(known, seen, unjudged=1),
    )


def all_seen(
    rows: Sequence[Row],
    before: Mapping[str, Sequence[int]],
    nights: Sequence[tuple[Counter[str], Counter[str]]],
) -> Seen:
    tonight = Counter(row.task for row in rows)
    frozen = {task: len(outcomes) for task, outcomes in before.items()}
    made = [frozen, *(attempts for attempts, _ in nights), tonight]
    passed = [sum(before[task]) + sum(passes[task] for _, passes in nights) for task in tonight]
    return Seen(tuple(tonight), np.array([[one[task] for task in tonight] for one in made]), np.array(passed))


def value(row: Row, unjudged: int | None) -> int | None:
    return unjudged if row.outcome is Outcome.NOT_JUDGED else int(row.outcome is Outcome.RESOLVED)


def counts(rows: Sequence[Row], seen: Seen, unjudged: int) -> Counts:
    """`unjudged`: what an attempt without verdict counts as, 0 or 1."""
    if not rows:
        return Counts(passes=0, rank=1.0)
    passed = Counter(row.task for row in rows if value(row, unjudged))
    tonight = np.array([passed[task] for task in seen.tasks])
    rank = eprocess.rank(tonight, seen.passed + tonight, seen.made.sum(axis=0), seen.made[-1])
    return Counts(passes=passed.total(), rank=rank)


def standing(nights: Sequence[Watched], alpha: float) -> Standing:
    """Evidence over all nights of one scaffold, the last of which is tonight."""
    needed = eprocess.threshold(alpha)
    shown = [one for one in nights if one.tasks]
    best, worst = (
        eprocess.evidence([one.night(counts) for one, counts in zip(shown, readings, strict=True)])
        for readings in ([one.best for one in shown], [one.worst for one in shown])
    )
    return Standing(
        scaffold=nights[-1].scaffold,
        nights=len(nights),
        compared=sum(len(one.tasks) for one in nights),
        evidence=float(best[-1]),
        evidence_if_unjudged_failed=float(worst[-1]),
        needed=needed,
        alarm=bool(best.max() >= needed),
        alarm_if_unjudged_failed=bool(worst.max() >= needed),
    )
