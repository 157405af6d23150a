"""Verdicts, plans and comparisons as lines for a terminal. Everything from a model or a task passes `plain`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evals.report.text import counted, plain

if TYPE_CHECKING:
    from evals.verdict.compare import Comparison, Crossed, Pair
    from evals.verdict.cost import Pace
    from evals.verdict.plan import Choice, PowerPlan
    from evals.verdict.verify import Line, Verdict

SIGNS = {"match": "=", "mismatch": "≠", "unknown": "?"}


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """The headline first, then what it stands on, then what speaks against reading too much into it."""
    yield f"{plain(verdict.claim)}   {plain(verdict.system)}"
    yield f"as claimed {verdict.claimed:.1f} %   as measured {verdict.measured:.1f} %   → {headline(verdict)}"
    yield plain(verdict.certain.line, 400)
    yield plain(verdict.reason, 400)
    if verdict.scaffold_share:
        yield plain(verdict.scaffold_share, 600)
    if verdict.carried:
        yield plain(verdict.carried, 400)
    if verdict.retry_first:
        yield retry(verdict.retry_first)
    low, high = verdict.interval
    when = "fixed before the run" if verdict.margin_fixed_before else "chosen afterwards"
    asked = f"at least the claim − {verdict.margin:g}" if verdict.at_least else f"margin ±{verdict.margin:g}"
    yield f"difference {verdict.difference:+.1f} points, 90 % interval {low:+.1f} to {high:+.1f}, {asked} ({when})"
    yield f"estimand: {verdict.estimand}; " + "; ".join(verdict.basis)
    yield ""
    yield from table(
        ("reading", "tasks", "claim", "rate", "difference", "90 % interval", "alone it would be"),
        [reading(line) for line in (*verdict.bounds, *verdict.sensitivity)],
    )
    yield ""
    yield from table(
        ("protocol", "", "claim", "run"),
        [(p.name, SIGNS[p.match], plain(p.claimed, 60), plain(p.measured, 40)) for p in verdict.protocol],
    )
    yield from (f"note: {plain(limit, 400)}" for limit in verdict.limits)


def headline(verdict: Verdict) -> str:
    """The decision; a vendor's own public run that agrees with its own claim is called that."""
    decision = verdict.decision.upper()
    return (
        f"{decision} BY THE VENDOR'S OWN PUBLIC RUN, which the claim was made from"
        if verdict.own_run
        else decision
    )


def retry(attempts: int) -> str:
    """What to do before anything else about attempts that were not judged."""
    return (
        f"retry {counted(attempts, 'attempt')} first that {'was' if attempts == 1 else 'were'} not judged: "
        "the run's own command again, with --retry-unjudged"
    )


def reading(line: Line) -> tuple[str, ...]:
    interval = f"{line.low:+.1f} to {line.high:+.1f}"
    return (
        line.name,
        str(line.tasks),
        f"{line.claimed:.1f}",
        f"{line.rate:.1f}",
        f"{line.difference:+.1f}",
        interval,
        line.decision.value,
    )


def plan_lines(found: PowerPlan, claim: str) -> Iterator[str]:
    """What to run, then the alternatives. `claim` as the reader named it."""
    open_ = f", {found.unjudged:g} % of attempts not judged" if found.unjudged else ""
    yield f"{found.claim}: {found.claimed:g} % claimed, margin ±{found.margin:g} points, power {found.power:.0%}{open_}"
    if "=" in found.tasks_name:
        yield f"tasks: {found.tasks_from}"
    if found.chosen:
        yield f"is it the same? run {described(found.chosen)}:"
        yield from (f"    {line}" for line in commands(found, found.chosen, claim))
    else:
        yield f"no number of attempts confirms this claim at ±{found.margin:g} points: the claim's own noise is too great"
    if found.partly:
        yield from partly_lines(found, found.partly, claim)
    if found.at_least:
        yield f"is it at least {found.claimed - found.margin:g} %? run {described(found.at_least)}, and `asclaimed verify --at-least`"
    yield f"narrowest margin that can be confirmed with this power: ±{found.least_margin:g} points"
    yield f"noise: {found.noise}"
    if found.options and found.options[0].hours is None:
        yield "hours: give --doctor FILE (made by `asclaimed doctor --base-url URL --json`), --pilot RUN or --tokens-per-s"
    if found.pace:
        yield from pace_lines(found, found.pace)
    looks = ", ".join(f"{n} (z {z:g})" for n, z in zip(found.looks, found.critical, strict=True))
    yield f"looks: {looks}"
    yield "power: for runs as noisy as public ones; at worst: for runs as noisy as a verdict has to reckon with"
    yield ""
    yield from table(
        ("tasks", "attempts", "error", "power", "at worst", "hours"),
        [
            (
                f"{c.tasks} (subset)" if c.subset else str(c.tasks),
                str(c.attempts),
                f"{c.error:.2f}",
                f"{c.power:.0%}",
                f"{c.least_power:.0%}",
                "–" if c.hours is None else f"{c.hours:g}",
            )
            for c in found.options
        ],
    )


