"""A run's protocol against a claim's, point by point. It judges nothing: a verdict prints every line of it.

Not covered: prompts, which vendors describe in words at best, and whether a difference matters.
"""

from __future__ import annotations

import re
from enum import StrEnum

from evals.claims.claim import Claim, Protocol, folded
from evals.results.table import Results, System
from evals.run.conditions import Condition
from tasks.task import Frozen


class Match(StrEnum):
    """How one point compares."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNKNOWN = "unknown"
    """The claim or the run does not say."""


class Point(Frozen):
    """One line of the protocol table."""

    name: str
    claimed: str
    measured: str
    match: Match


NOT_STATED = "not stated"
SEPARATORS = re.compile(r"[^a-z0-9.]+")
ENDS = re.compile(r"$|\.(?!\d)|-(?!\d{1,2}(?:\.\d+)?(?:-|$))")
"""What may follow a model's name in a longer one: no letter, and no number of a version."""
NAMELESS = ("", "none", "unknown")
"""Model names of runs without one."""
POINTS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "context_window": "context window (tokens)",
    "max_output_tokens": "output limit (tokens)",
    "thinking_budget": "thinking budget (tokens)",
    "turn_limit": "turn limit",
    "time_limit_seconds": "time limit (s)",
    "resources": "resources",
    "skills": "skills",
    "grader": "grader",
    "grading_network": "network while grading",
    "quantization": "quantization",
}


def match(claim: Claim, results: Results, system: System) -> tuple[Point, ...]:
    """Every point of the table for one system's results."""
    claimed, measured = claim.protocol, results.protocol_of(system)
    rows = [row for row in results.rows if row.system == system]
    tasks = len({row.task for row in rows})
    return (
        point("model", claim.model, named(system.model), same_model),
        point("scaffold", claimed.scaffold, system.scaffold or None, same_scaffold),
        point("tasks", claim.n_tasks, tasks),
        excluded(claimed, results),
        runs(claimed, max((row.attempt for row in rows), default=0)),
        *(point(name, getattr(claimed, key), measured_value(measured, key)) for key, name in POINTS.items()),
        *map(of_tasks, results.conditions),
    )


def of_tasks(condition: Condition) -> Point:
    """What the benchmark's own tasks say, which is what a claim's protocol leaves open or departs from."""
    verdict = Match.MATCH if condition.same else Match.MISMATCH
    return Point(
        name=f"{condition.name} (the tasks' own)",
        claimed=condition.theirs,
        measured=condition.ours,
        match=verdict,
    )


def measured_value(protocol: Protocol, key: str) -> object:
    value: object = getattr(protocol, key)
    return value


def point(name: str, claimed: object, measured: object, same: object = None) -> Point:
    """One line; `same` decides equality where it is not `==`."""
    if claimed is None or measured is None:
        verdict = Match.UNKNOWN
    else:
        equal = same(claimed, measured) if callable(same) else claimed == measured
        verdict = Match.MATCH if equal else Match.MISMATCH
    return Point(name=name, claimed=said(claimed), measured=said(measured), match=verdict)


def said(value: object) -> str:
    if value is None:
        return NOT_STATED
    return (
        f"{value:,g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def named(model: str) -> str | None:
    """A run's model, if it is one: the controls have none, and an imported run may not say."""
    return None if model in NAMELESS else model


def same_model(claimed: str, measured: str) -> bool:
    """Whether one name holds the other: servers add a quantization or an owner."""
    return named_in(measured, claimed) or named_in(claimed, measured)


def named_in(name: str, model: str) -> bool:
    """Whether `name` is the model's, with additions at most: GLM-4.6 is no GLM-4, nor GPT-4o a GPT-4."""
    whole, part = (SEPARATORS.sub("-", one.lower()).strip("-") for one in (name, model))
    if folded(name) == folded(model):
        return bool(part)
    return bool(part) and any(ENDS.match(whole, at.end()) for at in re.finditer(re.escape(part), whole))


def same_scaffold(claimed: str, measured: str) -> bool:
    """Whether the claim's description begins with the scaffold's name; a private scaffold matches nothing."""
    return folded(claimed).replace(".", "").startswith(folded(measured).replace(".", ""))


def excluded(claimed: Protocol, results: Results) -> Point:
    """What a claim left out is never known to be what was left out here; a claim that is silent is unknown."""
    ours = f"{len(results.excluded)} tasks" if results.excluded else "none"
    if claimed.excluded is None:
        return Point(name="excluded tasks", claimed=NOT_STATED, measured=ours, match=Match.UNKNOWN)
    return Point(name="excluded tasks", claimed=claimed.excluded, measured=ours, match=Match.MISMATCH)


def runs(claimed: Protocol, attempts: int) -> Point:
    """Number of runs averaged; a claim that is silent is taken as one run, and the table says so."""
    if claimed.runs is None:
        return Point(
            name="runs", claimed=f"{NOT_STATED}, taken as 1", measured=str(attempts), match=Match.UNKNOWN
        )
    return point("runs", claimed.runs, attempts)
