"""Trajectories of mini-swe-agent (`.traj.json`) and of SWE-agent (`.traj`): patch, reason to stop, cost. No verdicts.

Formats: mini-swe-agent's docs/usage/output_files.md (versions 1 and 2), SWE-agent's `info` block. A limit that is
reported without saying which one, such as a budget in dollars, is no reason to stop that asclaimed knows: it stays
unknown, with upstream's word as the detail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.imports.batch import UNJUDGED, Batch, ImportedAttempt, SourceVerdict, count, inner, read_json, text
from evals.record import Outcome
from scaffolds.base import Stop
from tasks.errors import UserError
from tasks.untrusted import loads

MINI, SWE_AGENT = "mini-swe-agent", "SWE-agent"
STOPS = {
    "Submitted": Stop.SUBMITTED,
    "ContextWindowExceededError": Stop.CONTEXT_OVERFLOW,
    "FormatError": Stop.MALFORMED,
    "RepeatedFormatError": Stop.MALFORMED,
    "TimeExceeded": Stop.TIME_LIMIT,
    "submitted": Stop.SUBMITTED,
    "exit_context": Stop.CONTEXT_OVERFLOW,
    "exit_format": Stop.MALFORMED,
    "exit_total_execution_time": Stop.TIME_LIMIT,
}
"""Upstream's words → ours, where they mean the same. The agent's own doing, all of them."""
LIMITS = ("LimitsExceeded", "exit_cost")


def read_trajectories(path: Path) -> Batch:
    """A trajectory file, or every one below a directory. Raises `UserError` when there is none."""
    files = [path] if path.is_file() else sorted({*path.rglob("*.traj.json"), *path.rglob("*.traj")})
    attempts, unusable = [], []
    for file in files:
        value = read_json(file)
        if isinstance(inner(value, "info"), dict):
            attempts.append(attempt_of(file, value))
        else:
            unusable.append(f"{file.name} has no `info`: left out")
    if not attempts:
        raise UserError(f"{path} holds no trajectory of mini-swe-agent (.traj.json) or SWE-agent (.traj)")
    return Batch("trajectories", UNJUDGED, tuple(attempts), notes=tuple(unusable))


def attempt_of(file: Path, value: dict[str, Any]) -> ImportedAttempt:
    info = value["info"]
    mini = "messages" in value and "trajectory" not in value
    status = text(info.get("exit_status"))
    patch = text(info.get("submission"))
    stop = stop_of(status, info)
    prompt, completion = mini_tokens(value) if mini else swe_agent_tokens(info)
    return ImportedAttempt(
        task=text(value.get("instance_id")) or file.name.removesuffix(".json").removesuffix(".traj"),
        system=MINI if mini else SWE_AGENT,
        model=mini_model(info) if mini else swe_agent_model(value),
        verdict=verdict_without_grader(patch, status, stop),
        patch=patch.encode("utf-8", "replace"),
        stop=stop,
        detail=status,
        steps=count(inner(info, "model_stats", "api_calls")),
        prompt_tokens=prompt,
        completion_tokens=completion,
        files=(("upstream.json", file),),
    )


def stop_of(status: str, info: dict[str, Any]) -> Stop | None:
    """`submitted (exit_context)` stopped because of the context; what was there was submitted."""
    word = status.removeprefix("submitted (").removesuffix(")") if "(" in status else status
    limit = count(inner(info, "config", "agent", "step_limit"))
    if word in LIMITS and limit and count(inner(info, "model_stats", "api_calls")) >= limit:
        return Stop.STEP_LIMIT
    return STOPS.get(word)


def verdict_without_grader(patch: str, status: str, stop: Stop | None) -> SourceVerdict | None:
    """No patch needs no judge, unless the attempt broke off for a reason that may be nobody's here."""
    if patch.strip():
        return None
    if stop is not None or status.removeprefix("submitted (").removesuffix(")") in LIMITS:
        return SourceVerdict(Outcome.NO_PATCH, "no patch was submitted")
    return SourceVerdict(
        Outcome.NOT_JUDGED, f"no patch, and it ended with {status[:100] or 'an unknown status'}"
    )


def mini_model(info: dict[str, Any]) -> str | None:
    return text(inner(info, "config", "model", "model_name")) or None


def mini_tokens(value: dict[str, Any]) -> tuple[int, int]:
    """Sums over the answers that kept their usage."""
    prompt = completion = 0
    for usage in usages(value.get("messages")):
        prompt += count(inner(usage, "prompt_tokens"))
        completion += count(inner(usage, "completion_tokens"))
    return prompt, completion


def usages(messages: Any) -> Iterator[Any]:
    for message in messages if isinstance(messages, list) else []:
        yield inner(message, "extra", "response", "usage")


def swe_agent_tokens(info: dict[str, Any]) -> tuple[int, int]:
    stats = info.get("model_stats")
    return count(inner(stats, "tokens_sent")), count(inner(stats, "tokens_received"))


def swe_agent_model(value: dict[str, Any]) -> str | None:
    """From the configuration that SWE-agent keeps for replays, a JSON text."""
    config = value.get("replay_config")
    try:
        parsed = loads(config) if isinstance(config, str) else config
    except ValueError:
        return None
    return text(inner(parsed, "agent", "model", "name")) or None
