"""Sections of `calibrate` about verdicts: does a claim's test err as seldom as it says, and is `plan` right?

Worlds are simulated: each task has its own chance, and run noise is the share of the variance that public trials show;
the vendor's runs and ours are drawn from them. The code under test is that of `verify`. Where one attempt is made, its
verdict hangs on two counts alone, and sizes are exact sums over them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evals.calibrate.section import Bench, Section, percent, share, table
from evals.claims.claim import Claim, Protocol, Source, Status
from evals.record import Decision, Outcome
from evals.results.table import Results, Row, System, Table
from evals.stats import paired
from evals.stats.noise import CAUTIOUS_SHARE, TYPICAL_SHARE, AttemptNoise, attempt_noise
from evals.stats.power import Aim, accrual, design
from evals.verdict.difference import Question, evaluate
from evals.verdict.measure import Estimand

TASKS, RATE, ALPHA = 500, 0.70, 0.05
KNOWN = (
    (
        "20250802_mini-v1.0.0_qwen3-coder-480b-a35b-instruct",
        "20250805_openhands-Qwen3-Coder-480B-A35B-Instruct",
    ),
    ("20250726_mini-v1.0.0_claude-sonnet-4-20250514", "20250522_tools_claude-4-sonnet"),
)
DRAWS = 1000
"""Simulated verdicts for each of the bench's draws: 4 000 usually, so that 5 % has a standard error of 0.35 points."""
NEGLIGIBLE = 1e-9

Chances = NDArray[np.float64]


class World(NamedTuple):
    """A vendor and us on the same tasks."""

    vendor: Chances
    ours: Chances


def world(noise: float, difference: float, tasks: int = TASKS, rate: float = RATE) -> World:
    """A vendor whose tasks' chances average `rate`, and us, exactly `difference` better, the same tasks being easy.

    Run noise is the share `noise` of rate · (1 − rate) for either. Chances are quantiles of a beta law.
    """
    weight, ease = noise / (1 - noise), (np.arange(tasks) + 0.5) / tasks
    vendor, ours = (
        stats.beta.ppf(ease, mean * weight, (1 - mean) * weight) for mean in (rate, rate + difference)
    )
    return World(vendor, ours)


