"""One run, summed up for people and machines. Everything comes from the run directory; drawing happens elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path

from evals.claims.catalog import matching, shipped
from evals.claims.claim import Claim, MeasuredBy, Status, folded
from evals.record import Outcome
from evals.results import score
from evals.results.load import from_attempts
from evals.results.table import Reading, Results
from evals.run import ledger, manifest
from evals.run.looks import counted, taken
from evals.stats.paired import PairedDifference, paired_difference
from evals.verdict.measure import from_subset
from evals.verdict.scaffold_range import scaffold_range
from evals.verdict.verify import verify
from scaffolds.preset import left_out
from tasks.errors import UserError
from tasks.task import Frozen

OTHERS_SHOWN = 5
"""Claims of other models that are listed where nobody claims anything about this one."""

REASONS_SHOWN = 5
PAIRED = 8
"""Scaffolds that are compared pair by pair; `asclaimed compare` takes any number."""


class Pair(Frozen):
    """Two scaffolds on the same tasks. Points are percentage points, first minus second."""

    first: str
    second: str
    tasks: int
    difference: float
    low: float
    high: float
    p_value: float | None


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
    source: str


class VerdictLine(Frozen):
    """What the plan's claim comes to with one scaffold. Points."""

    scaffold: str
    claimed: float
    measured: float
    low: float
    high: float
    margin: float
    decision: str
    reason: str
    certain: str
    """What holds whatever margin one has in mind."""
    scaffold_share: str
    """What another scaffold than the claim's may account for."""


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
    claims: tuple[ClaimLine, ...]
    excluded: dict[str, str]
    findings: tuple[str, ...]
    """Integrity: what a reader must know before believing a number."""


