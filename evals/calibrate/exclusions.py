"""Sections of `calibrate` about claims on other tasks than the run's: is the carried-over claim as sure as it says, and
are verdicts with excluded and with unjudged tasks as seldom wrong as they say?

A vendor's and our chances come from a public submission: what it did, mixed with what the difficulty model predicts,
so that the run noise is a chosen share of P(1 − P). We are worse or better by exactly the margin on the tasks that are
left. The code under test is that of `verify`, both bounds included.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from scipy import optimize

from evals.calibrate.section import Bench, Section, percent, share, table
from evals.calibrate.verdicts import ALPHA, SIDES, Chances, claim_of, refused, turns
from evals.claims.claim import Claim
from evals.record import Decision, Outcome
from evals.results.table import Drawn, Results, Row, System, Table
from evals.stats import irt
from evals.stats.rebase import carried, noise_share, noisier
from evals.verdict.difference import Question, evaluate
from evals.verdict.measure import Estimand
from evals.verdict.reference import ERROR_FACTOR, problem_lists, reference, run_noise

BENCHMARK = "swe-bench-verified"
LEAST_RATE = 0.55
HARD = 59
SHARES = (0.17, 0.3, 0.48)
MARGIN = 0.06
DRAWS = 8
"""Simulated verdicts for each of the bench's draws, submission and cell."""


def groups(bench: Bench) -> dict[str, np.ndarray]:
    """Sets of tasks that a run may have to leave out, as masks."""
    ids = np.array(bench.public.ids)
    broken = frozenset().union(*(entry.ids for entry in problem_lists()))
    ease = np.argsort(np.argsort(bench.public.solved.mean(0), kind="stable"))
    names = np.array(bench.public.repositories)
    found = {
        "none": np.zeros(len(ids), bool),
        "33 known as broken": np.isin(ids, list(broken)),
        f"the {HARD} hardest": ease < HARD,
    }
    return found | {f"all of {name}": names == name for name in ("sympy__sympy", "sphinx-doc__sphinx")}


def carried_over(bench: Bench) -> Section:
    """Left-out submissions above 40 %: the claim on the tasks that are left, predicted without having seen them."""
    rows = []
    for name, gone in groups(bench).items():
        if not gone.any():
            continue
        off, moved = [], []
        for world in bench.fits:
            for one in world.out:
                row = bench.public.solved[one]
                if row.mean() < 0.4:
                    continue
                found = carried(world.items, float(row.mean()), np.ones(len(row), bool), ~gone)
                off.append((found.rate - row[~gone].mean(), ERROR_FACTOR * found.error))
                moved.append(float(row[~gone].mean() - row.mean()))
        errors, stated = np.array(off).T
        covered = np.abs(errors) <= 1.96 * stated
        spread = f"{100 * min(moved):+.1f} to {100 * max(moved):+.1f}"
        rows.append(
            (
                name,
                int(gone.sum()),
                spread,
                f"{100 * errors.mean():+.2f}",
                f"{100 * errors.std():.2f}",
                share(float(covered.mean()), len(covered)),
            )
        )
    head = ("left out", "tasks", "rate moves by", "prediction: mean error", "SD", "95 % cover")
    return Section("A claim carried over to other tasks: left-out submissions", table(head, rows))


def excluded_tasks(bench: Bench) -> Section:
    """One attempt at each task that is left, against a claim of one run on all."""
    rows = []
    for name, gone in groups(bench).items():
        ruling = Ruling(bench, gone)
        rows += [(name, f"{noise:g}", *cells(bench, noise, ruling, 0.0)) for noise in SHARES]
    head = ("left out", "noise share", "wrongly reproduced", "wrongly not", "power")
    return Section(f"Verdicts with excluded tasks, margin {100 * MARGIN:g} (5 % allowed)", table(head, rows))


def unjudged_attempts(bench: Bench) -> Section:
    """A share of the attempts is lost by chance; the verdict has to hold at both bounds."""
    ruling = Ruling(bench, np.zeros(len(bench.public.ids), bool))
    rows = [
        (f"{100 * lost:g} %", f"{noise:g}", *cells(bench, noise, ruling, lost))
        for lost in (0.01, 0.03)
        for noise in SHARES
    ]
    head = ("unjudged", "noise share", "wrongly reproduced", "wrongly not", "power")
    return Section(
        f"Verdicts with unjudged attempts, margin {100 * MARGIN:g} (5 % allowed)", table(head, rows)
    )


def cells(bench: Bench, noise: float, ruling: Ruling, lost: float) -> tuple[str, str, str]:
    """Wrong at the margin to either side, and power when the claim is true, with standard errors over submissions."""
    found = np.array(list(by_submission(bench, noise, ruling, lost)))
    errors = found.std(0, ddof=1) / np.sqrt(len(found))
    low, same, high = found.mean(0)
    worst = [int(low[kind] < high[kind]) * 2 for kind in (0, 1)]
    shown = [percent(float(found.mean(0)[worst[k]][k]), float(errors[worst[k]][k])) for k in (0, 1)]
    return shown[0], shown[1], percent(float(same[0]), float(errors[1][0]))


