"""`asclaimed images`: what the images of some tasks take, fetched before a run, and removed after it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands import output
from evals.commands.cache import size
from evals.commands.images_prune import prune_images
from evals.commands.options import (
    IdsOption,
    JsonOption,
    LimitOption,
    MirrorOption,
    ProScriptsOption,
    SampleOption,
    SeedOption,
    TasksOption,
)
from tasks.errors import MachineError, UserError

if TYPE_CHECKING:
    from tasks.docker.prefetch import Prefetch
    from tasks.docker.pull_plan import PullPlan
    from tasks.task import Task

app = typer.Typer(help="Images of tasks: plan, prefetch, prune.", no_args_is_help=True)
app.command("prune")(prune_images)

UNITS = {
    "": 1,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "KI": 2**10,
    "MI": 2**20,
    "GI": 2**30,
    "TI": 2**40,
}
NUMBER = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?I?)B?", re.IGNORECASE)
SHOWN = 20
"""Lines about single images; the rest is counted."""


def bytes_in(text: str) -> int:
    """`200GB`, `1.5 TiB`, `1000000`. Raises `BadParameter`."""
    found = NUMBER.fullmatch(text.strip())
    if not found or not int(float(found[1]) * UNITS[found[2].upper()]):
        raise typer.BadParameter(f"{text!r} is no number of bytes: give one such as 200GB")
    return int(float(found[1]) * UNITS[found[2].upper()])


DiskOption = Annotated[
    Any,
    typer.Option(
        "--disk",
        help="The most that these images may add to Docker's disk, such as 200GB.",
        metavar="SIZE",
        parser=bytes_in,
    ),
]


@app.callback()
def group() -> None:
    """Images of tasks: plan, prefetch, prune."""


@app.command("plan")
def plan_images(
    tasks: TasksOption,
    ids: IdsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = None,
    limit: LimitOption = None,
    pro_scripts: ProScriptsOption = None,
    registry_mirror: MirrorOption = None,
    disk: DiskOption = None,
    at_once: Annotated[int, typer.Option(min=1, help="Images that are in use at a time.", metavar="N")] = 4,
    rate: Annotated[
        Any,
        typer.Option(
            help="Bytes a second of pulling, such as 10MB; as earlier pulls here had it when not given.",
            metavar="SIZE",
            parser=bytes_in,
        ),
    ] = None,
    ask: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Ask registries about N images; all, but 20 of Docker Hub's, when not given.",
            metavar="N",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what is here, what is to be pulled, how many bytes, and what a budget does. Pulls nothing.

    Exit code 1: an image cannot be had, or the disk has no room.
    """
    from tasks.docker.pull_plan import pull_plan

    chosen = choose(tasks, ids, sample, seed, limit, pro_scripts, registry_mirror)
    made = pull_plan(chosen, budget=disk, at_once=at_once, rate=rate, ask=ask)
    if as_json:
        output.print_json(made.document())
    else:
        for line in plan_lines(made, at_once):
            typer.echo(line)
    for line in impossible_lines(made.impossible):
        typer.echo(line, err=True)
    raise typer.Exit(int(bool(made.impossible) or not made.fits))


def choose(
    tasks: str,
    ids: str | None,
    sample: int | None,
    seed: int | None,
    limit: int | None,
    pro_scripts: Path | None,
    mirrors: list[str] | None,
) -> list[Task]:
    """The tasks that a run with the same options would run, less those that it refuses by name."""
    from tasks import catalog, selection
    from tasks.mirrors import mirrored

    wanted = None if ids is None else selection.read_ids(ids)
    found = catalog.load(tasks, ids=wanted, sample=sample, seed=seed, limit=limit, pro_scripts=pro_scripts)
    able = [task for task in found if not (task.verifier and task.verifier.refused)]
    if not able:
        raise UserError("none of these tasks can be run here: `asclaimed tasks list` says why")
    return mirrored(able, mirrors or ())


