"""A claim against several scaffolds of one's own on the claim's model: the range that they span, and where the claim lies.

The question that one verdict a scaffold does not answer: is the claim one that some scaffold reaches? Not covered:
scaffolds that were not run (`scaffold_share` says what public pairs show).
"""

from __future__ import annotations

from itertools import combinations

from evals.claims.claim import Claim
from evals.results.table import Results
from evals.stats.intervals import Interval, student
from evals.verdict.measure import Estimand
from evals.verdict.rates import RateFound, difference_of, rate_of
from evals.verdict.reference import reference
from evals.verdict.verify import another_model
from evals.verdict.words import points
from tasks.errors import UserError
from tasks.task import Frozen

CONTROLS = ("gold", "nop")
Z95 = 1.96


class ScaffoldRange(Frozen):
    """One model under several scaffolds. In points."""

    model: str
    lowest: str
    highest: str
    """Scaffolds."""
    low_rate: float
    high_rate: float
    range: float
    interval: tuple[float, float]
    """95 % for the range, over all pairs of scaffolds together."""
    claimed: float
    """On the tasks that were run."""
    place: str
    """Where the claim lies."""

    @property
    def line(self) -> str:
        low, high = self.interval
        return (
            f"over the scaffolds, {self.model} scores {self.low_rate:.1f} ({self.lowest}) to {self.high_rate:.1f} "
            f"({self.highest}): a range of {self.range:.1f} points (95 % {low:.1f} to {high:.1f}); "
            f"the claim of {self.claimed:.1f} lies {self.place}"
        )


def scaffold_range(claim: Claim, results: Results, same_model_as: str | None = None) -> ScaffoldRange | None:
    """None unless the claim's model ran under two scaffolds or more, controls not counted."""
    systems = [one for one in results.systems if one.scaffold not in CONTROLS]
    if claim.rate is None or len(systems) < 2 or len({one.model for one in systems}) > 1:
        return None
    one, *_ = systems
    if another_model(claim, results.of(one), same_model_as):
        return None
    parts = {one.scaffold: results.of(one) for one in systems}
    rates = {name: rate_of(part, Estimand.FIXED) for name, part in parts.items()}
    pairs = list(combinations(parts.values(), 2))
    try:
        gaps = [difference_of(*pair) for pair in pairs]
    except UserError:  # no task that both were judged on
        return None
    wider = student(1 - 0.025 / len(gaps)) / Z95
    halves = [wider * (gap.interval.high - gap.interval.low) / 2 for gap in gaps]
    sizes = [abs(gap.value) for gap in gaps]
    against = reference(claim, claim.rate, results.of(one)).rate
    lowest, highest = (chosen(rates, key=lambda name: rates[name].value) for chosen in (min, max))
    return ScaffoldRange(
        model=one.model,
        lowest=lowest,
        highest=highest,
        low_rate=points(rates[lowest].value),
        high_rate=points(rates[highest].value),
        range=points(max(sizes)),
        interval=(
            points(max(0.0, *(size - half for size, half in zip(sizes, halves, strict=True)))),
            points(max(size + half for size, half in zip(sizes, halves, strict=True))),
        ),
        claimed=points(against),
        place=place(against, rates[lowest], rates[highest], wider),
    )


def place(claimed: float, lowest: RateFound, highest: RateFound, wider: float) -> str:
    """Inside the range, or outside it, and whether that is more than noise."""
    if lowest.value <= claimed <= highest.value:
        return "inside it"
    above = claimed > highest.value
    nearest = highest if above else lowest
    half = wider * (nearest.interval.high - nearest.interval.low) / 2
    reached = Interval(nearest.value - half, nearest.value + half)
    side = "above all of them" if above else "below all of them"
    within = reached.low <= claimed <= reached.high
    return f"{side}, {'within the noise of the nearest' if within else 'by more than run noise'}"
