"""`asclaimed bench`: what asclaimed itself costs, beside `docker exec` and mini-swe-agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands.options import JsonOption
from evals.commands.output import a_file, check_output, console, print_json

if TYPE_CHECKING:
    from rich.table import Table

ROWS = {
    "exec_true_ms": ('exec("true"), median, ms', "≤ 1.5"),
    "heredoc_ms": ("a file of 8 KB by heredoc, ms", "≤ 4"),
    "write_10mb_ms": ("write 10 MB, ms", "≤ 200"),
    "http_ms": ("HTTP request by a forwarded port, ms", "≤ bare + 1.5"),
    "model_ms": ("answer of 80 KB of prompt through the gateway, ms", "≤ bare + 3"),
    "start_ms": ("start to first command and removal, ms", "≤ 2 × docker run"),
    "step_wall_ms": ("wall time of a step, ms", "≤ 5"),
    "step_cpu_ms": ("CPU time of a step, ms", "≤ 3"),
    "steps_per_s_64": ("steps a second, 64 at once", "≥ 300"),
    "rss_mb_64": ("peak memory, 64 at once, MB", "< 200"),
    "resume_5000_s": ("resume with 5,000 records, s", "< 3"),
}
"""Key in `bench.json` → what it is, and what was aimed at on an idle machine with two cores."""


def bench(
    out: Annotated[
        Path, typer.Option(parser=a_file, metavar="FILE", help="Where to write the numbers.")
    ] = Path("bench.json"),
    as_json: JsonOption = False,
) -> None:
    """Measure the harness: one attempt, 64 at once, a resume; print a table and write JSON."""
    from evals.bench.measure import run_all
    from tasks.disk import write_json
    from tasks.docker.images import sandbox_base

    check_output(out)
    with console(stderr=True).status("preparing the sandbox image") as status:
        image = sandbox_base().id
        numbers = run_all(image, status.update)
    write_json(out, numbers)
    if as_json:
        print_json(numbers)
    else:
        console().print(_table(numbers))
    typer.echo(f"wrote {out}", err=True)


def _table(numbers: dict[str, Any]) -> Table:
    from rich.table import Table

    machine, baselines = numbers["machine"], numbers["baseline"]
    table = Table(title=f"{machine['cpus']} CPUs, load average {machine['load_before']} before")
    for title in ("", "aim", "asclaimed", *baselines):
        table.add_column(title, justify="right" if title else "left")
    for key, (meaning, aim) in ROWS.items():
        cells = [column.get(key) for column in (numbers, *baselines.values())]
        table.add_row(meaning, aim, *("–" if cell is None else f"{cell:g}" for cell in cells))
    return table
