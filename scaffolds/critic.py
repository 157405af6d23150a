"""A second opinion on each submission: a model that sees the report and the change, and may have it all done anew.

The critic is the same model in a conversation of its own. Its calls count as steps and tokens of the attempt.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from scaffolds import tree
from scaffolds.base import Settings, Step, Stop, Trajectory
from scaffolds.loop import LEAST_SECONDS, Loop, agent_step, clock, count_reply, no_reply, seconds_left, spent
from scaffolds.model import ContextOverflow, Message, Model, TimeUp
from scaffolds.review import changed
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief

SYSTEM = "You judge changes to programs. You are strict, and you answer in few words."

TASK = """\
This was reported about the repository {repo}:

<issue>
{issue}
</issue>

This change was made to deal with it:

{diff}

Would it pass tests that check what the report asks for? Say why in one or two sentences, and end with a line that is \
ACCEPT or REJECT."""

VERDICT = re.compile(r"\b(ACCEPT|REJECT)\b")
MOST_TRIES = 3
"""Of which the last is not judged: nothing could follow from it."""


def solve(
    settings: Settings,
    brief: Brief,
    model: Model,
    sandbox: Sandbox,
    attempt: Callable[[Trajectory], Loop],
    opening: tuple[str, str],
) -> Trajectory:
    """`attempt` makes a fresh loop that goes on counting in the given trajectory."""
    result = Trajectory(Stop.SUBMITTED, uses_tools=True)
    start = _kept(sandbox, settings)
    for left in reversed(range(MOST_TRIES)):
        result = attempt(result).run(*opening)
        if result.stop is not Stop.SUBMITTED or not left or start is None:
            return result
        try:
            if _accepts(settings, brief, model, sandbox, result):
                return result
            with clock(result):
                is_back = tree.bring_back(sandbox, start, settings.budget.command_seconds)
            if not is_back:
                return result
        except (ContextOverflow, TimeUp) as end:
            no_reply(end, result, settings)
            return result  # what was submitted stands
        except SandboxGone as gone:
            result.stop, result.detail = Stop.SANDBOX_BROKEN, str(gone)
            return result
    return result


def _kept(sandbox: Sandbox, settings: Settings) -> str | None:
    try:
        return tree.keep(sandbox, settings.budget.command_seconds)
    except SandboxGone:
        return None


def _accepts(settings: Settings, brief: Brief, model: Model, sandbox: Sandbox, result: Trajectory) -> bool:
    """What the critic says; where it says neither, or the budget is spent, the submission stands."""
    if spent(settings, result):
        return True
    with clock(result):
        diff = changed(sandbox, settings.budget.clip, settings.budget.command_seconds)
    task = TASK.format(repo=brief.repo, issue=brief.problem_statement, diff=diff)
    messages: list[Message] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]
    settings.on_step(Step(source="user", message=task))
    reply = model.complete(messages, seconds=seconds_left(settings, result, least=LEAST_SECONDS))
    count_reply(result, reply)
    settings.on_step(agent_step(reply, (), (), 0.0))
    said = VERDICT.findall(reply.content)
    return not said or said[-1] == "ACCEPT"
