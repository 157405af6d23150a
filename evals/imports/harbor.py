"""Harbor job directories: a `result.json` for each trial, with the reward that the task's own verifier gave.

A reward of 1 is a pass, less is none. A trial without a reward is not judged: Harbor runs the verifier after the agent's
timeout too, so that a missing one is the machine's doing more often than the agent's.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from evals.imports.batch import Batch, ImportedAttempt, SourceVerdict, count, inner, read_json, text
from evals.record import Outcome
from scaffolds.base import Stop
from tasks.errors import UserError

FILES = (
    ("trajectory.json", "agent/trajectory.json"),
    ("test.log", "verifier/test-stdout.txt"),
    ("upstream.json", "result.json"),
)
"""Our name → Harbor's."""


def is_trial(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("task_name"), str) and "verifier_result" in value


def read_job(path: Path) -> Batch:
    """Every trial below a job directory. Raises `UserError` when there is none."""
    trials = [
        (file, value) for file in sorted(path.rglob("result.json")) if is_trial(value := read_json(file))
    ]
    if not trials:
        raise UserError(f"{path} holds no Harbor trial: a result.json with task_name and verifier_result")
    sources = {text(value.get("source")) for _, value in trials}
    return Batch(
        kind="Harbor job",
        judge=f"imported: Harbor verifier of {path.resolve().name}, not graded by asclaimed",
        attempts=tuple(trial(file, value) for file, value in trials),
        benchmark=min(sources) if len(sources) == 1 and min(sources) else None,
    )


def trial(file: Path, value: dict[str, Any]) -> ImportedAttempt:
    result, problem = value.get("agent_result"), text(inner(value, "exception_info", "exception_type"))
    return ImportedAttempt(
        task=value["task_name"].rsplit("/", maxsplit=1)[-1],
        system=text(inner(value, "agent_info", "name")) or "agent",
        model=text(inner(value, "agent_info", "model_info", "name")) or None,
        verdict=verdict(inner(value, "verifier_result", "rewards"), problem),
        stop=Stop.TIME_LIMIT if problem == "AgentTimeoutError" else None,
        detail=problem,
        prompt_tokens=count(inner(result, "n_input_tokens")),
        completion_tokens=count(inner(result, "n_output_tokens")),
        seconds=seconds(value.get("agent_execution")),
        started=text(value.get("started_at")),
        files=tuple((name, found) for name, place in FILES if (found := file.parent / place).is_file()),
    )


def verdict(rewards: Any, problem: str) -> SourceVerdict:
    reward = inner(rewards, "reward")
    if reward is None and isinstance(rewards, dict) and len(rewards) == 1:
        (reward,) = rewards.values()
    if not isinstance(reward, int | float):
        return SourceVerdict(Outcome.NOT_JUDGED, f"no reward{f', {problem[:100]}' if problem else ''}")
    return SourceVerdict(Outcome.RESOLVED if reward >= 1 else Outcome.UNRESOLVED, f"reward {float(reward):g}")


def seconds(timing: Any) -> float:
    try:
        start, end = (datetime.fromisoformat(timing[key]) for key in ("started_at", "finished_at"))
        return max((end - start).total_seconds(), 0.0)
    except (TypeError, KeyError, ValueError):
        return 0.0
