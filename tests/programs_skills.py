"""What an agent program makes of a task's skills: the same small task twice, with a skill and without, and what it then sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.record import AttemptKey
from evals.run.attempt import run_attempt
from evals.run.definitions import ScaffoldMaker
from evals.run.plan import RunPlan
from evals.run.plan_tasks import load_tasks
from scaffolds.base import Budget, Settings
from scaffolds.catalog import Definition
from scaffolds.openai.config import ModelConfig
from tasks.docker.backend import DockerBackend
from tests.fakes.openai_server import FakeServer
from tests.fakes.plain_context import plain_context
from tests.fakes.program_scripts import ENDINGS
from tests.harbor_tasks import OwnTask, write_task

NAME, ABOUT = "weigh-anchor", "How to weigh an anchor of gopher wood"
TASK = OwnTask(
    "skilled",
    "Write the weight of the anchor to /app/new.txt.",
    "def test_weight():\n    assert open('/app/new.txt').read()\n",
    "echo 7 >new.txt\n",
    dockerfile="COPY skills /root/.claude/skills\nCOPY skills /root/.agents/skills",
)


def write_skilled(home: Path) -> Path:
    directory = write_task(home, TASK)
    skill = directory / "environment" / "skills" / NAME
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(
        f"---\nname: {NAME}\ndescription: {ABOUT}\n---\n# Weighing\nBend down first.\n"
    )
    return directory


def asked(one: Definition, directory: Path, skills: str, *, seconds: float) -> list[dict[str, Any]]:
    """The bodies of what it asks in one attempt."""
    tasks = write_skilled(directory / "tasks")
    [task] = load_tasks(RunPlan.model_validate({"tasks": str(tasks), "skills": skills}))
    assert one.program
    ending = ENDINGS["obliging"]
    script: Any = ending.script if one.program.has_tools else ending.untooled
    backend, key = DockerBackend(), AttemptKey(scaffold=one.name, task_id=task.id, attempt=1)
    with FakeServer(script) as server:
        context = plain_context(
            directory / "run",
            backend=backend,
            settings=Settings(budget=Budget(steps=ending.steps, seconds=seconds)),
            model=ModelConfig(base_url=server.url, model="m"),
            make_scaffold=ScaffoldMaker({one.name: one}),
        )
        record = run_attempt(key, task, backend.prepare(task), context)
        if record.state:
            backend.forget(record.state.name)
        return [request.body for request in server.requests]


def where_told(bodies: Sequence[Mapping[str, Any]]) -> str:
    """In which parts of its requests the skill's description stands; "" in none."""
    parts = {
        "tools": [body.get("tools", ()) for body in bodies],
        "prompt": [
            [message for message in body["messages"] if message["role"] in ("system", "developer", "user")]
            for body in bodies
        ],
    }
    return " ".join(part for part, found in parts.items() if ABOUT in json.dumps(found))
