"""Options that several commands share, so that they read and behave the same everywhere.

`TasksOption` has no default here: a command that needs a benchmark says so, one that has a plan does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TASKS = typer.Option(
    "--tasks",
    help="bundled, starter, swebench-verified, swebench-lite, swebench-multilingual, swebench-pro, a .jsonl/.json/.parquet file, "
    "a task directory, or NAME=PATH.",
    metavar="NAME|PATH",
)
TasksOption = Annotated[str, TASKS]
IdsOption = Annotated[
    str | None,
    typer.Option("--ids", help="Only these tasks: a comma-separated list, or @FILE.", metavar="LIST|@FILE"),
]
SampleOption = Annotated[
    int | None,
    typer.Option("--sample", help="A sample of N tasks, repositories in proportion.", min=1, metavar="N"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of the sample (0 when not given).")]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", help="Only the first N tasks (after --ids and --sample).", min=1, metavar="N"),
]
ProScriptsOption = Annotated[
    Path | None,
    typer.Option(
        "--pro-scripts", help="For SWE-bench Pro: a checkout of scaleapi/SWE-bench_Pro-os.", metavar="DIR"
    ),
]
MirrorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--registry-mirror",
        help="Look for images there first: HOST[/PATH] for Docker Hub's, or PREFIX=REPLACEMENT; repeat for several.",
        metavar="MIRROR",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout, for machines.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any key of a plan, such as budget.seconds=600; repeat for several. On top of all other options.",
        metavar="KEY=VALUE",
    ),
]
AllowUnlimitedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unlimited", help="Go on where Docker cannot limit memory or processes (rootless, cgroup v1)."
    ),
]
ApiKeyEnvOption = Annotated[
    str | None, typer.Option(help="Environment variable that holds the server's key.", metavar="NAME")
]


def key_in(variable: str | None) -> str | None:
    """What an environment variable holds. Raises `UserError` when that is nothing."""
    import os

    from tasks.errors import UserError

    if variable is None:
        return None
    if not os.environ.get(variable):
        raise UserError(f"the environment variable {variable} is empty: export the server's key in it")
    return os.environ[variable]
