"""How commands write: one console, one JSON document, one line for what went wrong, and files tried before the work."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tasks.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 160
"""Columns where no terminal says how many: a pipe or a file, in which a table must not cut its words."""


def console(*, stderr: bool = False) -> Console:
    """Rich's, with its own rules for a terminal, `COLUMNS` and `NO_COLOR`."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    unknown = not stream.isatty() and not os.environ.get("COLUMNS")
    return Console(stderr=stderr, width=WIDE if unknown else None)


def complain(text: str) -> None:
    """On stderr, red unless `NO_COLOR` is set."""
    typer.secho(f"asclaimed: {text}", fg=None if os.environ.get("NO_COLOR") else "red", err=True)


def print_json(value: object) -> None:
    """The one document that a command with `--json` prints on stdout."""
    typer.echo(json.dumps(value, indent=1))


def a_file(name: str | Path) -> Path:
    """The value of an option that names a file. Raises `UserError` for a name that can only be a directory's."""
    if str(name).endswith(os.sep):
        raise UserError(f"{name} names a directory: name a file")
    return Path(name)


def check_output(path: Path) -> None:
    """Raises `UserError` for a file that cannot be written; what it holds stays until it is."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a directory: name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            return
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
