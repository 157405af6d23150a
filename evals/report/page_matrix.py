"""Every attempt of a run as a cell: outcome, evidence and links, grouped by repository, the widely solved first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from evals.record import Outcome
from evals.results.score import Attempt
from evals.run.manifest import Manifest

MISSING = "missing"
LEGEND = {
    Outcome.RESOLVED.value: ("✓", "solved"),
    Outcome.UNRESOLVED.value: ("×", "not solved"),
    Outcome.NO_PATCH.value: ("–", "no patch"),
    Outcome.VIOLATION.value: ("!", "violation: the pass means nothing"),
    Outcome.NOT_JUDGED.value: ("?", "not judged"),
    MISSING: ("·", "no verdict yet"),
}
"""Outcome → its sign and its name for people. Colour repeats what the sign says, never more."""
FILES = (
    ("patch", "patch.diff"),
    ("changes", "changes.txt"),
    ("log", "test.log"),
    ("trajectory", "trajectory.json"),
    ("trajectory", "upstream.json"),
    ("record", "record.json"),
)


class Link(NamedTuple):
    name: str
    href: str


class Cell(NamedTuple):
    """One attempt."""

    outcome: str
    sign: str
    stop: str
    why: str
    """Reason of the verdict, or why there is none."""
    flags: tuple[str, ...]
    links: tuple[Link, ...]


class TaskRow(NamedTuple):
    """One task: for each scaffold its attempts in order."""

    anchor: str
    id: str
    cells: tuple[tuple[Cell, ...], ...]
    excluded: str = ""

    @property
    def solved(self) -> int:
        return sum(cell.outcome == Outcome.RESOLVED for cells in self.cells for cell in cells)


class Group(NamedTuple):
    """Tasks of one repository."""

    repo: str
    rows: tuple[TaskRow, ...]
    solved: tuple[str, ...]
    """For each scaffold `solved/attempts`."""


def groups(
    run: Path, manifest: Manifest, attempts: Sequence[Attempt], scaffolds: Sequence[str]
) -> list[Group]:
    """The matrix of these scaffolds, largest repository first; excluded tasks are not in it."""
    made: defaultdict[tuple[str, str], list[Cell]] = defaultdict(list)
    for attempt in attempts:
        made[attempt.key.task_id, attempt.key.scaffold].append(cell(run, attempt))
    by_repo: defaultdict[str, list[TaskRow]] = defaultdict(list)
    for number, task in enumerate(manifest.tasks):
        if task.id not in manifest.excluded:
            cells = tuple(tuple(made[task.id, name]) for name in scaffolds)
            by_repo[task.repo].append(TaskRow(f"t{number}", task.id, cells))
    ordered = sorted(by_repo.items(), key=lambda item: (-len(item[1]), item[0]))
    return [group(repo, rows, len(scaffolds)) for repo, rows in ordered]


def group(repo: str, rows: list[TaskRow], scaffolds: int) -> Group:
    solved = []
    for place in range(scaffolds):
        cells = [cell for row in rows for cell in row.cells[place]]
        solved.append(f"{sum(cell.outcome == Outcome.RESOLVED for cell in cells)}/{len(cells)}")
    return Group(repo, tuple(sorted(rows, key=lambda row: -row.solved)), tuple(solved))


def legend(found: Iterable[Group]) -> Iterator[tuple[str, str, str]]:
    """The signs that occur in these groups."""
    seen = {cell.outcome for group in found for row in group.rows for cells in row.cells for cell in cells}
    return ((outcome, *words) for outcome, words in LEGEND.items() if outcome in seen)


def cell(run: Path, attempt: Attempt) -> Cell:
    outcome = attempt.outcome.value if attempt.outcome else MISSING
    record = attempt.record
    return Cell(
        outcome=outcome,
        sign=LEGEND[outcome][0],
        stop=str(record.stop) if record and record.stop else "",
        why="" if attempt.outcome is Outcome.RESOLVED else attempt.reason,
        flags=tuple(map(str, record.flags)) if record else (),
        links=links(run, attempt) if record else (),
    )


def links(run: Path, attempt: Attempt) -> tuple[Link, ...]:
    """Relative links to those files of an attempt that are there."""
    directory = attempt.key.directory(run)
    base = "/".join(quote(part, safe="") for part in directory.relative_to(run).parts)
    return tuple(Link(name, f"{base}/{file}") for name, file in FILES if (directory / file).is_file())
