"""`localize`: find the files, draw several repairs, choose one by the repository's own tests; after Agentless.

Three phases without tools: the model names files from a listing, answers several times with what to change, and the answer
under which the fewest tests fail is kept, among equals the one that most answers agree on. Not covered: Agentless'
embeddings, its locations within files, and tests that the model writes itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from scaffolds import tree
from scaffolds.answers import AnswerFormat, answered, asked, conversation, put, words_for
from scaffolds.base import Settings, Stop, Trajectory
from scaffolds.files import budget_for, listed, relevant_files, within
from scaffolds.loop import LEAST_SECONDS, agent_step, clock, count_reply, no_reply, seconds_left, spent
from scaffolds.model import ContextOverflow, Model, Reply, TimeUp
from tasks.sandbox import Sandbox, SandboxGone
from tasks.task import Brief, MachineBrief

LOCATE = """\
These are the files of a repository:

{listing}

This was reported about it:

{issue}

Which files have to be changed? Answer with their paths, at most {most}, the most likely first, one a line, and nothing \
else."""

MACHINE_LOCATE = """\
These are files on a machine, in {workdir}:

{listing}

This was asked for:

{issue}

Which of them have to be read or changed? Answer with their paths, at most {most}, the most likely first, one a line, and \
nothing else."""
"""For a task that is about a machine."""

MOST_FILES, REPAIRS, MOST_LISTED = 3, 4, 1500
TESTS = r"""
if git ls-files | grep -qE '(^|/)tests?[/_.].*py$|_test\.py$'; then python -m pytest -q -p no:cacheprovider
elif [ -f go.mod ]; then go test ./...
elif [ -f Cargo.toml ]; then cargo test --offline
elif [ -f package.json ]; then npm test
fi"""
"""The repository's own tests, by what lies at its root; nothing where it is not known how."""
FAILED = re.compile(r"(?<!\d)(\d{1,9}) (?:failed|error)")


class Repair(NamedTuple):
    """One answer that could be read."""

    files: tuple[tuple[str, str], ...]
    """Path, and the whole text."""
    failures: int


def solve(settings: Settings, form: AnswerFormat, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
    """One attempt; what is chosen is written when it ends, whatever ended it."""
    work = _Work(settings, form, brief, model, sandbox)
    try:
        work.run()
    except (ContextOverflow, TimeUp) as end:
        work.result.stop = no_reply(end, work.result, settings)
    except SandboxGone as gone:
        work.result.stop, work.result.detail = Stop.SANDBOX_BROKEN, str(gone)
        return work.result
    try:
        work.write()
    except SandboxGone as gone:
        work.result.stop, work.result.detail = Stop.SANDBOX_BROKEN, str(gone)
    return work.result


class _Work:
    """The three phases of one attempt."""

    def __init__(
        self, settings: Settings, form: AnswerFormat, brief: Brief, model: Model, sandbox: Sandbox
    ) -> None:
        self._settings, self._form, self._brief, self._model, self._sandbox = (
            settings,
            form,
            brief,
            model,
            sandbox,
        )
        self.result = Trajectory(Stop.SUBMITTED)
        self._repairs: list[Repair] = []

    def run(self) -> None:
        files = self._located()
        self.result.files_shown = tuple(files)
        with clock(self.result):
            # an answer about a machine may be written anywhere, and nothing would bring that back
            start = None if self._about_machine else tree.keep(self._sandbox, self._seconds)
        system, task = asked(self._form, files, self._brief)
        for _ in range(REPAIRS):
            if stop := spent(self._settings, self.result):
                self.result.stop = stop
                return
            self._repair(self._ask(system, task), files, start)

    def write(self) -> None:
        """Write the chosen repair."""
        if not self._repairs:
            self.result.stop = Stop.MALFORMED if self.result.stop is Stop.SUBMITTED else self.result.stop
            return
        votes = Counter(repair.files for repair in self._repairs)
        best = min(self._repairs, key=lambda repair: (repair.failures, -votes[repair.files]))
        for path, text in best.files:
            put(self._sandbox, path, text)

    @property
    def _about_machine(self) -> bool:
        return isinstance(self._brief, MachineBrief)

    @property
    def _seconds(self) -> float:
        return self._settings.budget.command_seconds

    def _located(self) -> Mapping[str, str]:
        """The files to show: those that the model names, else those that the report's words point at."""
        with clock(self.result):
            paths = listed(self._sandbox, self._brief, self._seconds)
        budget, named = budget_for(self._model.window), list[str]()
        if len(paths) > MOST_FILES:
            listing = "\n".join(paths[:MOST_LISTED])
            issue = self._brief.problem_statement.strip()
            words = MACHINE_LOCATE if self._about_machine else LOCATE
            request = words.format(listing=listing, issue=issue, most=MOST_FILES, workdir=self._brief.workdir)
            reply = self._ask(words_for(self._form, self._brief).system, request)
            self._settings.on_step(agent_step(reply, (), (), 0.0))
            named = [path for path in paths if path in reply.content.split()][:MOST_FILES]
        with clock(self.result):
            if named:
                return within(budget, self._sandbox, named, self._brief.workdir)
            return relevant_files(self._sandbox, self._brief, timeout=self._seconds, budget=budget)

    def _ask(self, system: str, task: str) -> Reply:
        messages = conversation(self._settings, system, task)
        seconds = seconds_left(self._settings, self.result, least=LEAST_SECONDS)
        reply = self._model.complete(messages, seconds=seconds)
        count_reply(self.result, reply)
        return reply

    def _repair(self, reply: Reply, files: Mapping[str, str], start: str | None) -> None:
        """Try one answer; without a kept state there is nothing to come back to, and no test is run."""
        with clock(self.result):
            answer = answered(self._form, reply, files, self._brief, self._sandbox)
            failures = self._tested(answer.files, start) if start and answer.files else 0
        if answer.files:
            self._repairs.append(Repair(tuple(sorted(answer.files.items())), failures))
        else:
            self.result.calls.malformed += 1
        said = answer.refused or [f"{failures} failures"]
        self._settings.on_step(agent_step(reply, (), said, 0.0))

    def _tested(self, files: Mapping[str, str], start: str) -> int:
        """How many of the repository's tests fail with these files; 1 where they fail without a number."""
        for path, text in files.items():
            put(self._sandbox, path, text)
        done = self._sandbox.exec(TESTS, timeout=self._seconds)
        tree.bring_back(self._sandbox, start, self._seconds)
        counted = sum(map(int, FAILED.findall(done.output[-2000:])))
        return counted or int(done.exit_code != 0)
