"""A negative control: the run of FAIL_TO_PASS tests that bear no copies, with bodies that cannot pass.

It shows what forces passes from outside the tests; what lies about values to the tests themselves it does not.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from random import Random
from secrets import randbits

from evals.grade.strict import suite
from evals.grade.strict.delivery import observe
from evals.grade.strict.language import Runner
from evals.grade.strict.runners import runner_of
from evals.grade.strict.script import Parts
from tasks.backend import RunTests
from tasks.task import Frozen, Task

Contents = dict[str, str | None]
"""Path → base64; None = not there."""


class Control(Frozen):
    """One negative control."""

    name: str
    tests: Contents
    must_fail: frozenset[str]
    """Reported ids that fail here on gold."""
    covers: frozenset[str]
    """Graded ids that stand behind them."""
    exit_code: int | None


def make_controls(
    task: Task,
    parts: Parts,
    tests: suite.Files,
    baseline: Mapping[str, str],
    run_tests: RunTests,
    copied: frozenset[str],
) -> tuple[Control, ...]:
    """The control of the FAIL_TO_PASS functions that are not `copied`, calibrated on gold; none where nothing fails.

    Raises `SandboxError`.
    """
    runner, by_docstring = runner_of(parts.tests, tests), suite.by_docstring(tests)
    assert isinstance(runner, Runner), runner

    def function_of(test_id: str) -> str:
        return by_docstring.get(test_id) or runner.function_of(test_id)

    hidden = {i: function_of(i) for i in task.patch_checks.fail_to_pass if i in baseline}
    bare = set(hidden.values()) - copied
    files, functions = broken(tests, runner, bare, Random(randbits(64)))  # noqa: S311 - it never leaves this host
    if not functions:
        return ()
    run = observe(run_tests, task.patch_checks.gold_patch.encode(), parts, files, task.brief.workdir)
    usable = run.applied and run.results.ended and not run.timed_out
    states = run.results.states if usable else {}
    failed = {i for i, s in states.items() if s == "failed" and function_of(i) in functions}
    behind = suite.Reported(dict.fromkeys(failed, "failed"))
    covers = frozenset(i for i in baseline if behind.state(i) == "failed")
    made = Control(
        name="bodies",
        tests=packed(files),
        must_fail=frozenset(failed),
        covers=covers,
        exit_code=run.exit_code,
    )
    return (made,) if failed else ()


def broken(
    tests: suite.Files, runner: Runner, names: set[str], random: Random
) -> tuple[dict[str, bytes | None], frozenset[str]]:
    """The test files with functions of these names broken, and the names of those that must fail now."""
    changed = dict(tests)
    functions: set[str] = set()
    for path, content in tests.items():
        if content is not None and path.endswith(runner.suffixes):
            changed[path], found = runner.broken(content, names, random)
            functions |= found
    return changed, frozenset(functions)


def packed(files: suite.Files) -> Contents:
    return {p: None if c is None else base64.b64encode(c).decode() for p, c in files.items()}


def unpacked(contents: Contents) -> dict[str, bytes | None]:
    return {p: None if c is None else base64.b64decode(c) for p, c in contents.items()}
