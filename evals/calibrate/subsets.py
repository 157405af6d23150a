"""Section of `calibrate` about verdicts from subsets: does the test keep its size on left-out submissions, looks included?

In `subset_verdicts` the claim is exact and a submission's own run is the truth, so that all of the error is the
subset's. In `subset_misfit` the vendor's run and ours are noisy, and ours fails easy tasks or solves hard ones by
chance, which the difficulty model does not describe; one look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from evals.calibrate.exclusions import LEAST_RATE, SHARES, moved, with_noise
from evals.calibrate.section import Z95, Bench, Section, percent, share, shipped, table
from evals.record import Decision
from evals.stats import design, irt, leftout
from evals.stats.equivalence import tost
from evals.stats.estimate import Rate, fitted, one_run
from evals.stats.intervals import Estimate
from evals.stats.irt import Array
from evals.stats.leftout import Index, World
from evals.stats.noise import df_of, prior
from evals.stats.power import half_attempt
from evals.stats.sequential import Accrual, critical_values
from evals.stats.subset import VERDICT_WIDENING

SIZE = 500
"""Tasks of the whole benchmark."""
CASES = (
    (100, (), 0.06),
    (100, (40, 70), 0.06),
    (100, (40, 70), 0.1),
    (200, (), 0.04),
    (200, (80, 140), 0.04),
    (200, (80, 140), 0.07),
)
"""Tasks, looks before the last, margin."""
RUNS = 2
"""Runs read by each sample and side; samples take most of the time."""
REPRODUCED = (Decision.REPRODUCED,)
REFUSED = (Decision.NOT_REPRODUCED, Decision.EXCEEDS)
"""What may be said of a claim that is off by exactly the margin with 5 % chance each."""


class Seen(NamedTuple):
    """What the estimate says at one look, in rates: measured minus true, and its standard error."""

    tasks: int
    off: float
    error: float


def subset_verdicts(bench: Bench) -> Section:
    """Size at the margin on either side, and power and tasks where the claim is true."""
    rows = []
    for n, looks, margin in CASES:
        paths = list(over_paths(bench, n, (*looks, n)))
        ends = [decided(path, side * margin, margin, n)[0] for path in paths for side in (-1, 1)]
        true = [decided(path, 0.0, margin, n) for path in paths]
        found = [often(ends, REPRODUCED), often(ends, REFUSED), often([one for one, _ in true], REPRODUCED)]
        used = np.mean([tasks for _, tasks in true])
        rows.append((n, ", ".join(map(str, looks)) or "none", f"{100 * margin:g}", *found, f"{used:.0f}"))
    head = ("tasks", "looks", "margin", "wrongly reproduced", "wrongly not", "power", "tasks used if true")
    return Section("Verdicts from subsets: size at the margin (5 % allowed)", table(head, rows))


def often(decisions: Sequence[Decision], wanted: Sequence[Decision]) -> str:
    return share(sum(one in wanted for one in decisions) / len(decisions), len(decisions))


def over_paths(bench: Bench, n: int, looks: Sequence[int]) -> Iterator[list[Seen]]:
    """One path of estimates for each left-out submission and sample."""
    for fold, world in enumerate(bench.fits):
        rng = np.random.default_rng((bench.seed, n, fold))
        variables = design.balance(world.items, world.abilities)
        for sample, chance in leftout.samples(world, n, bench.draws, bench.seed + 2):
            order = design.ordered(sample, variables[:, :4] / chance[:, None], rng)
            prefixes = [(order[:m], scaled(world, order[:m], chance, n)) for m in looks]
            for submission in world.out:
                yield [seen(world, *prefix, bench.public.solved[submission]) for prefix in prefixes]


def scaled(world: World, sample: Index, chance: Array, n: int) -> Array:
    """The chances that `Subset.prefix` gives the first tasks of a sample of `n`."""
    found = design.inclusion(world.items, world.abilities, len(sample))
    found[sample] = chance[sample] * len(sample) / n
    return found


def seen(world: World, sample: Index, chance: Array, truth: Array) -> Seen:
    found = leftout.error_of(world, sample, chance, truth, (0, 0))
    return Seen(len(sample), found.error, widened(found.stated, found.value, len(sample)))


def widened(stated: float, rate: float, n: int) -> float:
    """The standard error that a verdict goes by."""
    return VERDICT_WIDENING * stated * shipped(n).at(rate) / Z95


def decided(path: Sequence[Seen], difference: float, margin: float, planned: int) -> tuple[Decision, int]:
    """The first look's decision that is one, and the tasks it took; `difference`: true minus claimed."""
    for count, look in enumerate(path, 1):
        whole = float(1 / look.tasks - 1 / SIZE)
        parts = Accrual(SIZE, look.error**2 / whole, 0.0, 0.0, fixed=True)
        bounds = critical_values(parts.fractions([one.tasks for one in path[:count]], planned))
        found = tost(Estimate(look.off + difference, look.error), margin, critical=bounds[-1])
        if found.decision is not Decision.UNDECIDED:
            return found.decision, look.tasks
    return Decision.UNDECIDED, path[-1].tasks


