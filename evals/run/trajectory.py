"""A trajectory on disk: steps are streamed line by line, and become one ATIF document when the attempt ends.

ATIF is Harbor's Agent Trajectory Interchange Format; we write version 1.8, and what it has no place for stands
under `extra`. Not covered: times of day, costs, token ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scaffolds.base import Step, Trajectory
from tasks.disk import write_json

VERSION = "ATIF-v1.8"
STREAM = "steps.jsonl"


class StepLog:
    """Appends each step to `steps.jsonl` as it ends, so that a kill loses no finished step and none is rewritten."""

    def __init__(self, directory: Path, seen: Callable[[Step], None]) -> None:
        """`seen` is told of each step, too."""
        self._path, self._seen = directory / STREAM, seen
        self._handle = self._path.open("a", encoding="utf-8", errors="backslashreplace")

    def __call__(self, step: Step) -> None:
        self._handle.write(step.model_dump_json() + "\n")
        self._handle.flush()
        self._seen(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._handle.close()

    def steps(self) -> list[Step]:
        """Every step so far, from disk."""
        return list(read_steps(self._path))

    def finish(
        self, trajectory: Trajectory, *, session: str, scaffold: str, version: str, model: str
    ) -> None:
        """Write `trajectory.json` beside the stream, then drop the stream: the document holds all of it."""
        agent: dict[str, Any] = {"name": f"asclaimed-{scaffold}", "version": version, "model_name": model}
        if trajectory.tools:
            agent["tool_definitions"] = list(trajectory.tools)
        steps = [_atif_step(number, step) for number, step in enumerate(self.steps(), start=1)]
        document = {
            "schema_version": VERSION,
            "session_id": session,
            "agent": agent,
            "steps": steps,
            "final_metrics": {
                "total_prompt_tokens": trajectory.prompt_tokens,
                "total_completion_tokens": trajectory.completion_tokens,
                "total_steps": len(steps),
                "extra": {"model_calls": trajectory.steps, "side_calls": trajectory.side_calls},
            },
            "extra": {
                "stop": trajectory.stop,
                "detail": trajectory.detail,
                "calls": vars(trajectory.calls),
                **({"routes": dict(trajectory.routes)} if trajectory.routes else {}),
            },
        }
        write_json(self._path.with_name("trajectory.json"), document)
        self._path.unlink()


def read_steps(stream: Path) -> Iterator[Step]:
    """The finished steps of an attempt that may still be under way: a last line without its end is not there yet."""
    with stream.open("rb") as lines:  # as bytes: U+2028 and its like end no line of JSON
        for line in lines:
            if line.endswith(b"\n"):
                yield Step.model_validate_json(line)


def _atif_step(number: int, step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"step_id": number, "source": step.source, "message": step.message}
    if step.reasoning_content is not None:
        document["reasoning_content"] = step.reasoning_content
    if step.tool_calls:
        document["tool_calls"] = [call.model_dump() for call in step.tool_calls]
    if step.source == "agent":
        document["llm_call_count"] = int(step.metrics is not None)
    if step.observations:
        ids = [call.tool_call_id for call in step.tool_calls] + [None] * len(step.observations)
        results = [
            {"source_call_id": call, "content": text}
            for call, text in zip(ids, step.observations, strict=False)
        ]
        document["observation"] = {"results": results}
    if step.metrics is not None:
        document["metrics"] = step.metrics.model_dump(exclude_none=True)
    facts = {"empty": step.empty, "asked": step.asked, "side": step.side}
    document["extra"] = {"seconds": round(step.seconds, 4)} | {k: v for k, v in facts.items() if v}
    return document
