"""`python -m evals.calibrate --out calibration.md`: are the intervals as wide as they say, and no wider?

Real public results are the truth. A submission is left out of the fit of the tasks *and* of the intervals' multiplier
together with everything like it. Each section is a function in `SECTIONS` that returns a heading and Markdown lines.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from evals.calibrate.section import (
    SIZES,
    SUBMISSIONS,
    Z95,
    Bench,
    Case,
    Section,
    Told,
    shipped,
    summary,
    table,
)
from evals.stats import irt, leftout
from evals.stats.estimate import Multiplier, fitted, interval, several_runs
from evals.stats.intervals import Interval
from evals.stats.irt import Array
from evals.stats.leftout import Error, Index, Public, World

LONGEST = 200
MISTAKES = (0.0, 0.1, -0.1)
"""Expected minus true rate."""
AFTER = "2025-05-01"
FOLDS = 12
ATTEMPTS = 3
SLOWEST = ("excluded_tasks", "noise_shares", "nights", "strata", "sequential_stopping", "other_draws")
"""They take minutes each, and begin first."""
BROKEN = ("sphinx-doc__sphinx", "sympy__sympy")


def crosswise(found: Sequence[Error], usual: Sequence[Error] = ()) -> list[Told]:
    """Each fold's intervals with the multiplier of all other folds; `usual` when it is taken from other samples."""
    intervals = []
    for fold in {one.fold for one in found}:
        multiplier = leftout.multiplier([one for one in usual or found if one.fold != fold])
        intervals += [told(one, multiplier) for one in found if one.fold == fold]
    return intervals


def told(one: Error, multiplier: Multiplier) -> Told:
    return one.submission, Interval(*one.reach(multiplier))


def left_out(bench: Bench) -> Section:
    """Submissions that neither the fit nor the multiplier has seen."""
    families = leftout.folds([one.family for one in bench.public.submissions], FOLDS)
    rows: list[tuple[object, ...]] = []
    for kind, fits in (("team", bench.fits), ("model family", leftout.worlds(bench.public, families))):
        for n in SIZES:
            found = list(leftout.errors(bench.public, fits, n, bench.draws, bench.seed))
            rows.append((f"whole {kind}", n, *summary(crosswise(found)), *summary(random_sampling(bench, n))))
    rows += later(bench)
    head = ("left out", "n", "coverage", "half-width", "random sampling: coverage", "half-width")
    return Section("Subsets: public submissions left out of fit and multiplier", table(head, rows))


