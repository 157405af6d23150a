"""mini-swe-agent itself over our sandbox and client: `--scaffold scaffolds.mini:MiniSweAgent`, with the extra `[mini]`.

Upstream's agent class, prompts, tool, parser and templates, as its own `swebench.yaml` puts them together, or on a task about
a machine its `mini.yaml`, which its command line has; the budget is ours, and so are the words of a `Stop`. Not covered: its cost limit (a local model has no price), its retries (our client's
are in their place), and its text-based and response-API models.
"""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from scaffolds.base import Settings, Step, Stop, Trajectory
from scaffolds.calls import Call, count, native
from scaffolds.loop import LEAST_SECONDS, agent_step, clock, count_reply, no_reply, seconds_left, spent
from scaffolds.model import ContextOverflow, Model, Reply, TimeUp
from scaffolds.tools import Bash
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief, MachineBrief
from tasks.untrusted import clean

MARKER = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
"""Upstream's: first line of a command's output that ends the session."""
TOOLS = {"bash": Bash()}
"""For reading calls into the record; what runs them is upstream's."""
NOT_THERE = "mini-swe-agent is not installed: pip install 'asclaimed[mini]'"


if find_spec("minisweagent") is None:
    raise ImportError(NOT_THERE)


REPOSITORY, MACHINE = "benchmarks/swebench.yaml", "mini.yaml"


@cache
def config(file: str = REPOSITORY) -> dict[str, Any]:
    """One of upstream's."""
    os.environ.setdefault("MSWEA_SILENT_STARTUP", "1")
    os.environ.setdefault("MSWEA_GLOBAL_CONFIG_DIR", str(Path(tempfile.gettempdir()) / "asclaimed-mini"))
    from minisweagent import package_dir

    read: dict[str, Any] = yaml.safe_load((package_dir / "config" / file).read_text())
    return read


class Ended(Exception):  # noqa: N818 - a limit of ours, on its way through upstream's loop
    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


class MiniSweAgent:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        from minisweagent.agents.default import DefaultAgent

        result, about_machine = Trajectory(Stop.SUBMITTED, uses_tools=True), isinstance(brief, MachineBrief)
        given = config(MACHINE if about_machine else REPOSITORY)
        ours = OurModel(self._settings, given["model"], model, result)
        place = OurEnvironment(self._settings, given["environment"], sandbox, brief, result)
        words = {key: text for key, text in given["agent"].items() if key.endswith("_template")}
        agent = DefaultAgent(ours, place, **words, step_limit=0, cost_limit=0.0)
        skills = brief.told_of() if isinstance(brief, MachineBrief) else ""
        task = f"{brief.problem_statement}\n\n{skills}".strip() if skills else brief.problem_statement
        try:
            result.stop = ended(agent.run(task), ours)
        except Ended as end:
            result.stop = end.stop
        except (ContextOverflow, TimeUp) as full:
            result.stop = no_reply(full, result, self._settings)
        except SandboxGone as gone:
            result.stop, result.detail = Stop.SANDBOX_BROKEN, str(gone)
        ours.record(())
        return result


def ended(exit_facts: Mapping[str, Any], model: OurModel) -> Stop:
    """Upstream's exit status as a `Stop`."""
    if exit_facts.get("exit_status") == "Submitted":
        return Stop.SUBMITTED
    return Stop.MALFORMED if model.last_calls else Stop.NO_TOOL_CALL


