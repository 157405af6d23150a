"""A server that is slower with more at once, as a real run meets it: queue, threads, HTTP and clock are real.

tests/test_admission.py tries the same curve in simulated time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from evals.run.admission import AT_FIRST, Admission
from tests.fakes.faulty_server import FaultyServer, Setup
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.simulated_model import bash, scripted
from tests.served_run import make_task, plan_for, work
from tests.test_admission import CURVE, curve

FASTER = 20
"""Than the server whose curve it is."""
STEPS, ATTEMPTS, MOST = 20, 12, 64
TASKS = [make_task(f"t{n}") for n in range(6)]
THOUGHT = "a thought of forty characters, or so... " * 12
BEST = next(number for number, rate in CURVE.items() if rate == max(CURVE.values()))
SHARE = 0.9
"""Of the best that finding it may cost."""


def tokens_a_second(admission: Admission) -> float:
    """Of a whole run, its search included."""
    turns = [bash(f"true {number}", THOUGHT) for number in range(STEPS - 1)]
    setup = Setup(slots=MOST, decode=lambda at_once: FASTER * curve(at_once))
    directory = Path(tempfile.mkdtemp(prefix="asclaimed-soak-")) / "run"
    with FaultyServer(brain=scripted(*turns, bash("submit")), setup=setup) as server:
        plan = plan_for(server.url, budget={"steps": STEPS}, attempts=ATTEMPTS)
        began = time.monotonic()
        run = work(
            directory, plan, TASKS, workers=MOST, backend=PlainBackend(), admission=admission, grade=None
        )
        seconds = time.monotonic() - began
    shutil.rmtree(directory.parent)
    return run.tally.completion_tokens / seconds


def found_and_best() -> tuple[float, float]:
    """Tokens a second of a run that looks for its number, and of one that knows the best."""
    return tokens_a_second(Admission(MOST, first=AT_FIRST)), tokens_a_second(Admission(BEST))