def subset_misfit(bench: Bench) -> Section:
    """Strong left-out submissions against runs that are worse, better or alike, drawn for the claim's rate."""
    rows = []
    for n, margin in ((50, 0.12), (100, 0.1), (200, 0.07)):
        drawn = dict(near_claims(bench, n))
        for noise in SHARES:
            found = np.array(list(by_submission(bench, n, margin, noise, drawn)))
            means, errors = found.mean(0), found.std(0, ddof=1) / np.sqrt(len(found))
            shown = [percent(float(mean), float(error)) for mean, error in zip(means, errors, strict=True)]
            rows.append((n, f"{100 * margin:g}", f"{noise:g}", *shown))
    head = ("tasks", "margin", "noise share", "reproduced if worse", "if better", "refused", "power")
    return Section(
        "Verdicts from subsets: runs that the model does not describe (5 % allowed)", table(head, rows)
    )


Drawn = Mapping[int, Sequence[tuple[Index, Array]]]
"""For each strong submission, samples drawn for its rate with the chances of all tasks."""


def near_claims(bench: Bench, n: int) -> Iterator[tuple[int, Sequence[tuple[Index, Array]]]]:
    for world in bench.fits:
        for one in world.out:
            rate = float(bench.public.solved[one].mean())
            if rate >= LEAST_RATE:
                yield int(one), list(leftout.samples(world, n, bench.draws, bench.seed + 3, rate))


def by_submission(bench: Bench, n: int, margin: float, noise: float, drawn: Drawn) -> Iterator[list[float]]:
    """For each strong submission: reproduced if worse and if better, refused at worst, reproduced if alike."""
    rng = np.random.default_rng((bench.seed, n, round(100 * noise)))
    for world in bench.fits:
        predicted = irt.predict_all(world.items, world.abilities)
        for one in sorted(drawn.keys() & set(world.out.tolist())):
            row = bench.public.solved[one]
            alike = predicted[np.abs(predicted.mean(1) - row.mean()).argmin()]
            found = Counter(noisy(world, n, margin, with_noise(row, alike, noise), drawn[one], rng))
            total = RUNS * bench.draws
            worse, alike_, better = (found[side, Decision.REPRODUCED] / total for side in (-1, 0, 1))
            refused = max(sum(found[side, one] for one in REFUSED) for side in (-1, 1)) / total
            yield [worse, better, refused, alike_]


def noisy(
    world: World,
    n: int,
    margin: float,
    vendor: Array,
    drawn: Sequence[tuple[Index, Array]],
    rng: np.random.Generator,
) -> Iterator[tuple[int, Decision]]:
    """Verdicts with the side on which our run lies, each sample read by `RUNS` runs."""
    everything = np.ones(len(vendor), bool)
    for sample, chance in drawn:
        for side in [-1, 0, 1] * RUNS:
            ours = (rng.random(len(vendor)) < moved(vendor, everything, side * margin))[sample]
            claimed = round(float((rng.random(len(vendor)) < vendor).mean()), 3)
            found = fitted(world.items, sample, chance, one_run(ours.astype(float)))
            yield side, one_look(found, n, claimed, margin, float(ours.mean()))


def one_look(found: Rate, n: int, claimed: float, margin: float, seen_rate: float) -> Decision:
    """As `difference` does it, with a claim of one run, to one decimal."""
    noise = prior(seen_rate, "swebench-verified").reckoned
    each = noise.variance / (seen_rate * (1 - seen_rate)) / SIZE
    runs = each * (found.value * (1 - found.value) + claimed * (1 - claimed))
    variance = widened(found.error, found.value, n) ** 2 + runs
    difference = Estimate(found.value - claimed, float(np.sqrt(variance)), df_of(variance, runs, noise))
    return tost(difference, margin, rounding=0.0005 + half_attempt(n)).decision


SECTIONS: list[Callable[[Bench], Section]] = [subset_verdicts, subset_misfit]