def plan_lines(made: PullPlan, at_once: int) -> Iterator[str]:
    yield f"images: {made.images}: {made.here} here, {made.to_pull} to pull, {made.to_build} to build, {len(made.impossible)} not to be had"
    if made.unreachable:
        yield f"a registry was asked no further: {made.unreachable}"
    if made.to_pull:
        shared = f" ({size(made.pull_bytes_unshared)} if no layer were shared)" if made.asked else ""
        yield f"to pull: {size(made.pull_bytes)}{shared}, by {made.source}"
    room = "free space there is not known" if made.free_bytes is None else f"{size(made.free_bytes)} free"
    unknown = f" (without the {made.to_build} to be built)" if made.to_build else ""
    about = f"about {size(made.disk_bytes)} more in {made.root}, cleaned copies included{unknown}; {room}"
    yield f"disk: {about}"
    if made.budget_bytes is not None:
        yield f"within {size(made.budget_bytes)}: {budget_words(made, at_once)}"
    if not made.fits:
        yield "NOT ENOUGH DISK: give a budget (--disk) below what is free, free some, or take fewer tasks"
    if made.to_pull:
        yield time_line(made)


def budget_words(made: PullPlan, at_once: int) -> str:
    course = made.course
    most = (
        f"{course.at_once} images fit at once"
        if course.at_once < made.images - len(made.impossible)
        else "all images fit at once"
    )
    if course.peak > (made.budget_bytes or 0):
        return f"{most}; {at_once} at a time do not, and would take {size(course.peak)}"
    gone = (
        f"{size(course.evicted)} evicted after last use, {size(course.again)} of it pulled again"
        if course.evicted
        else "nothing is evicted"
    )
    return f"{most}; with {at_once} in use at a time {size(course.peak)} at most, {gone}"


def time_line(made: PullPlan) -> str:
    if made.seconds is None:
        return "time: not known, for nothing was pulled here yet: give --rate"
    return f"time to pull: {made.seconds / 3600:.1f} h at {size(round(made.pull_bytes / max(made.seconds, 1e-9)))} a second"


def impossible_lines(impossible: dict[str, str]) -> Iterator[str]:
    for reason in list(impossible.values())[:SHOWN]:
        yield f"not to be had: {reason}"
    if len(impossible) > SHOWN:
        yield f"not to be had: {len(impossible) - SHOWN} more (--json has them all)"


@app.command("prefetch")
def prefetch_images(
    tasks: TasksOption,
    ids: IdsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = None,
    limit: LimitOption = None,
    pro_scripts: ProScriptsOption = None,
    registry_mirror: MirrorOption = None,
    disk: DiskOption = None,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Pulls at a time.", metavar="N")] = 3,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds to go on trying where a registry is busy or away.")
    ] = 900.0,
    stall: Annotated[
        float,
        typer.Option(min=1, max=86400, help="Seconds without progress after which a pull is begun again."),
    ] = 180.0,
    as_json: JsonOption = False,
) -> None:
    """Pull the images of tasks that are missing; again, to go on where it stopped.

    Exit code 1: some cannot be had, or --disk does not hold all; 3: no room, or no registry answers.
    """
    from evals.commands.run import show_on
    from tasks.docker.prefetch import Patience, prefetch

    chosen = choose(tasks, ids, sample, seed, limit, pro_scripts, registry_mirror)
    with output.console(stderr=True).status("looking for images") as status:
        made = prefetch(
            chosen,
            parallel=parallel,
            budget=disk,
            patience=Patience(patience=patience, stall=stall),
            progress=show_on(status),
        )
    if as_json:
        output.print_json(prefetched(made))
    else:
        typer.echo(", ".join(f"{count} {word}" for word, count in counts(made).items() if count))
    for line in impossible_lines(made.failed):
        typer.echo(line, err=True)
    if made.left:
        typer.echo(
            f"{len(made.left)} images are not here: {made.why_left}; the same command goes on", err=True
        )
    raise typer.Exit(exit_code(made))


def counts(made: Prefetch) -> dict[str, int]:
    return {
        "images were here": made.here,
        "pulled": len(made.pulled),
        "to be built by a run": made.to_build,
        "not to be had": len(made.failed),
        "left": len(made.left),
    }


def prefetched(made: Prefetch) -> dict[str, object]:
    return {
        "images": made.images,
        "here": made.here,
        "to_build": made.to_build,
        "pulled": sorted(made.pulled),
        "failed": made.failed,
        "left": sorted(made.left),
        "why_left": made.why_left,
        "bytes": made.bytes,
    }


def exit_code(made: Prefetch) -> int:
    """3 where the machine lacks room or network, 1 where images are missing for another reason, else 0."""
    if made.left and not made.within_budget:
        return MachineError.exit_code
    return int(bool(made.failed or made.left))
