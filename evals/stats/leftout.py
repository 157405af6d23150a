"""Public submissions, and what the estimate says of them when they are left out of its fit.

Related submissions leave together: all of one team's scaffold, or all of one family of models, or all after a date.
Read by `fit`, which takes the intervals' multipliers from it, and by `calibrate`, which reports it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evals.stats import design, irt
from evals.stats.estimate import SPLIT, Multiplier, bounded, fitted, one_run
from evals.stats.intervals import Interval
from evals.stats.irt import Abilities, Array, Items
from tasks.errors import UserError
from tasks.untrusted import loads

Index = NDArray[np.intp]

FAMILIES = {
    "claude-4": r"claude-(sonnet-|opus-)?4|sonnet-4|claude-4",
    "claude-3": r"claude-?_?3|sonnet|claude-(2|3)|haiku",
    "gpt-5": r"gpt-?5",
    "openai-o": r"\bo[134]\b|o[134]-|_o1_|o3_",
    "gpt-4": r"gpt-?_?(4|35)",
    "qwen": r"qwen|swe-gpt|skywork|deepswe|entropo",
    "open": r"deepseek|kimi|glm|devstral|llama|mcts",
}
"""Which family a submission belongs to, the first that its models or its id match."""


class Submission(BaseModel):
    """One public result on the whole benchmark; other keys of the file are not used."""

    id: str
    date: str
    scaffold: str
    models: tuple[str, ...]
    resolved_ids: frozenset[str]

    @property
    def team(self) -> str:
        """The scaffold without its version: submissions of one team resemble each other."""
        return re.split(r"[\s(]", self.scaffold.lower())[0]

    @property
    def family(self) -> str:
        text = " ".join([*self.models, self.id]).lower()
        return next((name for name, pattern in FAMILIES.items() if re.search(pattern, text)), "unknown")


class Public(NamedTuple):
    """M submissions on N tasks."""

    ids: tuple[str, ...]
    submissions: tuple[Submission, ...]
    solved: Array
    """(M, N) zeros and ones."""

    @property
    def repositories(self) -> tuple[str, ...]:
        return tuple(name.rsplit("-", 1)[0] for name in self.ids)


class World(NamedTuple):
    """A fit without the submissions `out` (indices into the public ones)."""

    items: Items
    abilities: Abilities
    out: Index


class Error(NamedTuple):
    """One estimate of a left-out submission, in rates."""

    submission: int
    fold: int
    error: float
    """Estimate minus truth."""
    stated: float
    """The standard error before the multiplier."""
    low: float
    high: float
    """What the sample alone leaves possible, minus the truth: see `estimate.bounded`."""
    value: float

    def reach(self, multiplier: Multiplier) -> tuple[float, float]:
        """The interval's ends minus the truth: it covers when they lie on both sides of zero."""
        by = multiplier.at(self.value) * self.stated
        return max(self.error - by, self.low), min(self.error + by, self.high)


