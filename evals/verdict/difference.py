"""Measured minus claimed, with the error of both, and the test that reads it. Verdicts are `verify`'s business.

The claim is read on the tasks that were asked of us (`reference`), the rate with its error comes from `measure`; the
vendor's own runs have the same noise as ours. Not covered: the vendor's results task by task, which are unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from evals.claims.claim import Claim
from evals.results.table import Results, Table
from evals.stats.equivalence import Equivalence, tost
from evals.stats.intervals import Estimate, clustered_mean, student
from evals.stats.noise import AttemptNoise, df_of
from evals.stats.power import half_attempt
from evals.stats.sequential import Accrual, critical_values
from evals.verdict.measure import Estimand, Measured, at_rate, measured
from evals.verdict.reference import Reference, reference


class Question(NamedTuple):
    """A claim, and how it is asked."""

    claim: Claim
    claimed: float
    """The claimed rate."""
    margin: float
    estimand: Estimand
    alpha: float
    at_least: bool = False
    """Ask only whether it is at least the claim less the margin."""


class Compared(NamedTuple):
    """The rate, what it is set against, and the parts of the difference's error, the claim's run noise among them."""

    rate: float
    against: Reference
    parts: Accrual
    tasks: int
    df: float
    """How well the error is known."""

    @property
    def difference(self) -> float:
        return self.rate - self.against.rate


def evaluate(question: Question, results: Results, table: Table, noise: AttemptNoise) -> Equivalence:
    """The test for one way to read the results."""
    return tested(question, results, table, compared(question, results, table, noise))


def compared(question: Question, results: Results, table: Table, noise: AttemptNoise) -> Compared:
    """The rate against the claim; the error of a claim that had to be carried over is shared by all looks.

    Noise that was not measured is taken as the most that is known of systems: see `AttemptNoise.reckoned`.
    """
    noise, against = noise.reckoned, reference(question.claim, question.claimed, results)
    found: Measured = measured(results, table, noise, question.estimand, against.rate)
    runs = question.claim.protocol.runs or 1
    own = at_rate(noise.variance, table, against.rate) / (against.tasks * runs)
    parts = found.parts._replace(shared=found.parts.shared + own + against.error**2)
    df = df_of(parts.variance(found.tasks), found.noisy + own, noise)
    return Compared(found.rate, against, parts, found.tasks, df)


def tested(question: Question, results: Results, table: Table, found: Compared) -> Equivalence:
    """The same for what was measured already."""
    difference = difference_of(question, table, found)
    critical = look_bound(question, results, found.parts, difference.df) if results.looks else None
    slack = steps(question.claim, table) + found.against.slack
    return tost(difference, question.margin, question.alpha, slack, critical, at_least=question.at_least)


def steps(claim: Claim, table: Table) -> float:
    """How far rounding can move the difference: the claim's, and half of one attempt (continuity; Yates 1934)."""
    return claim.rounding + half_attempt(int(np.sum(~np.isnan(table.values))))


def difference_of(question: Question, table: Table, found: Compared) -> Estimate:
    """Measured minus claimed, with the error of both."""
    if question.estimand is Estimand.FIXED:
        return Estimate(found.difference, float(np.sqrt(found.parts.variance(found.tasks))), found.df)
    ours = clustered_mean(table.means, table.repos)
    error = float(np.hypot(ours.error, np.sqrt(found.parts.shared)))
    df = ours.df * (error / ours.error) ** 4 if 0 < ours.error < np.inf else ours.df
    return Estimate(ours.value - found.against.rate, error, df)


def look_bound(question: Question, results: Results, parts: Accrual, df: float) -> float:
    """Critical value at this look for an estimate with `df`, so that all planned looks together keep the size.

    For tasks like these, information is taken to grow with the number of tasks.
    """
    done = len(results.tasks)
    looks = sorted({*(look for look in results.looks if look < done), done})
    if question.estimand is Estimand.FIXED:
        fractions = parts.fractions(looks, results.planned)
    else:
        fractions = [look / results.planned for look in looks]
    normal = critical_values(fractions, question.alpha)[-1]
    return -student(float(special.ndtr(-normal)), df)
