"""The claim on the tasks that were asked of us: what a published rate becomes where tasks are missing on either side.

Predicted by the difficulty model with its error where the benchmark has one, and bounded in any case. Without a model
the verdict has to hold at both bounds. Not covered: which tasks a claim left out when it does not say; it is then
taken to be about all of them.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import yaml

from evals.claims.claim import Claim, same_benchmark
from evals.results.table import Drawn, Results, Table
from evals.stats.noise import AttemptNoise, attempt_noise, drawn_inwards, prior
from evals.stats.rebase import Carried, Mask, Part, bounds, carried, seen_as_part
from evals.stats.subset import FITTED_FILES, Parameters, parameters
from evals.verdict.measure import benchmark_size

ANTHROPIC_489 = "Anthropic, Claude 3.7 Sonnet announcement"
"""The one published list of tasks that a vendor left out of its n."""
ERROR_FACTOR = 1.45
"""By so much the model's error has to be widened to be right for the worst of the groups of tasks that were tried
(repositories, known-broken tasks, the hardest; `calibrate` measures it on left-out submissions)."""


class ProblemList(NamedTuple):
    """Tasks that somebody found broken or flaky."""

    source: str
    ids: frozenset[str]


@cache
def problem_lists() -> tuple[ProblemList, ...]:
    """The published lists, as they ship in `claims/_known_problems.yaml`."""
    text = files("evals.claims").joinpath("_known_problems.yaml").read_text("utf-8")
    return tuple(
        ProblemList(entry["source"], frozenset(entry["ids"])) for entry in yaml.safe_load(text)["lists"]
    )


class Reference(NamedTuple):
    """What the results are set against. Rates in [0, 1]."""

    rate: float
    error: float
    """Standard error of the prediction; 0 where nothing had to be predicted."""
    slack: float
    """How far off the rate may be to either side, in every run: half of what is possible where nothing was predicted.
    Widens every interval."""
    low: float
    high: float
    tasks: int
    """So many tasks it is about."""
    moved: int
    """Tasks that only one side counts."""

    @property
    def line(self) -> str:
        """For people; empty where claim and results are about the same tasks."""
        if not self.moved:
            return ""
        predicted = (
            f"predicted {self.rate:.1%} ± {1.96 * self.error + self.slack:.1%}"
            if self.error
            else "not predicted (no fitted difficulties)"
        )
        return (
            f"the claim counts {self.moved} tasks otherwise: on these {self.tasks} it is "
            f"{predicted}, possible {self.low:.1%} to {self.high:.1%}"
        )


def reference(claim: Claim, claimed: float, results: Results) -> Reference:
    """The claim on the tasks that `results` stand for."""
    known = fitted(claim)
    place = {task: index for index, task in enumerate(known.ids)} if known else {}
    if known and set(results.tasks) <= place.keys():
        theirs, ours = counted_by(claim, known), asked_of(results, known, place)
        moved = int(np.sum(theirs != ours))
        if not moved:
            return exactly(claimed, int(ours.sum()))
        found = carried_over(claim.benchmark, claimed, theirs.tobytes(), ours.tobytes())
        error = ERROR_FACTOR * found.error
        return Reference(found.rate, error, found.off, found.low, found.high, int(ours.sum()), moved)
    return without_model(claim, claimed, results)


@lru_cache(maxsize=1024)
def carried_over(benchmark: str, claimed: float, theirs: bytes, ours: bytes) -> Carried:
    """`carried` for masks as bytes; every reading of the results asks the same."""
    known = fitted_of(benchmark)
    assert known is not None, "asked of fitted benchmarks only"
    return carried(known.items, claimed, np.frombuffer(theirs, bool), np.frombuffer(ours, bool))


def exactly(claimed: float, tasks: int) -> Reference:
    return Reference(claimed, 0.0, 0.0, claimed, claimed, tasks, 0)


def without_model(claim: Claim, claimed: float, results: Results) -> Reference:
    """Bounds alone, from the numbers of tasks on either side."""
    ours, theirs = benchmark_size(results), claim.tasks_assumed
    if theirs is None or ours == theirs:
        return exactly(claimed, ours)
    found: Carried = bounds(claimed, theirs, max(theirs - ours, 0), max(ours - theirs, 0))
    slack = (found.high - found.low) / 2
    return Reference(found.rate, 0.0, slack, found.low, found.high, ours, abs(theirs - ours))


def run_noise(results: Results, table: Table) -> AttemptNoise:
    """Noise of one attempt at the tasks of `table`, which is a reading of one system's `results`.

    What public runs show is about whole benchmarks. Without the tasks that hardly anybody solves, the luck is spread
    over fewer tasks and the rate is higher, at which whole benchmarks have less of it.
    """
    known = fitted_of(results.benchmark)
    place = {task: index for index, task in enumerate(known.ids)} if known else {}
    if known is None or results.subset or not (len(table.tasks) and set(results.tasks) <= place.keys()):
        return attempt_noise(table.values, results.benchmark)
    counted = asked_of(results, known, place)
    if counted.all():
        return attempt_noise(table.values, results.benchmark)
    part = part_of(results.benchmark, drawn_inwards(table.values), counted.tobytes())
    return attempt_noise(
        table.values, results.benchmark, prior(part.rate, results.benchmark).times(part.luck)
    )


@lru_cache(maxsize=1024)
def part_of(benchmark: str, rate: float, counted: bytes) -> Part:
    """`seen_as_part` for a mask as bytes."""
    known = fitted_of(benchmark)
    assert known is not None, "asked of fitted benchmarks only"
    return seen_as_part(known.items, rate, np.frombuffer(counted, bool))


def fitted(claim: Claim) -> Parameters | None:
    """The difficulties of the claim's benchmark, if they ship with asclaimed."""
    return fitted_of(claim.benchmark) if claim.subset is None else None


def fitted_of(benchmark: str) -> Parameters | None:
    name = next((name for name in FITTED_FILES if same_benchmark(benchmark, name)), None)
    return parameters(name) if name else None


def counted_by(claim: Claim, known: Parameters) -> Mask:
    """The tasks behind the claim: all, but for the one published list that a claim's n can be told to follow."""
    left_out = next(entry.ids for entry in problem_lists() if entry.source == ANTHROPIC_489)
    listed = claim.n_tasks == len(known.ids) - len(left_out)
    return np.array([not (listed and task in left_out) for task in known.ids])


def asked_of(results: Results, known: Parameters, place: dict[str, int]) -> Mask:
    """The tasks that the results stand for: all that they do not leave out, or those of a whole list that was run."""
    dropped = results.dropped
    mask = np.array([task not in dropped for task in known.ids])
    complete = results.drawn is Drawn.WHOLE and not results.subset and len(results.tasks) == results.planned
    if complete:
        mask = np.zeros(len(known.ids), bool)
        mask[[place[task] for task in results.tasks]] = True
    return mask
