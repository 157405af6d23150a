"""A second opinion on each submission: a model that sees the report and the change, and may have it all done anew.

The critic is the same model in a conversation of its own. Its calls count as steps and tokens of the attempt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from scaffolds import tree
from scaffolds.base import Settings, Step, Stop, Trajectory
from scaffolds.loop import LEAST_SECONDS, Loop, agent_step, clock, count_reply, no_reply, seconds_left, spent
from scaffolds.model import ContextOverflow, Message, Model, TimeUp
from scaffolds.review import changed
from scaffolds.text import cap
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief, MachineBrief

SYSTEM = "You judge changes to programs. You are strict, and you answer in few words."

TASK = """\
This was reported about the repository {repo}:

<issue>
{issue}
</issue>

This change was made to deal with it:

{changed}

Would it pass tests that check what the report asks for? Say why in one or two sentences, and end with a line that is \
ACCEPT or REJECT."""

MACHINE_SYSTEM = "You judge work on Linux machines. You are strict, and you answer in few words."

MACHINE_TASK = """\
This was asked for, on a machine on which commands start in {workdir}:

<request>
{issue}
</request>

These files were written to do it, and nothing that still runs will be kept running:

{changed}

Would tests pass that look at the machine's files for what was asked? Say why in one or two sentences, and end with a line \
that is ACCEPT or REJECT."""

AGAIN = """

This was worked on before, on this same machine, and the work was turned down:

{said}

All of it is still there: keep what is right, and repair the rest."""
"""Of a task about a machine, which nothing brings back to where it began."""

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
    result, again = Trajectory(Stop.SUBMITTED, uses_tools=True), ""
    critic = _Critic(settings, brief, model, sandbox)
    for left in reversed(range(MOST_TRIES)):
        result = attempt(result).run(opening[0], opening[1] + again)
        if result.stop is not Stop.SUBMITTED or not left or not critic.can_begin_again:
            return result
        try:
            objection = critic.objection(result)
            if objection is None or not critic.begins_again(result):
                return result
            again = critic.told(objection)
        except (ContextOverflow, TimeUp) as end:
            no_reply(end, result, settings)
            return result  # what was submitted stands
        except SandboxGone as gone:
            result.stop, result.detail = Stop.SANDBOX_BROKEN, str(gone)
            return result
    return result


class _Critic:
    """Of one attempt."""

    def __init__(self, settings: Settings, brief: Brief, model: Model, sandbox: Sandbox) -> None:
        self._settings, self._brief, self._model, self._sandbox = settings, brief, model, sandbox
        self._began = time.monotonic()
        self._about_machine = isinstance(brief, MachineBrief)
        self._start = None if self._about_machine else self._kept()

    def _kept(self) -> str | None:
        try:
            return tree.keep(self._sandbox, self._settings.budget.command_seconds)
        except SandboxGone:
            return None

    @property
    def can_begin_again(self) -> bool:
        return self._about_machine or self._start is not None

    def begins_again(self, result: Trajectory) -> bool:
        """A repository is brought back to its start; a machine stays as it is."""
        if self._start is None:
            return self._about_machine
        with clock(result):
            return tree.bring_back(self._sandbox, self._start, self._settings.budget.command_seconds)

    def told(self, objection: str) -> str:
        """What whoever goes on hears of it: nothing where all begins anew."""
        return AGAIN.format(said=cap(objection, self._settings.budget.clip)) if self._about_machine else ""

    def objection(self, result: Trajectory) -> str | None:
        """What the critic says against it; None where it accepts, says neither, or the budget is spent."""
        if spent(self._settings, result):
            return None
        system, task = self._asked(result)
        messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": task}]
        self._settings.on_step(Step(source="user", message=task))
        seconds = seconds_left(self._settings, result, least=LEAST_SECONDS)
        reply = self._model.complete(messages, seconds=seconds)
        count_reply(result, reply)
        self._settings.on_step(agent_step(reply, (), (), 0.0))
        said = VERDICT.findall(reply.content)
        return reply.content if said and said[-1] == "REJECT" else None

    def _asked(self, result: Trajectory) -> tuple[str, str]:
        brief, budget = self._brief, self._settings.budget
        since = self._began if self._about_machine else None
        with clock(result):
            made = changed(self._sandbox, budget.clip, budget.command_seconds, machine_since=since)
        system, task = (MACHINE_SYSTEM, MACHINE_TASK) if self._about_machine else (SYSTEM, TASK)
        given = {"repo": brief.repo, "workdir": brief.workdir, "issue": brief.problem_statement}
        return system, task.format(changed=made, **given)
