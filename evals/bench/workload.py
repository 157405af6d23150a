"""One measured workload, in a process of its own: N attempts at once, each with S steps. Prints JSON.

`python -m evals.bench.workload ours|docker-exec ATTEMPTS STEPS URL IMAGE`. The subject `docker-exec` is our own
scaffold and client over `docker exec … bash -lc`, the way most harnesses reach their containers.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from scaffolds import load
from scaffolds.base import Budget, Settings
from scaffolds.openai.client import conversation
from scaffolds.openai.config import ModelConfig
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.sandbox import ExecResult, Limits, Sandbox
from tasks.task import Brief

BRIEF = Brief(task_id="bench", repo="bench/bench", problem_statement="Nothing is wrong.", workdir="/")
ROUNDS = 5
EXECS = 100
SMALL = Limits(memory=256 << 20)


class ByDockerExec(DockerSandbox):
    """The same container, reached by the daemon's client program, a process a command."""

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        argv = ["docker", "exec", "-w", cwd or "/", self.container_id, "bash", "-lc", command]
        done = subprocess.run(argv, capture_output=True, timeout=timeout, check=False)
        return ExecResult(done.stdout.decode(), done.returncode, False, len(done.stdout), 0.0)


def measure(subject: str, attempts: int, steps: int, url: str, image: str) -> dict[str, float]:
    """Seconds, MB, and milliseconds where the name says so."""
    model = ModelConfig(base_url=url, model="scripted")
    with ExitStack() as stack, ThreadPoolExecutor(attempts) as pool:
        sandboxes = list(pool.map(lambda _: open_sandbox(image, workdir="/", limits=SMALL), range(attempts)))
        for sandbox in sandboxes:
            stack.enter_context(sandbox)
            if subject == "docker-exec":
                sandbox.__class__ = ByDockerExec
        solve(sandboxes[0], model, 3)  # connections and imports are not a step's
        rounds = [
            timed(lambda: all_at_once(pool, sandboxes, model, steps))
            for _ in range(ROUNDS if attempts == 1 else 1)
        ]
        wall, cpu = (statistics.median(r[n] for r in rounds) for n in (0, 1))
        exec_ms = (
            statistics.median(exec_true(sandboxes[0]) for _ in range(EXECS)) * 1000 if attempts == 1 else 0.0
        )
    return {
        "wall": wall,
        "cpu": cpu,
        "steps": attempts * steps,
        "exec_true_ms": exec_ms,
        "rss_mb": peak_rss_mb(),
    }


def all_at_once(
    pool: ThreadPoolExecutor, sandboxes: Sequence[Sandbox], model: ModelConfig, steps: int
) -> None:
    list(pool.map(lambda sandbox: solve(sandbox, model, steps), sandboxes))


def solve(sandbox: Sandbox, model: ModelConfig, steps: int) -> None:
    settings = Settings(budget=Budget(steps=steps))
    done = load("bash", settings).solve(BRIEF, conversation(model), sandbox)
    assert done.steps == done.calls.native == steps, done


def exec_true(sandbox: Sandbox) -> float:
    started = time.perf_counter()
    assert sandbox.exec("true", timeout=60).exit_code == 0
    return time.perf_counter() - started


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds, those of finished child processes included."""
    started, before = time.perf_counter(), cpu_seconds()
    work()
    return time.perf_counter() - started, cpu_seconds() - before


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_rss_mb() -> float:
    """From the kernel's own high-water mark: `ru_maxrss` would inherit the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    _, subject, attempts, steps, url, image = sys.argv
    print(json.dumps(measure(subject, int(attempts), int(steps), url, image)))
