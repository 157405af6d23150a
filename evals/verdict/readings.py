"""Other ways to read the same results, shown beside a verdict and never instead of it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from evals.claims.claim import Claim
from evals.results.table import Reading, Results
from evals.stats.subset import drawn_by

ANTHROPIC_489 = "Anthropic, Claude 3.7 Sonnet announcement"
"""The one published list of tasks that a vendor left out of its n."""


class ProblemList(NamedTuple):
    """Tasks that somebody found broken or flaky."""

    source: str
    ids: frozenset[str]


class View(NamedTuple):
    """A name, and the results to read under it."""

    name: str
    results: Results
    reading: Reading


@cache
def problem_lists() -> tuple[ProblemList, ...]:
    """The published lists, as they ship in `claims/_known_problems.yaml`."""
    text = files("evals.claims").joinpath("_known_problems.yaml").read_text("utf-8")
    return tuple(
        ProblemList(entry["source"], frozenset(entry["ids"])) for entry in yaml.safe_load(text)["lists"]
    )


def readings(claim: Claim, results: Results) -> list[View]:
    """The views that apply: known-broken tasks dropped, the official grader alone, the vendor's own n."""
    tasks = benchmark_of(results)
    broken = frozenset().union(*(entry.ids for entry in problem_lists())) & tasks
    left_out = next(entry.ids for entry in problem_lists() if entry.source == ANTHROPIC_489) & tasks
    views = []
    if 0 < len(broken) < len(tasks):
        views.append(
            View(f"without {len(broken)} tasks known as broken", results.without(broken), Reading.JUDGED)
        )
    if any(row.official is not None for row in results.rows):
        views.append(View(Reading.OFFICIAL.value, results, Reading.OFFICIAL))
    if claim.n_tasks == len(tasks) - len(left_out) and left_out:
        views.append(View(f"the vendor's n of {claim.n_tasks}", results.without(left_out), Reading.JUDGED))
    return [view for view in views if len(view.results.table(view.reading).tasks)]


def benchmark_of(results: Results) -> frozenset[str]:
    """The tasks that the results stand for: more than were run, for a subset whose benchmark is known task by task."""
    known = drawn_by(results.subset) if results.subset else None
    return frozenset(known.ids if known else (row.task for row in results.rows))
