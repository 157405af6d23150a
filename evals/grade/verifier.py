"""The judge of tasks about a machine: the task's own verifier on the state that an attempt left, and what that proves.

A reward of 1 is a pass, less is none. Where a zero may be the verifier's own failure (no report where its script promises
one, no reward, tools that are missing) the same verifier runs on the task's untouched image: nobody has been there, so
what fails there as well is the task's doing and not judged, and what fails only on the attempt's state is the attempt's.
So an agent gains nothing by breaking the ground that its verifier stands on.

The strict column reads the report of the tests as well: a pass must be one there, too. Open: code under test runs in the
verifier's machine and can write both files; flags of the state (`evals.run.state`) say where that was prepared.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from evals.grade.judge import NotJudged
from evals.grade.machine import Machine
from evals.grade.reward import Report, Reward, read_missing, read_report, read_reward
from evals.record import OWN_VERIFIER, Grade, GraderVerdict, Outcome, Party, Record
from evals.run.kept_verification import JSON, TEXT, KeptVerification, collected, shared_key
from tasks.backend import Progress, TestLimits, VerifierRun
from tasks.disk import cache_directory, exclusive
from tasks.errors import TaskError
from tasks.task import Task, Verifier

NAME = f"{OWN_VERIFIER}==1"
"""In grades: raise it when verdicts are read otherwise."""
SHARED = "in the agent's own machine, beside what it left running (shared)"
ONE_TRUST = "read from files that the tested code could write"


class Reading(NamedTuple):
    """What one run of a verifier says."""

    reward: Reward
    report: Report | None
    """None where its script promises none."""
    missing: tuple[str, ...]
    why_ended: str
    starts: bool

    @property
    def doubt(self) -> str:
        """Why less than a pass may be the verifier's own failure; "" where it is whole."""
        if self.reward.value is None:
            return self.why_ended or self.reward.problem
        return self.report.problem if self.report and self.report.problem else ""

    @property
    def wants(self) -> str:
        """What the script asked for and did not get; believed of an untouched image alone."""
        return f"it needs {', '.join(self.missing)}, which neither image nor kit has" if self.missing else ""