class OurModel:
    """Upstream's Model protocol over our client."""

    def __init__(
        self, settings: Settings, given: Mapping[str, Any], model: Model, result: Trajectory
    ) -> None:
        from minisweagent.models.utils.actions_toolcall import BASH_TOOL

        self._settings, self._model, self._result, self._tool = settings, model, result, BASH_TOOL
        self._templates = {key: text for key, text in given.items() if key.endswith("_template")}
        self._waiting: Reply | None = None
        self.last_calls: list[Call] = []
        result.tools = (BASH_TOOL,)

    def query(self, messages: Sequence[Mapping[str, Any]], **_kwargs: Any) -> dict[str, Any]:
        """One call. Raises upstream's `FormatError` for a reply without a usable call, and `Ended` at a limit."""
        from minisweagent.models.utils.actions_toolcall import parse_toolcall_actions

        self.record(())
        if stop := spent(self._settings, self._result):
            raise Ended(stop)
        history = [{key: value for key, value in message.items() if key != "extra"} for message in messages]
        seconds = seconds_left(self._settings, self._result, least=LEAST_SECONDS)
        reply = self._model.complete(history, tools=[self._tool], seconds=seconds)
        count_reply(self._result, reply)
        self._waiting, self.last_calls = reply, count(native(reply, TOOLS), self._result.calls)
        actions = parse_toolcall_actions(
            [as_upstreams(call) for call in reply.tool_calls],
            format_error_template=self._templates["format_error_template"],
            template_kwargs={"finish_reason": reply.finish_reason},
        )
        return {**reply.message, "extra": {"actions": actions, "cost": 0.0}}

    def format_message(self, **message: Any) -> dict[str, Any]:
        if message.get("role") in ("system", "user"):
            self._settings.on_step(Step(source=message["role"], message=message["content"]))
        return message

    def format_observation_messages(
        self, message: Mapping[str, Any], outputs: list[dict[str, Any]], template_vars: Any = None
    ) -> list[dict[str, Any]]:
        from minisweagent.models.utils.actions_toolcall import format_toolcall_observation_messages

        made: list[dict[str, Any]] = format_toolcall_observation_messages(
            actions=message["extra"]["actions"],
            outputs=outputs,
            observation_template=self._templates["observation_template"],
            template_vars=template_vars,
        )
        self.record([one["content"] for one in made])
        return made

    def record(self, observations: Sequence[str]) -> None:
        """The step of the last reply, once what came of it is known."""
        if self._waiting is not None:
            self._settings.on_step(agent_step(self._waiting, self.last_calls, observations, 0.0))
            self._waiting = None

    def get_template_vars(self, **_kwargs: Any) -> dict[str, Any]:
        return dict(self._templates)

    def serialize(self) -> dict[str, Any]:
        return {}


class OurEnvironment:
    """Upstream's Environment protocol over our sandbox."""

    def __init__(
        self, settings: Settings, given: Mapping[str, Any], sandbox: Sandbox, brief: Brief, result: Trajectory
    ) -> None:
        self._settings, self._sandbox, self._brief, self._result = settings, sandbox, brief, result
        self._exports = "".join(
            f"export {name}={shlex.quote(str(value))}\n" for name, value in (given.get("env") or {}).items()
        )

    def execute(
        self,
        action: Mapping[str, Any],
        cwd: str = "",  # noqa: ARG002 - upstream's signature
        *,
        timeout: int | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """What a command did, in upstream's keys. Raises upstream's `Submitted`, and `Ended` at the time limit."""
        left = seconds_left(self._settings, self._result, least=LEAST_SECONDS)
        if spent(self._settings, self._result) is Stop.TIME_LIMIT:
            raise Ended(Stop.TIME_LIMIT)
        longest = self._settings.budget.command_seconds
        seconds = longest if left is None else min(longest, left)
        command = action.get("command")
        if not isinstance(command, str):
            return failed("", "the command is no text")
        with clock(self._result):
            done = self._sandbox.exec(self._exports + clean(command), timeout=seconds)
        if done.timed_out:
            return failed(done.output, f"it ran longer than {seconds:g} seconds")
        if done.exit_code == 0 and done.output.lstrip().partition("\n")[0].strip() == MARKER:
            from minisweagent.exceptions import Submitted

            raise Submitted(
                {"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": ""}}
            )
        return {"output": done.output, "returncode": done.exit_code, "exception_info": ""}

    def get_template_vars(self, **_kwargs: Any) -> dict[str, Any]:
        here = platform.uname()
        told = {"system": here.system, "release": here.release, "version": here.version}
        return {"cwd": self._brief.workdir, "machine": here.machine, **told}

    def serialize(self) -> dict[str, Any]:
        return {}


def failed(output: str, why: str) -> dict[str, Any]:
    return {
        "output": output,
        "returncode": -1,
        "exception_info": f"An error occurred while executing the command: {why}",
    }


def as_upstreams(call: Any) -> SimpleNamespace:
    """A call in the shape of upstream's client."""
    return SimpleNamespace(id=call.id, function=SimpleNamespace(name=call.name, arguments=call.arguments))
