"""What attempts are made with in tests: a machine without depth, and the rest as small as it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evals.run.attempt import RunContext
from evals.run.lock import begin_session
from scaffolds.base import Settings
from tasks.sandbox import Limits
from tests.fakes.plain_backend import PlainBackend


def plain_context(directory: Path, **given: Any) -> RunContext:
    """A context for a run in `directory`, whose session has begun; `given` are its other fields."""
    made: dict[str, Any] = {
        "run_id": "test",
        "version": "0",
        "model_name": "m",
        "backend": PlainBackend(),
        "limits": Limits(),
        "settings": Settings(),
    }
    return RunContext(directory=directory, session=begin_session(directory), **made | given)
