"""What a reader must know before believing a run's numbers, in one line each: integrity, notices, gaps.

Everything comes from the records. Not covered: what the numbers are (`summary`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evals.claims.network import ADVICE, network_dependent
from evals.record import NOT_AVAILABLE, RETRIED, Outcome
from evals.report.empty_turns import empty_turn_lines
from evals.report.notices import notices
from evals.report.text import counted
from evals.report.verdict_text import retry
from evals.results.load import LoadedRun
from evals.results.score import Attempt, ScaffoldScore, score
from evals.run import ledger
from evals.run.looks import taken
from evals.run.manifest import Manifest
from evals.run.same_server import WHY, changes
from evals.verdict.reference import problem_lists
from scaffolds.preset import left_out
from tasks.catalog import OURS

REASONS_SHOWN = 5


def findings(run: LoadedRun, scores: Sequence[ScaffoldScore]) -> Iterator[str]:
    """All of them, the ones that touch every number first."""
    facts = run.manifest
    yield from of_ledger(run.directory / "ledger.jsonl")
    yield from of_origin(facts)
    yield from of_server(run)
    yield from of_looks(run)
    yield from left_out(facts.plan.preset)
    yield from (condition.line for condition in facts.conditions if not condition.same)
    for line in scores:
        yield from of_scaffold(line, [a for a in run.attempts if a.key.scaffold == line.scaffold], facts)
    if facts.made_elsewhere is None:
        yield from retry_first(run.attempts)
    yield from not_judged(run.attempts)
    yield from (f"excluded for every scaffold: {task}: {why}" for task, why in facts.excluded.items())
    if facts.benchmark in OURS:
        yield f"the {facts.benchmark} tasks are nobody's benchmark: no vendor's number compares with these rates"
    yield from of_other_tasks(run)


def of_ledger(path: Path) -> Iterator[str]:
    if not path.is_file():
        yield f"{path.name} is missing: what happened during the run, and whether something was edited, cannot be told"
        return
    for broken in ledger.verify(path):
        yield f"ledger line {broken.line}: {broken.reason}"


def of_origin(facts: Manifest) -> Iterator[str]:
    if facts.made_elsewhere:
        yield (
            "imported: not graded by asclaimed"
            if facts.made_elsewhere.judged
            else "the attempts were made elsewhere"
        )
        yield from facts.made_elsewhere.notes


def of_server(run: LoadedRun) -> Iterator[str]:
    """When another server answered, and what that took out of the count."""
    for change in changes(run.directory).changes:
        yield (
            f"{change.time[:16].replace('T', ' ')} UTC: the server was another: {change.what}: "
            f"{counted(len(change.attempts), 'attempt')} made since the last good check count for nothing and are made again "
            f"(kept as …{WHY}-N)"
        )


def of_looks(run: LoadedRun) -> Iterator[str]:
    facts = run.manifest
    looks = taken(run.directory)
    for look in looks.withdrawn:
        yield f"{look.scaffold}: a look after {look.tasks} tasks is withdrawn: another server made some of what it counted"
    for look in looks.looks:
        stopped = ", so it stopped there" if look.decided else ""
        yield f"{look.scaffold}: look after {look.tasks} of {len(facts.counted_tasks)} tasks: {look.decision}{stopped}"
    if facts.subset:
        yield (
            f"rates are estimates for all {facts.subset.benchmark_size} tasks, from {facts.subset.n} drawn with known "
            "chances"
        )


def of_scaffold(line: ScaffoldScore, attempts: Sequence[Attempt], facts: Manifest) -> Iterator[str]:
    """What concerns one scaffold's line; what the client and the grader noticed comes first."""
    records = [a.record for a in attempts if a.record]
    yield from (f"{line.scaffold}: {notice}" for notice in notices(records))
    dialect = str((facts.server or {}).get("dialect", ""))
    yield from (f"{line.scaffold}: {said}" for said in empty_turn_lines(line, dialect))
    if line.missing:
        yield f"{line.scaffold}: {line.missing} of {line.attempts} attempts have no verdict yet"
    if line.differing:
        yield f"{line.scaffold}: official and strict grading differ on {', '.join(line.differing)}"
    if weak := sorted({a.key.task_id for a in attempts if a.grade and a.grade.weak}):
        yield (
            f"{line.scaffold}: passes whose tests leave the strict grader open to more than one guess in a thousand: "
            f"{', '.join(weak)}"
        )
    yield from official_alone(line, attempts)
    yield from without_network(line, attempts, facts)
    if line.scaffold == "gold":
        yield from gold_failed(attempts, facts)
    yield from not_reached(line, attempts)
    if line.calls_recovered:
        yield (
            f"{line.scaffold}: {line.calls_recovered} tool calls were recovered from text ({facts.plan.tool_calls})"
        )


