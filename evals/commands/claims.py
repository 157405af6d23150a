"""`asclaimed claims`: what vendors say, and how far the words were traced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.options import JsonOption

if TYPE_CHECKING:
    from evals.claims.claim import Claim

app = typer.Typer(help="What vendors claim.", no_args_is_help=True)

ModelOption = Annotated[str | None, typer.Option("--model", help="Only models with this in their name.")]
BenchmarkOption = Annotated[
    str | None,
    typer.Option("--benchmark", help="Only this benchmark: swe-bench-verified, terminal-bench-2.0, …"),
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A claims file in YAML.")]


@app.callback()
def group() -> None:
    """What vendors claim."""


@app.command("list")
def list_claims(
    model: ModelOption = None, benchmark: BenchmarkOption = None, as_json: JsonOption = False
) -> None:
    """List the claims that travel with asclaimed."""
    from evals.claims.catalog import matching, shipped
    from tasks.errors import UserError

    found = matching(shipped(), model, benchmark)
    if not found:
        raise UserError("no claim is on such a model and benchmark: `asclaimed claims list` shows all")
    show(found, as_json)


@app.command("show")
def show_claim(
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="An id, FILE.yaml, or FILE.yaml:ID.")],
    as_json: JsonOption = False,
) -> None:
    """Show one claim, with its protocol and with what nobody stated."""
    from evals.claims.catalog import find

    found = find(claim)
    typer.echo(found.model_dump_json(indent=1) if as_json else "\n".join(described(found)))


@app.command("check")
def check_file(file: FileArgument, as_json: JsonOption = False) -> None:
    """Read a claims file of your own and say what is wrong with it, or list what it holds."""
    from evals.claims.catalog import read

    show(list(read(file)), as_json)


def show(claims: list[Claim], as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(
            json.dumps([claim.model_dump(mode="json") for claim in claims], indent=1, ensure_ascii=False)
        )
        return
    width = max((len(claim.id) for claim in claims), default=0)
    for claim in claims:
        typer.echo(f"{claim.id:<{width}}  {number(claim):>9}  {claim.status.value:<12}  {claimant(claim)}")
    typer.echo(f"{len(claims)} claim" + "s" * (len(claims) != 1))


def number(claim: Claim) -> str:
    return "–" if claim.score is None else f"{claim.score} {claim.unit}"


def claimant(claim: Claim) -> str:
    from evals.report.text import plain

    who = claim.claimed_by if claim.party.value == "vendor" else f"{claim.claimed_by} ({claim.party.value})"
    return plain(f"{who}, {claim.source.date or 'no date'}")


def described(claim: Claim) -> list[str]:
    """Every field in one line each; the protocol's unknowns are named, not left out."""
    from evals.claims.tasks_of import about_tasks
    from evals.report.text import plain

    values = claim.model_dump(mode="json", exclude={"protocol", "source"}, exclude_none=True)
    lines = [f"{key}: {plain(value, 400)}" for key, value in values.items()]
    lines.append(f"source: {plain(claim.source.title, 400)} ({claim.source.date or 'no date'})")
    protocol = claim.protocol.model_dump(mode="json")
    lines += [f"protocol.{key}: {plain(value, 400)}" for key, value in protocol.items() if value is not None]
    lines.append(f"tasks: {about_tasks(claim.benchmark)}")
    lines.append("not stated: " + (", ".join(k for k, v in protocol.items() if v is None) or "nothing"))
    return lines
