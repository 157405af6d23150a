"""A call of the command line in this process: what a shell sees of it, without the second that an interpreter takes to start.

Not for a command that needs its own environment before its imports, its own signals, or another daemon than the tests'.
"""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from evals.cli import main


class Done(NamedTuple):
    """As `subprocess.CompletedProcess`; what is printed goes to no terminal."""

    returncode: int
    stdout: str
    stderr: str


def asclaimed(*words: object, **environment: str) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["asclaimed", *map(str, words)])
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else bool(end.code)
        else:
            code = 0
    return Done(code, out.getvalue(), err.getvalue())
