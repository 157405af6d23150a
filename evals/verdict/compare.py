"""Systems on the same tasks: how far apart, how sure, and where a difference comes from.

Pairs are compared on the tasks that both were judged on; attempts are nested in tasks. All p values of one comparison
are adjusted together. Interaction and variance split need a complete table of models × scaffolds (`crossed`). Intervals
come from `rates` and mean what `verify` means: these tasks, or tasks like these, where a repository's are relatives.
Not covered: why an attempt failed beyond its stop reason and its grade.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from enum import StrEnum
from itertools import combinations

from evals.record import Outcome
from evals.results.failures import failed_by
from evals.results.table import Reading, Results, System, Table
from evals.stats.paired import cochran_q, holm
from evals.verdict.crossed import Crossed as Crossed
from evals.verdict.crossed import common_outcomes, crossed
from evals.verdict.measure import Estimand
from evals.verdict.rates import difference_of, rate_of
from evals.verdict.words import grader_of, points
from scaffolds.factors import difference
from tasks.errors import UserError
from tasks.task import Frozen


class By(StrEnum):
    """What differs within a pair."""

    SCAFFOLD = "scaffold"
    """Same model, other scaffold."""
    MODEL = "model"
    """Same scaffold, other model."""
    RUN = "run"
    """Same scaffold, other run: `labelled` has put the run's name in the place of the model's."""
    ALL = "all"
    """Every pair."""


class Standing(Frozen):
    """One system. Rates in points."""

    system: str
    tasks: int
    attempts: int
    rate: float
    low: float
    high: float
    worst: float
    best: float
    """Bounds over unjudged and flagged attempts."""
    tokens: int
    seconds: float
    stops: dict[str, int]
    failures: dict[str, int]


class Pair(Frozen):
    """First minus second, in points."""

    first: str
    second: str
    tasks: int
    difference: float
    low: float
    high: float
    worst: float
    best: float
    """The difference if unjudged and flagged attempts all went against the first, and all for it."""
    only_first: int
    only_second: int
    """Tasks whose pass rate is higher under the one."""
    p: float | None
    p_holm: float | None
    """Adjusted for all pairs shown."""
    method: str
    second_failed_by: dict[str, int]
    """How the second failed at the tasks where the first did better: where the difference comes from."""
    first_failed_by: dict[str, int]
    factors: tuple[str, ...] | None = None
    """In what the scaffolds differ, `factor: first's → second's`; None where it is not known of one."""


class Comparison(Frozen):
    """All of it."""

    benchmark: str
    by: By
    estimand: Estimand
    systems: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    cochran: dict[str, float]
    """For each group of three or more systems: p that they solve tasks equally often (first attempts)."""
    crossed: Crossed | None
    limits: tuple[str, ...]


def compare(results: Results, by: By = By.SCAFFOLD, estimand: Estimand = Estimand.FIXED) -> Comparison:
    """Everything about the systems in `results`. Raises `UserError` when there is nothing to compare."""
    if estimand is Estimand.LIKE_THESE and len({row.repo for row in results.rows}) < 2:
        raise UserError(f"{results.source}: all tasks are of one repository, which says nothing about others")
    parts = {system: results.of(system) for system in results.systems}
    chosen = list(pairs_of(results.systems, by))
    if not chosen:
        others = " or ".join(f"--by {one}" for one in (By.SCAFFOLD, By.RUN, By.ALL) if one is not by)
        raise UserError(f"{results.source}: no two systems that differ by {by} only; try {others}")
    pairs = [pair(parts[a], parts[b], estimand) for a, b in chosen]
    adjusted = iter(holm([one.p for one in pairs if one.p is not None]))
    return Comparison(
        benchmark=results.benchmark,
        by=by,
        estimand=estimand,
        systems=tuple(standing(part, estimand) for part in parts.values()),
        pairs=tuple(
            one if one.p is None else one.model_copy(update={"p_holm": next(adjusted)}) for one in pairs
        ),
        cochran=dict(cochran_groups(parts, by)),
        crossed=crossed(parts),
        limits=tuple(limits(results, parts, estimand)),
    )


def pairs_of(systems: tuple[System, ...], by: By) -> Iterator[tuple[System, System]]:
    for first, second in combinations(systems, 2):
        same_model, same_scaffold = first.model == second.model, first.scaffold == second.scaffold
        if by is By.ALL or (same_model if by is By.SCAFFOLD else same_scaffold):
            yield first, second


def standing(part: Results, estimand: Estimand) -> Standing:
    table = part.table()
    found = rate_of(part, estimand)
    worst, best = (
        rate_of(part, estimand, part.table(reading)).value for reading in (Reading.WORST, Reading.BEST)
    )
    return Standing(
        system=part.systems[0].name,
        tasks=len(table.tasks),
        attempts=len(part.rows),
        rate=points(found.value),
        low=points(found.interval.low),
        high=points(found.interval.high),
        worst=points(worst),
        best=points(best),
        tokens=sum(row.tokens for row in part.rows),
        seconds=round(sum(row.seconds for row in part.rows), 1),
        stops=dict(Counter(row.stop for row in part.rows if row.stop).most_common()),
        failures=failed_by(part, part.tasks),
    )


def pair(first: Results, second: Results, estimand: Estimand) -> Pair:
    found = difference_of(first, second, estimand)
    one, two = rates(first.table()), rates(second.table())
    common = [task for task in one if task in two]
    better = {task for task in common if one[task] > two[task]}
    worse = {task for task in common if one[task] < two[task]}
    against, in_favour = extremes(first, second)
    return Pair(
        first=first.systems[0].name,
        second=second.systems[0].name,
        tasks=found.tasks,
        difference=points(found.value),
        low=points(found.interval.low),
        high=points(found.interval.high),
        worst=points(against),
        best=points(in_favour),
        only_first=len(better),
        only_second=len(worse),
        p=found.p,
        p_holm=None,
        method=found.method,
        second_failed_by=failed_by(second, better),
        first_failed_by=failed_by(first, worse),
        factors=factors_of(first, second),
    )


def factors_of(first: Results, second: Results) -> tuple[str, ...] | None:
    """In what the scaffolds of two systems differ, as the runs' manifests have it."""
    ours, theirs = (part.factors.get(part.systems[0]) for part in (first, second))
    return tuple(difference(ours, theirs)) if ours and theirs else None


