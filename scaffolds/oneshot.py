"""`oneshot`: one call, no tools. The model sees the report and the relevant files and answers with whole files.

Whole files rather than search and replace, because a very small model can copy but cannot quote exactly. So a file
that was not shown may not be replaced, and nothing of an answer that was cut off is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scaffolds.base import Settings, Step, Stop, Trajectory
from scaffolds.files import budget_for, relevant_files
from scaffolds.loop import LEAST_SECONDS, agent_step, clock, count_reply, no_reply, seconds_left
from scaffolds.model import CUT_OFF, ContextOverflow, Message, Model, Reply, TimeUp
from scaffolds.whole_files import parse_files
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief

SYSTEM = "You repair programs. You answer with complete corrected files and nothing else."

TASK = """\
{files}

This was reported about the code above:

{issue}

Correct the code. Write each file that you change completely, from its first line to its last, in a ``` block, with \
its path on the line before the block. Keep everything that is right as it is."""
"""Without an example of the form: a very small model answers with the example itself."""


class Oneshot:
    """See the module's docstring."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        result = Trajectory(Stop.SUBMITTED)
        try:
            with clock(result):
                files = self._chosen(brief, model, sandbox)
            result.files_shown = tuple(files)
            seconds = seconds_left(self._settings, result, least=LEAST_SECONDS)
            reply = model.complete(self._opening(brief, files), seconds=seconds)
            self._write(reply, files, sandbox, brief, result)
        except (ContextOverflow, TimeUp) as end:
            result.stop = no_reply(end, result, self._settings)
        except SandboxGone as gone:
            result.stop, result.detail = Stop.SANDBOX_BROKEN, str(gone)
        return result

    def _chosen(self, brief: Brief, model: Model, sandbox: Sandbox) -> dict[str, str]:
        seconds = self._settings.budget.command_seconds
        return relevant_files(sandbox, brief, timeout=seconds, budget=budget_for(model.window))

    def _opening(self, brief: Brief, files: Mapping[str, str]) -> list[Message]:
        shown = "\n\n".join(f"{path}\n```\n{text.rstrip()}\n```" for path, text in files.items())
        task = TASK.format(files=shown, issue=brief.problem_statement.strip())
        for source, text in (("system", SYSTEM), ("user", task)):
            self._settings.on_step(Step(source=source, message=text))
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": task}]

    def _write(
        self, reply: Reply, files: Mapping[str, str], sandbox: Sandbox, brief: Brief, result: Trajectory
    ) -> None:
        """Writes what can be read out of the answer; one without a file, or that was cut, is malformed."""
        count_reply(result, reply)
        before, observations = result.active_seconds, list[str]()
        with clock(result):
            answer = answered(reply, files, brief, sandbox)
            observations += [put(sandbox, path, text) for path, text in answer.files.items()]
        observations += answer.refused
        if not answer.files:
            result.stop, result.detail = Stop.MALFORMED, "; ".join(answer.refused)[:300]
            result.calls.malformed += 1
        spent = result.active_seconds - before
        self._settings.on_step(agent_step(reply, (), observations, spent))


class Answered(NamedTuple):
    """What of an answer may be written, and why the rest may not."""

    files: dict[str, str]
    refused: list[str]


def answered(reply: Reply, shown: Mapping[str, str], brief: Brief, sandbox: Sandbox) -> Answered:
    """A whole file is known to be whole only where the answer ended by itself, and the old one was read."""
    if reply.finish_reason == CUT_OFF:
        return Answered({}, ["the answer was cut off at the limit of tokens: nothing of it is written"])
    found = parse_files(reply.content, shown, brief.workdir)
    unseen = [p for p in found if p not in shown and _exists(sandbox, f"{brief.workdir}/{p}")]
    refused = [f"{path}: not written: it exists and was not shown" for path in unseen]
    if not found:
        refused = ["the answer holds no file"]
    return Answered({path: text for path, text in found.items() if path not in unseen}, refused)


def _exists(sandbox: Sandbox, path: str) -> bool:
    try:
        sandbox.read(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a directory, or a file that is too large to read
    return True


def put(sandbox: Sandbox, path: str, text: str) -> str:
    """Writes a file; what came of it, in words."""
    try:
        sandbox.write(path, text.encode("utf-8", "replace"))
    except OSError as error:
        return f"{path}: not written: {error}"
    return f"{path}: written"
