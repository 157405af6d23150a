"""What a scaffold alone is known to move, from public pairs of one model under two: said beside every verdict under
another scaffold than the claim's.

A prediction interval for a new model (Student, models taken as a sample), and the sentence that follows for a gap.
Not covered: other benchmarks than the pairs', and which scaffold would have moved it by how much.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
import yaml

from evals.claims.claim import same_benchmark
from evals.stats.intervals import Interval, student
from tasks.task import Frozen


class PublicPair(Frozen):
    """Scores in percent."""

    model: str
    vendor: float
    other: float
    sources: tuple[str, ...]


class PublicPairs(Frozen):
    """`claims/_scaffold_pairs.yaml`."""

    benchmark: str
    other: str
    pairs: tuple[PublicPair, ...]

    @property
    def gaps(self) -> tuple[float, ...]:
        return tuple(round(pair.other - pair.vendor, 1) for pair in self.pairs)


class Share(NamedTuple):
    """What to expect of another scaffold, in points: other minus the vendor's."""

    mean: float
    sd: float
    predicted: Interval
    """95 % for one more model."""


@cache
def public_pairs() -> PublicPairs:
    text = files("evals.claims").joinpath("_scaffold_pairs.yaml").read_text("utf-8")
    return PublicPairs.model_validate(yaml.safe_load(text))


def share(gaps: tuple[float, ...]) -> Share:
    """Mean, spread and prediction interval of the gaps of several models."""
    count, mean, sd = len(gaps), float(np.mean(gaps)), float(np.std(gaps, ddof=1))
    reach = student(0.975, count - 1) * sd * np.sqrt(1 + 1 / count)
    return Share(mean, sd, Interval(mean - float(reach), mean + float(reach)))


def sentence(benchmark: str, difference: float) -> str:
    """What the scaffold may account for in a gap of `difference` points; empty where no pairs are known."""
    known = public_pairs()
    if not same_benchmark(known.benchmark, benchmark):
        return ""
    found = share(known.gaps)
    low, high = found.predicted
    says = (
        f"a gap of {difference:+.1f} says nothing against the claim"
        if low <= difference < 0
        else f"a gap of {difference:+.1f} is more than a scaffold is known to take"
        if difference < low
        else f"{difference:+.1f} is no gap that speaks against the claim"
    )
    return (
        f"the scaffold is not the claim's: {known.other} in its place moved {len(known.pairs)} public models by "
        f"{min(known.gaps):+.1f} to {max(known.gaps):+.1f} points (mean {found.mean:+.1f}), "
        f"a new model by {low:+.0f} to {high:+.0f} (95 %); {says}"
    )
