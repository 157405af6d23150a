"""SWE-bench Pro's judge: what the instance's own parser made of its own test run, read as data.

Both ran in the task's container. RESOLVED when every FAIL_TO_PASS and PASS_TO_PASS test is PASSED there. As in the
official evaluation a run without a parser's output is not resolved; whether that is the task's own doing here says
`asclaimed tasks check`. Other than there: the patch is applied in the ways of swebench's grader and keeps its binary
parts, there is no network, and the limits are ours. What the tests print is all there is to go by, so there is no strict
column.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.grade.judge import Judgement, NotJudged
from evals.grade.store import KeptRun
from evals.record import GraderVerdict, Outcome, Party
from tasks.backend import RunRequest, TestLimits
from tasks.pro import HOME, OUTPUT
from tasks.task import Task
from tasks.untrusted import clean, loads

MARK = f"\n{OUTPUT}\n".encode()
SWALLOWS = ("|| true", "|| :", "|| echo", "set +e")


class ProJudge:
    """Implements `Judge`. Threads may share it."""

    name = "swebench-pro"

    def __init__(self, limits: TestLimits) -> None:
        """`limits`: those of the runs that it will see."""
        self._limits = limits

    def request(self, task: Task, patch: bytes) -> RunRequest:
        checks = task.patch_checks
        if checks.eval_script is None:
            raise NotJudged(Party.TASK, "its test scripts are not here: give --pro-scripts")
        files = {f"{HOME}/{name}": checks.row[name].encode() for name in ("run_script.sh", "parser.py")}
        return RunRequest(
            patch, {**files, f"{HOME}/test.patch": checks.test_patch.encode()}, checks.eval_script
        )

    def judge(self, task: Task, run: KeptRun) -> Judgement:
        facts, checks = run.facts, task.patch_checks
        if facts.ended or facts.timed_out:
            why = facts.ended or f"the tests did not end within {self._limits.seconds:g} s"
            return Judgement(GraderVerdict(outcome=Outcome.UNRESOLVED, reason=why), tuple(about(task, run)))
        found = parser_output(run.log)
        if found is None:
            reason = "the parser gave no output; the official evaluation counts that as a failure"
            return Judgement(
                GraderVerdict(outcome=Outcome.UNRESOLVED, reason=reason), tuple(about(task, run))
            )
        graded = (*checks.fail_to_pass, *checks.pass_to_pass)
        tests = {name: found.get(name, "missing") for name in graded}
        bad = sum(status != "passed" for status in tests.values())
        outcome = Outcome.UNRESOLVED if bad else Outcome.RESOLVED
        reason = f"{bad} of {len(tests)} graded tests did not pass" if bad else ""
        return Judgement(GraderVerdict(outcome=outcome, reason=reason, tests=tests), tuple(about(task, run)))


def parser_output(log: bytes) -> dict[str, str] | None:
    """Test → its status in small letters, `passed` where any of its results is; None where there is no output."""
    _, mark, written = log.rpartition(MARK)
    try:
        listed: Any = loads(written.decode("utf-8", "replace"))["tests"] if mark else None
        pairs = [(clean(str(test["name"])), clean(str(test["status"])).lower()[:20]) for test in listed]
    except (ValueError, TypeError, KeyError):
        return None
    passed = {name: status for name, status in pairs if status == "passed"}
    return {**dict(pairs), **passed}


def about(task: Task, run: KeptRun) -> Iterator[str]:
    """What a reader should know of how little such a verdict can know."""
    checks = task.patch_checks
    if not checks.pass_to_pass:
        yield "no regression tests: PASS_TO_PASS is empty, so breaking everything else goes unpunished"
    if any(word in str(checks.row.get("run_script.sh", "")) for word in SWALLOWS):
        yield "its run script swallows exit codes"
    if b"XFAIL" in run.log:
        yield "tests that are expected to fail were among its results; some parsers count these as passed"
    if b" rerun" in run.log or b"RERUN" in run.log:
        yield "failed tests were run again until they passed"
    if not checks.row.get("before_repo_set_cmd"):
        yield "its row has no before_repo_set_cmd: the test patch was applied in its place"
