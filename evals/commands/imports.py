"""`asclaimed import`: results of others become a run directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands.options import JsonOption
from evals.commands.output import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evals.imports.batch import Batch
    from evals.run.manifest import Manifest


def import_results(
    kind: Annotated[
        str, typer.Argument(help="auto, report, resolved, predictions, harbor, mini or swe-agent.")
    ],
    path: Annotated[Path, typer.Argument(help="A file or a directory.")],
    out: Annotated[Path, typer.Option(help="The run directory to write.")],
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="The tasks that were to be solved: a benchmark, its rows, or a .txt file of ids (NAME=PATH names it).",
        ),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Its name, which a claim is compared with; from --tasks if not given.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name the model, or choose one of several.")] = None,
    scaffold: Annotated[str | None, typer.Option(help="Name the scaffold, or choose one of several.")] = None,
    subset: Annotated[
        Path | None,
        typer.Option(help="What `asclaimed subset --json` printed, if these are results on a subset."),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="A report or list of resolved ids that judges these attempts.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import results of others, so that report, compare and verify work on them. Nothing is graded."""
    from evals.imports.detect import read
    from evals.imports.staging import refuse_used
    from evals.imports.write import ImportOptions, write_run

    refuse_used(out, out.resolve())
    batch = read(kind, path, verdicts)
    manifest, left_out = write_run(out, path, batch, ImportOptions(tasks, benchmark, model, scaffold, subset))
    if as_json:
        print_json(as_document(out, batch, manifest, left_out))
    else:
        print_import(out, batch, manifest, left_out)


def as_document(out: Path, batch: Batch, manifest: Manifest, left_out: Sequence[str]) -> dict[str, Any]:
    return {
        "run": str(out),
        "kind": batch.kind,
        "model": manifest.model_name,
        "benchmark": manifest.benchmark,
        "scaffolds": manifest.plan.scaffolds,
        "tasks": len(manifest.tasks),
        "notes": batch.notes,
        "left_out": left_out,
    }


def print_import(out: Path, batch: Batch, manifest: Manifest, left_out: Sequence[str]) -> None:
    """For people: one line of what it is, after what they must know of it (on stderr)."""
    from evals.report.text import plain

    for line in (*batch.notes, *left_out[:20]):
        typer.echo(f"note: {plain(line)}", err=True)
    if len(left_out) > 20:
        typer.echo(f"note: {len(left_out) - 20} more left out", err=True)
    systems = ", ".join(manifest.plan.scaffolds[:5]) + (", …" if len(manifest.plan.scaffolds) > 5 else "")
    typer.echo(
        f"{out}: {plain(manifest.model_name)} with {plain(systems)} on {len(manifest.tasks)} tasks of "
        f"{plain(manifest.benchmark)}, imported from {plain(batch.kind)}"
    )
