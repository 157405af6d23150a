"""One run, summed up for people and machines. Everything comes from the run directory; drawing happens elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from evals.claims.catalog import matching, shipped
from evals.claims.claim import Claim, MeasuredBy, Status
from evals.record import Outcome
from evals.report.findings import findings
from evals.report.load import LoadSpan, spans
from evals.report.verdict_text import headline
from evals.results import score
from evals.results.load import LoadedRun, load_run
from evals.results.table import Reading, Results
from evals.run import manifest
from evals.run.load import samples
from evals.verdict.compare import By, Comparison, compare
from evals.verdict.protocol_match import named_in
from evals.verdict.rates import rate_of
from evals.verdict.scaffold_range import scaffold_range
from evals.verdict.verify import verify
from tasks.errors import UserError
from tasks.task import Frozen

OTHERS_SHOWN = 5
"""Claims of other models that are listed where nobody claims anything about this one."""

SCAFFOLDS_SHOWN = 8
"""Of more than these, only the best have a place in the matrix, a verdict and differences; all have a rate."""


class Pair(Frozen):
    """Two scaffolds on the same tasks, as `compare` has it. Points are percentage points, first minus second."""

    first: str
    second: str
    tasks: int
    difference: float
    low: float
    high: float
    p_value: float | None
    """Of this pair alone."""
    p_adjusted: float | None = None
    """For all pairs of the run: the one to read."""
    factors: tuple[str, ...] | None = None
    """In what the scaffolds differ; None where that is not known of one."""


class ClaimLine(Frozen):
    """A vendor's number on the same benchmark."""

    id: str
    model: str
    score: float
    scaffold: str
    same_model: bool
    """Whether it is about this model; the claim that the run was started to verify always is."""
    by: str
    """`vendor`, or who else measured it."""
    who: str = ""
    """The claimant's name."""
    source: str


class VerdictLine(Frozen):
    """What the plan's claim comes to with one scaffold. Points."""

    scaffold: str
    claimed: float
    measured: float
    difference: float
    """Measured minus the claim on the run's tasks: see `carried`."""
    low: float
    high: float
    margin: float
    decision: str
    headline: str
    """The decision as every output heads it."""
    reason: str
    certain: str
    """What holds whatever margin one has in mind."""
    scaffold_share: str
    """What another scaffold than the claim's may account for."""
    carried: str
    """The claim on the run's tasks, where it counts others."""


class Summary(Frozen):
    """The whole report as data: `report.json`."""

    run_id: str
    created: str
    benchmark: str
    tasks: int
    attempts: int
    model: str
    server: str
    grader: str
    tool_calls: str
    finished: bool
    scores: tuple[score.ScaffoldScore, ...]
    verdicts: tuple[VerdictLine, ...] = ()
    """On the plan's claim, one a scaffold."""
    scaffold_range: str = ""
    """What the scaffolds span on the plan's claim, and where the claim lies; empty with fewer than two."""
    pairs: tuple[Pair, ...]
    load: tuple[LoadSpan, ...] = ()
    """What the server gave over time."""
    claims: tuple[ClaimLine, ...]
    excluded: dict[str, str]
    findings: tuple[str, ...]
    """Integrity: what a reader must know before believing a number."""


class Report(NamedTuple):
    """A run directory read once: what all three reports are made from."""

    run: LoadedRun
    comparison: Comparison | None
    """None with fewer than two scaffolds that have a verdict."""
    summary: Summary


def read_report(directory: Path) -> Report:
    """Read a run directory. Raises `UserError` when it is not one."""
    run = load_run(directory)
    by_scaffold: defaultdict[str, list[score.Attempt]] = defaultdict(list)
    for attempt in run.attempts:
        by_scaffold[attempt.key.scaffold].append(attempt)
    counted = (score.score(name, by_scaffold[name]) for name in run.manifest.scaffold_names)
    scores = tuple(estimated(line, run.results) for line in counted)
    comparison = compared(run.results, best(scores))
    return Report(run, comparison, _summary(run, scores, comparison))


def summarise(directory: Path) -> Summary:
    """The summary alone."""
    return read_report(directory).summary


def _summary(
    run: LoadedRun, scores: tuple[score.ScaffoldScore, ...], comparison: Comparison | None
) -> Summary:
    facts, results = run.manifest, run.results
    return Summary(
        run_id=facts.run_id,
        created=facts.created,
        benchmark=facts.benchmark,
        tasks=len(facts.tasks) - len(facts.excluded),
        attempts=facts.plan.attempts,
        model=facts.model_name,
        server=_server_line(facts),
        grader=results.protocol.grader or facts.plan.grader,
        tool_calls="unknown" if facts.made_elsewhere else facts.plan.tool_calls,
        finished=not any(line.missing for line in scores),
        scores=scores,
        verdicts=tuple(verdicts(facts, results)),
        scaffold_range=range_line(facts, results),
        pairs=tuple(pairs(comparison, results)),
        load=spans(samples(run.directory)),
        claims=tuple(_claims(facts)),
        excluded=facts.excluded,
        findings=tuple(findings(run, scores)),
    )


