"""The first two messages of a tool loop, by name. `shell` and `pair` name their tools; `plain` fits any, so that scaffolds
which differ in their tools can have the same words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from scaffolds.submit import SubmitProtocol
from tasks.task import Brief, MachineBrief

REPORT = """\
The repository {repo} is checked out in {workdir}. This was reported:

<issue>
{issue}
</issue>

"""

SHELL_SYSTEM = """\
You are a software engineer who repairs a repository through a shell. Act by calling the tool `bash`; look before you \
change anything. Commands get no input and no terminal, so do not start editors or pagers."""

SHELL_TASK = """\
Change the source code so that the report is dealt with. Hidden tests will check the behaviour; do not change existing \
tests. Find the code, reproduce the problem, repair it, check the repair, and then {submit}."""

PAIR_SYSTEM = """\
You are a software engineer who repairs a repository. Act by calling tools: `bash` to search and to run things, \
`str_replace_editor` to view and change files. Commands get no input and no terminal."""

PAIR_TASK = """\
Change the source code so that the report is dealt with, with as small a change as does it. Hidden tests will check \
the behaviour; do not change existing tests. Go in this order: find the code that matters, view it, reproduce the \
problem, edit, run your reproduction again, and then {submit}."""

PLAIN_SYSTEM = """\
You are a software engineer who repairs a repository. Act by calling the tools that you are given. Commands get no \
input and no terminal."""


MACHINE_SYSTEM = """\
You are an engineer who works on a Linux machine. Act by calling the tools that you are given. Commands get no input and \
no terminal, so do not start editors or pagers, and there is no network."""

MACHINE_TASK = """\
This is to be done on the machine; commands start in {workdir}:

<request>
{issue}
</request>

{skills}Look at what is there, do the work, and check what you did. What counts is the state in which you leave the machine: \
hidden tests will look at its files, and nothing that still runs will be kept running. Then {submit}."""
"""For a task that is about a machine and not about a repository, whatever a scaffold's words are."""


class Opening(NamedTuple):
    system: str
    task: str


class Prompt(StrEnum):
    """Which words a loop begins with."""

    SHELL = "shell"
    PAIR = "pair"
    PLAIN = "plain"


OPENINGS = {
    Prompt.SHELL: Opening(SHELL_SYSTEM, REPORT + SHELL_TASK),
    Prompt.PAIR: Opening(PAIR_SYSTEM, REPORT + PAIR_TASK),
    Prompt.PLAIN: Opening(PLAIN_SYSTEM, REPORT + SHELL_TASK),
}


def opening(prompt: Prompt, brief: Brief, submit: SubmitProtocol) -> Opening:
    """The words for one task."""
    about_machine = isinstance(brief, MachineBrief)
    system, task = Opening(MACHINE_SYSTEM, MACHINE_TASK) if about_machine else OPENINGS[prompt]
    filled = task.format(
        repo=brief.repo,
        workdir=brief.workdir,
        issue=brief.problem_statement,
        submit=submit.how,
        skills=brief.told_of() if isinstance(brief, MachineBrief) else "",
    )
    return Opening(system, filled)
