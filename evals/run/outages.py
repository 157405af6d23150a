"""When something outside fails: wait until it is back, and say whether the failed attempt used one of its tries.

The model server, the daemon and the registry are waited for, so that an outage costs time and no attempt. What the
server refuses is told apart by a short prompt of our own: one that is refused too means a wrong setting or key.
Not here: what is done about an attempt (`queue`), the client's own retries (`scaffolds.openai`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

from evals.record import AttemptKey, Failure, Party
from evals.run.image_supply import ImageSupply
from evals.run.pins import digest_in, pinned
from evals.run.same_server import SameServer
from evals.run.tally import Tally
from scaffolds.model import ModelError, Trouble
from tasks.backend import Backend, Prepared
from tasks.errors import MachineError, UserError
from tasks.sandbox import RegistryError, SandboxError
from tasks.task import Task

TRIES = 3
"""Attempts at an attempt that a healthy-looking server or daemon may spoil before it counts as not judged."""
DAEMON_PATIENCE = 60.0
"""Seconds that the run waits for a daemon that stopped answering."""
REFUSAL_PATIENCE = 1800.0
"""Seconds that the run waits for a server that answered before and now refuses everything: a proxy, an account."""
AWAY = (Trouble.DOWN, Trouble.STALLED)
REFUSED_TASKS = 3
"""Different tasks that a server may fail at before anything has worked; then the setting is wrong, not a prompt."""


class Waits(NamedTuple):
    """Seconds between two pulls of one image, and how long in all."""

    first: float = 5.0
    longest: float = 300.0
    patience: float = 3600.0


PULL_WAITS = Waits()


class Handled(NamedTuple):
    """What a failed attempt comes to."""

    failure: Failure
    tries: int
    """How many of `TRIES` this used: 0 for an outage, all where trying again changes nothing."""


class Outages:
    """Shared by all workers of a run. Each worker notes `epoch` before an attempt and hands it in when that failed."""

    def __init__(
        self,
        tally: Tally,
        stopping: threading.Event,
        *,
        wait_for_server: Callable[[Callable[[], bool]], bool],
        short_prompt: Callable[[], ModelError | None],
        same_server: SameServer | None = None,
    ) -> None:
        self.epoch = 0
        """Outages of the server so far, known or not to the attempts that they hit."""
        self._tally, self._stopping = tally, stopping
        self._wait_for_server, self._short_prompt = wait_for_server, short_prompt
        self._same_server, self._settled = same_server, 0
        self._gate = threading.Lock()

    def of_server(self, error: ModelError, since: int, *, worked: bool) -> Handled:
        """Block until the server answers. Raises `UserError` for a server that will not work with these settings."""
        failure = Failure(party=Party.SERVER, message=str(error))
        if error.kind is Trouble.WRONG_MODEL:
            raise UserError(f"the model server refuses: {error}") from error
        with self._tally.waits(f"waiting for the model server: {error}"), self._gate:
            if error.kind is Trouble.REFUSED:
                self.epoch += self._wait_while_refused(worked=worked)
            else:
                self.epoch += self._wait_for_server(self._stopping.is_set)
            if self.epoch > self._settled or (self._same_server and self._same_server.suspect):
                self.settle()
            if self.epoch > since:
                return Handled(failure, 0)
        return Handled(failure, 1 if error.retryable else TRIES)

    def settle(self) -> None:
        """After an outage, when an answer came from another server, and at the end: is it the one that the run began with?

        The caller holds the gate, or is alone.
        """
        if self._same_server:
            self.epoch += self._same_server.settle(self._stopping)
        self._settled = self.epoch

    def _wait_while_refused(self, *, worked: bool) -> bool:
        """True if the server refused a short prompt as well, or went away meanwhile, and is there again now."""
        deadline, pause = time.monotonic() + REFUSAL_PATIENCE, 1.0
        refused = False
        while trouble := self._short_prompt():
            if trouble.kind in AWAY:
                return self._wait_for_server(self._stopping.is_set) or refused
            refused = True
            if not worked or time.monotonic() > deadline:
                raise UserError(f"the model server refuses: {trouble}")
            if self._stopping.wait(pause):
                break
            pause = min(2 * pause, 60.0)
        return refused

    def of_sandbox(self, error: SandboxError, daemon_answers: Callable[[], bool]) -> Handled:
        """Block until the daemon that failed answers. Raises `MachineError` for one that stays away."""
        failure = Failure(party=Party.SANDBOX, message=str(error))
        if isinstance(error, RegistryError):  # it was waited for where the image was asked for
            return Handled(failure, 0 if self._stopping.is_set() else TRIES)
        deadline = time.monotonic() + DAEMON_PATIENCE
        with self._tally.waits("the Docker daemon does not answer"):
            while not daemon_answers():
                if time.monotonic() > deadline or self._stopping.wait(1.0):
                    raise MachineError(
                        "the Docker daemon went away: start it and run the same command again to resume"
                    )
        return Handled(failure, 1)


class Refused:
    """Attempts that the server failed at before any worked: held back, for only what follows says whose fault it was."""

    def __init__(self, *, tasks: int) -> None:
        self._enough = min(REFUSED_TASKS, tasks)
        self._held: dict[AttemptKey, Failure] = {}

    def hold(self, key: AttemptKey, failure: Failure) -> None:
        """Raises `UserError` when enough different tasks met the same fate."""
        self._held[key] = failure
        if len({held.task_id for held in self._held}) >= self._enough:
            self.give_up()

    def release(self) -> dict[AttemptKey, Failure]:
        """Something worked: what was held is those prompts' own trouble."""
        held, self._held = self._held, {}
        return held

    def give_up(self) -> None:
        """Raises `UserError` if anything is held: nothing worked, and no attempt is spent on it."""
        if self._held:
            first = next(iter(self._held.values()))
            raise UserError(f"the model server refuses: {first.message}")


