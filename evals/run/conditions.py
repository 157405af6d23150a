"""What a benchmark's tasks about machines give an attempt, beside what a run gives it: the points that its report must name.

A task's own file says how long its agent may take, and on how large a machine. Not covered: what of it matters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from evals.run.plan import RunPlan
from scaffolds.base import Budget
from tasks.sandbox import Limits
from tasks.task import Frozen, MachineBrief, Task, Verifier

OWN_CLOCK = "seconds in which the agent is at work"
"""Time that the server was away or the machine stood still does not count: a slow server fails nobody's task."""


OWN = "the same for each"
ONE_LOOPBACK = "one loopback for all, the agent's machine included"


class Given(Frozen):
    """What one task gives an agent; None = it does not say."""

    seconds: float | None = None
    """On the wall's clock."""
    memory: int | None = None
    """Bytes."""
    cpus: float | None = None
    network: bool = False
    skills: int = 0
    services: int = 0
    """Machines beside the agent's, each with an address of its own."""


class Machine(NamedTuple):
    """What an attempt's machine really has: a plan may give more than there is."""

    cpus: float | None
    """None = all but a half of the daemon's."""
    memory: int

    @property
    def cpus_words(self) -> str:
        return "all CPUs but a half" if self.cpus is None else f"{self.cpus:g} CPU"

    @property
    def words(self) -> str:
        return f"{self.cpus_words}, {self.memory / 2**30:.3g} GB"


DAEMON_CPUS, DAEMON_MEMORY = "daemon_cpus", "daemon_memory"
"""Of a manifest's `host`."""


def machine_of(plan: RunPlan, host: Mapping[str, Any]) -> Machine:
    """The plan's limits, or less where the daemon's machine is smaller."""
    cpus, memory = host.get(DAEMON_CPUS), host.get(DAEMON_MEMORY)
    wanted = plan.sandbox.cpus
    return Machine(
        wanted if wanted is None or cpus is None else min(wanted, float(cpus)),
        plan.sandbox.memory if memory is None else min(plan.sandbox.memory, int(memory)),
    )


class Condition(Frozen):
    """One point, in words, on both sides."""

    name: str
    theirs: str
    ours: str
    same: bool

    @property
    def line(self) -> str:
        return f"other {self.name}: the tasks give {self.theirs}, this run {self.ours}"


def given_by(task: Task) -> Given | None:
    """None for a task that is answered by a patch: its benchmark says nothing of an agent's machine."""
    found = task.verifier
    if found is None:
        return None
    return Given(
        seconds=found.agent_seconds,
        memory=found.memory,
        cpus=found.cpus,
        network=found.wants_network,
        skills=len(task.brief.skills.skills) if isinstance(task.brief, MachineBrief) else 0,
        services=len(task.compose.services),
    )


def own_limits(verifier: Verifier, limits: Limits, budget: Budget) -> tuple[Limits, Budget]:
    """Both, with what the task's own file gives in the place of the plan's."""
    size = {"memory": verifier.memory, "cpus": verifier.cpus}
    given = {name: value for name, value in size.items() if value is not None}
    seconds = {"seconds": verifier.agent_seconds} if verifier.agent_seconds else {}
    return limits.model_copy(update=given), budget.model_copy(update=seconds)


def conditions(plan: RunPlan, given: Sequence[Given], host: Mapping[str, Any]) -> Iterator[Condition]:
    """Every point that the tasks say something about. `host`: the manifest's."""
    seconds = [one.seconds for one in given if one.seconds]
    if seconds:
        limit = "no limit" if plan.budget.seconds is None else f"{plan.budget.seconds:g} s"
        same = all(each == plan.budget.seconds for each in seconds)
        yield condition("time limit", f"{spread(seconds)} s", limit, same, own=plan.task_limits)
        yield Condition(name="clock", theirs="seconds on the wall's clock", ours=OWN_CLOCK, same=False)
    yield from of_machine(machine_of(plan, host), given, plan, host)
    skilled = sum(one.skills > 0 for one in given)
    if skilled:
        theirs = f"for {skilled} of {len(given)} tasks" if skilled < len(given) else "with"
        yield Condition(name="skills", theirs=theirs, ours=plan.skills, same=plan.skills == "with")
    if served := sum(one.services > 0 for one in given):
        theirs = f"each service an address of its own, in {served} of {len(given)} tasks"
        yield Condition(name="network of services", theirs=theirs, ours=ONE_LOOPBACK, same=False)
    if given:
        online = sum(one.network for one in given)
        said = "a network" if online == len(given) else f"{online} of {len(given)} a network"
        yield Condition(name="network", theirs=said if online else "none", ours="none", same=not online)


def condition(name: str, theirs: str, ours: str, same: bool, *, own: bool) -> Condition:
    """`own`: each attempt has what its own task gives."""
    return Condition(name=name, theirs=theirs, ours=OWN if own else ours, same=own or same)


def of_machine(
    machine: Machine, given: Sequence[Given], plan: RunPlan, host: Mapping[str, Any]
) -> Iterator[Condition]:
    cpus = [one.cpus for one in given if one.cpus]
    memory = [one.memory for one in given if one.memory]
    if cpus:
        ours = "all but a half" if machine.cpus is None else f"{machine.cpus:g}"
        has = host.get(DAEMON_CPUS)
        if plan.task_limits and has is not None and max(cpus) > has:
            yield Condition(name="CPUs", theirs=spread(cpus), ours=f"{OWN}, at most {has}", same=False)
        else:
            same = all(each == machine.cpus for each in cpus)
            yield condition("CPUs", spread(cpus), ours, same, own=plan.task_limits)
    if memory:
        theirs = f"{spread([each / 2**30 for each in memory])} GB"
        same = all(each == machine.memory for each in memory)
        yield condition("memory", theirs, f"{machine.memory / 2**30:.3g} GB", same, own=plan.task_limits)


def spread(values: Sequence[float]) -> str:
    """`900`, `1 (84), 2 (3), 4 (2)`, or the ends and the median of more than four values."""
    counts = sorted(Counter(values).items())
    if len(counts) == 1:
        return f"{values[0]:g}"
    if len(counts) <= 4:
        return ", ".join(f"{value:g} ({count})" for value, count in counts)
    return f"{min(values):g} to {max(values):g} (median {median(values):g})"
