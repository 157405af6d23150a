"""What the page shows, as data: verdicts, figures, matrix and evidence of one run. Drawing is the template's business.

Nothing here decides anything: verdicts are `verify`'s, differences `compare`'s, rates `score`'s.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from evals.claims.catalog import shipped
from evals.claims.claim import Claim
from evals.record import Decision
from evals.report import page_matrix
from evals.report.page_plots import (
    PAIRS_SHOWN,
    Forest,
    Scatter,
    difference_forest,
    own_claims,
    rate_forest,
    scatters,
)
from evals.report.summary import ClaimLine, Report, Summary, best
from evals.results.score import Attempt
from evals.results.table import Results
from evals.run import manifest as manifests
from evals.verdict.compare import Comparison
from evals.verdict.protocol_match import NOT_STATED, Match, Point, match
from evals.verdict.verify import Verdict, verify
from tasks.errors import UserError

NO_MARGIN = "no margin was fixed before the run; `asclaimed verify --margin` gives one that says it was chosen afterwards"


class ProtocolLine(NamedTuple):
    """One point of a protocol, the claim's against that of every system of the run."""

    name: str
    claimed: str
    measured: str
    match: str

    @property
    def silent(self) -> bool:
        """Neither side says anything."""
        return self.claimed == self.measured == NOT_STATED


class Judged(NamedTuple):
    """A claim on this model, and what can be said of it."""

    claim: Claim
    verdicts: tuple[tuple[str, Verdict], ...]
    """Scaffold and verdict."""
    refusal: str
    """Why there is no verdict, where there is none."""
    protocol: tuple[ProtocolLine, ...]

    @property
    def compared(self) -> tuple[ProtocolLine, ...]:
        """What at least one side states, mismatches first."""
        order = (Match.MISMATCH, Match.UNKNOWN, Match.MATCH)
        stated = [line for line in self.protocol if not line.silent]
        return tuple(sorted(stated, key=lambda line: order.index(Match(line.match))))

    @property
    def silent(self) -> tuple[str, ...]:
        return tuple(line.name for line in self.protocol if line.silent)


class View(NamedTuple):
    """Everything that the template reads."""

    summary: Summary
    manifest: manifests.Manifest
    rates: Forest
    judged: tuple[Judged, ...]
    comparison: Comparison | None
    differences: Forest | None
    pairs_hidden: int
    scatters: tuple[Scatter, ...]
    groups: tuple[page_matrix.Group, ...]
    legend: tuple[tuple[str, str, str], ...]
    """Outcome, sign and name of those that occur."""
    scaffolds: tuple[str, ...]
    hidden_scaffolds: int
    flagged: tuple[tuple[str, tuple[str, ...]], ...]
    """`scaffold task#attempt` with its flags."""


def view(report: Report) -> View:
    """The page's content for a run that was read."""
    run, comparison, summary = report
    facts, attempts, shown = run.manifest, run.attempts, best(summary.scores)
    results = of_scaffolds(run.results, shown)
    groups = tuple(page_matrix.groups(run.directory, facts, attempts, shown))
    judged = tuple(judge(line, results, facts.claim) for line in own_claims(summary))
    return View(
        summary=summary,
        manifest=facts,
        rates=rate_forest(summary, facts.plan.margin, decisions(judged)),
        judged=judged,
        comparison=comparison,
        differences=difference_forest(comparison, results),
        pairs_hidden=max(0, len(comparison.pairs) - PAIRS_SHOWN) if comparison else 0,
        scatters=tuple(scatters(summary)),
        groups=groups,
        legend=tuple(page_matrix.legend(groups)),
        scaffolds=shown,
        hidden_scaffolds=len(facts.plan.scaffolds) - len(shown),
        flagged=tuple(flagged(attempts)),
    )


def of_scaffolds(results: Results, names: Container[str]) -> Results:
    return replace(results, rows=tuple(row for row in results.rows if row.system.scaffold in names))


def judge(line: ClaimLine, results: Results, asked: Claim | None) -> Judged:
    known = (*((asked,) if asked else ()), *shipped())
    claim = next(claim for claim in known if claim.id == line.id)
    verdicts, refusals = [], [NO_MARGIN] if results.margin is None else []
    for system in () if refusals else results.systems:
        try:
            verdicts.append((system.scaffold, verify(claim, results.of(system))))
        except UserError as error:
            refusals.append(str(error))
    verdicts.sort(key=lambda one: -one[1].measured)
    points = [match(claim, results, system) for system in results.systems]
    return Judged(claim, tuple(verdicts), "; ".join(dict.fromkeys(refusals)), tuple(merged(points)))


def merged(systems: list[tuple[Point, ...]]) -> Iterator[ProtocolLine]:
    """The same point of every system in one line; the worst match counts."""
    for points in zip(*systems, strict=True):
        found = {point.match for point in points}
        worst = next(kind for kind in (Match.MISMATCH, Match.UNKNOWN, Match.MATCH) if kind in found)
        ours = " · ".join(dict.fromkeys(point.measured for point in points))
        yield ProtocolLine(points[0].name, points[0].claimed, ours, worst.value)


def decisions(judged: Sequence[Judged]) -> dict[str, str]:
    """Scaffold → the verdict on the first claim, in two words at most."""
    words = {Decision.NOT_REPRODUCED: "not reproduced"}
    found = judged[0].verdicts if judged else ()
    return {scaffold: words.get(one.decision, one.decision.value) for scaffold, one in found}


def flagged(attempts: list[Attempt]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for attempt in attempts:
        if attempt.record and attempt.record.flags:
            key = attempt.key
            yield f"{key.scaffold} {key.task_id}#{key.attempt}", tuple(map(str, attempt.record.flags))