class PatientPulls:
    """Images, where a pull that its registry may allow later is tried again.

    After one image was waited for in vain, others are tried once each until the registry hands one out again. What a name
    stood for first in this session, it stands for to its end.
    """

    def __init__(self, tally: Tally, stopping: threading.Event, supply: ImageSupply | None = None) -> None:
        self._tally, self._stopping, self._supply = tally, stopping, supply
        self._hopeless = False
        self._digests: dict[str, str] = {}

    def prepare(self, task: Task, backend: Backend) -> Prepared:
        """As the backend's, later if need be. Raises `RegistryError` when patience or the run is at its end."""
        with self._supply.room(task) if self._supply else nullcontext():
            prepared = self._prepare(pinned([task], self._digests)[0], backend)
        self._digests.setdefault(task.image.reference, digest_in(prepared.digest or ""))
        return prepared

    def _prepare(self, task: Task, backend: Backend) -> Prepared:
        pause, deadline = PULL_WAITS.first, time.monotonic() + PULL_WAITS.patience
        while True:
            try:
                prepared = backend.prepare(task, self._seen)
            except RegistryError as error:
                if self._hopeless or self._stopping.is_set() or time.monotonic() > deadline:
                    self._hopeless |= not self._stopping.is_set()
                    raise
                with self._tally.waits(f"waiting for the registry: {error}"):
                    self._stopping.wait(random.uniform(pause / 2, pause))  # noqa: S311 - so that workers spread
                pause = min(2 * pause, PULL_WAITS.longest)
            else:
                self._hopeless &= prepared.origin != "pulled"
                return prepared
            finally:
                self._tally.preparing = ""

    def _seen(self, what: str, fraction: float | None) -> None:
        """Shows a long pull, and ends it when the run stops."""
        self._tally.preparing = what if fraction is None else f"{what} {100 * fraction:.0f} %"
        if self._stopping.is_set():
            raise RegistryError("the run was stopped")
