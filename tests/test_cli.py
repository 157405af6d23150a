"""The command line as a whole: its help, and that each command is found where the index says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from evals.commands.application import app
from evals.commands.index import COMMANDS, WIDTH, help_page


@pytest.mark.parametrize("columns", [WIDTH, 200])
def test_the_quick_help_is_what_typer_prints(columns: int) -> None:
    """It is put together without Typer, which takes four times as long to import as the page may take."""
    asked = CliRunner().invoke(app, ["--help"], env={"COLUMNS": str(columns)}, prog_name="asclaimed")
    assert help_page() == asked.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_index_says(name: str) -> None:
    asked = CliRunner().invoke(app, [name, "--help"], prog_name="asclaimed")
    assert asked.exit_code == 0
    assert asked.output.startswith(f"Usage: asclaimed {name} ")


def test_the_package_itself_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evals", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout == help_page()
    done = subprocess.run(
        [sys.executable, "-m", "evals", "bogus"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "No such command" in done.stderr


def test_a_slip_of_the_finger_finds_the_command() -> None:
    asked = CliRunner().invoke(app, ["verfy"])
    assert asked.exit_code == 2
    assert "verify" in asked.output