def estimated(line: score.ScaffoldScore, results: Results) -> score.ScaffoldScore:
    """The line with the rates, interval and bounds that `compare` shows: one estimate, wherever it is read."""
    own = next((results.of(one) for one in results.systems if one.scaffold == line.scaffold), None)
    if own is None or not line.judged:
        return line
    found = {reading: rate_of(own, table=own.table(reading)) for reading in Reading}
    return line.model_copy(
        update={
            "estimated": results.subset is not None,
            "rate": found[Reading.JUDGED].value,
            "interval": score.Interval(*found[Reading.JUDGED].interval),
            "bounds": score.Interval(found[Reading.WORST].value, found[Reading.BEST].value),
            "official_rate": found[Reading.OFFICIAL].value,
        }
    )


def ranked(scores: Sequence[score.ScaffoldScore]) -> list[score.ScaffoldScore]:
    """The highest rate first, as every table and figure shows them; what has none comes last."""
    return sorted(scores, key=lambda line: -1.0 if line.rate is None else line.rate, reverse=True)


def best(scores: Sequence[score.ScaffoldScore]) -> tuple[str, ...]:
    """The scaffolds that are set side by side, in the run's order: all, or those with the highest rates of many."""
    shown = ranked(scores)[:SCAFFOLDS_SHOWN]
    return tuple(line.scaffold for line in scores if line in shown)


def compared(results: Results, scaffolds: Container[str]) -> Comparison | None:
    """What `asclaimed compare` says of these scaffolds, as far as they were judged."""
    judged = {row.system for row in results.rows if row.outcome is not Outcome.NOT_JUDGED}
    rows = tuple(r for r in results.rows if r.system in judged and r.system.scaffold in scaffolds)
    try:
        return compare(replace(results, rows=rows), By.SCAFFOLD)
    except UserError:  # fewer than two systems, or no task that both were judged on
        return None


def pairs(comparison: Comparison | None, results: Results) -> Iterator[Pair]:
    short = {system.name: system.scaffold for system in results.systems}
    for one in comparison.pairs if comparison else ():
        yield Pair(
            first=short[one.first],
            second=short[one.second],
            tasks=one.tasks,
            difference=one.difference,
            low=one.low,
            high=one.high,
            p_value=one.p,
            p_adjusted=one.p_holm,
            factors=one.factors,
        )


def verdicts(facts: manifest.Manifest, results: Results) -> Iterator[VerdictLine]:
    """Nothing where the run has no claim; a scaffold about which nothing can be said has a finding, not a verdict."""
    for system in results.systems if facts.claim else ():
        assert facts.claim is not None
        with suppress(UserError):
            found = verify(facts.claim, results.of(system))
            yield VerdictLine(
                scaffold=system.scaffold,
                claimed=found.claimed,
                measured=found.measured,
                difference=found.difference,
                low=found.interval[0],
                high=found.interval[1],
                margin=found.margin,
                decision=found.decision,
                headline=headline(found),
                reason=found.reason,
                certain=found.certain.line,
                scaffold_share=found.scaffold_share,
                carried=found.carried,
            )


def range_line(facts: manifest.Manifest, results: Results) -> str:
    found = scaffold_range(facts.claim, results) if facts.claim else None
    return found.line if found else ""


def _server_line(facts: manifest.Manifest) -> str:
    server = facts.server or {}
    known = [
        f"{key} {server[key]}" for key in ("dialect", "version", "window", "quantization") if server.get(key)
    ]
    return ", ".join(known)


def _claims(facts: manifest.Manifest) -> list[ClaimLine]:
    """Traced numbers on this benchmark: this model's, or else the highest few, to show where it would stand."""
    traced = [
        c
        for c in matching(shipped(), None, facts.benchmark)
        if c.rate is not None and c.status is Status.VERIFIED
    ]
    lines = [_claim_line(claim, facts.model_name) for claim in traced]
    own = [line for line in lines if line.same_model]
    if facts.claim:
        asked = _claim_line(facts.claim, facts.claim.model)
        return [asked, *(line for line in own if line.id != asked.id)]
    return own or sorted(lines, key=lambda line: -line.score)[:OTHERS_SHOWN]


def _claim_line(claim: Claim, model: str) -> ClaimLine:
    return ClaimLine(
        id=claim.id,
        model=claim.model,
        score=float(claim.score or 0),
        scaffold=claim.protocol.scaffold or "not published",
        same_model=named_in(model, claim.model),
        by="vendor" if claim.party is MeasuredBy.VENDOR else claim.claimed_by,
        who=claim.claimed_by,
        source=claim.source.title,
    )
