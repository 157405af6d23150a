"""Pulls the images of many tasks ahead of a run: some at a time, tried again after what may pass, within a budget of bytes.

What is here already is not asked for, so a second call goes on where the first one ended; an image is all or nothing.
Not here: images that are built, and closing leaks, which a run does.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from tasks.backend import Progress, quiet
from tasks.docker.availability import ImageState
from tasks.docker.cpu import runs
from tasks.docker.daemon import architecture, client, free_bytes
from tasks.docker.images import ImageInfo, pull
from tasks.docker.pull_plan import Need, ask_registries, layers_here, needs_of, not_for_here, stored_layers
from tasks.docker.pulled import stored_bytes
from tasks.docker.shelf import Shelf
from tasks.errors import TaskError
from tasks.mirrors import names
from tasks.sandbox import RegistryError
from tasks.task import Task

KEPT_FREE = 2_000_000_000
"""Bytes of the daemon's disk that no pull is begun into: containers and cleaned copies need some."""


class Patience(NamedTuple):
    """Seconds: between two tries at one image, how long in all, and without progress in one pull (None = as a run has it)."""

    first: float = 2.0
    longest: float = 120.0
    patience: float = 900.0
    stall: float | None = None


PATIENT = Patience()


@dataclass
class Prefetch:
    """What came of it. Threads write it under its lock; whoever watches reads without."""

    images: int = 0
    here: int = 0
    to_build: int = 0
    pulled: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Image → why it cannot be had, for good."""
    left: list[str] = field(default_factory=list)
    """Not begun, or broken off, for `why_left`."""
    why_left: str = ""
    within_budget: bool = False
    """Whether it is the budget alone that left some."""
    waiting: str = ""
    """Why the last one who waits does."""
    bytes: int = 0
    """As stored, of what was pulled; an estimate where no registry told."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Ends the pulls that are under way."""


def prefetch(
    tasks: Sequence[Task],
    *,
    parallel: int = 3,
    budget: int | None = None,
    patience: Patience = PATIENT,
    progress: Progress = quiet,
    done: Prefetch | None = None,
) -> Prefetch:
    """Pull what is missing, in the order of the tasks. `budget`: bytes as stored that this may add.

    Raises `DiskFullError` where the daemon's disk is full, `SandboxError`, `MachineError` where the daemon fails, and what
    `progress` raises; pulls that are under way are broken off then.
    """
    done = done or Prefetch()
    needs = ask_registries(list(needs_of(tasks)), None, progress)
    done.images = len(needs)
    done.failed |= not_for_here(needs)
    done.here = sum(need.found.state is ImageState.PRESENT for need in needs) - len(done.failed)
    done.to_build = sum(need.found.state is ImageState.BUILDABLE for need in needs)
    work = Work(done, needs, budget, patience)
    with ThreadPoolExecutor(parallel, "prefetch") as pool:
        futures = [pool.submit(work.guarded, need) for need in work.wanted]
        try:
            while not all(future.done() for future in futures):
                progress(work.summary(), work.fraction())
                time.sleep(0.2)
        except BaseException:
            work.stop()
            raise
    if work.broken is not None:
        raise work.broken
    return done


