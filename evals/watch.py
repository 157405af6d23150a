"""Tonight's fresh attempts against the baseline: what is compared with what, and what it adds up to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evals.outcome import Outcome
from evals.results import Results, Row
from evals.stats import eprocess
from evals.stats.eprocess import Level
from tasks.task import Frozen


class Counts(Frozen):
    """Fresh pairs and passes under one reading of the attempts that were not judged."""

    regressed: int
    improved: int
    passes: int
    expected: float
    variance: float

    def night(self) -> eprocess.Night:
        return eprocess.Night(self.regressed, self.improved, self.passes, Level(self.expected, self.variance))


class Watched(Frozen):
    """What one scaffold showed in one night."""

    scaffold: str
    tasks: tuple[str, ...]
    """Fresh attempts that the baseline can be set against; an id counts once for each."""
    paired: tuple[str, ...]
    """Those that used up a baseline outcome."""
    unjudged: int
    worst: Counts
    """Unjudged attempts failed."""
    best: Counts
    """Unjudged attempts passed."""


class Standing(Frozen):
    """Evidence of one scaffold over all nights. `evidence` is a natural logarithm; `needed` raises the alarm."""

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
    """Judged outcomes of the frozen run, and how many of each task's were used up by earlier nights."""

    outcomes: Mapping[Place, Sequence[int]]
    """0 or 1 for each judged attempt, in order."""
    used: Mapping[tuple[str, str], int]
    """(scaffold, task) → number."""

    @staticmethod
    def of(results: Results, earlier: Sequence[Watched]) -> Baseline:
        outcomes: defaultdict[Place, list[int]] = defaultdict(list)
        for row in results.rows:
            if row.outcome is not Outcome.NOT_JUDGED:
                outcomes[Place.of(row)].append(int(row.outcome is Outcome.RESOLVED))
        return Baseline(outcomes, Counter((one.scaffold, task) for one in earlier for task in one.paired))

    def at(self, row: Row, grader: str) -> Sequence[int]:
        """Outcomes that this attempt may be set against; an attempt without a grade takes the night's `grader`."""
        return self.outcomes.get(Place.of(row)._replace(grader=row.grader or grader), ())


def watched(scaffold: str, rows: Sequence[Row], baseline: Baseline, alpha: float) -> Watched:
    """Set one scaffold's fresh attempts against the baseline; tasks that it lacks are left out.

    What another grader judged, or what was another task at the time, is not compared.
    """
    grader = next((row.grader for row in rows if row.grader), "")
    known = [row for row in rows if baseline.at(row, grader)]
    promises = [baseline.at(row, grader) for row in known]
    partners = unused(scaffold, known, promises, baseline.used)
    level = promised(known, promises, alpha)
    return Watched(
        scaffold=scaffold,
        tasks=tuple(row.task for row in known),
        paired=tuple(row.task for row, partner in zip(known, partners, strict=True) if partner is not None),
        unjudged=sum(row.outcome is Outcome.NOT_JUDGED for row in rows),
        worst=counts(known, partners, level, unjudged=0),
        best=counts(known, partners, level, unjudged=1),
    )


def promised(rows: Sequence[Row], outcomes: Sequence[Sequence[int]], alpha: float) -> Level:
    """What the baseline leads one to expect of these attempts.

    Several attempts at a task share what is wrong with its baseline: their errors add up and do not average out.
    """
    attempts = Counter(row.task for row in rows)
    groups: defaultdict[int, dict[str, Sequence[int]]] = defaultdict(dict)
    for row, seen in zip(rows, outcomes, strict=True):
        groups[attempts[row.task]][row.task] = seen
    levels = [(n, eprocess.baseline_level(list(tasks.values()), alpha)) for n, tasks in groups.items()]
    return Level(sum(n * one.expected for n, one in levels), sum(n * one.variance for n, one in levels))


def unused(
    scaffold: str,
    rows: Sequence[Row],
    outcomes: Sequence[Sequence[int]],
    used: Mapping[tuple[str, str], int],
) -> list[int | None]:
    """For each attempt the next outcome of the baseline that no attempt was set against before; None = used up."""
    taken = Counter({task: n for (name, task), n in used.items() if name == scaffold})
    partners: list[int | None] = []
    for row, seen in zip(rows, outcomes, strict=True):
        place = taken[row.task]
        partners.append(seen[place] if place < len(seen) else None)
        taken[row.task] += place < len(seen)
    return partners


def counts(rows: Sequence[Row], partners: Sequence[int | None], level: Level, unjudged: int) -> Counts:
    """`unjudged`: what an attempt without verdict counts as, 0 or 1."""
    values = [
        unjudged if row.outcome is Outcome.NOT_JUDGED else int(row.outcome is Outcome.RESOLVED)
        for row in rows
    ]
    pairs = Counter(zip(partners, values, strict=True))
    return Counts(
        regressed=pairs[1, 0],
        improved=pairs[0, 1],
        passes=sum(values),
        expected=level.expected,
        variance=level.variance,
    )


def standing(nights: Sequence[Watched], alpha: float) -> Standing:
    """Evidence over all nights of one scaffold, the last of which is tonight."""
    needed = eprocess.threshold(alpha)
    best = eprocess.evidence([one.best.night() for one in nights if one.tasks])
    worst = eprocess.evidence([one.worst.night() for one in nights if one.tasks])
    return Standing(
        scaffold=nights[-1].scaffold,
        nights=len(nights),
        compared=sum(len(one.tasks) for one in nights),
        evidence=best,
        evidence_if_unjudged_failed=worst,
        needed=needed,
        alarm=best >= needed,
        alarm_if_unjudged_failed=worst >= needed,
    )
