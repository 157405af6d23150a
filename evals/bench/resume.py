"""How long a run with thousands of recorded attempts takes until it works again, start of the program included."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Record
from evals.run import manifest as manifests
from evals.run.plan import RunPlan
from scaffolds.base import Stop
from tasks import catalog
from tasks.errors import MachineError
from tasks.task import Task

PATIENCE_SECONDS = 300
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
START = "from evals.cli import main; main()"


def resume_seconds(records: int) -> float:
    """Seconds from the start of `asclaimed run` to its first attempt, with at least `records` attempts on disk."""
    with tempfile.TemporaryDirectory(prefix="asclaimed-bench-") as temporary:
        directory = Path(temporary) / "resume"
        attempts = prepare(directory, records)
        options = [
            "--tasks",
            "bundled",
            "--scaffold",
            "nop",
            "--attempts",
            str(attempts),
            "--out",
            str(directory),
        ]
        command = [sys.executable, "-c", START, "run", *options]
        started = time.perf_counter()
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            seconds = until_first_attempt(process, directory / "ledger.jsonl", started)
            process.communicate(timeout=PATIENCE_SECONDS)
    return seconds


def until_first_attempt(process: subprocess.Popen[str], ledger: Path, started: float) -> float:
    """Watches the run's event log. Raises `MachineError` when the run ends before it begins."""
    while process.poll() is None and time.perf_counter() - started < PATIENCE_SECONDS:
        if ledger.exists() and b"attempt-started" in ledger.read_bytes():
            return time.perf_counter() - started
        time.sleep(0.01)
    process.kill()
    last = process.communicate()[1].strip().split("\n")[-1] or "no message"
    raise MachineError(f"the resumed run did not start: {last}")


def prepare(directory: Path, records: int) -> int:
    """A run directory in which all but one attempt are recorded and graded. Returns its attempts a task."""
    tasks = catalog.load(catalog.BUNDLED)
    attempts = records // len(tasks) + 1
    plan = RunPlan(tasks=catalog.BUNDLED, scaffolds=("nop",), attempts=attempts)
    fresh = manifests.compose(plan, tasks, run_id=directory.name, server=None, base_image=None, excluded={})
    manifest = manifests.begin_or_resume(directory, fresh)
    by_id = {task.id: task for task in tasks}
    for key in manifest.frozen_keys()[:-1]:
        write_attempt(directory, key, by_id[key.task_id])
    return attempts


def write_attempt(directory: Path, key: AttemptKey, task: Task) -> None:
    """What an attempt that changed nothing leaves behind. Plain writes: 5,000 times fsync is not what is measured."""
    place = key.directory(directory)
    place.mkdir(parents=True)
    (place / "patch.diff").touch()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = Record(
        key=key,
        task_hash=task.content_hash,
        image="sha256:0",
        stop=Stop.SUBMITTED,
        patch_sha256=EMPTY_SHA256,
        patch_bytes=0,
        started=now,
    )
    grade = Grade(
        outcome=Outcome.NO_PATCH,
        official=GraderVerdict(outcome=Outcome.NO_PATCH),
        grader="bench",
        key="bench",
    )
    (place / "record.json").write_text(record.model_dump_json())
    (place / "grade.json").write_text(grade.model_dump_json())