def other_draws(bench: Bench) -> Section:
    """Samples that are not drawn as the multiplier's were: for an expected rate, and prefixes of larger ones."""
    rows: list[tuple[object, ...]] = []
    for n in SIZES:
        usual = list(leftout.errors(bench.public, bench.fits, n, bench.draws, bench.seed))
        for off in MISTAKES:
            found = [
                one
                for draw in range(max(bench.draws // 3, 1))
                for one in leftout.errors_near(bench.public, bench.fits, n, off, bench.seed + 1000 * draw)
            ]
            rows.append(
                (n, f"expected rate is {100 * off:+.0f} points off", *summary(crosswise(found, usual)))
            )
        if n < LONGEST:
            cut = list(leftout.errors(bench.public, bench.fits, LONGEST, bench.draws, bench.seed, first=n))
            rows.append((n, f"prefix of {LONGEST}", *summary(crosswise(cut, usual))))
    head = ("n", "drawn as", "coverage", "half-width")
    return Section("Subsets: drawn for an expected rate, and looked at early", table(head, rows))


def later(bench: Bench) -> list[tuple[object, ...]]:
    """The newer submissions from a fit and a multiplier of the older ones alone."""
    new = np.array([one.date >= AFTER for one in bench.public.submissions])
    before = tuple(one for one in bench.public.submissions if one.date < AFTER)
    old = Public(bench.public.ids, before, bench.public.solved[~new])
    inner = leftout.worlds(old, leftout.folds([one.team for one in before], FOLDS))
    outer = [World(*irt.fit(old.solved), np.flatnonzero(new))]
    rows: list[tuple[object, ...]] = []
    for n in SIZES:
        multiplier = leftout.multiplier(list(leftout.errors(old, inner, n, bench.draws, bench.seed)))
        found = leftout.errors(bench.public, outer, n, bench.draws * 3, bench.seed)
        covered = summary([told(one, multiplier) for one in found])
        rows.append((f"{new.sum()} from {AFTER} on", n, *covered, "", ""))
    return rows


def random_sampling(bench: Bench, n: int) -> list[Told]:
    """What anybody would do: simple random tasks, the normal interval with the finite-population factor."""
    rng = np.random.default_rng(bench.seed)
    size = bench.public.solved.shape[1]
    intervals = []
    for who, truth in enumerate(bench.public.solved):
        for _ in range(bench.draws):
            mean = truth[rng.choice(size, n, replace=False)].mean()
            by = Z95 * np.sqrt(mean * (1 - mean) / (n - 1) * (1 - n / size))
            intervals.append((who, shifted(Interval(mean - by, mean + by), truth)))
    return intervals


def shifted(found: Interval, truth: Array) -> Interval:
    """The interval minus the true rate of `truth` (N,)."""
    return Interval(found.low - float(truth.mean()), found.high - float(truth.mean()))


def over_samples(bench: Bench, n: int) -> Iterator[tuple[World, Index, Array, int, np.random.Generator]]:
    """One left-out submission for each sample of each fit: world, sample, chances, submission, randomness."""
    for fold, world in enumerate(bench.fits):
        rng = np.random.default_rng((bench.seed, fold, n))
        for sample, chance in leftout.samples(world, n, 2 * bench.draws, bench.seed + 1):
            yield world, sample, chance, int(rng.choice(world.out)), rng


def several_attempts(bench: Bench) -> Section:
    """Three runs; the truth is the mean rate over all runs.

    A task's chance lies between what the submission did on it and what the model predicts, so that most tasks are
    sure and some are not.
    """
    rows = []
    for n in SIZES:
        intervals = []
        for world, sample, chance, who, rng in over_samples(bench, n):
            answers = bench.public.solved[who]
            predicted = irt.predict_all(world.items, world.abilities)
            alike = np.abs(predicted.mean(1) - answers.mean()).argmin()
            truth = 0.7 * answers + 0.3 * predicted[alike]
            means = rng.binomial(ATTEMPTS, truth[sample]) / ATTEMPTS
            rate = fitted(world.items, sample, chance, several_runs(means, np.full(n, float(ATTEMPTS))))
            intervals.append((who, shifted(interval(rate, shipped(n).at(rate.value)), truth)))
        rows.append((n, ATTEMPTS, *summary(intervals)))
    return Section(
        "Subsets: several attempts at each task", table(("n", "attempts", "coverage", "half-width"), rows)
    )


def adversarial(bench: Bench) -> Section:
    """Submissions that no model of difficulty describes, all on the same samples."""
    cells: dict[str, list[str]] = {name: [] for name in WRONG}
    names = np.array(bench.public.repositories)
    for n in SIZES:
        intervals: dict[str, list[Told]] = {name: [] for name in WRONG}
        for world, sample, chance, who, rng in over_samples(bench, n):
            for name, wrong in WRONG.items():
                truth = wrong(Case(bench.public.solved[who], names, rng))
                error = leftout.error_of(world, sample, chance, truth, (who, 0))
                intervals[name].append(told(error, shipped(n)))
        for name, found in intervals.items():
            cells[name] += summary(found)
    head = ("answers", *(f"n = {n}: {what}" for n in SIZES for what in ("coverage", "half-width")))
    rows = [(name, *found) for name, found in cells.items()]
    return Section("Subsets: the model of difficulty is wrong", table(head, rows))


WRONG: dict[str, Callable[[Case], Array]] = {
    "difficulty permuted": lambda case: case.rng.permutation(case.answers),
    "difficulty inverted": lambda case: 1 - case.answers,
    "coin flips": lambda case: (case.rng.random(len(case.answers)) < 0.5).astype(float),
    "only django solved": lambda case: (case.repositories == "django__django").astype(float),
    "only sympy solved": lambda case: (case.repositories == "sympy__sympy").astype(float),
    "sphinx and sympy broken": lambda case: case.answers * ~np.isin(case.repositories, BROKEN),
    "30 % lost to the machine": lambda case: case.answers * (case.rng.random(len(case.answers)) > 0.3),
    "none solved": lambda case: np.zeros_like(case.answers),
    "all solved": lambda case: np.ones_like(case.answers),
}


SECTIONS: list[Callable[[Bench], Section]] = [
    left_out,
    other_draws,
    adversarial,
    several_attempts,
]


def sections() -> list[Callable[[Bench], Section]]:
    """All of them; the other files import this one."""
    from evals.calibrate import (
        effort,
        exclusions,
        intervals,
        nights,
        pairs,
        shares,
        strata,
        subsets,
        trials,
        verdicts,
    )

    others = (strata, intervals, subsets, pairs, verdicts, exclusions, shares, effort, trials, nights)
    return [*SECTIONS, *(section for file in others for section in file.SECTIONS)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--submissions", type=Path, default=SUBMISSIONS)
    parser.add_argument("--out", type=Path, default=Path("calibration.md"))
    parser.add_argument("--draws", type=int, default=4, help="samples for each submission and size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of section functions")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="sections at a time")
    given = parser.parse_args()
    if not given.submissions.exists():
        sys.exit(
            f"calibrate: no public submissions at {given.submissions}: give --submissions FILE, as "
            "`python -m evals.stats.fit` takes it (they are not ours to ship)"
        )
    names = [section.__name__ for section in sections()]
    if unknown := sorted(set(given.only or ()) - set(names)):
        sys.exit(f"calibrate: no section {unknown[0]!r}; there are: {', '.join(names)}")
    public = leftout.read(given.submissions)
    fold = leftout.folds([one.team for one in public.submissions], FOLDS)
    fits = leftout.worlds(public, fold)
    bench = Bench(public, fits, given.draws, given.seed, given.submissions.parent)
    head = [
        f"{len(public.submissions)} public submissions; half-widths in points; seed {given.seed}.",
        "In brackets: the standard error of the simulation; a rate without one is an exact sum.",
    ]
    chosen = [name for name in names if not given.only or name in given.only]
    done: dict[str, list[str]] = {}
    for name, lines, seconds in in_parallel(bench, chosen, given.workers):
        done[name] = lines
        sys.stderr.write(f"[{len(done)}/{len(chosen)}] {name}: {seconds:.0f} s of CPU\n")
        body = [line for name in chosen for line in done.get(name, ())]
        given.out.write_text("\n".join([*head, *body]) + "\n")  # each as it comes: all of them take a while


def in_parallel(bench: Bench, names: Sequence[str], workers: int) -> Iterator[tuple[str, list[str], float]]:
    """Each section's Markdown and seconds as it is done, in processes that share the fits; the slowest begin."""
    order = sorted(names, key=lambda name: SLOWEST.index(name) if name in SLOWEST else len(SLOWEST))
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        yield from pool.imap_unordered(partial(timed, bench), order)


def timed(bench: Bench, name: str) -> tuple[str, list[str], float]:
    (section,) = [one for one in sections() if one.__name__ == name]
    begun = time.process_time()
    title, body = section(bench)
    return name, ["", f"## {title}", "", *body], time.process_time() - begun
