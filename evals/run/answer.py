"""What a record says of an attempt's answer, and the flags of how it came about.

Not here: how the answer is taken and the record written (`attempt`), what is suspicious (`flags`, `state`).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from evals.record import KeptState, flag_of_text
from evals.run.flags import changed_paths, flags_of_commands, flags_of_patch, product_names
from evals.run.state import flags_of_state
from scaffolds.base import Step, Trajectory
from tasks.sandbox import Diff
from tasks.task import Task

CHANGED_FILE = re.compile(r"^--- a/(.+)$", re.MULTILINE)
"""In a patch: a file that was there before."""


def answered(
    task: Task, answer: Diff | KeptState, commands: list[str], trajectory: Trajectory, directory: Path
) -> dict[str, Any]:
    """What a record says of the answer, and the flags of how it came about."""
    noticed = map(flag_of_text, trajectory.warnings)
    if isinstance(answer, KeptState):
        return {"state": answer, "flags": (*flags_of_state(directory), *noticed)}
    of_commands = flags_of_commands(commands, product_names(task.brief.repo, changed_paths(answer.patch)))
    return {
        "patch_sha256": hashlib.sha256(answer.patch).hexdigest(),
        "patch_bytes": len(answer.patch),
        "skipped_paths": answer.skipped,
        "flags": (*flags_of_patch(answer.patch), *of_commands, *noticed),
    }


def fix_shown(task: Task, shown: tuple[str, ...] | None) -> bool | None:
    """Asked when the attempt is over: no scaffold ever learns which files these are."""
    changed = set() if task.verifier else set(CHANGED_FILE.findall(task.patch_checks.gold_patch))
    return None if shown is None or not changed else not changed.isdisjoint(shown)


def commands_of(steps: list[Step]) -> list[str]:
    """Shell commands that the agent asked for, in order."""
    return [
        str(call.arguments.get("command", "")) for step in steps for call in step.tool_calls if call.arguments
    ]
