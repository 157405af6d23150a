"""`asclaimed`: the one entry point. Commands live in `evals.commands`; this file names them and ends errors well."""

from __future__ import annotations

import sys

import typer

from evals.commands import claims as claims_commands
from evals.commands import tasks as tasks_commands
from evals.commands.bench import bench
from evals.commands.grade import grade
from evals.commands.imports import import_results
from evals.commands.nightly import NightlyCommand, nightly
from evals.commands.run import report, run
from evals.commands.serve import doctor, serve
from evals.commands.subset import estimate, subset
from evals.commands.verdicts import compare, plan, verify
from evals.report.text import plain
from tasks.errors import MachineError, UserError
from tasks.sandbox import SandboxError

app = typer.Typer(
    name="asclaimed",
    help="Measure what a model scores, and set it beside what its vendor claims.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: drawing it with Rich costs more CPU than all the rest of `--help`
)

app.add_typer(tasks_commands.app, name="tasks")
app.add_typer(claims_commands.app, name="claims")
app.command()(run)
app.command()(grade)
app.command()(report)
app.command(name="import")(import_results)
app.command()(verify)
app.command()(plan)
app.command()(compare)
app.command(cls=NightlyCommand)(nightly)
app.command()(serve)
app.command()(doctor)
app.command()(bench)
app.command()(subset)
app.command()(estimate)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        from importlib.metadata import version as distribution_version

        typer.echo(f"asclaimed {distribution_version('asclaimed')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake becomes one line on stderr and an exit code, never a traceback."""
    try:
        app()
    except (UserError, SandboxError) as error:
        typer.secho(f"asclaimed: {plain(error, 2000)}", fg="red", err=True)
        sys.exit(error.exit_code if isinstance(error, UserError) else MachineError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
