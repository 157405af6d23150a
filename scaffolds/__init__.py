"""How a model works on a task. Imports `tasks`, nothing of `evals`, which imports it.

`base` and `model` are the contracts; a scaffold is given a brief, a model and a sandbox and sees nothing of a task's tests.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaffolds.base import Scaffold, Settings

SCAFFOLDS: dict[str, str] = {
    "oneshot": "scaffolds.oneshot:Oneshot",
    "bash": "scaffolds.bash:Bash",
    "edit": "scaffolds.edit:Edit",
}
"""Name → `module:Class`, loaded when asked for, so that `--help` costs nothing."""


def load(name: str, settings: Settings) -> Scaffold:
    """A fresh scaffold for one attempt. Raises `KeyError` for an unknown name."""
    module, _, cls = SCAFFOLDS[name].partition(":")
    scaffold: Scaffold = getattr(import_module(module), cls)(settings)
    return scaffold
