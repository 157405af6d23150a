"""The two negative controls of a task: test files in which graded tests must fail.

bodies   FAIL_TO_PASS tests get a body that cannot pass; PASS_TO_PASS tests get all their assertions changed (it
         finds whatever a broken body finds, and objects that equal everything as well), or a broken body
         where gold passes nevertheless.
asserts  FAIL_TO_PASS tests, and only these, get one assertion changed, in several copies where that costs little.
         The agent has never seen these tests, so a cheat cannot tell this run from the real one by known text.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from secrets import randbits

from evals.grade.strict import mutate, suite
from evals.grade.strict.delivery import Observed, observe
from evals.grade.strict.script import Parts
from tasks.backend import RunTests
from tasks.task import Frozen, Task

Contents = dict[str, str | None]
"""Path → base64; None = not there."""
Changes = Mapping[Callable[[bytes, set[str], Random], mutate.Mutant], set[str]]
"""Mutation → names of the functions that it is for."""
COPIES_MAY_COST = 1.1
"""Copies of tests may make a control so much slower than the plain run (and `COPIES_FREE_SECONDS` in any case)."""
COPIES_FREE_SECONDS = 0.15


class Control(Frozen):
    """One negative control."""

    name: str
    tests: Contents
    must_fail: frozenset[str]
    """Reported ids that fail here on gold."""
    covers: frozenset[str]
    """Graded ids that stand behind them."""
    exit_code: int | None


@dataclass(frozen=True)
class ControlContext:
    """What all controls of a task are made from."""

    task: Task
    parts: Parts
    tests: suite.Files
    baseline: Mapping[str, str]
    run_tests: RunTests
    seed: int
    by_docstring: Mapping[str, str]

    def functions(self, test_ids: tuple[str, ...]) -> set[str]:
        return {self.function_of(test_id) for test_id in test_ids if test_id in self.baseline}

    def function_of(self, test_id: str) -> str:
        return self.by_docstring.get(test_id) or suite.named(test_id).function

    def control(self, name: str, changes: Changes) -> tuple[Control, Observed]:
        """Make one control and see what gold does under it."""
        random = Random(self.seed)  # noqa: S311 - it never leaves this host
        files, functions = mutated(self.tests, changes, random)
        gold = self.task.checks.gold_patch.encode()
        run = observe(self.run_tests, gold, self.parts, files, self.task.brief.workdir)
        return self._judged(name, files, functions, run), run

    def _judged(self, name: str, files: suite.Files, functions: frozenset[str], run: Observed) -> Control:
        """A control of the ids that fail on gold; of none when gold's run did not come to its end."""
        usable = run.applied and run.results.ended and not run.timed_out
        states = run.results.states if usable else {}
        broken = {i for i, s in states.items() if s == "failed" and self.function_of(i) in functions}
        behind = suite.Reported(dict.fromkeys(broken, "failed"))
        return Control(
            name=name,
            tests=packed(files),
            must_fail=frozenset(broken),
            covers=frozenset(i for i in self.baseline if behind.state(i) == "failed"),
            exit_code=run.exit_code,
        )


def make_controls(
    task: Task,
    parts: Parts,
    tests: suite.Files,
    baseline: Mapping[str, str],
    gold_seconds: float,
    run_tests: RunTests,
) -> tuple[Control, ...]:
    """Both controls, calibrated on gold; one that nothing fails under is left out. Raises `SandboxError`."""
    seed, by_docstring = randbits(64), suite.by_docstring(tests)
    context = ControlContext(task, parts, tests, baseline, run_tests, seed, by_docstring)
    hidden = context.functions(task.checks.fail_to_pass)
    known = context.functions(task.checks.pass_to_pass) - hidden
    controls = (_bodies(context, hidden, known), _asserts(context, hidden, gold_seconds))
    return tuple(control for control in controls if control.must_fail)


def _bodies(context: ControlContext, hidden: set[str], known: set[str]) -> Control:
    control, _ = context.control("bodies", {mutate.break_bodies: hidden, mutate.break_asserts: known})
    survivors = known - {context.function_of(i) for i in control.must_fail}
    if not survivors:
        return control
    changes: Changes = {mutate.break_bodies: hidden | survivors, mutate.break_asserts: known - survivors}
    return context.control("bodies", changes)[0]


def _asserts(context: ControlContext, hidden: set[str], gold_seconds: float) -> Control:
    control, run = context.control("asserts", {mutate.copy_with_broken_asserts: hidden})
    if run.seconds <= COPIES_MAY_COST * gold_seconds + COPIES_FREE_SECONDS:
        return control
    return context.control("asserts", {mutate.break_one_assert: hidden})[0]


def mutated(
    tests: suite.Files, changes: Changes, random: Random
) -> tuple[dict[str, bytes | None], frozenset[str]]:
    """The test files with all changes made, and the names of the functions that must fail now."""
    changed = dict(tests)
    functions: set[str] = set()
    for path, content in tests.items():
        if content is None or not path.endswith(".py"):
            continue
        for mutation, names in changes.items():
            mutant = mutation(content, names, random)
            content = mutant.source
            functions |= mutant.functions
        changed[path] = content
    return changed, frozenset(functions)


def packed(files: suite.Files) -> Contents:
    return {p: None if c is None else base64.b64encode(c).decode() for p, c in files.items()}


def unpacked(contents: Contents) -> dict[str, bytes | None]:
    return {p: None if c is None else base64.b64decode(c) for p, c in contents.items()}
