"""What must stay flat in a long run, and what recording may cost: memory, file descriptors, threads; a tenth of a step."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from evals.bench.measure import scripted_server
from evals.run.exchanges import ExchangeLog
from scaffolds.model import Exchange, Message
from scaffolds.openai.client import conversation
from scaffolds.openai.config import ModelConfig
from tests.fakes.plain_backend import PlainBackend
from tests.served_run import make_task, plan_for, work

TASKS = [make_task(f"t{n}") for n in range(6)]
GROWTH = 1.1
RECORDING = 0.1
"""The most of a model call that its recording may be."""
LINE = "a line of what a command printed\n"


class Held(NamedTuple):
    """Of this process."""

    megabytes: int
    descriptors: int
    threads: int


def held() -> Held:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(pages * 4096 >> 20, len(list(Path("/proc/self/fd").iterdir())), threading.active_count())


def crowd(attempts: int, at_once: int) -> list[Held]:
    """After a quarter, a half, … of the attempts, while others are under way."""
    seen: list[Held] = []
    directory = Path(tempfile.mkdtemp(prefix="asclaimed-soak-")) / "run"
    with scripted_server() as url:
        plan = plan_for(url, budget={"steps": 3}, attempts=attempts // len(TASKS) + 1)

        def watch(run: Any) -> None:
            if run.tally.done >= (len(seen) + 1) * attempts // 4 and run.tally.running:
                seen.append(held())

        work(directory, plan, TASKS, workers=at_once, backend=PlainBackend(), watch=watch)
    shutil.rmtree(directory.parent)
    return seen


def is_flat(seen: list[Held], at_once: int) -> bool:
    """From the first quarter on nothing grows; each attempt under way has some files open, or has not yet."""
    first, most = seen[0], Held(*map(max, zip(*seen, strict=True)))
    return (
        most.megabytes <= GROWTH * first.megabytes + 4
        and most.descriptors <= first.descriptors + 2 * at_once
        and most.threads <= first.threads + 2
    )


def recording(turns: int = 60) -> float:
    """The share of recording in the CPU time of a model call: a step has a sandbox, grading and a real server besides."""
    spent = 0.0
    directory = Path(tempfile.mkdtemp(prefix="asclaimed-soak-"))
    with scripted_server() as url, ExchangeLog(directory) as log:

        def timed(exchange: Exchange) -> None:
            nonlocal spent
            began = time.thread_time()
            log(exchange)
            spent += time.thread_time() - began

        model = conversation(ModelConfig(base_url=url, model="m"), exchanged=timed)
        history: list[Message] = [{"role": "user", "content": LINE * 100}]
        began = time.thread_time()
        for turn in range(turns):
            history.append(model.complete(history).message)
            history.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": f"{turn} {LINE * 50}"})
        whole = time.thread_time() - began
    shutil.rmtree(directory)
    return spent / whole