def rates(table: Table) -> dict[str, float]:
    return dict(zip(table.tasks, table.means.tolist(), strict=True))


def extremes(first: Results, second: Results) -> tuple[float, float]:
    """The difference when all that is open goes against the first system, and when it goes for it."""
    readings = (Reading.WORST, Reading.BEST)
    ours, theirs = ([part.read_as(reading) for reading in readings] for part in (first, second))
    return difference_of(ours[0], theirs[1]).value, difference_of(ours[1], theirs[0]).value


def cochran_groups(parts: dict[System, Results], by: By) -> Iterator[tuple[str, float]]:
    groups: defaultdict[str, list[Results]] = defaultdict(list)
    for system, part in parts.items():
        groups["all" if by is By.ALL else system.model if by is By.SCAFFOLD else system.scaffold].append(part)
    for name, members in groups.items():
        if len(members) > 2:
            first_attempts = common_outcomes([part.table() for part in members])[:, :, 0]
            yield name, cochran_q(first_attempts.T == 1)


def limits(results: Results, parts: dict[System, Results], estimand: Estimand) -> Iterator[str]:
    """What a reader must know before quoting a difference."""
    judged = {system.name: len(part.table().tasks) for system, part in parts.items()}
    graders = sorted({grader_of(row.grader) for row in results.rows if row.grader})
    if estimand is Estimand.LIKE_THESE:
        repositories = len({row.repo for row in results.rows})
        yield f"{repositories} repositories stand for all; Cochran's Q takes their tasks as independent"
    if results.subset:
        yield (
            "the tasks were drawn with unequal chances: rates and differences are estimates for all "
            f"{results.subset.benchmark_size}"
        )
    if len(set(judged.values())) > 1:
        yield "judged tasks differ: " + ", ".join(f"{name} {count}" for name, count in judged.items())
    if len(graders) > 1:
        yield f"attempts were judged by different graders: {', '.join(graders)}"
    if max(row.attempt for row in results.rows) == 1:
        yield "one attempt at each task: a task's own luck cannot be told from its difficulty"
    if unjudged := sum(row.outcome is Outcome.NOT_JUDGED for row in results.rows):
        yield f"{unjudged} of {len(results.rows)} attempts were not judged: see the bounds"
