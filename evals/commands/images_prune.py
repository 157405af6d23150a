"""`asclaimed images prune`: removes images that asclaimed pulled; others only of tasks that are named for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands import output
from evals.commands.cache import size
from evals.commands.options import JsonOption, MirrorOption, ProScriptsOption

if TYPE_CHECKING:
    from tasks.docker.pulled import Leftover
    from tasks.task import ImageSpec


def prune_images(
    older_than: Annotated[
        float, typer.Option(min=0, help="Only what came more than so many days ago.", metavar="DAYS")
    ] = 0.0,
    earlier: Annotated[
        str | None,
        typer.Option(
            help="Also images of these tasks that asclaimed did not pull, if a registry still has the very same. "
            "None with --older-than: nobody knows when they came.",
            metavar="NAME|PATH",
        ),
    ] = None,
    pro_scripts: ProScriptsOption = None,
    registry_mirror: MirrorOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove images that asclaimed pulled, with their cleaned copies, and copies whose image is gone; never others,
    but those of tasks that --earlier names."""
    from tasks.docker.earlier import NOWHERE, can_return
    from tasks.docker.pulled import at_work, drop, leftovers

    asked = earlier_images(earlier, pro_scripts, registry_mirror or ()) if earlier else {}
    old = [one for one in (*leftovers(), *asked) if one.days >= older_than]
    kept = {one: NOWHERE for one in old if one in asked and not can_return(asked[one], one.id)}
    kept |= dict.fromkeys(at_work(old), "a run has a container of it")
    kept |= {one: why for one in old if one not in kept and not dry_run and (why := drop(one))}
    freed = sum(one.bytes for one in old if one not in kept)
    if as_json:
        output.print_json([leftover_document(one, kept, dry_run=dry_run) for one in old])
        return
    for line in leftover_lines(old, kept):
        typer.echo(line)
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} {len(old) - len(kept)}, {size(freed)} that no other image shared"
    )


def earlier_images(tasks: str, pro_scripts: Path | None, mirrors: Sequence[str]) -> dict[Leftover, ImageSpec]:
    """Images of these tasks that are here and that asclaimed did not pull."""
    from tasks import catalog
    from tasks.docker.earlier import earlier
    from tasks.mirrors import mirrored

    return {
        one: spec for spec, one in earlier(mirrored(catalog.load(tasks, pro_scripts=pro_scripts), mirrors))
    }


def leftover_document(one: Leftover, kept: dict[Leftover, str], *, dry_run: bool) -> dict[str, object]:
    return {**one._asdict(), "removed": not dry_run and one not in kept, "kept": kept.get(one)}


def leftover_lines(old: list[Leftover], kept: dict[Leftover, str]) -> Iterator[str]:
    from evals.report.text import plain

    for one in old:
        name = one.references[0] if one.references else f"{one.copies[0]} (its image is gone)"
        note = f"  KEPT: {plain(kept[one])}" if one in kept else ""
        yield f"{size(one.bytes):>9} {one.days:>7.1f} days  {plain(name)}{note}"