def law_of_passes(chances: Chances) -> Chances:
    """Probabilities (N + 1,) of each number of passes in one run."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return law


def published(passes: int, runs: int) -> float:
    """The score that a vendor prints: a mean of runs, in percent, to one decimal."""
    return round(100 * passes / (TASKS * runs), 1)


def claim_of(score: float, runs: int, tasks: int = TASKS) -> Claim:
    return Claim(
        id="simulated/benchmark",
        model="simulated",
        maker="simulated",
        benchmark="benchmark",
        n_tasks=tasks,
        score=str(score),  # type: ignore[arg-type]
        claimed_by="simulated",
        protocol=Protocol(runs=runs),
        source=Source(title="simulated"),
        status=Status.VERIFIED,
    )


@cache
def run_of(tasks: int, planned: int, looks: tuple[int, ...] = ()) -> Results:
    """A run that has come as far as `tasks`; its outcomes are in the table that goes with it."""
    system = System("simulated", "simulated")
    rows = tuple(Row(system, str(task), "r", 1, Outcome.RESOLVED) for task in range(tasks))
    return Results("simulated", "benchmark", rows, looks=looks, planned=planned)


def decided(outcomes: Chances, claim: Claim, margin: float, results: Results) -> Decision:
    """What `verify` says of outcomes (tasks, attempts)."""
    ours = Table(tuple(map(str, range(len(outcomes)))), ("r",) * len(outcomes), outcomes)
    question = Question(claim, claim.rate or 0.0, margin, Estimand.FIXED, ALPHA)
    return evaluate(question, results, ours, attempt_noise(outcomes)).decision


@cache
def counted(passes: int, tasks: int, score: float, margin: float, looks: tuple[int, ...] = ()) -> Decision:
    """The same from one attempt at each of `tasks`, against a claim of one run."""
    outcomes = (np.arange(tasks) < passes).astype(float)[:, None]
    return decided(outcomes, claim_of(score, 1), margin, run_of(tasks, TASKS, looks))


SIDES = (
    Decision.NOT_REPRODUCED,
    Decision.UNDECIDED,
    Decision.REPRODUCED,
    Decision.UNDECIDED,
    Decision.EXCEEDS,
)
"""Decisions in the order in which they come as passes rise."""


def turns(decision: Callable[[int], Decision], most: int, middle: int) -> tuple[int, ...]:
    """Passes, up to `most`, from which on each of `SIDES` but the first holds; by bisection, as every count takes milliseconds.

    `middle`: so many passes are the claim.
    """

    def side(passes: int) -> int:
        found = decision(passes)
        return 4 - SIDES[::-1].index(found) if passes > middle else SIDES.index(found)

    return tuple(bisect_left(range(most + 1), which, key=side) for which in range(1, len(SIDES)))


@cache
def thresholds(tasks: int, score: float, margin: float, looks: tuple[int, ...] = ()) -> tuple[int, ...]:
    """`turns` of `counted`."""
    return turns(lambda passes: counted(passes, tasks, score, margin, looks), tasks, int(tasks * score / 100))


def quickly(passes: int, tasks: int, score: float, margin: float, looks: tuple[int, ...] = ()) -> Decision:
    """`counted`, from the thresholds."""
    return SIDES[bisect_right(thresholds(tasks, score, margin, looks), passes)]


Found = dict[Decision, float]


def exactly(noise: float, difference: float, margin: float) -> Found:
    """Probability of each decision when the vendor and we make one run each."""
    theirs, ours = (law_of_passes(chances) for chances in world(noise, difference))
    found = dict.fromkeys(Decision, 0.0)
    for passes, claimed in np.argwhere(np.outer(ours, theirs) > NEGLIGIBLE):
        decision = quickly(int(passes), TASKS, published(int(claimed), 1), margin)
        found[decision] += float(ours[passes] * theirs[claimed])
    return found


def refused(found: Mapping[Decision, float]) -> float:
    """How often a claim was said to be off, to either side."""
    return found[Decision.NOT_REPRODUCED] + found[Decision.EXCEEDS]


def simulated(bench: Bench, difference: float, margin: float, attempts: int, runs: int) -> Found:
    """How often each decision is made with several attempts, at the usual noise."""
    rng = np.random.default_rng((bench.seed, attempts, runs))
    vendor, ours = world(TYPICAL_SHARE, difference)
    one_run = law_of_passes(vendor)
    claimed = rng.choice(len(one_run), (DRAWS * bench.draws, runs), p=one_run / one_run.sum()).sum(1)
    decisions = Counter(
        decided(
            (rng.random((TASKS, attempts)) < ours[:, None]).astype(float),
            claim_of(published(int(passes), runs), runs),
            margin,
            run_of(TASKS, TASKS),
        )
        for passes in claimed
    )
    return {decision: decisions[decision] / len(claimed) for decision in Decision}


def as_planned(noise: float, margin: float, attempts: int, runs: int, looks: tuple[float, ...] = ()) -> float:
    """The power that `plan` gives for a true claim; `looks` as shares of the tasks."""
    known = AttemptNoise(noise * RATE * (1 - RATE), "simulated")
    parts = accrual(RATE, TASKS, attempts, runs, TASKS, known)
    return design(parts, TASKS, attempts, Aim(margin, ALPHA, 0.0005, looks=looks), known).power


def equivalence(bench: Bench) -> Section:
    """Size of both statements at the margin, and power against what `plan` says."""
    rows = []
    for attempts, runs, margin in ((1, 1, 0.05), (1, 1, 0.07), (2, 5, 0.04), (3, 1, 0.05), (5, 5, 0.03)):
        noise, draws = (CAUTIOUS_SHARE, np.inf) if attempts == 1 else (TYPICAL_SHARE, DRAWS * bench.draws)
        below, at, above = (
            exactly(noise, side * margin, margin)
            if attempts == 1
            else simulated(bench, side * margin, margin, attempts, runs)
            for side in (-1, 0, 1)
        )
        planned = as_planned(noise, margin, attempts, runs)
        wrong = [
            max(below[Decision.REPRODUCED], above[Decision.REPRODUCED]),
            max(refused(below), refused(above)),
        ]
        shown = [share(rate, draws) for rate in (*wrong, at[Decision.REPRODUCED])]
        rows.append((attempts, runs, f"{100 * margin:g}", *shown, share(planned)))
    head = (
        "attempts",
        "the claim's runs",
        "margin",
        "wrongly reproduced",
        "wrongly not",
        "power",
        "as planned",
    )
    return Section("Equivalence: size at the margin (5 % allowed), power", table(head, rows))


LOOKS = (100, 200, 300, 400, 500)


def sequential_stopping(bench: Bench) -> Section:
    """Five looks with spent error against one look at the end, one attempt a task."""
    rows, shares = [], tuple(look / TASKS for look in LOOKS[:-1])
    for difference, margin in (
        (-0.05, 0.05),
        (0.05, 0.05),
        (0.0, 0.05),
        (0.0, 0.1),
        (-0.15, 0.05),
        (-0.2, 0.05),
    ):
        found = list(stopped(bench, difference, margin))
        draws = len(found)
        decisions = Counter(decision for decision, _ in found)
        tasks = np.array([tasks for _, tasks in found])
        alone = exactly(CAUTIOUS_SHARE, difference, margin)
        shown = [
            share(decisions[Decision.REPRODUCED] / draws, draws),
            share(as_planned(CAUTIOUS_SHARE, margin, 1, 1, shares)) if not difference else "–",
            share(alone[Decision.REPRODUCED]),
            share(refused(decisions) / draws, draws),
            share(refused(alone)),
        ]
        saved = percent(1 - tasks.mean() / TASKS, tasks.std() / TASKS / np.sqrt(draws))
        rows.append((f"{100 * difference:+g}", f"{100 * margin:g}", *shown, saved))
    head = (
        "true difference",
        "margin",
        "reproduced",
        "as planned",
        "with one look",
        "not reproduced",
        "with one look",
        "tasks saved",
    )
    return Section("Sequential stopping: looks at 100, 200, … 500 tasks", table(head, rows))


def stopped(bench: Bench, difference: float, margin: float) -> Iterator[tuple[Decision, int]]:
    """For each simulated run: the decision at which it stopped, and the tasks used."""
    rng = np.random.default_rng((bench.seed, 7))
    vendor, ours = world(CAUTIOUS_SHARE, difference)
    law = law_of_passes(vendor)
    for _ in range(bench.draws):
        claimed = rng.choice(len(law), DRAWS, p=law / law.sum())
        shuffled = rng.permuted(np.tile(ours, (DRAWS, 1)), axis=1)
        passes = np.cumsum(rng.random(shuffled.shape) < shuffled, axis=1)[:, np.array(LOOKS) - 1]
        for row, score in zip(passes.tolist(), claimed.tolist(), strict=True):
            yield until_decided(row, published(score, 1), margin)


def until_decided(passes: list[int], score: float, margin: float) -> tuple[Decision, int]:
    """From the passes counted at each look."""
    for count, look in zip(passes, LOOKS, strict=True):
        decision = quickly(count, look, score, margin, LOOKS)
        if decision is not Decision.UNDECIDED:
            return decision, look
    return Decision.UNDECIDED, TASKS


def known_answers(bench: Bench) -> Section:
    """Two published pairs of scaffolds on one model."""
    solved = {one.id: row > 0 for one, row in zip(bench.public.submissions, bench.public.solved, strict=True)}
    rows = []
    for first, second in KNOWN:
        pairs = paired.discordant(solved[first], solved[second])
        low, high = paired.tango(pairs)
        shown = f"{100 * pairs.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        rows.append(
            (first, second, f"{pairs.only_first}/{pairs.only_second}", shown, f"{paired.mcnemar(pairs):.1e}")
        )
    head = ("first", "second", "only first / only second", "difference, 95 %", "McNemar p")
    return Section("Known answers: scaffolds on SWE-bench Verified", table(head, rows))


SECTIONS: list[Callable[[Bench], Section]] = [equivalence, sequential_stopping, known_answers]