def by_submission(
    bench: Bench, noise: float, ruling: Ruling, lost: float
) -> Iterator[list[tuple[float, float]]]:
    """For each strong submission: how often reproduced and how often refused, if worse, alike and better."""
    left = ruling.left
    rng = np.random.default_rng((bench.seed, round(1000 * noise), int(left.sum()), round(1000 * lost)))
    for world in bench.fits:
        predicted = irt.predict_all(world.items, world.abilities)
        for one in world.out:
            row = bench.public.solved[one]
            if row.mean() < LEAST_RATE:
                continue
            alike = predicted[np.abs(predicted.mean(1) - row.mean()).argmin()]
            vendor = with_noise(row, alike, noise)
            yield [ruling.often(vendor, moved(vendor, left, side * MARGIN), lost, rng) for side in (-1, 0, 1)]


def with_noise(row: Chances, alike: Chances, noise: float) -> Chances:
    """Chances (N,) with run noise of the share `noise`: between what was done (N,) and what is predicted; where even the
    prediction is surer than that, the prediction with difficulty telling less, and the same rate."""
    if noise_share(alike) < noise:
        return noisier(alike, noise, np.ones(len(alike), bool))

    def mixed(part: float) -> Chances:
        return np.asarray((1 - part) * row + part * alike, float)

    return mixed(float(optimize.brentq(lambda part: noise_share(mixed(part)) - noise, 0.0, 1.0)))


def moved(chances: Chances, left: np.ndarray, by: float) -> Chances:
    """The same, better by exactly `by` on the tasks `left`: every task gains or loses in proportion."""
    mean = float(chances[left].mean())
    if by < 0:
        return chances * (1 + by / mean)
    return chances + (1 - chances) * by / (1 - mean)


class Ruling:
    """What `verify` says of one attempt at each task that is not `gone`, from counts alone; remembered, as they recur."""

    def __init__(self, bench: Bench, gone: np.ndarray) -> None:
        system, self.left, self.draws = System("simulated", "simulated"), ~gone, DRAWS * bench.draws
        kept = [task for task, out in zip(bench.public.ids, gone, strict=True) if not out]
        rows = tuple(Row(system, task, "r", 1, Outcome.RESOLVED) for task in kept)
        excluded = {task: "gone" for task in bench.public.ids if task not in set(kept)}
        self.results = Results("simulated", BENCHMARK, rows, drawn=Drawn.WHOLE, excluded=excluded)
        self.turns: dict[int, tuple[int, ...]] = {}

    def often(
        self, vendor: Chances, ours: Chances, lost: float, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Shares of verdicts that say reproduced, and that say off, over runs of both; each attempt is lost by chance."""
        size = (self.draws, len(vendor))
        claimed = (rng.random(size) < vendor).sum(1)
        unjudged = (rng.random(size) < lost) & self.left
        passed = ((rng.random(size) < ours) & self.left & ~unjudged).sum(1)
        counts = zip(passed.tolist(), unjudged.sum(1).tolist(), claimed.tolist(), strict=True)
        found = Counter(map(self.decided, counts))
        return found[Decision.REPRODUCED] / self.draws, refused(found) / self.draws

    def decided(self, counts: tuple[int, int, int]) -> Decision:
        """From the passes, the attempts without a verdict and the passes of the claim's run.

        Where all are judged, from thresholds; else one by one: hardly any three counts come twice.
        """
        passed, unjudged, claimed = counts
        if unjudged:
            return self.evaluated(*counts)
        if claimed not in self.turns:
            most = len(self.results.tasks)
            score = round(100 * claimed / len(self.left), 1)
            middle = int(most * reference(self.claim_of(score), score / 100, self.results).rate)
            self.turns[claimed] = turns(lambda passes: self.evaluated(passes, 0, claimed), most, middle)
        return SIDES[bisect_right(self.turns[claimed], passed)]

    def claim_of(self, score: float) -> Claim:
        return claim_of(score, 1, len(self.left)).model_copy(update={"benchmark": BENCHMARK})

    def evaluated(self, passed: int, unjudged: int, claimed: int) -> Decision:
        tasks, score = len(self.results.tasks), round(100 * claimed / len(self.left), 1)
        question = Question(self.claim_of(score), score / 100, MARGIN, Estimand.FIXED, ALPHA)
        judged = of_counts(passed, tasks - unjudged)
        bounds = (of_counts(passed, tasks), of_counts(passed + unjudged, tasks)) if unjudged else ()
        noise = run_noise(self.results, judged)
        said = {evaluate(question, self.results, one, noise).decision for one in (judged, *bounds)}
        return said.pop() if len(said) == 1 else Decision.UNDECIDED


def of_counts(passed: int, tasks: int) -> Table:
    values = (np.arange(tasks) < passed).astype(float)[:, None]
    return Table(tuple(map(str, range(tasks))), ("r",) * tasks, values)


SECTIONS: list[Callable[[Bench], Section]] = [carried_over, excluded_tasks, unjudged_attempts]
