"""Section of `calibrate` about verdicts from subsets: does the test keep its size on left-out submissions, looks included?

The claim is exact and a submission's own run is the truth, so that all of the error is the subset's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evals.calibrate.section import Z95, Bench, Section, share, shipped, table
from evals.record import Decision
from evals.stats import design, leftout
from evals.stats.equivalence import tost
from evals.stats.intervals import Estimate
from evals.stats.irt import Array
from evals.stats.leftout import Index, World
from evals.stats.sequential import Accrual, critical_values

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
    return Seen(len(sample), found.error, found.stated * shipped(len(sample)) / Z95)


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


SECTIONS: list[Callable[[Bench], Section]] = [subset_verdicts]
