"""`bash`: one tool, the shell. The plainest agent there is, and the one that most claims are made with."""

from __future__ import annotations

from scaffolds.base import Settings, Trajectory
from scaffolds.loop import Loop
from scaffolds.model import Model
from scaffolds.tools import Bash as BashTool
from scaffolds.tools import Submit
from tasks.sandbox import Sandbox
from tasks.task import Brief

SYSTEM = """\
You are a software engineer who repairs a repository through a shell. Act by calling the tool `bash`; look before you \
change anything. Commands get no input and no terminal, so do not start editors or pagers."""

TASK = """\
The repository {repo} is checked out in {workdir}. This was reported:

<issue>
{issue}
</issue>

Change the source code so that the report is dealt with. Hidden tests will check the behaviour; do not change existing \
tests. Find the code, reproduce the problem, repair it, check the repair, and then call `submit`."""


class Bash:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        loop = Loop(
            self._settings,
            {"bash": BashTool(self._settings.budget.observation_characters), "submit": Submit()},
            model,
            sandbox,
        )
        task = TASK.format(repo=brief.repo, workdir=brief.workdir, issue=brief.problem_statement)
        return loop.run(SYSTEM, task)