def read(path: Path) -> Public:
    """`{"instances": [id, …], "submissions": [{"id", "date", "scaffold", "models", "resolved_ids"}, …]}`."""
    try:
        raw = loads(path.read_bytes())
        ids = tuple(raw["instances"])
        submissions = tuple(Submission.model_validate(row) for row in raw["submissions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no file of public submissions: {type(error).__name__}") from error
    solved = np.array([[name in row.resolved_ids for name in ids] for row in submissions], float)
    return Public(ids, submissions, solved)


def folds(labels: Sequence[str], count: int, seed: int = 0) -> Index:
    """Fold (M,) of each label's members, whole labels together, the largest spread first."""
    names, sizes = np.unique(labels, return_counts=True)
    load, fold_of = np.zeros(count), {}
    rng = np.random.default_rng(seed)
    for index in np.lexsort((rng.random(len(names)), -sizes)):
        fold = int(load.argmin())
        fold_of[str(names[index])] = fold
        load[fold] += sizes[index]
    return np.array([fold_of[label] for label in labels], np.intp)


def worlds(public: Public, fold: Index) -> list[World]:
    """One fit for each fold, without its submissions."""
    return [
        World(*irt.fit(public.solved[fold != k]), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)
    ]


def errors(
    public: Public, fits: Sequence[World], n: int, draws: int, seed: int, first: int | None = None
) -> Iterator[Error]:
    """Each left-out submission estimated from `draws` samples of `n` tasks that its own fit designed.

    With `first`, from the first so many tasks of these samples only.
    """
    for fold, world in enumerate(fits):
        drawn = samples(world, n, draws, seed) if first is None else prefixes(world, n, first, draws, seed)
        for sample, chance in drawn:
            for submission in world.out:
                yield error_of(world, sample, chance, public.solved[submission], (int(submission), fold))


def errors_of_both(public: Public, fits: Sequence[World], n: int, draws: int, seed: int) -> Iterator[Error]:
    """`errors`, and those from samples that were drawn for a submission's own rate, rounded to 5 points."""
    rounded = np.round(20 * public.solved.mean(1)) / 20
    for fold, world in enumerate(fits):
        for near in (None, *np.unique(rounded[world.out]).tolist()):
            out = [one for one in world.out if near in (None, rounded[one])]
            for sample, chance in samples(world, n, draws, seed, near):
                for submission in out:
                    yield error_of(world, sample, chance, public.solved[submission], (int(submission), fold))


def errors_near(public: Public, fits: Sequence[World], n: int, off: float, seed: int) -> Iterator[Error]:
    """Each left-out submission estimated from one sample drawn for its own rate plus `off`, cut to 0–1."""
    for fold, world in enumerate(fits):
        for submission in world.out:
            truth = public.solved[submission]
            near = min(max(float(truth.mean()) + off, 0.0), 1.0)
            for sample, chance in samples(world, n, 1, seed + int(submission), near):
                yield error_of(world, sample, chance, truth, (int(submission), fold))


def error_of(world: World, sample: Index, chance: Array, truth: Array, who: tuple[int, int]) -> Error:
    """The estimate of a known vector of answers (N,) from one sample."""
    answers = one_run(truth[sample])
    rate = fitted(world.items, sample, chance, answers)
    possible = bounded(Interval(0.0, 1.0), answers, len(truth))
    mean = float(truth.mean())
    return Error(*who, rate.value - mean, rate.error, possible.low - mean, possible.high - mean, rate.value)


def samples(
    world: World, n: int, draws: int, seed: int, near: float | None = None
) -> Iterator[tuple[Index, Array]]:
    """Samples of the world's design, with the inclusion probabilities of all tasks; `near`: see `design`."""
    chance = design.inclusion(world.items, world.abilities, n, near)
    variables = design.balance(world.items, world.abilities)
    rng = np.random.default_rng((seed, n, int(world.out[0])))
    for _ in range(draws):
        yield design.draw(chance, variables, rng), chance


def prefixes(world: World, n: int, m: int, draws: int, seed: int) -> Iterator[tuple[Index, Array]]:
    """The first `m` tasks of samples of `n`, with the chances that `Subset.prefix` gives them."""
    variables = design.balance(world.items, world.abilities)
    rng = np.random.default_rng((seed, n, m, int(world.out[0])))
    for sample, drawn in samples(world, n, draws, seed):
        order = design.ordered(sample, variables[:, :4] / drawn[:, None], rng)[:m]
        chance = design.inclusion(world.items, world.abilities, m)
        chance[order] = drawn[order] * m / n
        yield order, chance


LEAST_ON_A_SIDE = 20
"""Submissions: of fewer, a 95 % quantile is chance."""


def multiplier(found: Sequence[Error], level: float = 0.95) -> Multiplier:
    """The conformal quantiles of |error| / stated error below and above `SPLIT`.

    Vovk, Gammerman, Shafer 2005 (by category: their "Mondrian" predictors), here crosswise: each error comes from a fit
    that has not seen its submission. One quantile for all where a side has fewer than `LEAST_ON_A_SIDE`.
    """
    ratios = np.array([abs(one.error) / one.stated for one in found])
    strong = np.array([one.value >= SPLIT for one in found])
    who = np.array([one.submission for one in found])
    sides = (
        ratios[side] if len(np.unique(who[side])) >= LEAST_ON_A_SIDE else ratios for side in (~strong, strong)
    )
    return Multiplier(*(float(np.quantile(side, level)) for side in sides))
