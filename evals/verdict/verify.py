"""A claim against a run: reproduced, not reproduced under this protocol, or undecided, with everything that bears on it.

A verdict is given only on the claim's own benchmark, with a margin, and only if it holds whether the attempts that
were not judged failed or passed, and whether flagged passes count or not. Not finding a difference is never a
reproduction. Not covered: why a claim is not reproduced; the protocol table lists what was different.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.claims.claim import FULL_SIZE, Claim, MeasuredBy, Status, same_benchmark
from evals.record import Decision
from evals.results.table import Drawn, Reading, Results, Table
from evals.stats.noise import AttemptNoise, attempt_noise
from evals.stats.power import more_attempts, tasks_needed
from evals.stats.results import MISFIT
from evals.verdict import protocol_match as protocol
from evals.verdict import readings as sensitivity
from evals.verdict.difference import Estimand, Question, benchmark_size, from_subset, measure, tested
from tasks.errors import UserError
from tasks.task import Frozen


class Line(Frozen):
    """One way to read the results. Rates and differences in points, as people read them."""

    name: str
    tasks: int
    rate: float
    difference: float
    low: float
    high: float
    decision: Decision


class Verdict(Frozen):
    """What can be said of one claim from one system's results. All numbers in points."""

    claim: str
    system: str
    benchmark: str
    decision: Decision
    reason: str
    """Why, in one sentence; for `undecided`, what it would take."""
    claimed: float
    measured: float
    difference: float
    interval: tuple[float, float]
    """90 % for the difference: the two one-sided 5 % tests read off it."""
    margin: float
    margin_fixed_before: bool
    estimand: Estimand
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
) -> Verdict:
    """The verdict on `claim` from one system's `results`. `margin` as a fraction, where the run fixed none.

    Raises `UserError` when no verdict is possible at all: another benchmark, no percentage, no margin, nothing judged.
    """
    question = Question(claim, *admissible(claim, results, margin), estimand, alpha)
    if results.subset and estimand is Estimand.LIKE_THESE:
        raise UserError("tasks of a subset have unequal chances: ask like-these of a whole run or a --sample")
    results = results.at_look()
    (system,) = results.systems
    main = results.table()
    if len(main.tasks) == 0:
        raise UserError(f"{results.source}: not one attempt of {system.name} was judged, so there is no rate")
    noise = attempt_noise(main.values)
    lines = tuple(line_of(question, reading, results, reading, noise) for reading in list(Reading)[:3])
    decision, reason = settle(question, results, main, noise, lines)
    return Verdict(
        claim=claim.id,
        system=system.name,
        benchmark=results.benchmark,
        decision=decision,
        reason=reason,
        claimed=points(question.claimed),
        measured=lines[0].rate,
        difference=lines[0].difference,
        interval=(lines[0].low, lines[0].high),
        margin=points(question.margin),
        margin_fixed_before=results.margin is not None,
        estimand=estimand,
        basis=basis(question, noise),
        bounds=lines[1:],
        sensitivity=tuple(views(question, results, noise)),
        protocol=protocol.match(claim, results, system),
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


def views(question: Question, results: Results, noise: AttemptNoise) -> Iterator[Line]:
    """The sensitivity lines."""
    for name, part, reading in sensitivity.readings(question.claim, results):
        yield line_of(question, name, part, reading, noise)


def line_of(question: Question, name: str, part: Results, reading: Reading, noise: AttemptNoise) -> Line:
    """One reading of the results, and what it alone would say."""
    table = part.table(reading)
    found = measure(question, part, table, noise)
    alone = tested(question, part, table, found)
    return Line(
        name=name,
        tasks=len(table.tasks),
        rate=points(found.rate),
        difference=points(found.rate - question.claimed),
        low=points(alone.interval.low),
        high=points(alone.interval.high),
        decision=alone.decision,
    )


def settle(
    question: Question, results: Results, main: Table, noise: AttemptNoise, lines: tuple[Line, ...]
) -> tuple[Decision, str]:
    """The decision that every reading supports, and why."""
    decisions = {line.decision for line in lines}
    if results.drawn is Drawn.CHOSEN and results.planned < FULL_SIZE.get(question.claim.benchmark, 10**9):
        return (
            Decision.UNDECIDED,
            "the tasks were chosen, not drawn: their rate says nothing about the others",
        )
    unjudged = sum(row.outcome.value == "not_judged" for row in results.rows)
    flagged = sum(row.flagged for row in results.rows)
    if len(decisions) == 1 and decisions != {Decision.UNDECIDED}:
        side = "inside" if lines[0].decision is Decision.REPRODUCED else "outside"
        return lines[0].decision, f"the whole 90 % interval of the difference lies {side} the margin"
    if lines[0].decision is not Decision.UNDECIDED:
        return Decision.UNDECIDED, (
            f"it hangs on {unjudged} attempts that were not judged and {flagged} that are flagged"
        )
    return Decision.UNDECIDED, what_it_takes(question, results, main, noise, lines[0])


def what_it_takes(question: Question, results: Results, main: Table, noise: AttemptNoise, line: Line) -> str:
    """How many more attempts would decide, if the truth is where the estimate is."""
    if question.estimand is Estimand.LIKE_THESE:
        return "the interval crosses the margin; more repositories would narrow it, more attempts hardly"
    accrual = measure(question, results, main, noise).parts
    room = abs(question.margin - abs(line.difference) / 100) - question.claim.rounding
    if len(main.tasks) < accrual.tasks and (
        tasks := tasks_needed(accrual, len(main.tasks), room, question.alpha)
    ):
        return f"run about {tasks} of the {accrual.tasks} tasks"
    if results.subset:
        return "no part of the benchmark with so many attempts decides at this margin: see `asclaimed plan`"
    more = more_attempts(accrual, len(main.tasks), noise.variance, room, question.alpha)
    if more is None:
        return (
            "no number of runs decides at this margin: the claim's own noise, or the nearness of the difference "
            "to the margin, is too great"
        )
    return f"run {more} more attempts at each task" if more > 1 else "run 1 more attempt at each task"


def points(fraction: float) -> float:
    return round(100 * fraction, 4)


def basis(question: Question, noise: AttemptNoise) -> tuple[str, ...]:
    claim = question.claim
    stated = claim.protocol.runs
    return (
        f"run-to-run noise: {noise.basis}",
        f"the claim's noise: {stated} runs"
        if stated
        else "the claim's noise: runs not stated, taken as one run",
        f"rounding of the claim: ±{points(claim.rounding):g} points",
    )


def limits(question: Question, results: Results, main: Table) -> list[str]:
    """What a reader must know before quoting the verdict."""
    claim = question.claim
    graders = {row.grader for row in results.rows if row.grader}
    judged = len(main.tasks)
    ran = len(results.tasks)
    (system,) = results.systems
    ours = protocol.named(system.model)
    said = [
        (
            ours is not None and not protocol.same_model(claim.model, ours),
            f"the claim is about {claim.model}, the run's model is called {ours}: a verdict on the claim only if "
            "they are the same",
        ),
        (results.margin is None, "the margin was chosen after the run"),
        (claim.n_tasks is None, f"the claim gives no n; taken as {claim.tasks_assumed or 'that of the run'}"),
        (claim.subset is not None, f"the claim is about a subset: {claim.subset}"),
        (claim.status is not Status.VERIFIED, f"the claim is {claim.status.value}, not read at its source"),
        (claim.contradicted_by is not None, f"the claim is contradicted: {claim.contradicted_by}"),
        (
            claim.party is not MeasuredBy.VENDOR,
            f"the number is by {claim.claimed_by}, not by the model's maker",
        ),
        (main.values.shape[1] == 1, "one attempt at each task: run-to-run noise is a cautious prior"),
        (ran < results.planned, f"stopped at a planned look after {ran} of {results.planned} tasks"),
        (judged < ran, f"{ran - judged} of {ran} tasks have no judged attempt"),
        (
            bool(results.excluded),
            f"{len(results.excluded)} tasks count for nobody (their own check fails here)",
        ),
        (
            results.drawn is Drawn.SAMPLE,
            f"a sample of {ran} tasks stands for {benchmark_size(claim, results)}",
        ),
        (
            results.subset is not None,
            "rates are estimates for the whole benchmark, from tasks drawn with unequal chances",
        ),
        (
            results.subset is not None and from_subset(results.subset, main).surprise > MISFIT,
            "this system is unlike the public submissions, hence the wide interval",
        ),
        (len(graders) > 1, f"attempts were judged by different graders: {', '.join(sorted(graders))}"),
        (main.means.sum() in (0.0, float(judged)), "all tasks ended alike, so noise is not visible in them"),
    ]
    return [text for applies, text in said if applies]
