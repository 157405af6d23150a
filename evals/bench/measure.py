"""Runs the workloads one after the other and puts their numbers side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evals.bench.resume import resume_seconds
from tasks.errors import MachineError

HERE = Path(__file__).parent
STEPS = 30
CROWD = 64
CROWD_STEPS = {"ours": 30, "docker-exec": 3, "mini-swe-agent": 3}
"""Fewer for the slow ones: a rate needs no more, and 64 × 30 steps of 70 ms each take minutes."""
PATIENCE_SECONDS = 900
MINI_PYTHON = "ASCLAIMED_MINI_PYTHON"

Numbers = dict[str, float | None]


@contextmanager
def scripted_server() -> Iterator[str]:
    """Base URL of a server in a process of its own, so that its CPU is not counted as ours."""
    command = [sys.executable, "-m", "evals.bench.scripted_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


def run_all(
    image: str, say: Callable[[str], None], *, crowd: int = CROWD, records: int = 5000
) -> dict[str, Any]:
    """Everything `bench.json` holds. `say` hears what is being measured."""
    machine = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    with scripted_server() as url:
        ours = subject("ours", url, image, crowd, say)
        baselines = {"docker exec": subject("docker-exec", url, image, crowd, say)}
        if mini := mini_python():
            baselines["mini-swe-agent"] = subject("mini-swe-agent", url, image, crowd, say, python=mini)
        say("asclaimed: single operations")
        pieces = process("pieces", sys.executable, ["-m", "evals.bench.pieces", image, url])
    ours |= rounded(pieces["ours"])
    baselines["docker exec"] |= rounded(pieces["docker"])
    baselines["bare machine"] = rounded(pieces["host"])
    say(f"asclaimed: resuming a run with {records} records")
    ours["resume_5000_s"] = round(resume_seconds(records), 2)
    return {**ours, "baseline": baselines, "machine": machine}


def subject(
    name: str, url: str, image: str, crowd: int, say: Callable[[str], None], *, python: str = sys.executable
) -> Numbers:
    """One row: alone for the cost of a step, in a crowd for the rate."""
    say(f"{name}: one attempt")
    one = workload(name, python, [1, STEPS, url, image])
    say(f"{name}: {crowd} attempts at once")
    many = workload(name, python, [crowd, CROWD_STEPS[name], url, image])
    return {
        "step_wall_ms": round(one["wall"] / one["steps"] * 1000, 2),
        "step_cpu_ms": round(one["cpu"] / one["steps"] * 1000, 2),
        "exec_true_ms": round(one["exec_true_ms"], 2) or None,
        "steps_per_s_64": round(many["steps"] / many["wall"], 1),
        "rss_mb_64": round(many["rss_mb"]),
    }


def workload(name: str, python: str, arguments: Sequence[object]) -> Any:
    """Run one workload to its end. Raises `MachineError`."""
    program = (
        [str(HERE / "mini_workload.py")] if name == "mini-swe-agent" else ["-m", "evals.bench.workload", name]
    )
    return process(name, python, [*program, *map(str, arguments)])


def process(name: str, python: str, arguments: Sequence[str]) -> Any:
    """The JSON that a process prints in its last line. Raises `MachineError` with its last line when it fails."""
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().split("\n")[-1] or "no message"
        raise MachineError(f"the workload of {name} failed: {last}")
    return json.loads(done.stdout.strip().split("\n")[-1])


def rounded(numbers: Mapping[str, float]) -> Numbers:
    return {name: round(number, 2) for name, number in numbers.items()}


def mini_python() -> str | None:
    """A Python that has mini-swe-agent: the one named in ASCLAIMED_MINI_PYTHON, else ours, else None."""
    for python in filter(None, (os.environ.get(MINI_PYTHON), sys.executable)):
        found = "import importlib.util as u, sys; sys.exit(u.find_spec('minisweagent') is None)"
        if subprocess.run([python, "-c", found], check=False).returncode == 0:
            return python
    return None
