"""What strict needs of a task, made while the model works: one task at a time, in a grading thread that nothing waits for.

A grade that needs a calibration makes it where it is missing, so a run never waits for one from here. Not here: what a
calibration is (`evals.grade.strict.baseline`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evals.run.grading import Grading
from evals.run.ledger import Ledger
from evals.run.tally import Tally
from tasks.task import Task

Calibrate = Callable[[Task, Callable[[], bool]], str]
"""Makes one unless it is kept from before; gives up at its next test run once the function says False. Why there is none, or ""."""
LOOK_SECONDS = 1.0


class Calibrations:
    """One run's. Each task is tried once a session: what failed may be the machine's doing, and a grade tries again."""

    def __init__(
        self,
        calibrate: Calibrate | None,
        tasks: Iterable[Task],
        idles: Callable[[], bool],
        tally: Tally,
        ledger: Ledger,
    ) -> None:
        self._calibrate, self._idles = calibrate, idles
        self._tasks = deque(tasks if calibrate else ())
        self._all = len(self._tasks)
        self._tally, self._ledger = tally, ledger

    @contextmanager
    def beside(self, grading: Grading) -> Iterator[None]:
        """Meanwhile, in the order of the tasks; leaving drops what is left and waits for one test run at most."""
        over = threading.Event()
        feed = threading.Thread(target=self._feed, args=(grading, over), name="calibrations", daemon=True)
        if self._tasks:
            feed.start()
        try:
            yield
        finally:
            over.set()
            if feed.ident:
                feed.join()
            self._tally.calibrations = self._tally.calibrated

    def _feed(self, grading: Grading, over: threading.Event) -> None:
        while self._tasks and not over.is_set():
            if not (self._idles() and grading.has_a_thread_to_spare):
                over.wait(LOOK_SECONDS)
                continue
            self._tally.calibrations = self._all
            task = self._tasks.popleft()
            grading.use(lambda task=task: self._make(task, over)).result()  # type: ignore[misc]

    def _make(self, task: Task, over: threading.Event) -> None:
        if self._calibrate is None or over.is_set():
            return
        began = time.monotonic()
        why_not = self._calibrate(task, lambda: not over.is_set())
        seconds = round(time.monotonic() - began, 1)
        self._ledger.append("task-calibrated", task=task.id, why_not=why_not, seconds=seconds)
        if not over.is_set():
            self._tally.calibrated += 1


def idles(proc: Path = Path("/proc")) -> bool:
    """Whether half of this machine had nothing to do for a moment: a model server on it may want it all.

    Where nobody tells (macOS: tests run in a machine of Docker's own), it did.
    """
    with suppress(OSError, ValueError, IndexError):
        idle, total = _times(proc / "stat")
        time.sleep(LOOK_SECONDS)
        idle_then, total_then = _times(proc / "stat")
        return (idle_then - idle) * 2 >= total_then - total
    return True


def _times(stat: Path) -> tuple[int, int]:
    """Clock ticks of all processors: idle (waiting for disks included), and all."""
    times = [int(number) for number in stat.read_text().partition("\n")[0].split()[1:9]]
    return times[3] + times[4], sum(times)
