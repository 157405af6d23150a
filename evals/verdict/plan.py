"""`asclaimed plan`: how many tasks and attempts a claim takes to decide, and how many hours that is on this server.

Power is the chance to say "reproduced" (or, asked one-sidedly, "at least as claimed") when the claim is true, with the
looks that are recommended and with the attempts that will stay unjudged, for runs as noisy as public ones; a single attempt
at each task has to stand up for noisier ones, too. Not covered: the chance to catch a false claim, which
is at least as high for any difference beyond twice the margin.
"""

from __future__ import annotations

from evals.claims.claim import Claim, folded
from evals.claims.tasks_of import about_tasks, tasks_option
from evals.results.table import Results
from evals.stats.noise import TYPICAL_SHARE, WEAK_BELOW, AttemptNoise, line, prior
from evals.stats.power import (
    Aim,
    Design,
    accrual,
    design,
    least_margin,
    looks_of,
    repeated_df,
    smallest,
)
from evals.stats.sequential import Accrual, critical_values
from evals.verdict.cost import Cost, Pace
from evals.verdict.reference import run_noise
from evals.verdict.ways import Ways, ways_of
from evals.verdict.words import points
from tasks.errors import UserError
from tasks.task import Frozen

ENDLESS = 10_000
"""Attempts that stand for "as many as you like"."""
LOOKS = (0.2, 0.4, 0.6, 0.8, 1.0)
LEAST_MARGIN = 0.0001
"""Nobody publishes finer."""
EDITORS = ("edit", "strreplace", "stringreplace", "sweagent", "openhands", "claudecode", "droid", "kimicode")
"""Words of a scaffold whose agent has a tool to edit files, as our `edit` does."""
NAMED = {
    "oneshot": "oneshot",
    "agentless": "localize",
    "terminus": "base-text",
    "minisweagent": "bash",
    "bashonly": "bash",
    "opencode": "opencode",
}
"""Words of a scaffold, and ours that is like it."""
REPEATED = 60
"""Tasks of a benchmark to try twice where its run noise is worth measuring."""
TOKENS_PER_ATTEMPT = 25_000
"""Completion tokens of one attempt, when no run is at hand to measure it on; an agent's usual order of size."""


class Choice(Frozen):
    """One way to run it. `error` and `power` as points and fraction."""

    tasks: int
    attempts: int
    subset: bool
    """Drawn by `asclaimed subset`, not the whole benchmark or a plain sample."""
    error: float
    power: float
    least_power: float
    """Where the runs are as noisy as a verdict has to reckon with."""
    tokens: int
    hours: float | None
    """None when the server's speed is not known."""
    repeated: int = 0
    """Tasks that get one attempt more, to measure the run noise."""


class Asked(Frozen):
    """What a plan is about. Points, not fractions."""

    claim: str
    claimed: float
    margin: float
    power: float
    alpha: float
    unjudged: float
    """Share of attempts that are expected to stay without a verdict, in percent."""
    tasks_name: str
    """What `--tasks` takes."""
    tasks_from: str
    """Where they come from, or what is missing."""
    tasks: int
    """Of the whole benchmark."""
    scaffold: str
    """Ours that is nearest to the claim's."""


class PowerPlan(Asked):
    """What it takes to decide a claim. Points, not fractions."""

    noise: str
    chosen: Choice | None
    """The fewest attempts that reach the power; None when nothing does."""
    at_least: Choice | None
    """The same for the one-sided question: is it at least the claim less the margin?"""
    partly: Choice | None
    """One attempt at every task and a second at some, where that takes fewer than `chosen` if the noise, once measured, is
    no more than usual; None where the noise to expect is known well enough."""
    options: tuple[Choice, ...]
    """Whole benchmark, with 1, 2, 3, … attempts; subsets, where they can be drawn, with one."""
    least_margin: float
    """The narrowest margin that any number of our attempts could confirm with this power."""
    looks: tuple[int, ...]
    """Numbers of tasks at which to look, for `--looks`; the last is all that are run."""
    critical: tuple[float, ...]
    """z at these looks (1.645 without looking)."""
    pace: Pace | None = None
    """What the hours were reckoned from, where the server was looked at."""


def plan(
    claim: Claim,
    *,
    margin: float,
    power: float = 0.8,
    alpha: float = 0.05,
    unjudged: float = 0.0,
    tokens_per_second: float | None = None,
    pace: Pace | None = None,
    measured: Results | None = None,
) -> PowerPlan:
    """The power plan of a claim. `margin` and `unjudged` as fractions; `measured`: a pilot run for noise and tokens.

    `pace`: what the server was measured to do, for the hours.

    Raises `UserError` for a claim without percentage, or without any n to go by.
    """
    rate, whole = basics(claim, margin, power, unjudged)
    noise = noise_of(claim, rate, measured)
    aim = Aim(margin, alpha, claim.rounding, (unjudged * rate, unjudged * (1 - rate)), looks=LOOKS[:-1])
    ways = ways_of(claim, rate, whole, noise)
    cost = Cost(tokens_per_attempt(measured), tokens_per_second, pace)
    best, options = decide(ways, aim, noise, power, cost, whole)
    sided, _ = decide(ways, aim._replace(at_least=True), noise, power, cost, whole)
    partly = None if measured else repeated_in_part(claim, rate, whole, aim, cost)
    looks, critical = planned_looks(ways, best, whole, alpha)
    return PowerPlan(
        **dict(asked(claim, rate, whole, aim, power, unjudged)),
        noise=noise.reckoned.basis,
        chosen=best,
        at_least=sided,
        partly=partly if partly and partly.power >= power and cheaper(partly, best) else None,
        options=options,
        least_margin=narrowest(claim, rate, whole, noise, power, alpha),
        looks=looks,
        critical=critical,
        pace=pace,
    )


