"""`asclaimed verify`, `plan` and `compare`: what can be said of a claim, what it takes, how systems differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.options import JsonOption
from evals.commands.output import print_json

if TYPE_CHECKING:
    from evals.results.table import Results
    from evals.verdict.cost import Pace
    from evals.verdict.measure import Estimand
    from evals.verdict.verify import Verdict

ClaimArgument = Annotated[str, typer.Argument(metavar="CLAIM", help="An id, FILE.yaml, or FILE.yaml:ID.")]
RunsArgument = Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run directories.")]
EstimandOption = Annotated[
    str, typer.Option(help="fixed: these tasks only; like-these: repositories are a sample.")
]


def verify(
    claim: ClaimArgument,
    runs: RunsArgument,
    estimand: EstimandOption = "fixed",
    margin: Annotated[
        float | None, typer.Option(help="In points, where the run fixed none; the verdict says so.")
    ] = None,
    scaffold: Annotated[str | None, typer.Option(help="Only this scaffold of the runs.")] = None,
    at_least: Annotated[
        bool, typer.Option("--at-least", help="Ask only whether it is at least the claim less the margin.")
    ] = False,
    same_model_as: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's model under this name is the claim's model.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a claim is reproduced, exceeded, not reproduced under this protocol, or undecided."""
    from evals.claims.catalog import find
    from evals.verdict.scaffold_range import scaffold_range
    from evals.verdict.verify import verify as decide

    found, results = find(claim), measured(runs, scaffold)
    chosen = None if margin is None else margin / 100
    verdicts = [
        decide(
            found,
            results.of(system),
            margin=chosen,
            estimand=estimand_named(estimand),
            at_least=at_least,
            same_model_as=same_model_as,
        )
        for system in results.systems
    ]
    if as_json:
        print_json([verdict.model_dump(mode="json") for verdict in verdicts])
    else:
        over = scaffold_range(found, results, same_model_as)
        print_verdicts(verdicts, over.line if over else "")


def print_verdicts(verdicts: list[Verdict], over_scaffolds: str) -> None:
    """For people: what all scaffolds together say first, where there are several."""
    from evals.report.text import plain
    from evals.report.verdict_text import verdict_lines

    if over_scaffolds:
        typer.echo(f"{plain(over_scaffolds, 600)}\n")
    typer.echo("\n\n".join("\n".join(verdict_lines(verdict)) for verdict in verdicts))


