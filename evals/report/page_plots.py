"""The page's plots as places on axes: claims and rates, paired differences, cost against pass rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from evals.report.page_figures import Band, Point, Scale, Track, scale_over, scatter, signed
from evals.report.summary import ClaimLine, Summary, ranked
from evals.report.text import counted
from evals.results.score import ScaffoldScore
from evals.results.table import Results
from evals.verdict.compare import Comparison

CLAIMS_JUDGED = 3
"""Claims of one model on one benchmark that get a verdict each; vendors who restate themselves have two."""
PAIRS_SHOWN = 15
NAME = 40
"""Characters of each name of a pair: cut one by one, so that a long one never hides the other."""
SCATTER_HEIGHT = 220


class Forest(NamedTuple):
    """Rows on one axis."""

    scale: Scale
    rows: tuple[Track, ...]
    band: Band | None = None


class Scatter(NamedTuple):
    """Pass rate over a cost."""

    title: str
    unit: str
    x: Scale
    y: Scale
    dots: tuple[Point, ...]


def own_claims(summary: Summary) -> list[ClaimLine]:
    return [line for line in summary.claims if line.same_model][:CLAIMS_JUDGED]


def rate_forest(summary: Summary, margin: float | None, verdicts: Mapping[str, str]) -> Forest:
    """Claims and measured rates on one axis; the margin lies around the first claim on this model."""
    own = own_claims(summary)
    claims = own or list(summary.claims)
    values = [value for line in claims for value in (line.score - (margin or 0), line.score + (margin or 0))]
    for one in summary.scores:
        values += [100 * bound for bound in (*one.bounds, *(one.interval or ()))]
    scale = scale_over(values, 0, 100)
    rows = (
        *(claim_track(c, scale) for c in claims),
        *(measured_track(s, scale, verdicts.get(s.scaffold, "")) for s in ranked(summary.scores)),
    )
    return Forest(scale, rows, margin_band(own, margin, scale))


def margin_band(own: list[ClaimLine], margin: float | None, scale: Scale) -> Band | None:
    if not own or margin is None:
        return None
    low, high = scale.at(own[0].score - margin), scale.at(own[0].score + margin)
    return Band(
        low,
        round(high - low, 2),
        f"Shaded: {own[0].score:g} ± {margin:g} points, the margin fixed before the run",
    )


def claim_track(line: ClaimLine, scale: Scale) -> Track:
    return Track(
        label="as claimed" if line.same_model else line.model,
        kind="claim" if line.same_model else "other",
        at=scale.at(line.score),
        interval=None,
        bounds=None,
        official=None,
        value=f"{line.score:.1f} %",
        note=f"{line.who or line.by}{variant(line.id) if line.same_model else ''}, scaffold: {line.scaffold}",
    )


def variant(claim_id: str) -> str:
    """What follows the @ of an id: `…/swe-bench-verified@100-turns`."""
    _, _, name = claim_id.partition("@")
    return f", {name.replace('-', ' ')}" if name else ""


def measured_track(line: ScaffoldScore, scale: Scale, verdict: str) -> Track:
    rate = None if line.rate is None else 100 * line.rate
    differs = line.official_rate is not None and line.official_resolved != line.resolved
    interval = line.interval
    return Track(
        label=line.scaffold,
        kind="measured",
        at=None if rate is None else scale.at(rate),
        interval=(scale.at(100 * interval.low), scale.at(100 * interval.high)) if interval else None,
        bounds=(scale.at(100 * line.bounds.low), scale.at(100 * line.bounds.high)),
        official=scale.at(100 * (line.official_rate or 0)) if differs else None,
        value="nothing judged" if rate is None else f"{rate:.1f} %",
        note=rate_note(line),
        verdict=verdict,
    )


def rate_note(line: ScaffoldScore) -> str:
    solved = f"{line.resolved} of {line.judged} judged"
    whole = "" if line.judged == line.attempts else f", {line.attempts} planned"
    spread = f"{100 * line.interval.low:.1f}–{100 * line.interval.high:.1f}; " if line.interval else ""
    return spread + solved + whole


def factor_note(factors: tuple[str, ...] | None) -> str:
    return f"; {'; '.join(factors)}" if factors else ""


def difference_forest(comparison: Comparison | None, results: Results) -> Forest | None:
    """Paired differences, the largest first."""
    if comparison is None:
        return None
    short = {system.name: system.scaffold for system in results.systems}
    pairs = sorted(comparison.pairs, key=lambda pair: -abs(pair.difference))[:PAIRS_SHOWN]
    scale = scale_over([0.0, *(end for pair in pairs for end in (pair.low, pair.high))], -100, 100)
    rows = tuple(
        Track(
            label=f"{short.get(pair.first, pair.first)[:NAME]} − {short.get(pair.second, pair.second)[:NAME]}",
            kind="difference",
            at=scale.at(pair.difference),
            interval=(scale.at(pair.low), scale.at(pair.high)),
            bounds=(scale.at(pair.worst), scale.at(pair.best)),
            official=None,
            value=signed(pair.difference),
            note=f"{signed(pair.low)} to {signed(pair.high)}; better at {pair.only_first}, worse at {pair.only_second}"
            f" of {counted(pair.tasks, 'task')}{p_note(pair.p_holm)}{factor_note(pair.factors)}",
        )
        for pair in pairs
    )
    return Forest(scale, rows)


def p_note(p: float | None) -> str:
    return "" if p is None else f", adjusted p {p:.2g}"


def scatters(summary: Summary) -> Iterator[Scatter]:
    """Tokens and seconds an attempt against the pass rate; a cost that nobody recorded is not drawn."""
    costs: list[tuple[str, str, Callable[[ScaffoldScore], float]]] = [
        (
            "Tokens an attempt",
            "thousands, prompt and completion",
            lambda one: (one.prompt_tokens + one.completion_tokens) / 1000,
        ),
        ("Time an attempt", "agent-active seconds", lambda one: one.active_seconds),
    ]
    for title, unit, cost in costs:
        points = [
            (one.scaffold, cost(one) / made, 100 * one.rate)
            for one in summary.scores
            if one.rate is not None and (made := one.attempts - one.missing) and cost(one)
        ]
        if points:
            x = cost_scale([across for _, across, _ in points])
            y = scale_over([up for *_, up in points], 0, 100)
            yield Scatter(title, unit, x, y, tuple(scatter(points, x, y, SCATTER_HEIGHT)))


def cost_scale(values: list[float]) -> Scale:
    """From zero to a round number with four or five ticks."""
    top = max(values)
    step = next(m * 10.0**e for e in range(-3, 12) for m in (1, 2, 5) if 5 * m * 10.0**e >= top * 1.05)
    count = int(top / step) + 1
    return Scale(0.0, count * step, tuple(index * step for index in range(count + 1)))
