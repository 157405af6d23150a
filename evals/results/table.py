"""Results as one table, wherever they came from: a run of ours, or lists of resolved ids that others published.

What `verify`, `compare` and `nightly` read. An attempt of the frozen list that was not made, or not judged, is a row
with the outcome NOT_JUDGED: nothing drops out silently. Runs of ours are read by `load`. Not covered: how an
attempt went, beyond why it stopped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.claims.claim import Protocol
from evals.record import Outcome
from evals.run.conditions import Condition
from evals.stats.drawn import Subset
from tasks.errors import UserError


class System(NamedTuple):
    """What is compared: a model under a scaffold."""

    model: str
    scaffold: str

    @property
    def name(self) -> str:
        return " / ".join(part for part in self if part)


class Reading(StrEnum):
    """How outcomes become numbers."""

    JUDGED = "judged attempts"
    """An attempt that was not judged counts for nothing."""
    WORST = "unjudged and flagged attempts failed"
    """The lower bound."""
    BEST = "unjudged attempts passed"
    """The upper bound; a flagged pass stays a pass."""
    OFFICIAL = "official grader alone"
    """What vendors report: the official grader alone."""


class Drawn(StrEnum):
    """How the tasks came out of their benchmark."""

    WHOLE = "whole"
    SAMPLE = "sample"
    """At random, with a seed."""
    CHOSEN = "chosen"
    """By hand or from the top: their rate says nothing about the other tasks."""


class Row(NamedTuple):
    """One attempt."""

    system: System
    task: str
    repo: str
    attempt: int
    outcome: Outcome
    official: bool | None = None
    """Resolved, by the official grader alone; None when it did not judge."""
    flagged: bool = False
    """A flag stands that counts (`evals.record.COUNTED`): the agent looked for the answer, or stood in for the runner."""
    stop: str = ""
    failure: str = ""
    """Whose doing it is that there is no outcome."""
    malformed: int = 0
    """Tool calls that could not be understood."""
    tokens: int = 0
    """Prompt and completion."""
    tokens_out: int = 0
    """Completion alone."""
    seconds: float = 0.0
    grader: str = ""
    task_hash: str = ""

    def value(self, reading: Reading) -> float:
        """1 solved, 0 not, NaN not counted."""
        passed = self.outcome is Outcome.RESOLVED
        if reading is Reading.OFFICIAL:
            return float("nan") if self.official is None else float(self.official)
        if self.outcome is Outcome.NOT_JUDGED:
            return {Reading.WORST: 0.0, Reading.BEST: 1.0}.get(reading, float("nan"))
        return float(passed and not (self.flagged and reading is Reading.WORST))


class Table(NamedTuple):
    """Outcomes of one system: tasks × attempts."""

    tasks: tuple[str, ...]
    repos: tuple[str, ...]
    values: NDArray[np.float64]
    """(tasks, attempts); NaN where nothing counts."""

    @property
    def means(self) -> NDArray[np.float64]:
        """Pass rate of each task."""
        means: NDArray[np.float64] = np.nanmean(self.values, axis=1)
        return means


@dataclass(frozen=True)
class Results:
    """Attempts on one benchmark, and what was in force when they were made."""

    source: str
    """A run directory or a file, for people."""
    benchmark: str
    rows: tuple[Row, ...]
    drawn: Drawn = Drawn.WHOLE
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Task id → why it counts for no system."""
    margin: float | None = None
    """Equivalence margin fixed before the run, as a fraction."""
    looks: tuple[int, ...] = ()
    """Numbers of tasks at which it was planned to look; the tasks are then in random order."""
    subset: Subset | None = None
    """How the tasks were drawn, where chances were unequal: `rows` alone give no rate then."""
    protocol: Protocol = field(default_factory=Protocol)
    """What was in force, in the words of a claim."""
    conditions: tuple[Condition, ...] = ()
    """What tasks about machines give an agent beside what the run gave it; of several runs, the first's."""
    factors: Mapping[System, Mapping[str, str]] = field(default_factory=dict)
    """What each scaffold of ours consists of; of two runs of one system, the first's."""
    own_protocol: Mapping[System, Mapping[str, float]] = field(default_factory=dict)
    """Where a scaffold goes over `protocol`."""
    planned: int = 0
    """Tasks of the frozen list; filled in when left at 0."""
    left_out: frozenset[str] = frozenset()
    """Tasks that are not asked about in this reading: see `without`."""

    def __post_init__(self) -> None:
        if not self.planned:
            object.__setattr__(self, "planned", len(self.tasks))

    def protocol_of(self, system: System) -> Protocol:
        return self.protocol.model_copy(update=dict(self.own_protocol.get(system, {})))

    @cached_property
    def systems(self) -> tuple[System, ...]:
        return tuple(dict.fromkeys(row.system for row in self.rows))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """In the frozen order."""
        return tuple(dict.fromkeys(row.task for row in self.rows))

    @property
    def dropped(self) -> frozenset[str]:
        """Tasks of the benchmark that the rate is not about: they count for nobody, or are left out here."""
        return self.left_out | self.excluded.keys()

    @property
    def tokens_per_second(self) -> float | None:
        """Completion tokens for each agent-active second of one attempt; None when nothing was timed."""
        seconds = sum(row.seconds for row in self.rows)
        return sum(row.tokens_out for row in self.rows) / seconds if seconds else None

    def first(self, count: int) -> Results:
        """Only the first `count` tasks of the frozen order; `planned` stays."""
        kept = set(self.tasks[:count])
        rows = tuple(row for row in self.rows if row.task in kept)
        return replace(self, rows=rows, subset=self.subset and self.subset.keeping(kept))

    def at_look(self) -> Results:
        """With planned looks: the tasks of the last look that is complete, so that nothing after it is peeked at.

        Raises `UserError` before the first.
        """
        if not self.looks:
            return self
        waiting = {row.task for row in self.rows if row.failure == "missing"}
        done = next((i for i, task in enumerate(self.tasks) if task in waiting), len(self.tasks))
        reached = [look for look in (*sorted(self.looks), self.planned) if look <= done]
        if not reached:
            raise UserError(
                f"{self.source}: {done} tasks are done; the first look is planned at {min(self.looks)}"
            )
        return self.first(max(reached))

    def of(self, system: System) -> Results:
        """Only that system's attempts."""
        return replace(self, rows=tuple(row for row in self.rows if row.system == system))

    def without(self, tasks: Iterable[str]) -> Results:
        """All attempts but those at `tasks` of the benchmark, read as a whole of their own."""
        dropped = frozenset(tasks)
        rows = tuple(row for row in self.rows if row.task not in dropped)
        return replace(
            self,
            rows=rows,
            looks=(),
            planned=0,
            subset=self.subset and self.subset.without(dropped),
            left_out=self.left_out | dropped,
        )

    def read_as(self, reading: Reading) -> Results:
        """The same attempts, each with the outcome that `reading` gives it, as if judged so."""
        rows = (row._replace(outcome=outcome_as(row, reading), flagged=False) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def table(self, reading: Reading = Reading.JUDGED) -> Table:
        """Outcomes of a single system; tasks where nothing counts are left out."""
        assert len(self.systems) <= 1, "one system at a time: results.of(system)"
        by_task: defaultdict[str, list[float]] = defaultdict(list)
        repos: dict[str, str] = {}
        for row in self.rows:
            value = row.value(reading)
            if not np.isnan(value):
                by_task[row.task].append(value)
                repos[row.task] = row.repo
        width = max(map(len, by_task.values()), default=1)
        values = np.full((len(by_task), width), np.nan)
        for index, outcomes in enumerate(by_task.values()):
            values[index, : len(outcomes)] = outcomes
        return Table(tuple(by_task), tuple(repos[task] for task in by_task), values)


def outcome_as(row: Row, reading: Reading) -> Outcome:
    value = row.value(reading)
    if np.isnan(value):
        return Outcome.NOT_JUDGED
    if value:
        return Outcome.RESOLVED
    return Outcome.UNRESOLVED if row.outcome in (Outcome.RESOLVED, Outcome.NOT_JUDGED) else row.outcome


def drawn_together(parts: Sequence[Results]) -> Drawn:
    """A whole list stays one where others try some of its tasks again."""
    every, kinds = {row.task for part in parts for row in part.rows}, {part.drawn for part in parts}
    whole = any(part.drawn is Drawn.WHOLE and every <= set(part.tasks) for part in parts)
    return Drawn.WHOLE if whole else kinds.pop() if len(kinds) == 1 else Drawn.CHOSEN


def merge(parts: Sequence[Results]) -> Results:
    """Several runs as one: attempts of one system at one task are numbered on.

    The first run's settings stand; `verify` and `compare` name what differs. Raises `UserError` for benchmarks
    or task versions that differ, because one rate over them means nothing.
    """
    first = parts[0]
    hashes: dict[str, str] = {}
    rows: list[Row] = []
    made: defaultdict[tuple[System, str], int] = defaultdict(int)
    for part in parts:
        if part.benchmark != first.benchmark:
            raise UserError(
                f"{first.source} ran {first.benchmark} and {part.source} ran {part.benchmark}: "
                "compare runs of one benchmark"
            )
        for row in part.rows:
            if row.task_hash and hashes.setdefault(row.task, row.task_hash) != row.task_hash:
                raise UserError(f"{part.source}: {row.task} is another version than in {first.source}")
            made[row.system, row.task] += 1
            rows.append(row._replace(attempt=made[row.system, row.task]))
    if len({part.protocol.skills for part in parts}) > 1 and len({row.system for row in rows}) < sum(
        len(part.systems) for part in parts
    ):
        raise UserError(
            f"{', '.join(part.source for part in parts)}: with and without skills are two ways to work, and no more "
            "attempts at one: `asclaimed compare --by run` sets them side by side"
        )
    if any(part.subset != first.subset for part in parts):
        raise UserError(
            f"{', '.join(part.source for part in parts)} ran different subsets: estimate from one at a time"
        )
    return replace(
        first,
        source=", ".join(part.source for part in parts),
        rows=tuple(rows),
        factors=dict(chain.from_iterable(part.factors.items() for part in reversed(parts))),
        own_protocol=dict(chain.from_iterable(part.own_protocol.items() for part in reversed(parts))),
        margin=first.margin if len({part.margin for part in parts}) == 1 else None,
        drawn=drawn_together(parts),
        excluded={name: why for part in parts for name, why in part.excluded.items()},
        planned=max(len({row.task for row in rows}), *(part.planned for part in parts)),
    )
