"""Section of `calibrate`: what a verdict takes, with the run noise that was assumed for every benchmark and with the
noise that public pairs of the benchmark show."""

from __future__ import annotations

from collections.abc import Callable

from evals.calibrate.section import Bench, Section, table
from evals.claims.catalog import find
from evals.stats.noise import CAUTIOUS_SHARE, AttemptNoise
from evals.stats.power import Aim
from evals.verdict.cost import Cost
from evals.verdict.plan import TOKENS_PER_ATTEMPT, Choice, decide, plan
from evals.verdict.ways import ways_of

CLAIM, TOKENS_PER_SECOND = "qwen3.6-27b/swe-bench-verified", 60.0
MARGINS = (3, 4, 5, 8, 10)


def effort(_: Bench) -> Section:
    """No simulation: what `plan` says."""
    claim = find(CLAIM)
    rate, whole = claim.rate or 0.0, claim.tasks_assumed or 0
    old = AttemptNoise(CAUTIOUS_SHARE * rate * (1 - rate), "one share for all")
    cost, rows = Cost(TOKENS_PER_ATTEMPT, TOKENS_PER_SECOND), []
    for margin in MARGINS:
        aim = Aim(margin / 100, 0.05, claim.rounding)
        before, _options = decide(ways_of(claim, rate, whole, old), aim, old, 0.8, cost, whole)
        now = plan(claim, margin=margin / 100, tokens_per_second=TOKENS_PER_SECOND)
        choices = (before, now.chosen, now.partly, now.at_least)
        rows.append((f"± {margin}", *(cell for choice in choices for cell in shown(choice))))
    kinds = ("before", "now", "or, some tried twice", "at least, now")
    head = ("margin", *(cell for kind in kinds for cell in (kind, "hours")))
    title = f"Hours and attempts for a verdict: {CLAIM}, power 80 %, {TOKENS_PER_SECOND:g} tokens/s"
    return Section(title, table(head, rows))


def shown(choice: Choice | None) -> tuple[str, str]:
    if choice is None:
        return "–", "–"
    kind = " (subset)" if choice.subset else f" + {choice.repeated}" if choice.repeated else ""
    return f"{choice.tasks} × {choice.attempts}{kind}", f"{choice.hours:g}"


SECTIONS: list[Callable[[Bench], Section]] = [effort]