class Work:
    """The pulls of one prefetch."""

    def __init__(self, done: Prefetch, needs: Sequence[Need], budget: int | None, patience: Patience) -> None:
        self.wanted = [need for need in needs if need.found.state is ImageState.UNKNOWN]
        self.broken: Exception | None = None
        self._done, self._budget, self._patience = done, budget, patience
        self._stopping, self._full = threading.Event(), threading.Event()
        here = layers_here()
        self._shelf, self._came = Shelf(here), Shelf(here)
        """What room was taken for, and what is here of it."""
        self._before = stored_bytes()
        self._stored = stored_layers(self.wanted)
        self._seen = ""
        """What was heard last of a pull."""

    def stop(self) -> None:
        self._stopping.set()

    def summary(self) -> str:
        done = self._done
        note = f"; {done.waiting}" if done.waiting else f"; {self._seen}" if self._seen else ""
        return f"{len(done.pulled)} of {len(self.wanted)} images pulled{note}"

    def fraction(self) -> float:
        done = self._done
        return (len(done.pulled) + len(done.failed)) / max(1, len(self.wanted))

    def guarded(self, need: Need) -> None:
        """One image; what breaks the daemon or its disk ends all."""
        reference = need.spec.reference
        try:
            if self._stopping.is_set() or self._full.is_set() or not self._has_room(reference):
                self._leave(reference, "")
            else:
                self._fetch(need)
        except Stopped:
            self._leave(reference, "")
        except TaskError as error:
            self._give_back(reference)
            if need.spec.context is None:
                with self._done.lock:
                    self._done.failed[reference] = str(error)
        except Exception as error:  # noqa: BLE001 - raised again by `prefetch`
            self.broken = self.broken or error
            self.stop()

    def _give_back(self, reference: str) -> None:
        """The room of an image that nobody has."""
        with self._done.lock:
            self._shelf.remove(reference)

    def _leave(self, reference: str, why: str) -> None:
        with self._done.lock:
            self._done.left.append(reference)
            self._done.why_left = self._done.why_left or why

    def _has_room(self, reference: str) -> bool:
        """Take the room for one more image, if there is some; once there was none, nothing smaller slips in."""
        layers, done = self._stored[reference], self._done
        with done.lock:
            need, taken = self._shelf.cost(layers), self._shelf.bytes
            free = free_bytes()
            if self._budget is not None and max(taken, stored_bytes() - self._before) + need > self._budget:
                why, done.within_budget = "the budget does not hold them", True
            elif free is not None and need + KEPT_FREE > free:
                why = "the disk of the Docker daemon has no room for more"
            else:
                self._shelf.add(reference, layers)
                return True
            done.why_left = done.why_left or why
        self._full.set()
        return False

    def _fetch(self, need: Need) -> None:
        pause, deadline = self._patience.first, time.monotonic() + self._patience.patience
        while True:
            try:
                info = self._pull(need)
            except RegistryError as error:
                if time.monotonic() > deadline or self._done.why_left:
                    self._leave(need.spec.reference, str(error))
                    self._full.set()
                    return
                self._done.waiting = f"waiting to try again: {error}"
                if self._stopping.wait(random.uniform(pause / 2, pause)):  # noqa: S311 - so that threads spread
                    raise Stopped from None
                pause = min(2 * pause, self._patience.longest)
            else:
                self._done.waiting = ""
                self._pulled(need, info)
                return

    def _pull(self, need: Need) -> ImageInfo:
        """Under the first of its names that has it."""
        if isinstance(need.asked, TaskError):
            raise need.asked
        *others, last = names(need.spec, architecture())
        tag = need.spec.reference if need.spec.digest else ""
        for name in others:
            try:
                return pull(name, self._watch, tag=tag, patience=self._patience.stall)
            except (TaskError, RegistryError):
                continue
        return pull(last, self._watch, tag=tag, patience=self._patience.stall)

    def _watch(self, what: str, fraction: float | None) -> None:
        self._seen = what if fraction is None else f"{what} {100 * fraction:.0f} %"
        if self._stopping.is_set():
            raise Stopped

    def _pulled(self, need: Need, info: ImageInfo) -> None:
        made_for = str(client().images.get(info.id).attrs.get("Architecture", ""))
        with self._done.lock:
            if not runs(made_for):
                wrong = f"image {info.reference} is for {made_for}, which this machine does not run"
                self._done.failed[need.spec.reference] = wrong
                return
            self._done.pulled.append(need.spec.reference)
            self._came.add(need.spec.reference, self._stored[need.spec.reference])
            self._done.bytes = self._came.bytes
