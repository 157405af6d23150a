"""`asclaimed`: the one entry point. Prints the help, or starts the application, and ends errors well."""

from __future__ import annotations

import shutil
import sys

from evals.commands.index import WIDTH, help_page


def main() -> None:
    """Run the command line; a user's mistake becomes one line on stderr and an exit code, never a traceback."""
    if sys.argv[1:] == ["--help"] and shutil.get_terminal_size().columns >= WIDTH:
        sys.stdout.write(help_page())
        return
    run_application()


def run_application() -> None:
    import typer

    from evals.commands.application import app
    from evals.report.text import plain
    from tasks.errors import MachineError, UserError
    from tasks.sandbox import SandboxError

    try:
        app()
    except (UserError, SandboxError) as error:
        typer.secho(f"asclaimed: {plain(error, 2000)}", fg="red", err=True)
        sys.exit(error.exit_code if isinstance(error, UserError) else MachineError.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
