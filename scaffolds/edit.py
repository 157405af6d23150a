"""`edit`: the shell and `str_replace_editor`, the pair that vendors call "an internal scaffold (bash + file edit)"."""

from __future__ import annotations

from scaffolds.base import Settings, Trajectory
from scaffolds.editor import Editor
from scaffolds.loop import Loop
from scaffolds.model import Model
from scaffolds.text import LONGEST_OBSERVATION
from scaffolds.tools import Bash, Submit, Tool
from tasks.sandbox import Sandbox
from tasks.task import Brief

SYSTEM = """\
You are a software engineer who repairs a repository. Act by calling tools: `bash` to search and to run things, \
`str_replace_editor` to view and change files. Commands get no input and no terminal."""

TASK = """\
The repository {repo} is checked out in {workdir}. This was reported:

<issue>
{issue}
</issue>

Change the source code so that the report is dealt with, with as small a change as does it. Hidden tests will check \
the behaviour; do not change existing tests. Go in this order: find the code that matters, view it, reproduce the \
problem, edit, run your reproduction again, and then call `submit`."""


class Edit:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        longest = self._settings.budget.observation_characters
        tools: dict[str, Tool] = {
            "bash": Bash(longest),
            "str_replace_editor": Editor(min(longest, LONGEST_OBSERVATION)),
            "submit": Submit(),
        }
        loop = Loop(self._settings, tools, model, sandbox)
        task = TASK.format(repo=brief.repo, workdir=brief.workdir, issue=brief.problem_statement)
        return loop.run(SYSTEM, task)
