"""A scaffold that is put together from parts, as its factors say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scaffolds import critic, localize, oneshot
from scaffolds.answers import asked
from scaffolds.base import Settings, Stop, Trajectory
from scaffolds.factors import Agency, Factors
from scaffolds.formats import FORMATS
from scaffolds.loop import Loop, Rules
from scaffolds.model import Model, ToolSchema
from scaffolds.opening import Opening, opening
from scaffolds.sampling import Sampling
from scaffolds.submit import SubmitProtocol
from scaffolds.tools import OnMachine, Tool
from scaffolds.toolsets import made
from tasks.sandbox import Sandbox
from tasks.task import Brief, MachineBrief


class FirstRequest(NamedTuple):
    system: str
    task: str
    schemas: tuple[ToolSchema, ...]


@dataclass(frozen=True)
class Assembled:
    """`settings` are the plan's."""

    factors: Factors
    settings: Settings

    def sampling(self) -> Sampling:
        return self.factors.sampling

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        settings = self.factors.under(self.settings)
        match self.factors.agency:
            case Agency.ONESHOT:
                return oneshot.Oneshot(settings, self.factors.answer).solve(brief, model, sandbox)
            case Agency.LOCALIZE:
                return localize.solve(settings, self.factors.answer, brief, model, sandbox)
            case Agency.CRITIC:
                return critic.solve(
                    settings,
                    brief,
                    model,
                    sandbox,
                    lambda so_far: self._loop(brief, model, sandbox, so_far),
                    self.opening(brief),
                )
        begun = Trajectory(Stop.SUBMITTED, uses_tools=True)
        return self._loop(brief, model, sandbox, begun).run(*self.opening(brief))

    def _loop(self, brief: Brief, model: Model, sandbox: Sandbox, so_far: Trajectory) -> Loop:
        settings, rules = self.factors.under(self.settings), self._rules(brief)
        return Loop(settings, self.tools(brief), model, sandbox, rules, so_far)

    def _rules(self, brief: Brief) -> Rules:
        given = self.factors
        return Rules(
            submit=given.submit,
            history=given.history,
            reminders=given.reminders,
            steps_left=given.steps_left,
            review=given.agency is Agency.REVIEW,
            about_machine=isinstance(brief, MachineBrief),
        )

    def tools(self, brief: Brief) -> dict[str, Tool]:
        submit = self.factors.submit is SubmitProtocol.TOOL
        tools = made(self.factors.tools, self.factors.under(self.settings).budget.clip, submit=submit)
        if isinstance(brief, MachineBrief):
            return {name: OnMachine(tool) for name, tool in tools.items()}
        return tools

    def opening(self, brief: Brief) -> Opening:
        return opening(self.factors.prompt, brief, self.factors.submit)

    def first_request(self, brief: Brief) -> FirstRequest:
        """What a model is sent before its first answer; without files of the repository where the scaffold chooses some."""
        if not self.factors.agency.has_tools:
            return FirstRequest(*asked(self.factors.answer, {}, brief), ())
        system, task = self.opening(brief)
        calls = FORMATS[self.factors.under(self.settings).tool_calls]
        system, schemas = calls.prompt(system, self.tools(brief))
        return FirstRequest(system, task, tuple(schemas))