def summarise(run: Path) -> Summary:
    """Read a run directory. Raises `UserError` when it is not one."""
    facts = manifest.load(run)
    attempts = score.load_attempts(run, counted(run, facts))
    results = from_attempts(run, facts, attempts)
    by_scaffold: defaultdict[str, list[score.Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_scaffold[attempt.key.scaffold].append(attempt)
    scores = tuple(score.score(name, by_scaffold[name]) for name in facts.plan.scaffolds)
    if results.subset:
        scores = tuple(on_whole_benchmark(line, results) for line in scores)
    return Summary(
        run_id=facts.run_id,
        created=facts.created,
        benchmark=facts.benchmark,
        tasks=len(facts.tasks) - len(facts.excluded),
        attempts=facts.plan.attempts,
        model=facts.model_name,
        server=_server_line(facts),
        grader=facts.plan.grader,
        tool_calls="unknown" if facts.made_elsewhere else facts.plan.tool_calls,
        finished=not any(line.missing for line in scores),
        scores=scores,
        verdicts=tuple(verdicts(facts, results)),
        scaffold_range=range_line(facts, results),
        pairs=tuple(_pair(a, by_scaffold[a], b, by_scaffold[b]) for a, b in combinations(_paired(scores), 2)),
        claims=tuple(_claims(facts)),
        excluded=facts.excluded,
        findings=tuple(_findings(run, facts, scores, attempts)),
    )


def on_whole_benchmark(line: score.ScaffoldScore, results: Results) -> score.ScaffoldScore:
    """The line with estimates for the whole benchmark in the place of the rates on a subset's own tasks."""
    (system,) = [one for one in results.systems if one.scaffold == line.scaffold]
    own = results.of(system)
    if not line.judged or own.subset is None:
        return line
    found = {reading: from_subset(own.subset, own.table(reading)) for reading in Reading}
    judged = found[Reading.JUDGED]
    return line.model_copy(
        update={
            "estimated": True,
            "rate": judged.value,
            "interval": score.Interval(*judged.interval),
            "bounds": score.Interval(found[Reading.WORST].value, found[Reading.BEST].value),
            "official_rate": found[Reading.OFFICIAL].value,
        }
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
                low=found.interval[0],
                high=found.interval[1],
                margin=found.margin,
                decision=found.decision,
                reason=found.reason,
                certain=found.certain.line,
                scaffold_share=found.scaffold_share,
            )


def range_line(facts: manifest.Manifest, results: Results) -> str:
    found = scaffold_range(facts.claim, results) if facts.claim else None
    return found.line if found else ""


def _paired(scores: tuple[score.ScaffoldScore, ...]) -> list[str]:
    """Names of the scaffolds that are set side by side, in the run's order: all, or the best where there are many."""
    best = sorted(scores, key=lambda line: -(line.rate or 0.0))[:PAIRED]
    return [line.scaffold for line in scores if line in best]


def _server_line(facts: manifest.Manifest) -> str:
    server = facts.server or {}
    known = [
        f"{key} {server[key]}" for key in ("dialect", "version", "window", "quantization") if server.get(key)
    ]
    return ", ".join(known)


def pass_rates(attempts: list[score.Attempt]) -> dict[str, float]:
    """Task id → share of judged attempts that resolved it; tasks without a judged attempt are left out."""
    by_task: defaultdict[str, list[bool]] = defaultdict(list)
    for attempt in attempts:
        if attempt.outcome not in (None, Outcome.NOT_JUDGED):
            by_task[attempt.key.task_id].append(attempt.outcome is Outcome.RESOLVED)
    return {task: sum(passes) / len(passes) for task, passes in by_task.items()}


def _pair(first: str, ours: list[score.Attempt], second: str, theirs: list[score.Attempt]) -> Pair:
    a, b = pass_rates(ours), pass_rates(theirs)
    common = sorted(a.keys() & b.keys())
    found: PairedDifference = paired_difference([a[t] for t in common], [b[t] for t in common])
    return Pair(
        first=first,
        second=second,
        tasks=len(common),
        difference=100 * found.difference,
        low=100 * found.low,
        high=100 * found.high,
        p_value=found.p_value,
    )


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
        same_model=folded(claim.model) in folded(model),
        by="vendor" if claim.party is MeasuredBy.VENDOR else claim.claimed_by,
        source=claim.source.title,
    )


def _not_reached(line: score.ScaffoldScore, own: list[score.Attempt]) -> Iterator[str]:
    """What kept a model from showing what it can: files that it never saw, and calls that never ran."""
    if blind := {a.key.task_id for a in own if a.fix_not_shown}:
        yield (
            f"{line.scaffold}: on {len(blind)} of {line.tasks} tasks no file that the reference fix changes was "
            "shown to the model (too large for the window, or ranked too low): they could not be solved"
        )
    if written := sum(a.record.calls_written for a in own if a.record):
        yield (
            f"{line.scaffold}: {written} tool calls were written as text, which the server did not parse, "
            "and were not run"
        )


def _findings(
    run: Path,
    facts: manifest.Manifest,
    scores: tuple[score.ScaffoldScore, ...],
    attempts: list[score.Attempt],
) -> list[str]:
    lines = [f"ledger line {broken.line}: {broken.reason}" for broken in ledger.verify(run / "ledger.jsonl")]
    if facts.made_elsewhere:
        lines.append(
            "imported: not graded by asclaimed"
            if facts.made_elsewhere.judged
            else "the attempts were made elsewhere"
        )
        lines += facts.made_elsewhere.notes
    lines += [
        f"{look.scaffold}: look after {look.tasks} of {len(facts.counted_tasks)} tasks: {look.decision}"
        + (", so it stopped there" if look.decided else "")
        for look in taken(run).looks
    ]
    if facts.subset:
        lines.append(
            f"rates are estimates for all {facts.subset.benchmark_size} tasks, from {facts.subset.n} drawn with known "
            "chances"
        )
    lines += left_out(facts.plan.preset)
    for line in scores:
        if line.missing:
            lines.append(f"{line.scaffold}: {line.missing} of {line.attempts} attempts have no verdict yet")
        if line.differing:
            lines.append(
                f"{line.scaffold}: official and strict grading differ on {', '.join(line.differing)}"
            )
        lines += _not_reached(line, [a for a in attempts if a.key.scaffold == line.scaffold])
        if line.calls_recovered:
            lines.append(
                f"{line.scaffold}: {line.calls_recovered} tool calls were recovered from text ({facts.plan.tool_calls})"
            )
        if line.flagged:
            lines.append(f"{line.scaffold}: {line.flagged} attempts carry flags (see record.json)")
    reasons = Counter((a.party, a.reason) for a in attempts if a.outcome is Outcome.NOT_JUDGED)
    lines += [
        f"not judged ({party}), {count} ×: {why}"
        for (party, why), count in reasons.most_common(REASONS_SHOWN)
    ]
    lines += [f"excluded for every scaffold: {task}: {why}" for task, why in facts.excluded.items()]
    if facts.benchmark == "bundled":
        lines.append("the bundled tasks are nobody's benchmark: no vendor's number compares with these rates")
    hashes = {task.id: task.hash for task in facts.tasks}
    changed = {a.key.task_id for a in attempts if a.record and a.record.task_hash != hashes[a.key.task_id]}
    return lines + [f"{task}: the record belongs to another version of this task" for task in sorted(changed)]