def pace_lines(found: PowerPlan, pace: Pace) -> Iterator[str]:
    """Where the hours come from, and what would save some."""
    yield (
        f"hours by {plain(pace.server, 300)}; an attempt as public ones: 60 steps of 400 tokens, in a history of 25,000: "
        f"{60 * pace.hours:.3g} min of the server (of 1,000 tokens, where the model thinks: {60 * pace.thinking:.3g} min)"
    )
    if not found.chosen:
        return
    attempts, saved = found.chosen.tasks * found.chosen.attempts, pace.hours - pace.cached
    if saved > 0:
        yield (
            f"a prefix cache that hits 95 % (here {pace.hit_share:.0%}) would save {attempts * saved:,.1f} of "
            f"{attempts * pace.hours:,.1f} hours: `asclaimed doctor --base-url URL` names the setting"
        )
    whole = min(
        (c.tasks * c.attempts for c in found.options if not c.subset and c.power >= found.power), default=0
    )
    if found.chosen.subset and whole:
        yield f"the subset saves {(whole - attempts) * pace.hours:,.1f} hours against {whole:,} attempts at all tasks"


def partly_lines(found: PowerPlan, partly: Choice, claim: str) -> Iterator[str]:
    """Two runs that `verify` reads as one."""
    yield (
        f"or, if the run noise is no more than usual: {partly.tasks} tasks × 1 attempt, and a second at "
        f"{partly.repeated} of them, which measures it{hours(partly)} (power {partly.power:.0%}):"
    )
    rest = f"--margin {found.margin:g} --attempts 1 --scaffold {found.scaffold} --base-url URL --model NAME --out"
    tasks = f"asclaimed run --tasks {found.tasks_name}"
    yield f"    {tasks} {rest} runs/mine"
    yield f"    {tasks} --sample {partly.repeated} {rest} runs/again"
    yield f"    asclaimed verify {shlex.quote(claim)} runs/mine runs/again"


def described(choice: Choice) -> str:
    kind = f"a subset of {choice.tasks}" if choice.subset else f"{choice.tasks}"
    return f"{kind} tasks × {counted(choice.attempts, 'attempt')}{hours(choice)}"


def commands(found: PowerPlan, chosen: Choice, claim: str) -> Iterator[str]:
    """What to type, in a shell."""
    options = [f"--claim {shlex.quote(claim)}", f"--margin {found.margin:g}"]
    if chosen.subset:
        drawn = f"--n {chosen.tasks} --near {found.claimed:g} --seed 0 --json"
        yield f"asclaimed subset {found.tasks_name} {drawn} > subset.json"
        options.append("--subset subset.json")
    elif chosen.tasks < found.tasks:
        options.append(f"--sample {chosen.tasks}")
    if early := ",".join(str(look) for look in found.looks[:-1]):
        options.append(f"--looks {early}")
    yield (
        f"asclaimed run --tasks {found.tasks_name} {' '.join(options)} --attempts {chosen.attempts} "
        f"--scaffold {found.scaffold} --base-url URL --model NAME --out runs/mine"
    )


def hours(choice: Choice) -> str:
    return "" if choice.hours is None else f", about {choice.hours:g} hours"


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Systems, pairs, where differences come from, and what a complete table adds."""
    yield f"{plain(found.benchmark)}, by {found.by}; estimand: {found.estimand}"
    yield from table(
        ("system", "tasks", "rate", "95 %", "bounds", "tokens", "not solved because"),
        [
            (
                plain(one.system, 60),
                str(one.tasks),
                f"{one.rate:.1f}",
                f"{one.low:.1f}–{one.high:.1f}",
                f"{one.worst:.1f}–{one.best:.1f}",
                f"{one.tokens:,}",
                causes(one.failures),
            )
            for one in found.systems
        ],
    )
    for pair in found.pairs:
        yield ""
        yield from pair_lines(pair)
    for group, p in found.cochran.items():
        yield f"Cochran's Q, {plain(group, 60)}: p = {p:.2g}"
    if found.crossed:
        yield ""
        yield from crossed_lines(found.crossed)
    yield from (f"note: {plain(limit, 400)}" for limit in found.limits)


def pair_lines(pair: Pair) -> Iterator[str]:
    first, second = plain(pair.first, 60), plain(pair.second, 60)
    yield f"{first} − {second}: {pair.difference:+.1f} points, 95 % {pair.low:+.1f} to {pair.high:+.1f} ({counted(pair.tasks, 'task')})"
    if pair.factors is not None and pair.first != pair.second:
        yield f"  the scaffolds differ in: {plain('; '.join(pair.factors) or 'nothing', 600)}"
    adjusted = (
        "" if pair.p is None or pair.p_holm is None else f", p = {pair.p:.2g}, adjusted {pair.p_holm:.2g}"
    )
    yield f"  better at {pair.only_first}, worse at {counted(pair.only_second, 'task')}{adjusted}; with all that is open: {pair.worst:+.1f} to {pair.best:+.1f}"
    if pair.only_first:
        yield f"  where the first is better, the second failed by: {causes(pair.second_failed_by)}"
    if pair.only_second:
        yield f"  where the second is better, the first failed by: {causes(pair.first_failed_by)}"


def crossed_lines(found: Crossed) -> Iterator[str]:
    yield f"{counted(found.models, 'model')} × {counted(found.scaffolds, 'scaffold')} × {counted(found.tasks, 'task')}; run noise: {found.noise}"
    for one in found.over_scaffolds:
        yield f"  best minus worst scaffold, {plain(one.name, 60)}: {one.value:.1f} points, 95 % {one.low:.1f} to {one.high:.1f}"
    if moves := found.gap_moves:
        yield f"  the gap between two models moves with the scaffold by up to {moves.value:.1f} points, 95 % {moves.low:.1f} to {moves.high:.1f}"
    yield "  variance of one attempt: " + ", ".join(
        f"{name} {share:.1%}" for name, share in found.variance.items()
    )


def causes(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned columns, two spaces apart."""
    widths = [max(len(row[place]) for row in (head, *rows)) for place in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
