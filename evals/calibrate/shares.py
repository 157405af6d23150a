"""Section of `calibrate` about run noise that is not what public pairs show, and about measuring it on a part of the tasks.

One attempt at each task says nothing of its noise: tasks that are sure, each with some chance, give the same outcomes as
tasks that are not. A verdict therefore reckons with the most that is known of systems (`AttemptNoise.reckoned`) and pays
with power, which `plan` has to foretell for every share. A second attempt at `REPEATED` tasks measures the noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from evals.calibrate.exclusions import BENCHMARK, DRAWS, MARGIN, SHARES, moved, with_noise
from evals.calibrate.section import Bench, Section, percent, table
from evals.calibrate.verdicts import ALPHA, TASKS, Chances, claim_of, refused
from evals.record import Decision, Outcome
from evals.results.table import Drawn, Results, Row, System, Table
from evals.stats import irt
from evals.stats.noise import AttemptNoise, attempt_noise, prior
from evals.stats.power import Aim, accrual, design, repeated_df
from evals.verdict.difference import Question, evaluate
from evals.verdict.measure import Estimand
from evals.verdict.plan import REPEATED

ROUNDING = 0.0005
"""Of a claim to one decimal."""
STRONG, WEAK = (0.55, 1.0), (0.25, 0.45)
"""Rates; public pairs show shares of 0.26 to 0.38 in the one, and of 0.43 to 0.53 in the other."""


def noise_shares(bench: Bench) -> Section:
    rows = []
    for name, between in (("from 55 %", STRONG), ("25–45 %", WEAK)):
        for noise in SHARES:
            for repeated in (0, REPEATED):
                shown = cells(bench, noise, between, repeated)
                rows.append((name, f"{noise:g}", repeated or "none", *shown))
    head = (
        "true rate",
        "noise share",
        "tasks tried twice",
        "wrongly reproduced",
        "wrongly not",
        "power",
        "as planned",
        "reckoned share",
    )
    title = f"Noise shares: one attempt at 500 tasks, margin {100 * MARGIN:g} (5 % allowed)"
    return Section(title, table(head, rows))


def cells(bench: Bench, noise: float, between: tuple[float, float], repeated: int) -> tuple[str, ...]:
    """Wrong at the margin, both sides together, and power where the claim is true; errors are over submissions."""
    found = np.array(list(by_submission(bench, noise, between, repeated)))
    errors = found.std(0, ddof=1) / np.sqrt(len(found))
    shown = [percent(float(found.mean(0)[k]), float(errors[k])) for k in range(3)]
    foretold, reckoned = found.mean(0)[3:]
    return (*shown, percent(float(foretold)), "measured" if repeated else f"{reckoned:.2f}")


def planned(rate: float, noise: float, repeated: int) -> float:
    """The power that `plan` would state for a run whose noise has the share `noise`."""
    size, whole = rate * (1 - rate), TASKS
    true = AttemptNoise(noise * size, "simulated")
    known = true._replace(df=repeated_df(true.variance, repeated, 2)) if repeated else prior(rate, BENCHMARK)
    likely, parts = (accrual(rate, whole, 1, 1, whole, one) for one in (true, known.reckoned))
    return design(parts, whole, 1, Aim(MARGIN, ALPHA, ROUNDING), known, likely).power


def by_submission(
    bench: Bench, noise: float, between: tuple[float, float], repeated: int
) -> Iterator[tuple[float, ...]]:
    rng = np.random.default_rng((bench.seed, round(1000 * noise), repeated, round(100 * between[0])))
    everything = np.ones(len(bench.public.ids), bool)
    for world in bench.fits:
        predicted = irt.predict_all(world.items, world.abilities)
        for row in bench.public.solved[world.out]:
            rate = float(row.mean())
            if not between[0] <= rate < between[1]:
                continue
            vendor = with_noise(row, predicted[np.abs(predicted.mean(1) - rate).argmin()], noise)
            worse, same, better = (
                said(bench, vendor, moved(vendor, everything, side * MARGIN), repeated, rng)
                for side in (-1, 0, 1)
            )
            wrong = [(worse[kind] + better[kind]) / 2 for kind in (0, 1)]
            reckoned = prior(rate, BENCHMARK).reckoned.variance / (rate * (1 - rate))
            yield *wrong, same[0], planned(rate, noise, repeated), reckoned


def said(
    bench: Bench, vendor: Chances, ours: Chances, repeated: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Shares of verdicts that say reproduced, and that say off; `repeated` tasks, drawn anew each time, are tried twice."""
    found: Counter[Decision] = Counter()
    ids, draws = bench.public.ids, DRAWS * bench.draws // 2 or 1
    rows = tuple(Row(System("simulated", "simulated"), task, "r", 1, Outcome.RESOLVED) for task in ids)
    results = Results("simulated", "simulated", rows, drawn=Drawn.WHOLE)
    for _ in range(draws):
        score = round(100 * float((rng.random(len(vendor)) < vendor).mean()), 1)
        values = (rng.random((len(ours), 2)) < ours[:, None]).astype(float)
        values[rng.permutation(len(ours))[repeated:], 1] = np.nan
        if not repeated:
            values = values[:, :1]
        question = Question(claim_of(score, 1, len(ours)), score / 100, MARGIN, Estimand.FIXED, ALPHA)
        noise = attempt_noise(values, BENCHMARK)
        found[evaluate(question, results, Table(ids, ("r",) * len(ids), values), noise).decision] += 1
    return found[Decision.REPRODUCED] / draws, refused(found) / draws


SECTIONS: list[Callable[[Bench], Section]] = [noise_shares]
