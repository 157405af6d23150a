"""Images of a run: those of the next tasks are pulled while earlier ones are worked on, and go after their last use.

With a budget (`plan.images.disk`) nothing is pulled ahead that does not fit. Where room is needed, what is used up is removed,
or else what is needed last (several attempts come round by round). An attempt waits for room while anything else is at work,
a pull ahead too, and nothing is pulled ahead of one that waits; alone it goes on, over the budget if need be, so that no run
hangs. Without a budget nothing is removed. Not here: pulling (`tasks.docker`), waiting for a registry that is busy (`outages`).
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from evals.run.backlog import Backlog
from evals.run.calibrations import Calibrate
from evals.run.grading import Grading
from evals.run.ledger import Ledger
from evals.run.tally import Tally
from tasks.backend import Backend, ImageStore
from tasks.errors import MachineError, TaskError
from tasks.sandbox import RegistryError, SandboxError
from tasks.task import Task

LOOK_SECONDS, ROOM_SECONDS = 1.0, 3.0
FAILED_SECONDS = 60.0
"""Until a registry or daemon that failed is asked ahead of time again; an attempt asks in its own time."""


class ImagePolicy(NamedTuple):
    """What a plan says of images, and who has them."""

    store: ImageStore | None = None
    ahead: int = 0
    disk: int | None = None
    stored_before: int = 0
    """Bytes of all images when the run began."""
    evicts_earlier: bool = False
    """Whether images of its tasks that were here before it go as well."""


class Uses(NamedTuple):
    """What the run is about to do, asked anew each time."""

    todo: Backlog
    tally: Tally
    grading: Grading

    def next(self) -> list[str]:
        """Ids of the tasks of attempts that have not begun, in their order; some more than once."""
        return [key.task_id for key in self.todo]

    def begun(self) -> set[str]:
        """Tasks with an attempt under way."""
        return {key.task_id for key in list(self.tally.under_way)}

    def at_work(self) -> set[str]:
        """Tasks with an attempt under way or a grade to come."""
        return self.begun() | {key.task_id for key in self.grading.pending}

    def others_at_work(self, waiting: int) -> bool:
        """Whether anything but so many waiting workers is at work, and may be done with an image."""
        return self.tally.running > waiting or bool(self.grading.pending)


class ImageSupply:
    """One run's. Without a store, or for a task that needs no registry, all of it does nothing."""

    def __init__(
        self,
        policy: ImagePolicy,
        tasks: Mapping[str, Task],
        uses: Uses,
        ledger: Ledger,
        stopping: threading.Event,
    ) -> None:
        self._store, self._policy, self._tasks = policy.store, policy, tasks
        self._uses, self._ledger, self._stopping = uses, ledger, stopping
        self._lock = threading.RLock()
        self._waiting = 0
        self._reserved: dict[str, int] = {}
        """Image → bytes that its pulls may add; 0 for one that is here, or was let in over the budget."""
        self._holders: Counter[str] = Counter()
        """Image → how many are making it ready on that reservation."""
        self._here = self._at_first()
        """Images that were made ready, or are here from an earlier session; by name, oldest first."""
        self._earlier = set(self._here if policy.evicts_earlier else ())
        self._freed = 0
        """Bytes of those that were evicted: as much more may be added."""

    def _at_first(self) -> dict[str, Task]:
        """What an earlier session of the run left can go, too."""
        if self._store is None or self._policy.disk is None:
            return {}
        return {
            task.image.reference: task for task in self._tasks.values() if not self._store.is_missing(task)
        }

    @contextmanager
    def room(self, task: Task) -> Iterator[None]:
        """Hold room for the image of an attempt that begins, while it is made ready; waits for it where others are at work."""
        if self._store is None or self._policy.disk is None:
            yield
            return
        self._wait_for_room(self._store, task, self._policy.disk)
        try:
            yield
        finally:
            self._came(task)

    def _wait_for_room(self, store: ImageStore, task: Task, budget: int) -> None:
        with self._lock:
            self._waiting += 1
        try:
            while True:
                alone = (
                    self._is_alone()
                )  # asked first: who ends after that leaves room for what is asked next
                if self._reserve(store, task, budget) or (alone and self._goes_over(task)):
                    break
                if self._stopping.wait(ROOM_SECONDS):
                    raise RegistryError("the run was stopped")
        finally:
            with self._lock:
                self._waiting -= 1

    def _is_alone(self) -> bool:
        """Whether nobody else is at work or brings an image, so that no room will come."""
        with self._lock:
            return not (self._reserved or self._uses.others_at_work(self._waiting))

    def _goes_over(self, task: Task) -> bool:
        """One at a time goes over the budget; the others see it at work."""
        with self._lock:
            if not self._is_alone():
                return False
            self._hold(task.image.reference, 0)
            self._uses.tally.over_budget += 1
            self._ledger.append("images-over-budget", task=task.id, image=task.image.reference)
            return True

    def _reserve(self, store: ImageStore, task: Task, budget: int) -> bool:
        """Take the room for one image, once what is used up and in the way has gone."""
        with self._lock:
            name, need = task.image.reference, 0
            if name not in self._reserved and store.is_missing(task):
                while (
                    self._taken(store) + (need := store.would_add(task)) > budget
                ):  # more once a layer of it went
                    if not self._evict_one(store, name):
                        return False
            self._hold(name, need)
            return True

    def _reserve_ahead(self, store: ImageStore, task: Task, budget: int) -> bool:
        """As `_reserve`, once no attempt that has begun lacks its image: room goes to it first."""
        with self._lock:
            begun = (self._tasks[name] for name in self._uses.begun())
            if any(one.image.reference not in self._reserved and store.is_missing(one) for one in begun):
                return False
            return self._reserve(store, task, budget)

    def _hold(self, name: str, need: int) -> None:
        self._reserved.setdefault(name, need)
        self._holders[name] += 1

    def _taken(self, store: ImageStore) -> int:
        grown = store.stored() - self._policy.stored_before
        return max(-self._freed, grown) + sum(self._reserved.values())

    def _evict_one(self, store: ImageStore, wanted: str) -> bool:
        """The image that is needed last of those that nobody uses and that are needed later than the wanted one."""
        turns = self._turns()
        latest = sorted(self._here, key=lambda name: -turns.get(name, math.inf))  # stable: the oldest first
        for name in latest:
            if turns.get(name, math.inf) <= turns.get(wanted, math.inf) or name in self._reserved:
                continue
            why = self._evict(store, name)
            self._ledger.append(f"image-{'kept' if why else 'evicted'}", image=name, why=why)
            if not why:
                return True
        return False

    def _evict(self, store: ImageStore, name: str) -> str:
        task = self._here.pop(name)
        if name not in self._earlier:
            return store.evict(task)
        self._earlier.discard(name)
        before = store.stored()
        why = store.evict(task)
        self._freed += max(0, before - store.stored())
        return why

    def _turns(self) -> dict[str, float]:
        """By image: which of the attempts to come needs it next; 0 = it is in use; none for one that is used up.

        An attempt moves on while it is asked for, and back where it is tried again: so "next" is asked for twice.
        """
        turns: dict[str, float] = {}
        before, at_work, after = self._uses.next(), self._uses.at_work(), self._uses.next()
        for place, task in [*((0, one) for one in at_work), *enumerate(before, 1), *enumerate(after, 1)]:
            image = self._tasks[task].image.reference
            turns[image] = min(place, turns.get(image, math.inf))
        return turns

    def _came(self, task: Task) -> None:
        name = task.image.reference
        with self._lock:
            self._holders[name] -= 1
            if not self._holders[name]:
                del self._holders[name], self._reserved[name]
            self._here.setdefault(name, task)

    def in_turn(self, calibrate: Calibrate) -> Calibrate:
        """Work that nobody waits for pulls nothing out of turn, where there is a budget."""
        store = self._store
        if store is None or self._policy.disk is None:
            return calibrate

        def later(task: Task, go_on: Callable[[], bool]) -> str:
            return "its image is not here yet" if store.is_missing(task) else calibrate(task, go_on)

        return later

    @contextmanager
    def ahead(self, backend: Backend) -> Iterator[None]:
        """Meanwhile, pull for the tasks that come next."""
        if self._store is None or not self._policy.ahead:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(
            target=self._pull_ahead, args=(self._store, backend, over), name="images", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _pull_ahead(self, store: ImageStore, backend: Backend, over: threading.Event) -> None:
        hopeless: set[str] = set()
        while not (over.is_set() or self._stopping.is_set()):
            pause = LOOK_SECONDS
            for name, task in self._next():
                try:
                    wanted = name not in hopeless and store.is_missing(task)
                    if wanted and not self._pull_one(store, backend, over, task):
                        break  # what is needed later waits as well
                except MachineError:
                    return  # no daemon, or a full disk: an attempt says so
                except TaskError:
                    hopeless.add(name)  # its attempts say so
                except SandboxError:
                    pause = FAILED_SECONDS
                    break
            over.wait(pause)

    def _next(self) -> list[tuple[str, Task]]:
        """The images that are needed next, each with a task of it."""
        images: dict[str, Task] = {}
        for name in self._uses.next():
            images.setdefault(self._tasks[name].image.reference, self._tasks[name])
        return list(images.items())[: self._policy.ahead]

    def _pull_one(self, store: ImageStore, backend: Backend, over: threading.Event, task: Task) -> bool:
        """If there is room; whether there was."""

        def watch(_what: str, _fraction: float | None) -> None:
            if over.is_set() or self._stopping.is_set():
                raise RegistryError("the run is over")

        budget = self._policy.disk
        if budget is None:
            backend.prepare(task, watch)
            return True
        if not self._reserve_ahead(store, task, budget):
            return False
        try:
            backend.prepare(task, watch)
        finally:
            self._came(task)
        return True