def plan(
    claim: ClaimArgument,
    margin: Annotated[float, typer.Option(help="Equivalence margin in points.")] = 5.0,
    power: Annotated[float, typer.Option(help="Chance to confirm a true claim.")] = 0.8,
    unjudged: Annotated[
        float,
        typer.Option(min=0, max=99, help="Percent of attempts that you expect to stay without a verdict."),
    ] = 0.0,
    tokens_per_s: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1e7, help="Completion tokens a second of your server, all workers together."
        ),
    ] = None,
    doctor: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What `asclaimed doctor --base-url URL --json` printed, for the hours."
        ),
    ] = None,
    pilot: Annotated[
        Path | None, typer.Option(help="A run directory to measure noise, tokens and speed on.")
    ] = None,
    scaffold: Annotated[
        str | None, typer.Option(help="Only this scaffold of the pilot; needed where it has several.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how many tasks and attempts a verdict on a claim takes, and how many hours."""
    from evals.claims.catalog import find
    from evals.report.verdict_text import plan_lines
    from evals.verdict.plan import plan as power_plan
    from tasks.errors import UserError

    if doctor and (pilot or tokens_per_s):
        raise UserError(
            "--doctor, --pilot and --tokens-per-s each say how fast the server is: give one of them"
        )
    results = one_system(pilot, scaffold) if pilot else None
    if results and tokens_per_s is None:
        tokens_per_s = results.tokens_per_second
    found = power_plan(
        find(claim),
        margin=margin / 100,
        power=power,
        unjudged=unjudged / 100,
        tokens_per_second=tokens_per_s,
        pace=pace_of(doctor) if doctor else None,
        measured=results,
    )
    typer.echo(found.model_dump_json(indent=1) if as_json else "\n".join(plan_lines(found, claim)))


def pace_of(file: Path) -> Pace:
    """Hours of an attempt on the server that doctor looked at. Raises `UserError` for a file that does not tell."""
    from functools import partial

    from pydantic import ValidationError

    from evals.serve.doctor.finding import IDEAL_SHARE, Examination, hours
    from evals.verdict.cost import THINKING, Pace
    from tasks.errors import UserError

    try:
        found = Examination.model_validate_json(file.read_bytes())
    except ValidationError:
        raise UserError(f"{file} is not what `asclaimed doctor --base-url URL --json` prints") from None
    measured, best = found.measured, found.measured.best
    if not (measured.prefill and best and measured.hit_share is not None):
        raise UserError(
            f"{file} has no speeds: let doctor look again while nothing else uses the server, or --thorough"
        )
    share = measured.hit_share
    each = partial(hours, tasks=1, prefill=measured.prefill, decode=best.tokens_per_second)
    return Pace(
        server=f"doctor's look at {found.server.base_url}: reads {measured.prefill:,.0f} tokens a second, writes "
        f"{best.tokens_per_second:,.0f} at {best.at_once} at once, need not read {share:.0%} of a growing conversation again",
        hit_share=share,
        hours=each(hit_share=share),
        cached=each(hit_share=max(share, IDEAL_SHARE)),
        thinking=each(hit_share=share, output=THINKING),
    )


def compare(
    runs: RunsArgument,
    by: Annotated[str, typer.Option(help="scaffold, model, run, or all pairs.")] = "scaffold",
    estimand: EstimandOption = "fixed",
    as_json: JsonOption = False,
) -> None:
    """Set systems side by side on the tasks that they share."""
    from evals.report.verdict_text import comparison_lines
    from evals.results.load import labelled
    from evals.verdict.compare import By
    from evals.verdict.compare import compare as compare_results
    from tasks.errors import UserError

    if by not in set(By):
        raise UserError(f"--by {by}: choose from {', '.join(By)}")
    results = labelled(runs) if by == By.RUN else measured(runs, None)
    found = compare_results(results, By(by), estimand=estimand_named(estimand))
    typer.echo(found.model_dump_json(indent=1) if as_json else "\n".join(comparison_lines(found)))


def one_system(pilot: Path, scaffold: str | None) -> Results:
    """Noise and speed are of one scaffold. Raises `UserError` where the pilot leaves it open."""
    from tasks.errors import UserError

    found = measured([pilot], scaffold)
    if len(found.systems) > 1:
        names = ", ".join(system.scaffold for system in found.systems)
        raise UserError(f"{pilot} has several scaffolds, choose one with --scaffold: {names}")
    return found


def measured(runs: list[Path], scaffold: str | None) -> Results:
    """The runs as one table; with `scaffold`, only its attempts."""
    from evals.results.load import from_run_dirs
    from tasks.errors import UserError

    results = from_run_dirs(runs)
    if not results.systems:
        raise UserError(f"{results.source}: there is not one task in it, so there is no rate")
    if scaffold is None:
        return results
    wanted = [system for system in results.systems if system.scaffold == scaffold]
    if not wanted:
        names = ", ".join(system.scaffold for system in results.systems)
        raise UserError(f"no scaffold {scaffold!r} in these runs; there are: {names}")
    return results.of(wanted[0])


def estimand_named(name: str) -> Estimand:
    from evals.verdict.measure import Estimand
    from tasks.errors import UserError

    if name not in set(Estimand):
        raise UserError(f"--estimand {name}: choose from {', '.join(Estimand)}")
    return Estimand(name)
