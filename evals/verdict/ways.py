"""Every way to run a benchmark that `plan` considers: parts of it with some attempts, and subsets, each with its error's parts.

A single attempt does not show how little noise it has: a verdict goes by the most that is known, and power by what is to
be expected. Not covered: which way is best (`plan`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from evals.claims.claim import Claim
from evals.stats.noise import AttemptNoise
from evals.stats.power import Aim, Design, accrual, design
from evals.stats.sequential import Accrual
from evals.stats.subset import expected_error, verdict_widening
from evals.verdict.reference import fitted

ATTEMPTS = (1, 2, 3, 4, 5, 8, 10, 15, 20)
FRACTIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Way(NamedTuple):
    """One way to run a benchmark."""

    tasks: int
    attempts: int
    parts: Accrual
    """Of the error that a verdict goes by."""
    likely: Accrual
    """The same with the noise to expect: a single attempt does not show how little it has."""

    def design(self, aim: Aim, noise: AttemptNoise) -> Design:
        return design(self.parts, self.tasks, self.attempts, aim, noise, self.likely)


class Ways(NamedTuple):
    """Every way to run a benchmark that is considered."""

    plain: tuple[Way, ...]
    drawn: tuple[Way, ...]
    """Subsets."""


def ways_of(claim: Claim, rate: float, whole: int, noise: AttemptNoise) -> Ways:
    """Parts of the benchmark with up to `ATTEMPTS` attempts, and subsets."""
    runs = claim.protocol.runs or 1
    plain = []
    for tries in ATTEMPTS:
        likely = accrual(rate, whole, tries, runs, whole, noise)
        parts = accrual(rate, whole, tries, runs, whole, noise.reckoned) if tries == 1 else likely
        plain += [Way(max(int(whole * share), 1), tries, parts, likely) for share in FRACTIONS]
    both = [
        subsets(claim, accrual(rate, whole, 1, runs, whole, one), one.variance)
        for one in (noise.reckoned, noise)
    ]
    drawn = [Way(tasks, 1, parts, likely) for (tasks, parts), (_, likely) in zip(*both, strict=True)]
    return Ways(tuple(plain), tuple(drawn))


def subsets(claim: Claim, whole: Accrual, noise: float) -> Iterator[tuple[int, Accrual]]:
    """Sizes of subsets, each with the parts of its error: none for a benchmark whose tasks' difficulty nobody fitted.

    `whole`: the parts for one attempt at every task.
    """
    known = fitted(claim)
    if known is None or claim.rate is None or len(known.ids) != whole.tasks:
        return
    for share in FRACTIONS[:-1]:
        tasks = int(whole.tasks * share)
        expected = expected_error(known, claim.rate, tasks, near=claim.rate)
        sampled = (verdict_widening(known.design) * expected) ** 2
        between = sampled / (1 / tasks - 1 / whole.tasks)
        yield tasks, Accrual(whole.tasks, between, 0.0, whole.shared + noise / whole.tasks, fixed=True)
