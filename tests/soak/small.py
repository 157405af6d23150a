"""The run that is disturbed: six tasks, three calls each, machines that say whether every command ran once and as it was sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.report.summary import summarise
from evals.run.ledger import verify
from scaffolds.openai.config import Retries
from tasks.backend import NO_COMPOSE, NO_MOUNTS, Backend
from tasks.sandbox import ExecResult, Limits, Sandbox
from tasks.task import Compose, Verifier
from tests.fakes.openai_server import Answer, Body, call
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.served_run import make_task, plan_for, work

TASKS = [make_task(f"t{n}") for n in range(6)]
CALLS = 3
"""Of each attempt; the last one submits."""
TIMES = {"created", "active_seconds", "load"}


class CountedSandbox(PlainSandbox):
    """Solves its task, unless a command of its attempt ran twice, out of order or not as it was sent."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task, self.ran = task, list[str]()

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.ran.append(command)
        as_sent = self.ran == [command_of(n) for n in range(len(self.ran))]
        self.patch = b"+solved" if as_sent and self.task in ("t0", "t2", "t3") else b"+not"
        return ExecResult(f"{'fine' if as_sent else self.ran}\n", 0, False, 5, 0.0)


def command_of(turn: int) -> str:
    return f"printf 'turn {turn} \N{LATIN SMALL LETTER E WITH ACUTE}' > notes/{turn}.txt"


class CountingBackend(PlainBackend):
    """A machine for each attempt, which knows its task."""

    def open(
        self,
        image: str,
        *,
        workdir: str,
        limits: Limits,
        labels: Mapping[str, str],
        mounts: Mapping[str, Path] = NO_MOUNTS,
        verifier: Verifier | None = None,
        compose: Compose = NO_COMPOSE,
    ) -> Sandbox:
        return self.machine(labels["attempt"].split("/")[1])

    def machine(self, task: str) -> Sandbox:
        return CountedSandbox(task)


def talk(body: Body) -> Answer:
    """The same to the same conversation, whoever asks and how often."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return call("submit") if turn >= CALLS - 1 else call("bash", {"command": command_of(turn)})


PATIENT = Retries(attempts=50, seconds=60, first_wait=0.001, longest_wait=0.01)


def run_once(
    directory: Path,
    url: str,
    *,
    workers: int = 4,
    stream: bool = True,
    attempts: int = 1,
    retries: Retries = PATIENT,
    backend: Backend | None = None,
) -> None:
    """Work on it until its end, or go on with it."""
    plan = plan_for(url, attempts=attempts)
    assert plan.model is not None
    deadlines = plan.model.deadlines.model_copy(update={"first_byte": 1.0, "silence": 0.5})
    changed = {"retries": retries, "stream": stream, "deadlines": deadlines}
    plan = plan.model_copy(update={"model": plan.model.model_copy(update=changed)})
    work(directory, plan, TASKS, workers=workers, backend=backend or CountingBackend())


def report(directory: Path) -> str:
    """The whole report as text, times aside; the ledger's chain must hold and nothing half-written may lie about."""
    assert verify(directory / "ledger.jsonl") == []
    found = summarise(directory).model_dump(mode="json")
    return json.dumps(without_times(found), sort_keys=True, indent=1)


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(inner) for name, inner in value.items() if name not in TIMES}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value
