"""The controls of a task about a machine: its own solution, run on its image, and nothing at all; each judged by its verifier."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from evals.grade.judge import NotJudged
from evals.grade.reward import read_reward
from evals.grade.verifier import VerifierGrader, not_judged
from evals.record import Grade, GraderVerdict, Outcome
from evals.run.controls import FAILED, Oracle
from evals.run.kept_verification import KeptVerification, collected, shared_key
from evals.run.state import REPOSITORY
from scaffolds.base import Settings, Step
from tasks.backend import VerifierResult, VerifyingSandbox
from tasks.docker.daemon import cores
from tasks.sandbox import MachineState, Sandbox
from tasks.task import Task, Verifier
from tasks.untrusted import clean

NAMED, SHOWN_CHARACTERS = 3, 100
"""Tests that a reason names, and how much of what others wrote."""


def solved(states: VerifierGrader, task: Task, verifier: Verifier) -> Grade:
    """What its verifier says of its own solution's work. Raises `MachineError` where there is no Docker."""
    name = f"{REPOSITORY}:check-{secrets.token_hex(8)}"
    ends: list[str] = []
    try:
        if task.compose.services:
            grade = beside_services(states, task, verifier, ends)
            return grade if grade.outcome is Outcome.RESOLVED else explained(grade, verifier, ends)
        state = states.machine.held(lambda: work(states, task, verifier, name, ends))
        grade = states.grade_state(task, verifier, state.image)
        if grade.outcome is Outcome.RESOLVED:
            return grade
        return explained(grade, verifier, ends, wants_what_runs(states, task, verifier))
    except NotJudged as reason:
        return not_judged(reason)
    finally:
        states.machine.backend.forget(name)


def beside_services(states: VerifierGrader, task: Task, verifier: Verifier, ends: list[str]) -> Grade:
    """As in a run: while the services run that its solution worked with. Raises `NotJudged`."""
    kit = states.kit(verifier)
    result = states.machine.held(lambda: beside_its_work(states, task, verifier, ends))
    assert result is not None
    return states.grade_run(
        task, verifier, KeptVerification.of(shared_key(task, kit), kit, result, shared=True)
    )


def explained(grade: Grade, verifier: Verifier, ends: list[str], running: str = "") -> Grade:
    """Why its solution fails, as far as that is known. `ends`: what `solving` heard; `running`: of `wants_what_runs`."""
    hints = [running] if running else [*failed_tests(grade), *ends[-1:], *too_small(verifier)]
    reason = "; ".join([grade.official.reason, *hints])
    return grade.model_copy(update={"official": grade.official.model_copy(update={"reason": reason})})


def failed_tests(grade: Grade) -> Iterator[str]:
    tests = grade.official.tests
    failed = [name[:SHOWN_CHARACTERS] for name, status in tests.items() if status == "failed"]
    if failed:
        more = ", …" if len(failed) > NAMED else ""
        yield f"{len(failed)} of {len(tests)} tests failed: {', '.join(failed[:NAMED])}{more}"


def too_small(verifier: Verifier) -> Iterator[str]:
    if verifier.cpus and verifier.cpus > cores():
        yield f"it is meant for {verifier.cpus:g} CPUs, and Docker's machine has {cores():g}"


def wants_what_runs(states: VerifierGrader, task: Task, verifier: Verifier) -> str:
    """Whether its verifier passes beside what its solution left running, in words; "" where it does not."""
    try:
        result = states.machine.held(lambda: beside_its_work(states, task, verifier, []))
    except NotJudged:  # the grade stands all the same
        return ""
    reward = None if result is None or result.timed_out else read_reward(result.left).value
    if reward is None or reward < 1:
        return ""
    return f"it passes only beside what its solution left running: --set grading.shared=[{task.id}]"


def beside_its_work(
    states: VerifierGrader, task: Task, verifier: Verifier, ends: list[str]
) -> VerifierResult | None:
    with solving(states, task, verifier, ends, shared=verifier) as sandbox:
        if not isinstance(sandbox, VerifyingSandbox):
            return None
        return sandbox.verify(verifier, collected(verifier))


def work(states: VerifierGrader, task: Task, verifier: Verifier, name: str, ends: list[str]) -> MachineState:
    with solving(states, task, verifier, ends) as sandbox:
        return sandbox.keep(name, {})


@contextmanager
def solving(
    states: VerifierGrader,
    task: Task,
    verifier: Verifier,
    ends: list[str],
    *,
    shared: Verifier | None = None,
) -> Iterator[Sandbox]:
    """A machine on which the task's own solution has run. Where that failed, `ends` is told how, in one line."""
    backend, labels = states.machine.backend, {"purpose": "checking", "run": states.machine.run}
    prepared, limits = backend.prepare(task), states.limits.container
    opened = backend.open(
        prepared.image,
        workdir=task.brief.workdir,
        limits=limits,
        labels=labels,
        verifier=shared,
        compose=prepared.compose,
    )
    with opened as sandbox:
        steps: list[Step] = []
        done = Oracle(verifier, Settings(on_step=steps.append)).solve(task.brief, None, sandbox)
        _, failed, status = done.detail.partition(FAILED)
        ends += [f"solve.sh ended with{status}{last_line(steps)}"] if failed else []
        yield sandbox


def last_line(steps: list[Step]) -> str:
    """Of what was printed; it is the task's own, and as hostile as anything."""
    text = "\n".join(text for step in steps for text in step.observations)
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return f": {clean(lines[-1])[:SHOWN_CHARACTERS]}" if lines else ""


def start(states: VerifierGrader, task: Task, verifier: Verifier) -> GraderVerdict:
    """What its verifier says of the untouched image; run anew."""
    try:
        reading = states.untouched(task, verifier, cached=False)
    except NotJudged as reason:
        return not_judged(reason).official
    if why := reading.doubt or reading.wants:
        return GraderVerdict(
            outcome=Outcome.NOT_JUDGED, reason=f"the verifier fails on the untouched image: {why}"
        )
    passed = reading.reward.value is not None and reading.reward.value >= 1
    return GraderVerdict(outcome=Outcome.RESOLVED if passed else Outcome.UNRESOLVED)
