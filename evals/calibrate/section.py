"""What every section of the calibration is made of: its inputs, its Markdown, rates with standard errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.stats.estimate import Multiplier
from evals.stats.intervals import Interval
from evals.stats.irt import Array
from evals.stats.leftout import Public, World
from evals.stats.subset import parameters

SUBMISSIONS = Path("../shared/data/verified_submissions.json")
SIZES = (50, 100, 200)
Z95 = 1.96


class Case(NamedTuple):
    """What an adversary starts from."""

    answers: Array
    """(N,) of a real submission."""
    repositories: NDArray[np.str_]
    rng: np.random.Generator


class Bench(NamedTuple):
    """What every section may use."""

    public: Public
    fits: Sequence[World]
    """Each without whole teams."""
    draws: int
    """Samples a submission and size."""
    seed: int
    folder: Path = SUBMISSIONS.parent
    """Of the public submissions; other public results lie beside them."""


class Section(NamedTuple):
    """A heading and the Markdown under it."""

    title: str
    lines: list[str]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]


def share(fraction: float, draws: float = float("inf")) -> str:
    """A rate in percent, and in brackets its standard error over so many independent draws; none for exact sums."""
    return percent(fraction, float(np.sqrt(max(fraction * (1 - fraction), 0.0) / draws)))


def percent(fraction: float, error: float = 0.0) -> str:
    return f"{100 * fraction:.2f} %" + (f" ({100 * error:.2f})" if error else "")


Told = tuple[int, Interval]
"""A submission, and an interval minus its truth."""


def summary(told: Sequence[Told]) -> tuple[str, str]:
    """Coverage of zero in percent with its standard error over submissions, as samples of one are no independent
    evidence, and the mean half-width in points."""
    covered: defaultdict[int, list[bool]] = defaultdict(list)
    for who, (low, high) in told:
        covered[who].append(low <= 1e-9 and high >= -1e-9)
    each = [float(np.mean(found)) for found in covered.values()]
    error = float(np.std(each, ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0
    half = 50 * float(np.mean([high - low for _, (low, high) in told]))
    return percent(float(np.mean([one for found in covered.values() for one in found])), error), f"{half:.2f}"


def shipped(n: int) -> Multiplier:
    """What `estimate` uses."""
    known = parameters("swebench-verified")
    assert known is not None, "the parameters travel with asclaimed"
    return known.multiplier(n)
