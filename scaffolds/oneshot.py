"""`oneshot`: one call, no tools. The model sees the report and the relevant files and answers with what to change."""

from __future__ import annotations

from collections.abc import Mapping

from scaffolds.answers import AnswerFormat, answered, asked, conversation, put
from scaffolds.base import Settings, Stop, Trajectory
from scaffolds.files import budget_for, relevant_files
from scaffolds.loop import LEAST_SECONDS, agent_step, clock, count_reply, no_reply, seconds_left
from scaffolds.model import ContextOverflow, Model, Reply, TimeUp
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief


class Oneshot:
    """See the module's docstring."""

    def __init__(self, settings: Settings, form: AnswerFormat) -> None:
        self._settings, self._form = settings, form

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        result = Trajectory(Stop.SUBMITTED)
        try:
            with clock(result):
                files = self._chosen(brief, model, sandbox)
            result.files_shown = tuple(files)
            seconds = seconds_left(self._settings, result, least=LEAST_SECONDS)
            opening = conversation(self._settings, *asked(self._form, files, brief))
            reply = model.complete(opening, seconds=seconds)
            self._write(reply, files, sandbox, brief, result)
        except (ContextOverflow, TimeUp) as end:
            result.stop = no_reply(end, result, self._settings)
        except SandboxGone as gone:
            result.stop, result.detail = Stop.SANDBOX_BROKEN, str(gone)
        return result

    def _chosen(self, brief: Brief, model: Model, sandbox: Sandbox) -> dict[str, str]:
        seconds = self._settings.budget.command_seconds
        return relevant_files(sandbox, brief, timeout=seconds, budget=budget_for(model.window))

    def _write(
        self, reply: Reply, files: Mapping[str, str], sandbox: Sandbox, brief: Brief, result: Trajectory
    ) -> None:
        """Writes what can be read out of the answer; one without a change, or that was cut, is malformed."""
        count_reply(result, reply)
        before, observations = result.active_seconds, list[str]()
        with clock(result):
            answer = answered(self._form, reply, files, brief, sandbox)
            observations += [put(sandbox, path, text) for path, text in answer.files.items()]
        observations += answer.refused
        if not answer.files:
            result.stop, result.detail = Stop.MALFORMED, "; ".join(answer.refused)[:300]
            result.calls.malformed += 1
        spent = result.active_seconds - before
        self._settings.on_step(agent_step(reply, (), observations, spent))