def asked(claim: Claim, rate: float, whole: int, aim: Aim, power: float, unjudged: float) -> Asked:
    return Asked(
        claim=claim.id,
        claimed=points(rate),
        margin=points(aim.margin),
        power=power,
        alpha=aim.alpha,
        unjudged=points(unjudged),
        tasks_name=tasks_option(claim.benchmark),
        tasks_from=about_tasks(claim.benchmark),
        tasks=whole,
        scaffold=scaffold_like(claim),
    )


def decide(
    ways: Ways, aim: Aim, noise: AttemptNoise, power: float, cost: Cost, whole: int
) -> tuple[Choice | None, tuple[Choice, ...]]:
    """The way with the fewest attempts that reaches `power`, and the ways worth showing."""
    drawn = [way.design(aim, noise) for way in ways.drawn]
    plain = [way.design(aim, noise) for way in ways.plain]
    best = smallest([*drawn, *plain], power)
    chosen = choice(best, cost, subset=any(one is best for one in drawn)) if best else None
    shown = (
        *(choice(one, cost, subset=True) for one in drawn),
        *(choice(one, cost, subset=False) for one in plain if one.tasks == whole),
    )
    return chosen, shown


def narrowest(
    claim: Claim, rate: float, whole: int, noise: AttemptNoise, power: float, alpha: float
) -> float:
    """The margin, in points, that attempts without end at the whole benchmark could just confirm."""
    endless = accrual(rate, whole, ENDLESS, claim.protocol.runs or 1, whole, noise)
    return round(100 * (least_margin(endless, whole, power, alpha) + claim.rounding), 2)


def planned_looks(
    ways: Ways, best: Choice | None, whole: int, alpha: float
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Numbers of tasks at which to look, and z at each; an undecidable claim gets those of the whole benchmark."""
    looks = looks_of(best.tasks if best else whole, LOOKS)
    *_, most = ways.plain
    parts = parts_of(ways, best) if best else most.parts
    return looks, tuple(round(z, 3) for z in critical_values(parts.fractions(looks, looks[-1]), alpha))


def repeated_in_part(claim: Claim, rate: float, whole: int, aim: Aim, cost: Cost) -> Choice | None:
    """One attempt at every task and a second at `REPEATED`, with the noise that is usual: the verdict then reckons with it."""
    fitted_line = line(claim.benchmark)
    if (rate < WEAK_BELOW and not fitted_line) or whole <= REPEATED:
        return None
    share = fitted_line.share(rate) if fitted_line else TYPICAL_SHARE
    variance = share * rate * (1 - rate)
    usual = AttemptNoise(variance, "usual", repeated_df(variance, REPEATED, 2))
    parts = accrual(rate, whole, 1, claim.protocol.runs or 1, whole, usual)
    more = (whole + REPEATED) / whole
    found = choice(design(parts, whole, 1, aim, usual), cost._replace(more=more), subset=False)
    return found.model_copy(update={"repeated": REPEATED})


def cheaper(one: Choice, other: Choice | None) -> bool:
    return other is None or one.tasks * one.attempts + one.repeated < other.tasks * other.attempts


def parts_of(ways: Ways, best: Choice) -> Accrual:
    """The parts of a choice's error."""
    among = ways.drawn if best.subset else ways.plain
    return next(way.parts for way in among if (way.tasks, way.attempts) == (best.tasks, best.attempts))


def scaffold_like(claim: Claim) -> str:
    """Ours that is nearest to what the claim says of its scaffold: one that it names, or one with the same tools."""
    if not claim.agentic:
        return "oneshot"
    text = folded(claim.protocol.scaffold or "")
    if named := [ours for word, ours in NAMED.items() if word in text]:
        return named[0]
    return "edit" if any(word in text for word in EDITORS) else "bash"


def basics(claim: Claim, margin: float, power: float, unjudged: float) -> tuple[float, int]:
    """Claimed rate and number of tasks, or a refusal that says why."""
    if claim.rate is None:
        raise UserError(f"{claim.id} states no percentage, so there is nothing to plan")
    if claim.tasks_assumed is None:
        raise UserError(
            f"{claim.id} gives no n and {claim.benchmark} has no known size: use a claim file with n_tasks; "
            f"{about_tasks(claim.benchmark)}"
        )
    if not LEAST_MARGIN <= margin < 1 or not 0 < power < 1:
        raise UserError(
            f"a margin lies between {100 * LEAST_MARGIN:g} and 100 points, a power between 0 and 1"
        )
    if not 0 <= unjudged < 1:
        raise UserError("a share of unjudged attempts lies between 0 and 100 percent")
    return claim.rate, claim.tasks_assumed


def choice(one: Design, cost: Cost, *, subset: bool) -> Choice:
    hours = cost.hours(one.tasks * one.attempts)
    return Choice(
        tasks=one.tasks,
        attempts=one.attempts,
        subset=subset,
        error=round(100 * one.error, 3),
        power=round(one.power, 4),
        least_power=round(one.least, 4),
        tokens=cost.used(one.tasks * one.attempts),
        hours=None if hours is None else round(hours, 1),
    )


def noise_of(claim: Claim, rate: float, measured: Results | None) -> AttemptNoise:
    """Noise of one attempt, and where it comes from."""
    if measured is None:
        return prior(rate, claim.benchmark)
    return run_noise(measured, measured.table())


def tokens_per_attempt(measured: Results | None) -> int:
    """Completion tokens of one attempt: a pilot run's mean, or the usual order of size."""
    used = [row.tokens_out for row in measured.rows if row.tokens_out] if measured else []
    return round(sum(used) / len(used)) if used else TOKENS_PER_ATTEMPT