def official_alone(line: ScaffoldScore, own: Sequence[Attempt]) -> Iterator[str]:
    """Passes that no strict grader could look at: they stand as the official one has them."""
    columns = [a.grade.strict for a in own if a.grade and a.grade.strict and a.outcome is Outcome.RESOLVED]
    reasons = Counter(c.reason for c in columns if c.reason.startswith(NOT_AVAILABLE))
    for reason, count in reasons.most_common(REASONS_SHOWN):
        yield f"{line.scaffold}: {count} {'pass' if count == 1 else 'passes'}: {reason}"


def offline(facts: Manifest) -> bool:
    """We graded, and the official grader had no network."""
    ours = facts.made_elsewhere is None or not facts.made_elsewhere.judged
    return ours and not facts.plan.grading.network


def without_network(line: ScaffoldScore, own: Sequence[Attempt], facts: Manifest) -> Iterator[str]:
    """What tasks that could not be graded rightly do to the rate. Tasks drawn with unequal chances have no plain rate."""
    wanting = network_dependent().keys() & {a.key.task_id for a in own} if offline(facts) else frozenset()
    if not wanting:
        return
    rest = score(line.scaffold, [a for a in own if a.key.task_id not in wanting]).rate
    rate = "" if rest is None or line.estimated else f": without them {100 * rest:.1f} %"
    some = "1 task needs" if len(wanting) == 1 else f"{len(wanting)} tasks need"
    yield (
        f"{line.scaffold}: {some} a network to be graded, and there was none{rate}; {ADVICE}, or exclude them with "
        "--set grading.leave_out_network_tasks=true"
    )


def gold_failed(own: Sequence[Attempt], facts: Manifest) -> Iterator[str]:
    """The tasks whose own fix does not pass here, and the likely cause: no model can be blamed for them."""
    failed = {a.key.task_id: a for a in own if a.outcome not in (None, Outcome.RESOLVED)}
    for task, attempt in failed.items():
        yield f"gold: {task} ({attempt.outcome}): {likely_cause(attempt, facts)}"


def likely_cause(attempt: Attempt, facts: Manifest) -> str:
    task, said = attempt.key.task_id, reason_of(attempt)
    if attempt.outcome is Outcome.NOT_JUDGED:
        return said
    if offline(facts) and task in network_dependent():
        return f"its tests need a network: {ADVICE}"
    known = [entry.source for entry in problem_lists() if task in entry.ids]
    return f"{said}; known as broken or flaky ({', '.join(known)})" if known else f"{said}; {UNKNOWN_CAUSE}"


def reason_of(attempt: Attempt) -> str:
    """The words of the grader that refused."""
    strict = attempt.grade.strict if attempt.grade else None
    refused = strict is not None and attempt.grade and attempt.grade.official.outcome is Outcome.RESOLVED
    return (strict.reason if strict and refused else attempt.reason) or "no reason given"


UNKNOWN_CAUSE = (
    "not known elsewhere: its image or this machine; see test.log beside it, and `asclaimed tasks check`"
)


def not_reached(line: ScaffoldScore, own: Sequence[Attempt]) -> Iterator[str]:
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


def retry_first(attempts: Sequence[Attempt]) -> Iterator[str]:
    """What server or sandbox spoiled costs a verdict more than anything else does."""
    lost = sum(a.outcome is Outcome.NOT_JUDGED and a.party in RETRIED for a in attempts)
    if lost:
        yield f"{retry(lost)} (at ±5 points, 1 % of them costs a fifth of the power, 3 % nearly all)"


def not_judged(attempts: Sequence[Attempt]) -> Iterator[str]:
    reasons = Counter((a.party, a.reason) for a in attempts if a.outcome is Outcome.NOT_JUDGED)
    for (party, why), count in reasons.most_common(REASONS_SHOWN):
        yield f"not judged ({party}), {count} ×: {why}"


def of_other_tasks(run: LoadedRun) -> Iterator[str]:
    hashes = {task.id: task.hash for task in run.manifest.tasks}
    changed = {
        a.key.task_id for a in run.attempts if a.record and a.record.task_hash != hashes[a.key.task_id]
    }
    yield from (f"{task}: the record belongs to another version of this task" for task in sorted(changed))
