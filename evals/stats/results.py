"""Results on a subset as a user hands them over, checked and estimated. Rates leave here in points (0–100)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from evals.stats.drawn import Subset
from evals.stats.estimate import Answers, one_run, several_runs
from evals.stats.subset import STRATIFIED_DESIGN, estimated, parameters
from tasks.errors import UserError
from tasks.untrusted import loads

Results = dict[str, list[str] | dict[str, list[int]]]
MISFIT = 2.0
"""Surprise from which a reader is told that the public results do not describe this submission."""


class Reply(NamedTuple):
    """One line of the answer, in points."""

    estimate: float
    low: float
    high: float
    about: str
    notes: tuple[str, ...] = ()

    @property
    def half_width(self) -> float:
        return round((self.high - self.low) / 2, 4)


def read_subset(path: Path) -> Subset:
    """Raises `UserError` for a file that `asclaimed subset --json` did not write."""
    try:
        return Subset.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "tasks"
        raise UserError(
            f"{path} is no subset file ({where}: {first['msg']}): use asclaimed subset --json"
        ) from error


def read_results(path: Path) -> Results:
    """`{name: [resolved ids]}` or `{name: {id: [0, 1, …]}}`. Raises `UserError` for anything else."""
    raw = read_json(path)
    if not isinstance(raw, dict) or not raw:
        raise UserError(f"{path} holds no results: give {{name: [resolved ids]}}")
    for name, value in raw.items():
        if not (is_ids(value) or is_attempts(value)):
            raise UserError(
                f"{path}: {name!r} must be a list of resolved ids, or {{id: [0, 1, …]}} with attempts"
            )
    return raw


def is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def is_attempts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(tries, list) and tries and all(one in (0, 1) for one in tries) for tries in value.values()
    )


def read_json(path: Path) -> Any:
    try:
        return loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error


def estimates(subset: Subset, results: Results) -> dict[str, Reply]:
    """An estimate for each name. Raises `UserError` for ids that are no tasks of the benchmark."""
    return {name: reply(subset, name, value) for name, value in results.items()}


def reply(subset: Subset, name: str, value: list[str] | dict[str, list[int]]) -> Reply:
    notes = outside(subset, name, value)
    if isinstance(value, dict):
        answers, fixed_run = from_attempts(subset, name, value)
    else:
        answers, fixed_run = one_run(np.array([task in set(value) for task in subset.ids], float)), True
    found = estimated(subset, answers, fixed_run=fixed_run)
    low, high = found.interval
    about = "rate of this run" if fixed_run else "mean rate over runs"
    if found.surprise > MISFIT:
        about += "; unlike the public submissions, hence wide"
    return Reply(round(100 * found.value, 4), round(100 * low, 4), round(100 * high, 4), about, notes)


def outside(subset: Subset, name: str, value: list[str] | dict[str, list[int]]) -> tuple[str, ...]:
    """What is said of ids that were not drawn: never used, since they were not chosen by the design."""
    extra = set(value) - set(subset.ids)
    known = parameters(subset.benchmark) if subset.design != STRATIFIED_DESIGN else None
    unknown = sorted(extra - set(known.ids)) if known else []
    if unknown:
        raise UserError(f"{name}: {unknown[0]!r} is no task of {subset.benchmark} ({len(unknown)} such)")
    return (f"{name}: {len(extra)} ids outside the subset are not used",) if extra else ()


def from_attempts(subset: Subset, name: str, value: dict[str, list[int]]) -> tuple[Answers, bool]:
    """Answers, and whether they are of one run only. Every task of the subset must have been tried."""
    missing = [task for task in subset.ids if task not in value]
    if missing:
        raise UserError(
            f"{name}: no attempt at {missing[0]!r} ({len(missing)} tasks of the subset are missing)"
        )
    tries = [value[task] for task in subset.ids]
    means = np.array([np.mean(one) for one in tries], float)
    counts = np.array([len(one) for one in tries], float)
    if (counts == 1).all():
        return one_run(means), True
    return several_runs(means, counts), False
