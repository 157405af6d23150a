"""`asclaimed subset` and `asclaimed estimate`: fewer tasks for the same verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands.options import JsonOption

if TYPE_CHECKING:
    from evals.stats.drawn import Subset
    from evals.stats.results import Reply

BenchmarkArgument = Annotated[
    str, typer.Argument(metavar="BENCHMARK", help="swebench-verified, or anything that --tasks takes.")
]
SizeOption = Annotated[int, typer.Option("--n", help="How many tasks to draw.", metavar="N")]
NearOption = Annotated[
    float | None,
    typer.Option(
        "--near",
        min=0,
        max=100,
        help="The rate you expect, in percent, such as a claimed one: narrower if about right, honest if not.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the draw.")]
SubsetOption = Annotated[Path, typer.Option("--subset", help="What `asclaimed subset --json` printed.")]
ResultsOption = Annotated[
    Path,
    typer.Option("--results", help="JSON: {name: [resolved ids]}, or {name: {id: [0, 1, 1]}} for attempts."),
]


def subset(
    benchmark: BenchmarkArgument,
    n: SizeOption,
    seed: SeedOption = 0,
    near: NearOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw tasks with known probabilities, from which `estimate` tells the rate on all tasks."""
    drawn = draw(benchmark, n, seed, None if near is None else near / 100)
    if as_json:
        typer.echo(drawn.model_dump_json(indent=1))
        return
    typer.echo(
        f"{drawn.n} of {drawn.benchmark_size} tasks of {drawn.benchmark}, design {drawn.design}, seed {seed}"
    )
    for task in drawn.tasks:
        typer.echo(f"{task.inclusion_probability:.4f}  {shown(task.id)}")


def draw(benchmark: str, n: int, seed: int, near: float | None = None) -> Subset:
    """With fitted parameters where there are some, else stratified by repository.

    Raises `UserError` for an expected rate `near` in [0, 1] that could not be used.
    """
    from evals.stats.subset import draw_fitted, draw_stratified, parameters
    from tasks.errors import UserError

    name = benchmark.partition("=")[0]
    known = parameters(name)
    if known:
        return draw_fitted(name, known, n, seed, near)
    if near is not None:
        raise UserError(f"--near needs fitted difficulties, and {benchmark} has none: draw without it")
    from tasks import catalog

    tasks = catalog.load(benchmark)
    return draw_stratified(tasks[0].benchmark, {task.id: task.brief.repo for task in tasks}, n, seed)


def estimate(subset: SubsetOption, results: ResultsOption, as_json: JsonOption = False) -> None:
    """Estimate the rate on all tasks from results on a subset: 95 % intervals, in points."""
    from evals.stats.results import estimates, read_results, read_subset

    replies = estimates(read_subset(subset), read_results(results))
    if warned := [note for reply in replies.values() for note in reply.notes]:
        more = f" (and {len(warned) - 1} more results with such ids)" if len(warned) > 1 else ""
        typer.echo(f"asclaimed: {shown(warned[0])}{more}", err=True)
    typer.echo(as_points(replies) if as_json else table(replies))


def as_points(replies: dict[str, Reply]) -> str:
    import json

    plain = {
        name: {"estimate": one.estimate, "interval": [one.low, one.high], "half_width": one.half_width}
        for name, one in replies.items()
    }
    return json.dumps(plain, indent=1, ensure_ascii=False)


def table(replies: dict[str, Reply]) -> str:
    """A line for each name: estimate, interval, and how well the difficulty model fits."""
    width = max(len(shown(name)) for name in replies)
    rows = [
        f"{shown(name):{width}}  {one.estimate:5.1f} ± {one.half_width:4.1f}"
        f"  [{one.low:.1f}, {one.high:.1f}]  {one.about}"
        for name, one in replies.items()
    ]
    return "\n".join(rows)


def shown(text: str) -> str:
    from evals.report.text import plain

    return plain(text)
