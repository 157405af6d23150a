"""The two scaffolds that need no model, `gold` and `nop`, and how a scaffold of any name is made for an attempt.

`gold` must score 100 % and `nop` 0 %, or the task is at fault.

They live here and not in `scaffolds/` because `gold` has to see the checks, which no scaffold may.
"""

from __future__ import annotations

import shlex

import scaffolds
from scaffolds.base import Scaffold, Settings, Step, Stop, Trajectory
from scaffolds.model import Model
from tasks.errors import GoldError
from tasks.harbor.directory import files
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief, Task, Verifier

CONTROLS = ("gold", "nop")
PATCH_FILE = "/tmp/asclaimed-gold.patch"  # noqa: S108 - inside the container
APPLY_SECONDS = 60.0
SOLUTION_SECONDS = 3600.0
FAILED = "which ended with"
"""Before the exit status of a task's own solution that failed."""


class Gold:
    """Applies the task's own fix in the sandbox, so that extraction and grading are tested with it."""

    def __init__(self, task: Task, settings: Settings) -> None:
        self.patch = task.patch_checks.gold_patch
        self.settings = settings

    def solve(self, brief: Brief, model: Model | None, sandbox: Sandbox) -> Trajectory:  # noqa: ARG002
        sandbox.write(PATCH_FILE, self.patch.encode())
        command = f"git apply --whitespace=nowarn {PATCH_FILE} || patch --batch --forward -p1 -i {PATCH_FILE}"
        done = sandbox.exec(command, timeout=APPLY_SECONDS, cwd=brief.workdir)
        sandbox.exec(f"rm -f {shlex.quote(PATCH_FILE)}", timeout=APPLY_SECONDS)
        self.settings.on_step(
            Step(source="agent", message="applied the gold patch", observations=(done.output,))
        )
        if done.exit_code:
            raise GoldError(f"the gold patch of {brief.task_id} does not apply in its own image")
        return Trajectory(Stop.SUBMITTED, "gold patch", steps=1)


class Oracle:
    """Runs the task's own solution on its machine, so that the state that is kept and its verifier are tested with it."""

    def __init__(self, verifier: Verifier, settings: Settings) -> None:
        self._verifier = verifier
        self._settings = settings

    def solve(self, brief: Brief, model: Model | None, sandbox: Sandbox) -> Trajectory:  # noqa: ARG002
        home = self._verifier.directory / "solution"
        if not (home / "solve.sh").is_file():
            raise GoldError(f"{brief.task_id} has no solution/solve.sh")
        for path in files(home):
            sandbox.write(f"/solution/{path.relative_to(home)}", path.read_bytes())
        given = " ".join(
            f"{name}={shlex.quote(value)}" for name, value in self._verifier.solution_env.items()
        )
        command = f"chmod -R u+x /solution && env {given} bash /solution/solve.sh"
        try:
            done = sandbox.exec(command, timeout=self._seconds, cwd=brief.workdir)
        except SandboxGone as gone:
            return Trajectory(Stop.SANDBOX_BROKEN, str(gone), steps=1)
        self._settings.on_step(Step(source="agent", message="ran the solution", observations=(done.output,)))
        end = "" if done.exit_code == 0 else f", {FAILED} {done.exit_code}"
        return Trajectory(Stop.SUBMITTED, f"the task's own solution{end}", steps=1)

    @property
    def _seconds(self) -> float:
        return self._verifier.agent_seconds or self._settings.budget.seconds or SOLUTION_SECONDS


class Nop:
    """Changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def solve(self, brief: Brief, model: Model | None, sandbox: Sandbox) -> Trajectory:  # noqa: ARG002
        self.settings.on_step(Step(source="agent", message="did nothing"))
        return Trajectory(Stop.SUBMITTED, "nothing was done", steps=1)


def make_scaffold(name: str, task: Task, settings: Settings) -> Scaffold:
    """A scaffold for one attempt on `task`. It sees the brief only; the two controls are ours and get the task."""
    if name == "gold":
        return Oracle(task.verifier, settings) if task.verifier else Gold(task, settings)
    return Nop(settings) if name == "nop" else scaffolds.load(name, settings)
