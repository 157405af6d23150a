"""Results as others publish them: lists of resolved ids, without files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evals.record import Outcome
from evals.results.table import Results, Row, System


def from_resolved_lists(
    resolved: Mapping[System, Iterable[str]],
    tasks: Mapping[str, str],
    *,
    benchmark: str,
    source: str,
    unjudged: Mapping[System, Iterable[str]] | None = None,
) -> Results:
    """For each system the ids it resolved, of `tasks` (id → repository), one attempt each.

    `unjudged` ids have no result (missing is not failed).
    """
    rows: list[Row] = []
    for system, ids in resolved.items():
        solved, missing = set(ids), set((unjudged or {}).get(system, ()))
        assert solved <= tasks.keys(), "an id that is no task"
        rows += [
            listed_row(system, task, repo, task in solved, task in missing) for task, repo in tasks.items()
        ]
    return Results(source=source, benchmark=benchmark, rows=tuple(rows))


def listed_row(system: System, task: str, repo: str, solved: bool, missing: bool) -> Row:
    if missing:
        return Row(system, task, repo, 1, Outcome.NOT_JUDGED, failure="missing")
    return Row(system, task, repo, 1, Outcome.RESOLVED if solved else Outcome.UNRESOLVED, official=solved)
