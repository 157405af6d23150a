"""Other ways to read the same results, shown beside a verdict and never instead of it."""

from __future__ import annotations

from typing import NamedTuple

from evals.claims.claim import Claim
from evals.claims.network import network_dependent
from evals.results.table import Drawn, Reading, Results
from evals.stats.subset import drawn_by
from evals.verdict.reference import ANTHROPIC_489, fitted, problem_lists


class View(NamedTuple):
    """A name, and the results to read under it."""

    name: str
    results: Results
    reading: Reading


def readings(claim: Claim, results: Results) -> list[View]:
    """The views that apply: known-broken tasks dropped, the official grader alone, the vendor's own n."""
    tasks = benchmark_of(claim, results)
    broken = frozenset().union(*(entry.ids for entry in problem_lists())) & tasks
    left_out = next(entry.ids for entry in problem_lists() if entry.source == ANTHROPIC_489) & tasks
    views = []
    if 0 < len(broken) < len(tasks):
        name = f"without {tasks_said(len(broken))} known as broken"
        views.append(View(name, results.without(broken), Reading.JUDGED))
    wanting = network_dependent().keys() & tasks
    if results.protocol.grading_network == "off" and 0 < len(wanting) < len(tasks):
        name = f"without {tasks_said(len(wanting))} whose grading needs a network"
        views.append(View(name, results.without(frozenset(wanting)), Reading.JUDGED))
    if any(row.official is not None for row in results.rows):
        views.append(View(Reading.OFFICIAL.value, results, Reading.OFFICIAL))
    if claim.n_tasks == len(tasks) - len(left_out) and left_out:
        views.append(View(f"the vendor's n of {claim.n_tasks}", results.without(left_out), Reading.JUDGED))
    return [view for view in views if len(view.results.table(view.reading).tasks)]


def tasks_said(number: int) -> str:
    return f"{number} task" + "s" * (number != 1)


def benchmark_of(claim: Claim, results: Results) -> frozenset[str]:
    """The tasks that the results stand for: more than were run, where they were drawn and the others are known."""
    known = drawn_by(results.subset) if results.subset else None
    if results.drawn is Drawn.SAMPLE and not results.subset:
        known = fitted(claim)
    ran = frozenset(results.tasks)
    return frozenset(known.ids) if known and ran <= set(known.ids) else ran
