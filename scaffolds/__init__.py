"""How a model works on a task. Imports `tasks`, nothing of `evals`, which imports it.

`base` and `model` are the contracts; a scaffold is given a brief, a model and a sandbox and sees nothing of a task's tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaffolds.base import Scaffold, Settings


def load(name: str, settings: Settings) -> Scaffold:
    """A fresh scaffold for one attempt, as `catalog.find` knows it. Raises `UserError` for one that is none."""
    from scaffolds.catalog import find  # so that `--help` costs nothing

    return find(name).make(settings)
