"""`asclaimed tasks check`: whether tasks can give any verdict on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.grade import GRADER, GraderOption, WorkersOption, say_once
from evals.commands.interrupts import STOPPED
from evals.commands.options import (
    AllowUnlimitedOption,
    IdsOption,
    JsonOption,
    LimitOption,
    MirrorOption,
    ProScriptsOption,
    SampleOption,
    SeedOption,
    TasksOption,
)
from evals.commands.output import a_file, check_output, print_json

if TYPE_CHECKING:
    from evals.grade.check_tasks import CheckedTask

NetworkOption = Annotated[
    bool,
    typer.Option("--network", help="Give the official grader's tests a network, as grading.network does."),
]
CheckListOption = Annotated[
    Path | None,
    typer.Option(
        "--out", parser=a_file, metavar="FILE", help="Write the list here; a plan takes it as `reliable`."
    ),
]


def check_tasks(
    tasks: TasksOption,
    ids: IdsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = None,
    limit: LimitOption = None,
    pro_scripts: ProScriptsOption = None,
    registry_mirror: MirrorOption = None,
    k: Annotated[int, typer.Option("-k", help="Runs of the gold patch, and runs of no patch.", min=1)] = 3,
    grader: GraderOption = GRADER,
    workers: WorkersOption = 1,
    network: NetworkOption = False,
    allow_unlimited: AllowUnlimitedOption = False,
    out: CheckListOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that the gold patch passes and doing nothing fails, k times each, on this machine."""
    from evals.commands.stopping import stoppable_tests
    from evals.grade import check_tasks as reliability
    from evals.report.text import plain
    from tasks import catalog, selection
    from tasks.backend import TestLimits
    from tasks.mirrors import mirrored
    from tasks.sandbox import Limits

    if out is not None:
        check_output(out)
    wanted = None if ids is None else selection.read_ids(ids)
    found = catalog.load(tasks, ids=wanted, sample=sample, seed=seed, limit=limit, pro_scripts=pro_scripts)
    found = mirrored(found, registry_mirror or ())
    limits = TestLimits(container=Limits(allow_unlimited=allow_unlimited), network=network)
    checked = []
    with stoppable_tests("tasks-check") as stop:
        for task in reliability.check(
            found, k=k, limits=limits, grader=grader, workers=workers, progress=say_once, stop=stop
        ):
            if not as_json:
                typer.echo(f"{task.verdict:<11} {plain(task.id)}  {plain(task.reason, 600)}".rstrip())
            checked.append(task)
            if out is not None:  # after each one: a whole benchmark takes hours
                saved = reliability.CheckList(
                    grader=grader, k=k, limits=limits, host=reliability.host(), tasks=tuple(checked)
                )
                reliability.save(out, saved)
    if as_json:
        print_json([task.model_dump(mode="json") for task in checked])
    _sum_up(checked, k)
    if len(checked) < len(found):
        raise typer.Exit(STOPPED)


def _sum_up(checked: list[CheckedTask], k: int) -> None:
    """The last line of `tasks check`, and its exit code."""
    from evals.grade import check_tasks as reliability
    from evals.report.text import plain

    reliable = sum(task.verdict is reliability.Reliability.RELIABLE for task in checked)
    excluded = sum(task.excluded for task in checked)
    for task in checked:
        if task.weak:
            typer.echo(
                f"weak: {plain(task.id)}: a guess passes the strict grader {_how_often(task.guess)}", err=True
            )
    typer.echo(f"{reliable} of {len(checked)} tasks reliable at k = {k}, {excluded} to exclude", err=True)
    if reliable + excluded < len(checked) or not reliable:
        raise typer.Exit(1)


def _how_often(guess: float | None) -> str:
    if guess is None:
        return "nobody knows how often"
    return (
        "as often as not, or more: its tests expect no values" if guess == 1 else f"once in {1 / guess:.3g}"
    )
