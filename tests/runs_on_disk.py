"""Run directories as a run leaves them, without a run: for tests of what reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Record
from evals.run.manifest import Manifest, TaskEntry
from evals.run.plan import RunPlan

Chance = Callable[[AttemptKey], Outcome | None]
"""What became of an attempt; None leaves it undone."""


def write_run(
    directory: Path,
    outcome: Chance,
    *,
    tasks: int = 10,
    benchmark: str = "swe-bench-verified",
    **plan: object,
) -> Path:
    """A finished run of `tasks` tasks in two repositories."""
    chosen = RunPlan.model_validate(
        {
            "scaffolds": ("bash", "edit"),
            "model": {"base_url": "http://h/v1", "model": "Qwen3.6-27B", "sampling": {"temperature": 1.0}},
            **plan,
        }
    )
    manifest = Manifest(
        run_id=directory.name,
        created="2026-04-22T00:00:00+00:00",
        plan=chosen,
        benchmark=benchmark,
        tasks=tuple(
            TaskEntry(id=f"t{n}", hash=f"h{n}", repo=f"r{n % 2}", image="sha256:0") for n in range(tasks)
        ),
        server={"window": 200_000, "quantization": "Q4_K_M", "defaults": {"top_p": 0.95}},
        scaffold_source="s",
        versions={"asclaimed": "0"},
        host={},
    )
    directory.mkdir(parents=True)
    (directory / "manifest.json").write_text(manifest.model_dump_json())
    for key in manifest.counted_keys():
        if (found := outcome(key)) is not None:
            write_attempt(directory, key, found)
    return directory


def write_attempt(
    run: Path,
    key: AttemptKey,
    outcome: Outcome,
    *,
    task_hash: str | None = None,
    image_source: str = "sha256:a",
    grader: str = "swebench==5.0.2",
) -> None:
    """One attempt's record and grade."""
    directory = key.directory(run)
    directory.mkdir(parents=True, exist_ok=True)
    record = Record(
        key=key,
        task_hash=task_hash or "h" + key.task_id[1:],
        image="sha256:0",
        image_source=image_source,
        stop="submitted",
        patch_sha256="0",
        patch_bytes=1,
        prompt_tokens=900,
        completion_tokens=100,
        active_seconds=10.0,
        started="2026-04-22T00:00:00+00:00",
    )
    grade = Grade(outcome=outcome, official=GraderVerdict(outcome=outcome), grader=grader, key="k")
    (directory / "record.json").write_text(record.model_dump_json())
    (directory / "grade.json").write_text(grade.model_dump_json())
