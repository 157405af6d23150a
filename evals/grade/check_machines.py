"""The controls of a task about a machine: its own solution, run on its image, and nothing at all; each judged by its verifier."""

from __future__ import annotations

import secrets

from evals.grade.judge import NotJudged
from evals.grade.verifier import VerifierGrader, not_judged
from evals.record import Grade, GraderVerdict, Outcome
from evals.run.controls import Oracle
from evals.run.state import REPOSITORY
from scaffolds.base import Settings
from tasks.sandbox import MachineState
from tasks.task import Task, Verifier


def solved(states: VerifierGrader, task: Task, verifier: Verifier) -> Grade:
    """What its verifier says of its own solution's work. Raises `MachineError` where there is no Docker."""
    name = f"{REPOSITORY}:check-{secrets.token_hex(8)}"
    try:
        state = states.machine.held(lambda: work(states, task, verifier, name))
        return states.grade_state(task, verifier, state.image)
    except NotJudged as reason:
        return not_judged(reason)
    finally:
        states.machine.backend.forget(name)


def work(states: VerifierGrader, task: Task, verifier: Verifier, name: str) -> MachineState:
    backend, labels = states.machine.backend, {"purpose": "checking", "run": states.machine.run}
    image = backend.prepare(task).image
    with backend.open(
        image, workdir=task.brief.workdir, limits=states.limits.container, labels=labels
    ) as sandbox:
        Oracle(verifier, Settings()).solve(task.brief, None, sandbox)
        return sandbox.keep(name, {})


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
