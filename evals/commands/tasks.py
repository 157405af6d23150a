"""`asclaimed tasks list`: what would run. Shows no hidden test and no gold patch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from evals.commands.options import (
    IdsOption,
    JsonOption,
    LimitOption,
    ProScriptsOption,
    SampleOption,
    SeedOption,
    TasksOption,
)
from evals.commands.tasks_check import check_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tasks.task import Task

app = typer.Typer(help="The tasks of a benchmark.", no_args_is_help=True)
app.command("check")(check_tasks)


@app.callback()
def group() -> None:
    """The tasks of a benchmark."""


@app.command("list")
def list_tasks(
    tasks: TasksOption,
    ids: IdsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = None,
    limit: LimitOption = None,
    pro_scripts: ProScriptsOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the tasks that a run with the same options would run, in its order."""
    from tasks import catalog, selection

    wanted = None if ids is None else selection.read_ids(ids)
    found = catalog.load(tasks, ids=wanted, sample=sample, seed=seed, limit=limit, pro_scripts=pro_scripts)
    lines = [summary(task) for task in found]
    typer.echo(json.dumps(lines, indent=1) if as_json else _table(lines))
    for line in _refused(found):
        typer.echo(line, err=True)


def summary(task: Task) -> dict[str, str]:
    """What may be shown of a task: nothing that says how it is solved or judged."""
    from tasks.swebench import difficulty

    return {
        "id": task.id,
        "repo": task.brief.repo,
        "benchmark": task.benchmark,
        "image": task.image.reference,
        "difficulty": difficulty(task),
        "content_hash": task.content_hash,
    }


def _refused(tasks: list[Task]) -> Iterator[str]:
    """A line for each task that a run would exclude, and why."""
    from evals.report.text import plain

    for task in tasks:
        if task.verifier and task.verifier.refused:
            yield f"refused: {plain(task.id)} {plain(task.verifier.refused)}"


def _table(lines: list[dict[str, str]]) -> str:
    """One line a task, columns aligned; nothing a task says can steer the terminal."""
    from evals.report.text import plain

    shown = ("id", "repo", "benchmark", "difficulty", "image")
    cells = [[plain(line[column]) for column in shown] for line in lines]
    widths = [max(len(row[place]) for row in cells) for place in range(len(shown))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
