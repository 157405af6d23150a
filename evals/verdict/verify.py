"""A claim against a run: reproduced, exceeded, not reproduced under this protocol, or undecided, with all that bears on it.

A verdict is given only on the claim's own benchmark and model, with a margin, and only if it holds whether the attempts
that were not judged failed or passed, and whether flagged passes count or not. Not finding a difference is never a
reproduction. Not covered: why a claim is not reproduced; the protocol table lists what was different.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from evals.claims.claim import FULL_SIZE, Claim, folded, same_benchmark
from evals.record import RETRIED, Decision, Outcome
from evals.results.table import Drawn, Reading, Results, Row, Table
from evals.stats.noise import AttemptNoise
from evals.verdict import protocol_match as protocol
from evals.verdict import readings as sensitivity
from evals.verdict.difference import Question, compared, tested
from evals.verdict.measure import Estimand
from evals.verdict.reference import run_noise
from evals.verdict.scaffold_share import sentence
from evals.verdict.words import IMPORTED, WHERE, basis, certainty, limits, points, what_it_takes
from tasks.errors import UserError
from tasks.task import Frozen

SUBMISSION = re.compile(r"\b\d{8}_[\w.-]+")
"""How public submissions are named: a date, a team, a model."""


class Line(Frozen):
    """One way to read the results. Rates and differences in points, as people read them."""

    name: str
    tasks: int
    claimed: float
    """The claim on these tasks: carried over where it counts others."""
    rate: float
    difference: float
    low: float
    high: float
    decision: Decision


class Certain(Frozen):
    """What the results say for sure, whatever margin one has in mind. In points; each statement errs with 5 % at most."""

    direction: str
    """`certainly lower`, `certainly higher` or `not told apart`."""
    reproduced_above: float
    """With any margin above it the claim would be reproduced (asked one-sidedly: at least as claimed)."""
    refuted_below: float
    """With any margin below it the claim would not be."""
    line: str
    """The same as a sentence."""


class Verdict(Frozen):
    """What can be said of one claim from one system's results. All numbers in points."""

    claim: str
    system: str
    benchmark: str
    decision: Decision
    reason: str
    """Why, in one sentence; for `undecided`, what it would take."""
    certain: Certain
    at_least: bool
    """Asked one-sidedly."""
    claimed: float
    measured: float
    difference: float
    """Measured minus the claim on the tasks that were asked of us: see `carried`."""
    interval: tuple[float, float]
    """90 % for the difference: the two one-sided 5 % tests read off it."""
    margin: float
    margin_fixed_before: bool
    estimand: Estimand
    carried: str
    """The claim on our tasks, where it counts others; empty where both count the same."""
    scaffold_share: str
    """What another scaffold than the claim's may account for; empty under the claim's own."""
    retry_first: int
    """Attempts of a run of ours that server or sandbox spoiled: what others published cannot be retried."""
    own_run: bool
    """The results are the public run that the claim itself was made from."""
    basis: tuple[str, ...]
    """Where each part of the uncertainty comes from."""
    bounds: tuple[Line, ...]
    sensitivity: tuple[Line, ...]
    protocol: tuple[protocol.Point, ...]
    limits: tuple[str, ...]


def verify(
    claim: Claim,
    results: Results,
    *,
    margin: float | None = None,
    estimand: Estimand = Estimand.FIXED,
    alpha: float = 0.05,
    at_least: bool = False,
    same_model_as: str | None = None,
) -> Verdict:
    """The verdict on `claim` from one system's `results`. `margin` as a fraction, where the run fixed none.

    `same_model_as`: the name under which the run's model is the claim's, where the two names do not show it. Raises
    `UserError` when no verdict is possible at all: another benchmark, no percentage, no margin, nothing judged.
    """
    question = Question(claim, *admissible(claim, results, margin), estimand, alpha, at_least)
    if results.subset and estimand is Estimand.LIKE_THESE:
        raise UserError("tasks of a subset have unequal chances: ask like-these of a whole run or a --sample")
    results = results.at_look()
    main = judged(results)
    noise = run_noise(results, main)
    lines = tuple(line_of(question, reading, results, reading, noise) for reading in list(Reading)[:3])
    decision, reason = settle(question, results, main, noise, lines)
    if other := another_model(claim, results, same_model_as):
        decision, reason = Decision.UNDECIDED, other
    return compose(question, results, noise, lines, decision, reason)


