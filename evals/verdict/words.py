"""What a verdict says in words: what is certain, what it stands on, what it would take, what it may not be taken for."""

from __future__ import annotations

from evals.claims.claim import MeasuredBy, Status
from evals.record import Decision
from evals.results.table import Drawn, Results, Table
from evals.stats.noise import AttemptNoise
from evals.stats.power import more_attempts, tasks_needed
from evals.stats.results import MISFIT
from evals.verdict.difference import Question, compared
from evals.verdict.measure import Estimand, benchmark_size, from_subset

IMPORTED = "imported:"
"""How the grader of an imported attempt begins."""
WHERE = {
    Decision.REPRODUCED: "inside the margin",
    Decision.NOT_REPRODUCED: "outside the margin",
    Decision.EXCEEDS: "outside the margin",
    Decision.AT_LEAST: "above the claim less the margin",
    Decision.BELOW: "below the claim less the margin",
}
"""Where the interval of a difference lies that decides."""


def points(fraction: float) -> float:
    return round(100 * fraction, 4)


def certainty(direction: str, low: float, high: float, above: float, below: float, *, at_least: bool) -> str:
    """One line, all in points."""
    told = {
        "certainly lower": f"certainly lower than the claim, by {-high:.1f} to {-low:.1f} points",
        "certainly higher": f"certainly higher than the claim, by {low:.1f} to {high:.1f} points",
    }.get(direction, f"not told apart from the claim: {low:+.1f} to {high:+.1f} points")
    confirmed = "at least as claimed" if at_least else "reproduced"
    refuted = "below it" if at_least else "exceeded" if low > 0 else "not reproduced"
    floor = f", {refuted} for any below {below:.1f}" if below > 0 else ""
    return f"{told}; {confirmed} for any margin above {above:.1f}{floor}"


def what_it_takes(
    question: Question, results: Results, main: Table, noise: AttemptNoise, difference: float
) -> str:
    """How many more attempts would decide, if the truth is where the estimate is, and the noise, once measured, as expected."""
    if question.estimand is Estimand.LIKE_THESE:
        return "the interval crosses the margin; more repositories would narrow it, more attempts hardly"
    found = compared(question, results, main, noise.as_expected)
    accrual = found.parts
    away = abs(question.margin + difference) if question.at_least else abs(question.margin - abs(difference))
    room = away - question.claim.rounding - found.against.slack
    if tasks := tasks_needed(accrual, len(main.tasks), room, question.alpha):
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


def basis(question: Question, noise: AttemptNoise) -> tuple[str, ...]:
    claim = question.claim
    stated = claim.protocol.runs
    return (
        f"run-to-run noise: {noise.reckoned.basis}",
        f"the claim's noise: {stated} runs"
        if stated
        else "the claim's noise: runs not stated, taken as one run",
        f"rounding of the claim: ±{points(claim.rounding):g} points",
    )


def limits(question: Question, results: Results, main: Table) -> list[str]:
    """What a reader must know before quoting the verdict."""
    claim = question.claim
    graders = {grader_of(row.grader) for row in results.rows if row.grader}
    judged = len(main.tasks)
    ran = len(results.tasks)
    said = [
        (results.margin is None, "the margin was chosen after the run"),
        (claim.n_tasks is None, f"the claim gives no n; taken as {claim.tasks_assumed or 'that of the run'}"),
        (claim.subset is not None, f"the claim is about a subset: {claim.subset}"),
        (claim.status is not Status.VERIFIED, f"the claim is {claim.status.value}, not read at its source"),
        (claim.contradicted_by is not None, f"the claim is contradicted: {claim.contradicted_by}"),
        (
            claim.party is not MeasuredBy.VENDOR,
            f"the number is by {claim.claimed_by}, not by the model's maker",
        ),
        (main.values.shape[1] == 1, "one attempt at each task: run-to-run noise is expected, not measured"),
        (ran < results.planned, f"stopped at a planned look after {ran} of {results.planned} tasks"),
        (judged < ran, f"{ran - judged} of {ran} tasks have no judged attempt"),
        (
            bool(results.excluded),
            f"{len(results.excluded)} tasks count for nobody (their own check fails here)",
        ),
        (
            results.drawn is Drawn.SAMPLE,
            f"a sample of {ran} tasks stands for {benchmark_size(results)}",
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


def grader_of(name: str) -> str:
    """Who judged: imported lists name their file as well, and two files are not two graders."""
    return name.partition(":")[0] if name.startswith(IMPORTED) else name
