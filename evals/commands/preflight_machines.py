"""What is said before a run of tasks about machines: what is refused, what no kit can give, where the protocol is another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from evals.record import AttemptKey
from evals.run.manifest import Manifest
from evals.run.plan import RunPlan
from tasks.backend import Progress
from tasks.docker.kit import kit
from tasks.errors import TaskError, UserError
from tasks.task import Task, Verifier


def to_attempt(manifest: Manifest, tasks: Sequence[Task]) -> list[AttemptKey]:
    """The frozen list without what is refused by name. Raises `UserError` when nothing is left."""
    refused = {task.id: task.verifier.refused for task in tasks if task.verifier and task.verifier.refused}
    keys = [key for key in manifest.frozen_keys() if key.task_id not in refused]
    if not keys:
        name, why = next(iter(refused.items()))
        raise UserError(f"no task can be run here: {name} {why}")
    return keys


def machine_lines(plan: RunPlan, tasks: Sequence[Task], progress: Progress) -> Iterator[str]:
    """Nothing for tasks that patches answer. Makes the kits that are missing. Raises `MachineError` without an index."""
    found = {task.id: task.verifier for task in tasks if task.verifier}
    yield from (f"REFUSED, and excluded: {name} {v.refused}" for name, v in found.items() if v.refused)
    able = {name: verifier for name, verifier in found.items() if not verifier.refused}
    if able:
        yield from kit_lines(able, progress)
        yield from protocol_lines(plan, list(able.values()))


def kit_lines(found: dict[str, Verifier], progress: Progress) -> Iterator[str]:
    for packages in dict.fromkeys(verifier.packages for verifier in found.values()):
        try:
            kit(packages, progress)
        except TaskError as error:
            names = [name for name, verifier in found.items() if verifier.packages == packages]
            yield f"NOT TO BE JUDGED: {', '.join(names)}: {error}"
    for name, verifier in found.items():
        if verifier.tools:
            yield f"{name}: its verifier installs {', '.join(verifier.tools)}; judged only where its image has that already"


def protocol_lines(plan: RunPlan, found: Sequence[Verifier]) -> Iterator[str]:
    """Where the benchmark's own conditions are not in force."""
    if online := sum(verifier.wants_network for verifier in found):
        yield f"NO NETWORK: {online} of {len(found)} tasks would give their agent one"
    given = [verifier.agent_seconds for verifier in found if verifier.agent_seconds]
    ours = plan.budget.seconds
    if given and any(seconds != ours for seconds in given):
        theirs = f"{min(given):.0f} to {max(given):.0f} s (median {median(given):.0f}) on the wall's clock"
        yield f"OTHER TIME LIMIT: the tasks give {theirs}, this run {ours or 'no limit, in'} s in which the agent is at work"
    small = [v.memory for v in found if v.memory and v.memory > plan.sandbox.memory]
    if small:
        yield f"LESS MEMORY: {len(small)} tasks give up to {max(small) / 2**30:g} GB, this run {plan.sandbox.memory / 2**30:g} GB (sandbox.memory)"
