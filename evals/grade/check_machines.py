"""The controls of a task about a machine: its own solution, run on its image, and nothing at all; each judged by its verifier."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from evals.grade.judge import NotJudged
from evals.grade.reward import read_reward
from evals.grade.verifier import VerifierGrader, not_judged
from evals.record import Grade, GraderVerdict, Outcome
from evals.run.controls import Oracle
from evals.run.kept_verification import KeptVerification, collected, shared_key
from evals.run.state import REPOSITORY
from scaffolds.base import Settings
from tasks.backend import VerifierResult, VerifyingSandbox
from tasks.sandbox import MachineState, Sandbox
from tasks.task import Task, Verifier


def solved(states: VerifierGrader, task: Task, verifier: Verifier) -> Grade:
    """What its verifier says of its own solution's work. Raises `MachineError` where there is no Docker."""
    name = f"{REPOSITORY}:check-{secrets.token_hex(8)}"
    try:
        if task.compose.services:
            return beside_services(states, task, verifier)
        state = states.machine.held(lambda: work(states, task, verifier, name))
        grade = states.grade_state(task, verifier, state.image)
        return grade if grade.outcome is Outcome.RESOLVED else explained(states, task, verifier, grade)
    except NotJudged as reason:
        return not_judged(reason)
    finally:
        states.machine.backend.forget(name)


def beside_services(states: VerifierGrader, task: Task, verifier: Verifier) -> Grade:
    """As in a run: while the services run that its solution worked with. Raises `NotJudged`."""
    kit = states.kit(verifier)
    result = states.machine.held(lambda: beside_its_work(states, task, verifier))
    assert result is not None
    return states.grade_run(
        task, verifier, KeptVerification.of(shared_key(task, kit), kit, result, shared=True)
    )


def explained(states: VerifierGrader, task: Task, verifier: Verifier, grade: Grade) -> Grade:
    """Why its solution fails, where that is known: its verifier may want what the solution left running."""
    try:
        result = states.machine.held(lambda: beside_its_work(states, task, verifier))
    except NotJudged:  # the grade stands all the same
        return grade
    reward = None if result is None or result.timed_out else read_reward(result.left).value
    if reward is None or reward < 1:
        return grade
    hint = f"{grade.official.reason}; it passes only beside what its solution left running: --set grading.shared=[{task.id}]"
    return grade.model_copy(update={"official": grade.official.model_copy(update={"reason": hint})})


def beside_its_work(states: VerifierGrader, task: Task, verifier: Verifier) -> VerifierResult | None:
    with solving(states, task, verifier, verifier) as sandbox:
        if not isinstance(sandbox, VerifyingSandbox):
            return None
        return sandbox.verify(verifier, collected(verifier))


def work(states: VerifierGrader, task: Task, verifier: Verifier, name: str) -> MachineState:
    with solving(states, task, verifier) as sandbox:
        return sandbox.keep(name, {})


@contextmanager
def solving(
    states: VerifierGrader, task: Task, verifier: Verifier, shared: Verifier | None = None
) -> Iterator[Sandbox]:
    """A machine on which the task's own solution has run."""
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
        Oracle(verifier, Settings()).solve(task.brief, None, sandbox)
        yield sandbox


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
