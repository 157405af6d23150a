"""`python -m tests.disturbances`: disturb grading before and after every call to the daemon, and see what it says.

The daemon is killed with -9 and started again, the grading container is removed, or the host's kernel kills in it for
memory. Whatever happens, a grade is the undisturbed one or none, and nothing false is kept: the next grade is right.
One JSON line a disturbance; exit code 1 when one made a false verdict.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from requests import PreparedRequest

from evals.grade.grader import Grader
from evals.grade.store import RunStore
from evals.record import Grade, Outcome
from tasks import catalog
from tasks.backend import TestLimits
from tasks.docker.images import resolve, sandbox_base
from tasks.errors import MachineError
from tasks.sandbox import Limits
from tasks.task import Task
from tests.disturbances.own_daemon import OwnDaemon, own_daemon
from tests.fakes.docker_calls import before_each_call

TASK_ID = "asclaimed__purl-1"
LIMITS = TestLimits(seconds=60, log_bytes=64 << 10, container=Limits(memory=512 << 20, pids=128))
WRONG = b"diff --git a/a.txt b/a.txt\nnew file mode 100644\n--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+a\n"
KINDS: dict[str, Callable[[OwnDaemon], None]] = {
    "daemon": OwnDaemon.kill,
    "removed": OwnDaemon.remove_containers,
    "memory": OwnDaemon.run_out_of_memory,
}
WHEN = ("before", "after")
AFTER_SECONDS = 0.1
"""`after`: so long after the call was sent, while grading goes on."""


class Seen(NamedTuple):
    """What grading said, once."""

    outcome: Outcome | None
    """None: the run stopped, because the daemon stayed away."""
    columns: tuple[Outcome | None, ...]
    reason: str

    @classmethod
    def of(cls, grade: Grade) -> Seen:
        strict = grade.strict
        reason = (strict.reason if strict else "") or grade.official.reason
        return cls(grade.outcome, (grade.official.outcome, strict.outcome if strict else None), reason)


class Disturbance:
    """Acts once, before the n-th call to the daemon or soon after it; n = 0 only counts."""

    def __init__(self, act: Callable[[], None], number: int, when: str) -> None:
        self._act, self._number, self._when, self.calls = act, number, when, 0
        self._lock, self._later = threading.Lock(), list[threading.Timer]()

    def __call__(self, request: PreparedRequest) -> None:
        if str(request.url).endswith("/_ping"):  # from whoever waits for it
            return
        with self._lock:
            self.calls += 1
            now = self.calls == self._number
        if now and self._when == "before":
            self._act()
        elif now:
            self._later.append(threading.Timer(AFTER_SECONDS, self._act))
            self._later[-1].start()

    def wait(self) -> None:
        for timer in self._later:
            timer.join()


class Bench:
    """Grades one patch, disturbed, with a cache of its own each time."""

    def __init__(self, daemon: OwnDaemon, task: Task, patch: bytes, *, strict: bool) -> None:
        self._daemon, self._task, self._patch = daemon, task, patch
        self._grader = Grader(limits=LIMITS, strict=strict)

    def undisturbed(self) -> tuple[Seen, int]:
        """The right verdict, and how many calls it takes once the image is known."""
        self._grader.image(self._task)
        counting = Disturbance(lambda: None, 0, "before")
        with tempfile.TemporaryDirectory() as home:
            seen = self._grade(Path(home), counting)
        return seen, counting.calls

    def disturbed(self, kind: str, number: int, when: str) -> tuple[Seen, Seen]:
        """What was said then, and what is said afterwards out of the same caches."""
        disturbance = Disturbance(lambda: KINDS[kind](self._daemon), number, when)
        with tempfile.TemporaryDirectory() as home:
            first = self._grade(Path(home), disturbance)
            disturbance.wait()
            return first, self._grade(Path(home), Disturbance(lambda: None, 0, "before"))

    def _grade(self, home: Path, disturbance: Disturbance) -> Seen:
        os.environ["XDG_CACHE_HOME"] = str(home)
        attempt = home / "attempt"
        attempt.mkdir(exist_ok=True)
        self._grader._store = RunStore()  # the one of this cache directory
        try:
            with before_each_call(disturbance):
                return Seen.of(self._grader.grade_patch(self._task, self._patch, attempt))
        except MachineError as error:
            return Seen(None, (), str(error))


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and so the daemon goes too
    (task,) = catalog.load("bundled", ids=[TASK_ID])
    image = resolve(task.image).reference
    with own_daemon() as daemon:
        daemon.load(
            sandbox_base().reference, image
        )  # the base names the image: without it, it would be made anew
        os.environ["DOCKER_HOST"] = daemon.host
        forget_the_machines_daemon()
        patch = WRONG if options.wrong else task.checks.gold_patch.encode()
        wrong = sweep(Bench(daemon, task, patch, strict=not options.official), options)
    raise SystemExit(1 if wrong else 0)


def forget_the_machines_daemon() -> None:
    from tasks.docker import daemon

    daemon.client().close()
    for known in (daemon.client, daemon.facts, daemon.architecture):
        known.cache_clear()


def sweep(bench: Bench, options: argparse.Namespace) -> int:
    """Every disturbance that was asked for; how many false verdicts they made."""
    right, calls = bench.undisturbed()
    print(json.dumps({"undisturbed": right.outcome, "columns": right.columns, "calls": calls}), flush=True)
    wrong = 0
    for number in options.points or range(1, calls + 1, options.every):
        for kind in options.kinds:
            for when in options.when:
                began = time.monotonic()
                first, then = bench.disturbed(kind, number, when)
                fine = first.outcome in (right.outcome, Outcome.NOT_JUDGED, None) and then[:2] == right[:2]
                wrong += not fine
                line = {"ok": fine, "kind": kind, "when": when, "call": number, "outcome": first.outcome}
                line |= {"columns": first.columns, "reason": first.reason, "then": then.columns}
                print(json.dumps(line | {"seconds": round(time.monotonic() - began, 1)}), flush=True)
    return wrong


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.disturbances", description=__doc__)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--when", nargs="*", choices=WHEN, default=list(WHEN))
    parser.add_argument("--points", nargs="*", type=int, help="only before or after these calls")
    parser.add_argument("--every", type=int, default=1, help="only every N-th call")
    parser.add_argument("--official", action="store_true", help="the official column alone: one container")
    parser.add_argument("--wrong", action="store_true", help="a patch that fixes nothing, instead of gold")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