class VerifierGrader:
    """Grades states of machines. Threads may share it."""

    name = NAME

    def __init__(self, machine: Machine, limits: TestLimits, progress: Progress, *, cached: bool) -> None:
        self.machine, self.limits, self._progress, self._cached = machine, limits, progress, cached

    def grade(self, task: Task, verifier: Verifier, record: Record, directory: Path) -> Grade:
        """Grade a recorded attempt; reuses or writes the verifier's run in its directory."""
        if record.state is None:
            return not_judged(NotJudged(Party.SANDBOX, "the record names no state of the machine"))
        try:
            pristine = record.state.changed == 0
            return self.grade_state(task, verifier, record.state.image, directory, pristine=pristine)
        except NotJudged as reason:
            return not_judged(reason)

    def grade_state(
        self,
        task: Task,
        verifier: Verifier,
        image: str,
        directory: Path | None = None,
        *,
        pristine: bool = False,
    ) -> Grade:
        """Grade a state; a `pristine` one is its own control. Raises `NotJudged`, `MachineError`."""
        run = self._verified(task, verifier, image, directory)
        return self.grade_run(task, verifier, run, pristine=pristine)

    def grade_run(
        self, task: Task, verifier: Verifier, run: KeptVerification, *, pristine: bool = False
    ) -> Grade:
        """What a run of the verifier comes to. Raises `NotJudged`, `MachineError`."""
        reading = read(run, verifier)
        official = self._official(task, verifier, reading, pristine)
        strict = strict_column(reading, official)
        return Grade(
            outcome=strict.outcome if strict else official.outcome,
            official=official,
            strict=strict,
            grader=NAME,
            key=run.facts.key,
            evidence=evidence(run, reading),
            seconds=round(run.facts.seconds + run.facts.startup_seconds, 3),
            test_seconds=run.facts.seconds,
        )

    def untouched(self, task: Task, verifier: Verifier, *, cached: bool = True) -> Reading:
        """What the verifier says of the image as it is. Raises `NotJudged`, `MachineError`."""
        image = self.machine.held(lambda: self.machine.backend.image(task.image, self._progress))
        key = self._key(task, image, self.kit(verifier))
        home = cache_directory() / "verifications" / key
        with exclusive(f"verify-{key}"):
            known = KeptVerification.load(home) if cached else None
            run = known or self._run(task, verifier, image)
            if known is None:
                run.save(home)
        return read(run, verifier)

    def _verified(
        self, task: Task, verifier: Verifier, image: str, directory: Path | None
    ) -> KeptVerification:
        found = KeptVerification.load(directory) if directory is not None else None
        if found and found.facts.shared and found.facts.key == shared_key(task, found.facts.kit):
            return found  # that machine is no more: it cannot run again
        if found and self._cached and found.facts.key == self._key(task, image, found.facts.kit):
            return found
        run = self._run(task, verifier, image)
        if directory is not None:
            run.save(directory)
        return run

    def _run(self, task: Task, verifier: Verifier, image: str) -> KeptVerification:
        kit = self.kit(verifier)
        request = VerifierRun(
            image=image,
            workdir=task.brief.workdir,
            verifier=verifier,
            collect=collected(verifier),
            limits=roomy(self.limits, verifier),
            run=self.machine.run,
            compose=task.compose,
        )
        self.machine.check_not_abandoned()
        result = self.machine.held(lambda: self.machine.backend.verify(request))
        self.machine.check_not_abandoned()
        return KeptVerification.of(self._key(task, image, kit), kit, result)

    def kit(self, verifier: Verifier) -> str:
        """Name of the kit that its script needs. Raises `NotJudged`."""

        def made() -> str:
            try:
                return self.machine.backend.kit(verifier.packages, self._progress)
            except TaskError as error:
                raise NotJudged(Party.TASK, str(error)) from error

        return self.machine.held(made)

    def _key(self, task: Task, image: str, kit: str) -> str:
        parts = [
            NAME,
            task.content_hash,
            image,
            kit,
            self.limits.model_dump(mode="json", exclude={"seconds", "apply_seconds"}),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _official(self, task: Task, verifier: Verifier, reading: Reading, pristine: bool) -> GraderVerdict:
        """Raises `NotJudged` where the verifier fails by itself."""
        reward, tests = reading.reward.value, reading.report.tests if reading.report else {}
        if reward is not None and reward >= 1:
            return GraderVerdict(outcome=Outcome.RESOLVED, reason="reward 1", tests=tests)
        control = reading if pristine else self.untouched(task, verifier, cached=reading.starts)
        if why := control.doubt or control.wants:
            raise NotJudged(Party.TASK, f"the verifier fails on the untouched image as well: {why}")
        if reading.doubt:
            reason = f"{reading.doubt}, and on the untouched image the verifier works"
        else:
            reason = f"reward {reward:g}"
        return GraderVerdict(outcome=Outcome.UNRESOLVED, reason=reason, tests=tests)


def roomy(limits: TestLimits, verifier: Verifier) -> TestLimits:
    """With at least the memory that the task gives: its verifier runs on a machine of that size."""
    memory = max(limits.container.memory, verifier.memory or 0)
    return limits.model_copy(update={"container": limits.container.model_copy(update={"memory": memory})})


def read(run: KeptVerification, verifier: Verifier) -> Reading:
    facts = run.facts
    why = f"the verifier did not end within {verifier.seconds:g} s" if facts.timed_out else ""
    report = read_report(run.left, verifier.ctrf) if verifier.ctrf else None
    reward = Reward(None, "it was stopped") if facts.timed_out else read_reward(run.left)
    stuck = "" if facts.starts else "no machine starts in the state that was left"
    return Reading(reward, report, read_missing(run.left), stuck or facts.ended or why, facts.starts)


def strict_column(reading: Reading, official: GraderVerdict) -> GraderVerdict | None:
    """The same, where the report of the tests agrees; None where there is none to be had."""
    if reading.report is None:
        return None
    if official.outcome is not Outcome.RESOLVED:
        return official.model_copy(update={"reason": f"{official.reason}; {ONE_TRUST}"})
    failed = [name for name, status in reading.report.tests.items() if status == "failed"]
    passed = sum(status == "passed" for status in reading.report.tests.values())
    if reading.report.problem or failed or not passed:
        why = reading.report.problem or (
            f"{len(failed)} of {len(reading.report.tests)} tests failed in its report"
            if failed
            else "no test passed in its report"
        )
        reason = f"the reward is 1, but {why}"
        return GraderVerdict(outcome=Outcome.UNRESOLVED, reason=reason, tests=reading.report.tests)
    return official.model_copy(update={"reason": f"reward 1, {passed} tests passed; {ONE_TRUST}"})


def evidence(run: KeptVerification, reading: Reading) -> tuple[str, ...]:
    """Facts for a reader, none of which decided anything."""
    where = SHARED if run.facts.shared else "in a fresh container of the state"
    found = [f"verified {where}, without a network, with {run.facts.kit}"]
    found += [f"{path.rpartition('/')[2]} {left.problem}" for path, left in run.left.items() if left.problem]
    if run.facts.oom_kills:
        found.append(f"{run.facts.oom_kills} processes were killed at the limit on memory (sandbox.memory)")
    if reading.missing:
        found.append(f"it asked for what is not there: {', '.join(reading.missing)}")
    if JSON in run.left and TEXT in run.left:
        found.append("it wrote both reward.json and reward.txt; the first one counts")
    if reading.reward.value not in (None, 0.0, 1.0):
        found.append(f"a reward of {reading.reward.value:g} is no pass here")
    return tuple(found)


def not_judged(reason: NotJudged) -> Grade:
    return Grade(
        outcome=Outcome.NOT_JUDGED,
        party=reason.party,
        official=GraderVerdict(outcome=Outcome.NOT_JUDGED, reason=str(reason)),
        grader=NAME,
        key="",
    )