def judged(results: Results) -> Table:
    """One system's judged attempts. Raises `UserError` where there are none."""
    (system,) = results.systems
    main = results.table()
    if len(main.tasks) == 0:
        raise UserError(f"{results.source}: not one attempt of {system.name} was judged, so there is no rate")
    return main


def compose(
    question: Question,
    results: Results,
    noise: AttemptNoise,
    lines: tuple[Line, ...],
    decision: Decision,
    reason: str,
) -> Verdict:
    """The decision, with all that bears on it. `lines`: the main reading first, then its two bounds."""
    claim, main, (system,) = question.claim, results.table(), results.systems
    found = compared(question, results, main, noise)
    lines_of_protocol = protocol.match(claim, results, system)
    return Verdict(
        claim=claim.id,
        system=system.name,
        benchmark=results.benchmark,
        decision=decision,
        reason=reason,
        certain=certain(lines, at_least=question.at_least),
        at_least=question.at_least,
        claimed=points(question.claimed),
        measured=lines[0].rate,
        difference=lines[0].difference,
        interval=(lines[0].low, lines[0].high),
        margin=points(question.margin),
        margin_fixed_before=results.margin is not None,
        estimand=question.estimand,
        carried=found.against.line,
        scaffold_share=share_of(lines_of_protocol, results, lines[0].difference),
        retry_first=0 if made_elsewhere(results) else sum(unjudged(row) for row in results.rows),
        own_run=is_own_run(claim, results),
        basis=basis(question, noise),
        bounds=lines[1:],
        sensitivity=tuple(views(question, results, noise)),
        protocol=lines_of_protocol,
        limits=tuple(limits(question, results, main)),
    )


def admissible(claim: Claim, results: Results, margin: float | None) -> tuple[float, float]:
    """The claimed rate and the margin, or a refusal that says why."""
    rate = comparable(claim, results.benchmark, results.source)
    if len(results.systems) != 1:
        raise UserError(f"{results.source} holds {len(results.systems)} systems: verify one at a time")
    if results.margin is not None and margin is not None and abs(margin - results.margin) > 1e-9:
        raise UserError(
            f"the margin was fixed at {points(results.margin):g} points before the run; it cannot be changed now"
        )
    chosen = results.margin if results.margin is not None else margin
    if chosen is None:
        raise UserError(
            "no margin was fixed before the run: start runs with --margin POINTS, or give --margin here "
            "and the verdict will say that it was chosen afterwards"
        )
    if not 0 < chosen < 1:
        raise UserError("a margin lies between 0 and 100 points")
    return rate, chosen


def comparable(claim: Claim, benchmark: str, source: str) -> float:
    """The claimed rate, if results of `source` on `benchmark` can bear on it; else `UserError`."""
    if claim.rate is None:
        raise UserError(f"{claim.id} states no percentage, so there is nothing to verify")
    if not same_benchmark(claim.benchmark, benchmark):
        raise UserError(
            f"{claim.id} is about {claim.benchmark} and {source} ran {benchmark}: "
            "a verdict needs the same benchmark (--tasks NAME=PATH names a file)"
        )
    return claim.rate


def another_model(claim: Claim, results: Results, same_model_as: str | None) -> str:
    """Why there is no verdict on a run of another model; empty when it is the claim's, by its name or by the user."""
    (system,) = results.systems
    ours = protocol.named(system.model)
    if ours is None or protocol.same_model(claim.model, ours):
        return ""
    if same_model_as is not None and folded(same_model_as) in (folded(ours), folded(claim.model)):
        return ""
    return (
        f"the claim is about {claim.model}, the run's model is called {ours}: if they are the same, "
        f"say --same-model-as '{ours}'"
    )


