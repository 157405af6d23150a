"""Section of `calibrate` on real run-to-run noise: public trials of Terminal-Bench 2.0, five at each task.

Some of a system's trials are taken as its vendor's runs and some as ours, at random: a claim that is true by
construction, on real tasks with whatever noise they have. The same claim moved by the margin is false by just that.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evals.calibrate.section import Bench, Section, percent, table
from evals.calibrate.verdicts import Chances, claim_of, decided, refused, run_of
from evals.record import Decision

TRIALS = "terminal_bench2_trials.csv"
EACH = 5
SPLITS = ((1, 1), (1, 4), (2, 3))
"""Runs of the claim, and attempts of ours."""
MARGINS = (0.05, 0.07, 0.10)
DRAWS = 3
"""Splits of each system for each of the bench's draws."""
TITLE = "Real noise: Terminal-Bench 2.0 trials split into a claim and a run"


class Shares(NamedTuple):
    """How often one system's splits end so."""

    reproduced: float
    wrongly_not: float
    moved_reproduced: float
    """With the claim moved by the margin."""
    moved_not: float


def read(path: Path) -> list[Chances]:
    """Outcomes (tasks, `EACH`) of each system, passes first; only tasks with that many trials."""
    systems: defaultdict[tuple[str, str], list[list[float]]] = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if int(row["trials"]) == EACH:
                passes = int(row["successes"])
                systems[row["scaffold"], row["model"]].append([1.0] * passes + [0.0] * (EACH - passes))
    return [np.array(tasks) for tasks in systems.values()]


def real_noise(bench: Bench) -> Section:
    """Verdicts on true claims, and on claims that are off by the margin; errors are those over systems."""
    path = bench.folder / TRIALS
    if not path.exists():
        return Section(TITLE, [f"Skipped: {path} is not there."])
    systems, rows = read(path), []
    for runs, attempts in SPLITS:
        for margin in MARGINS:
            rng = np.random.default_rng((bench.seed, runs, attempts))
            found = np.array(
                [shares(one, runs, attempts, margin, DRAWS * bench.draws, rng) for one in systems]
            )
            errors = found.std(axis=0, ddof=1) / np.sqrt(len(systems))
            shown = map(percent, found.mean(axis=0), errors)
            rows.append((runs, attempts, f"{100 * margin:g}", *shown))
    head = (
        "the claim's runs",
        "attempts",
        "margin",
        "true claim: reproduced",
        "wrongly not",
        "off by the margin: wrongly reproduced",
        "wrongly not",
    )
    return Section(f"{TITLE}, {len(systems)} systems", table(head, rows))


def shares(
    system: Chances, runs: int, attempts: int, margin: float, draws: int, rng: np.random.Generator
) -> Shares:
    """Over random splits of the trials (tasks, `EACH`)."""
    true: list[Decision] = []
    moved: list[Decision] = []
    results = run_of(len(system), len(system))
    for _ in range(draws):
        trials = rng.permuted(system, axis=1)
        claimed, ours = float(trials[:, :runs].mean()), trials[:, EACH - attempts :]
        away = claimed + margin if claimed < 0.5 else claimed - margin
        for rate, decisions in ((claimed, true), (away, moved)):
            claim = claim_of(round(100 * rate, 1), runs, len(system))
            decisions.append(decided(ours, claim, margin, results))
    counts = [Counter(found) for found in (true, moved)]
    return Shares(*(one / draws for found in counts for one in (found[Decision.REPRODUCED], refused(found))))


SECTIONS: list[Callable[[Bench], Section]] = [real_noise]
