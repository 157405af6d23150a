"""The Typer application: a group whose commands are loaded when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from evals.commands.index import ABOUT, COMMANDS, OPTIONS, Entry

PLAIN: dict[str, Any] = {
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # plain help: drawing it with Rich costs more CPU than all the rest of `--help`
}


class LazyGroup(TyperGroup):
    """Knows the names of all commands and imports the module of the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A name that does not exist loads them all: Typer looks for a near one among them."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.add_command(load(name, COMMANDS[name]), name)
        return self.commands.get(cmd_name)


def load(name: str, entry: Entry) -> Any:
    """The command, or group of commands, of one entry."""
    module = import_module(f"evals.commands.{entry.module}")
    found, alone = getattr(module, entry.name), typer.Typer(**PLAIN)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, short_help=entry.summary)
    else:
        own = getattr(module, entry.command_class) if entry.command_class else None
        alone.command(name, cls=own, short_help=entry.summary, context_settings=PLAIN["context_settings"])(
            found
        )
    return get_group(alone).commands[name]


app = typer.Typer(name="asclaimed", help=ABOUT, no_args_is_help=True, cls=LazyGroup, **PLAIN)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help=OPTIONS["--version"])) -> None:
    if version:
        from importlib.metadata import version as distribution_version

        typer.echo(f"asclaimed {distribution_version('asclaimed')}")
        raise typer.Exit