def is_own_run(claim: Claim, results: Results) -> bool:
    """Whether these are the public results that the claim was made from, under the name that its evidence gives: as the
    run is called, or as the file was that it was imported from."""
    (system,), evidence = results.systems, claim.evidence or ""
    names = {system.scaffold, results.source, Path(results.source).stem}
    if any(len(name) > 8 and name in evidence for name in names):
        return True
    whole = [rf"(?<![\w-]){re.escape(one)}(?![\w-])" for one in SUBMISSION.findall(evidence)]
    imported = {row.grader for row in results.rows if row.grader.startswith(IMPORTED)}
    return any(re.search(one, grader) for one in whole for grader in imported)


def share_of(points_: tuple[protocol.Point, ...], results: Results, difference: float) -> str:
    """The sentence on the scaffold's share, where the scaffold is not known to be the claim's."""
    (scaffold,) = [point for point in points_ if point.name == "scaffold"]
    return "" if scaffold.match is protocol.Match.MATCH else sentence(results.benchmark, difference)


def made_elsewhere(results: Results) -> bool:
    return any(row.grader.startswith(IMPORTED) for row in results.rows)


def unjudged(row: Row) -> bool:
    """What `--retry-unjudged` would make again."""
    return row.outcome is Outcome.NOT_JUDGED and row.failure in RETRIED


def views(question: Question, results: Results, noise: AttemptNoise) -> Iterator[Line]:
    """The sensitivity lines."""
    for name, part, reading in sensitivity.readings(question.claim, results):
        yield line_of(question, name, part, reading, noise)


def line_of(question: Question, name: str, part: Results, reading: Reading, noise: AttemptNoise) -> Line:
    """One reading of the results, and what it alone would say."""
    table = part.table(reading)
    found = compared(question, part, table, noise)
    alone = tested(question, part, table, found)
    return Line(
        name=name,
        tasks=len(table.tasks),
        claimed=points(found.against.rate),
        rate=points(found.rate),
        difference=points(found.difference),
        low=points(alone.interval.low),
        high=points(alone.interval.high),
        decision=alone.decision,
    )


def certain(lines: tuple[Line, ...], *, at_least: bool) -> Certain:
    """What holds in every one of the lines."""
    low, high = min(line.low for line in lines), max(line.high for line in lines)
    above = max(-low, 0.0) if at_least else max(-low, high)
    below = max(-high, 0.0) if at_least else max(low, -high, 0.0)
    direction = "certainly lower" if high < 0 else "certainly higher" if low > 0 else "not told apart"
    said = certainty(direction, low, high, above, below, at_least=at_least)
    return Certain(direction=direction, reproduced_above=above, refuted_below=below, line=said)


def settle(
    question: Question, results: Results, main: Table, noise: AttemptNoise, lines: tuple[Line, ...]
) -> tuple[Decision, str]:
    """The decision that every reading supports, and why."""
    decisions = {line.decision for line in lines}
    if results.drawn is Drawn.CHOSEN and results.planned < FULL_SIZE.get(question.claim.benchmark, math.inf):
        return (
            Decision.UNDECIDED,
            "the tasks were chosen, not drawn: their rate says nothing about the others",
        )
    if len(decisions) == 1 and decisions != {Decision.UNDECIDED}:
        return lines[0].decision, f"the whole 90 % interval of the difference lies {WHERE[lines[0].decision]}"
    if lines[0].decision is not Decision.UNDECIDED:
        lost = sum(row.outcome is Outcome.NOT_JUDGED for row in results.rows)
        flagged = sum(row.flagged and row.outcome is Outcome.RESOLVED for row in results.rows)
        return Decision.UNDECIDED, (
            f"it hangs on {lost} attempts that were not judged and {flagged} passes that are flagged"
        )
    return Decision.UNDECIDED, what_it_takes(question, results, main, noise, lines[0].difference / 100)
