"""`asclaimed cache`: what asclaimed keeps on this machine beside runs, and how to be rid of it.

All of it can be made again. Not listed: images that were pulled (`asclaimed images`), and what Hugging Face keeps.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from evals.commands.options import JsonOption
from tasks.errors import MachineError, UserError

app = typer.Typer(help="What is kept on this machine: list it, prune it.", no_args_is_help=True)

IMAGES, KITS, PROGRAMS = "images", "kits", "programs"
IN_DOCKER = (IMAGES, KITS)
FILES = {
    "test-runs": "grading/runs/*/*",
    "calibrations": "calibrations/*",
    "start-states": "start/*",
    "clean-notes": "clean/*",
    "manifests": "manifests/*",
    "kit-notes": "kits/*",
    "verifications": "verifications/*",
    "graders": "graders/*",
    "weights": "models/*",
    PROGRAMS: "programs/*",
    "servers": "serve/*",
    "locks": "locks/*",
}
"""Kind → what it is below the cache directory, one entry a match."""
DAY = 86400.0

KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind", help=f"Only these, repeatable: {', '.join([*IN_DOCKER, *FILES])}.", metavar="KIND"
    ),
]


class Entry(NamedTuple):
    """One thing that is kept."""

    kind: str
    name: str
    bytes: int
    days: float
    """Since it was written."""


@app.callback()
def group() -> None:
    """What is kept on this machine: list it, prune it."""


@app.command("list")
def list_cache(kind: KindOption = None, as_json: JsonOption = False) -> None:
    """List what is kept, with sizes and age."""
    found = list(entries(kinds(kind)))
    if as_json:
        typer.echo(json.dumps([entry._asdict() for entry in found], indent=1))
        return
    for line in table(found):
        typer.echo(line)


@app.command("prune")
def prune(
    older_than: Annotated[
        float, typer.Option(min=0, help="Only what was written more than so many days ago.", metavar="DAYS")
    ] = 30.0,
    kind: KindOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Remove nothing, say what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what is older than --older-than days. It is made again when it is needed; that costs time."""
    wanted = kinds(kind)
    old = [entry for entry in entries(wanted) if entry.days >= older_than]
    if not dry_run:
        refuse_while_working(old)
    kept = {} if dry_run else {entry: why for entry in old if (why := drop(entry))}
    gone = [entry for entry in old if entry not in kept]
    if as_json:
        lines = [
            {**entry._asdict(), "removed": not dry_run and entry in gone, "kept": kept.get(entry)}
            for entry in old
        ]
        typer.echo(json.dumps(lines, indent=1))
    else:
        report(gone, kept, dry_run=dry_run)


def report(gone: Sequence[Entry], kept: dict[Entry, str], *, dry_run: bool) -> None:
    for line in table(gone):
        typer.echo(line)
    for entry, why in kept.items():
        typer.echo(f"kept {entry.kind} {entry.name}: {why}", err=True)
    typer.echo(f"{'would remove' if dry_run else 'removed'} {len(gone)}, {size(sum(e.bytes for e in gone))}")


def kinds(asked: list[str] | None) -> list[str]:
    known = [*IN_DOCKER, *FILES]
    if unknown := sorted(set(asked or ()) - set(known)):
        raise UserError(f"--kind: nothing is called {', '.join(unknown)}; choose from {', '.join(known)}")
    return [name for name in known if asked is None or name in asked]


def entries(wanted: Sequence[str]) -> Iterator[Entry]:
    """What is there now. Without a Docker daemon its images are left out, unless only they are asked for."""
    now = time.time()
    for kind in wanted:
        if kind in IN_DOCKER:
            from tasks.docker.inventory import kept_images, kept_kits

            found = kept_images if kind == IMAGES else kept_kits
            try:
                yield from (Entry(kind, one.reference, one.size, age(one.created, now)) for one in found())
            except MachineError as error:
                if set(wanted) <= set(IN_DOCKER):
                    raise
                typer.echo(f"{kind} are not listed: {error}", err=True)
        else:
            for path in matches(kind):
                yield Entry(kind, path.name, bytes_of(path), age(path.lstat().st_mtime, now))


def matches(kind: str) -> list[Path]:
    from tasks.disk import cache_directory

    return sorted(cache_directory().glob(FILES[kind]))


def age(written: float, now: float) -> float:
    return round(max(0.0, now - written) / DAY, 2)


def bytes_of(path: Path) -> int:
    """On disk, links counted as links; what vanishes meanwhile is nothing."""
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    total = 0
    for file in files:
        try:
            total += file.lstat().st_size
        except OSError:
            continue
    return total


def refuse_while_working(old: Sequence[Entry]) -> None:
    """A run may be about to start a container from any image or with any program; other files it only makes again."""
    from tasks.docker.inventory import is_working

    if any(entry.kind in (*IN_DOCKER, PROGRAMS) for entry in old) and is_working():
        raise UserError(
            "a run has containers on this machine: prune when it has ended, or leave out images, kits and programs with --kind"
        )


def drop(entry: Entry) -> str:
    """Remove one; why it stays when it does, else ""."""
    if entry.kind in IN_DOCKER:
        from tasks.docker.inventory import drop_image, drop_kit

        return drop_image(entry.name) if entry.kind == IMAGES else drop_kit(entry.name)
    paths = [path for path in matches(entry.kind) if path.name == entry.name]
    reasons = [drop_lock(path) if entry.kind == "locks" else drop_path(path) for path in paths]
    return "; ".join(filter(None, reasons))


def drop_path(path: Path) -> str:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        return str(error.strerror or error)
    return ""


def drop_lock(path: Path) -> str:
    """Only one that nobody holds."""
    from tasks.disk import lock_file

    def held() -> None:
        raise BlockingIOError

    try:
        with lock_file(path, held):
            return drop_path(path)
    except BlockingIOError:
        return "somebody holds it"


def table(found: Sequence[Entry]) -> Iterator[str]:
    """One line a thing, then one a kind."""
    from evals.report.text import plain

    for entry in found:
        yield f"{entry.kind:<13} {size(entry.bytes):>9} {entry.days:>7.1f} days  {plain(entry.name)}"
    for kind in dict.fromkeys(entry.kind for entry in found):
        alike = [entry.bytes for entry in found if entry.kind == kind]
        note = " (layers that images share are not counted)" if kind == IMAGES else ""
        yield f"total {kind}: {len(alike)}, {size(sum(alike))}{note}"


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
