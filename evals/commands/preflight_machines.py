"""What is said before a run of tasks about machines: what is refused, what no kit can give, where the protocol is another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from evals.record import AttemptKey
from evals.run.conditions import machine_of
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


def machine_lines(manifest: Manifest, tasks: Sequence[Task], progress: Progress) -> Iterator[str]:
    """Nothing for tasks that patches answer. Makes the kits that are missing. Raises `MachineError` without an index."""
    found = {task.id: task.verifier for task in tasks if task.verifier}
    yield from (f"REFUSED, and excluded: {name} {v.refused}" for name, v in found.items() if v.refused)
    able = {name: verifier for name, verifier in found.items() if not verifier.refused}
    if able:
        yield from kit_lines(able, progress)
        served = {task.id for task in tasks if task.compose.services}
        if shared := sorted({*manifest.plan.grading.shared, *served} & able.keys()):
            yield f"SHARED: {', '.join(shared)}: verified in the agent's own machine; a pass counts in the upper bound alone"
        yield from (f"PROTOCOL, {point.line}" for point in manifest.conditions if not point.same)


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


def size_lines(manifest: Manifest) -> Iterator[str]:
    """Where the plan gives a sandbox more than the machine has: that is no error, and never a protocol that was kept."""
    limits, there = manifest.plan.sandbox, machine_of(manifest.plan, manifest.host)
    if limits.cpus is not None and there.cpus is not None and there.cpus < limits.cpus:
        yield f"SMALLER MACHINE: the plan gives a sandbox {limits.cpus:g} CPUs, Docker's machine has {there.cpus:g}"
    if there.memory < limits.memory:
        yield (
            f"SMALLER MACHINE: the plan gives a sandbox {limits.memory / 2**30:g} GB of memory, "
            f"Docker's machine has {there.memory / 2**30:.3g} GB"
        )


def shared_kits(plan: RunPlan, tasks: Sequence[Task]) -> dict[str, str]:
    """Task id → kit, of those whose verifier runs in the agent's own machine. Raises `UserError` for one that is none.

    A task with services is one of them: what an agent did to these is a part of its answer, and no image holds it.
    """
    found = {task.id: task.verifier for task in tasks if task.verifier}
    kits = {}
    for name in dict.fromkeys((*plan.grading.shared, *(task.id for task in tasks if task.compose.services))):
        if name not in found:
            raise UserError(f"grading.shared: {name} is no task about a machine in this run")
        with suppress(TaskError):  # said before; it is not judged
            kits[name] = kit(found[name].packages)
    return kits
