"""Whether the server is still the one that the run began with, and what happens to attempts made since it last was.

Each answer bears names; a canary prompt is asked on a timer, after each outage and at the end (`scaffolds.openai.canary`).
When something changed, attempts that ended since the last good check are quarantined (kept as `<attempt>.quarantined-N`,
never scored, made again) with the planned looks that counted them, and the run waits until the server is itself again. Not
covered: an attempt that began before an unnoticed swap and ended after the swap back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from evals.record import AttemptKey
from evals.run.looks import withdraw
from evals.run.manifest import SAME_AGAIN
from evals.run.set_aside import set_aside
from scaffolds.model import ModelError, Served, Trouble
from tasks.disk import write_json
from tasks.errors import UserError
from tasks.task import Frozen

FILE = "quarantined.json"
WHY = "quarantined"
PATIENCE = 1800.0
"""Seconds that the run waits for the server that it began with."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
MOST_CHANGES = 3
"""In one session; after that two servers share the address."""


class ServerCheck(NamedTuple):
    """How the run asks."""

    expected: Served | None
    """How the answers were signed when the run began; what is "" is learned from the first one. None: whatever they bear."""
    changed: Callable[[], str | None]
    """What is not as it was, in one line; "" when all is; None when nobody answers."""
    every: float = 600.0
    """Seconds between two checks while nothing else calls for one."""


class Change(Frozen):
    """One time that the server was another."""

    time: str
    what: str
    attempts: tuple[AttemptKey, ...]
    moved: bool = False
    """Whether they are all set aside; a kill may come in between."""


class Changes(Frozen):
    """All of a run's."""

    changes: tuple[Change, ...] = ()


def changes(run: Path) -> Changes:
    """What a run directory says; nothing where the server stayed the same. Raises `UserError` for a broken file."""
    try:
        return Changes.model_validate_json((run / FILE).read_bytes())
    except FileNotFoundError:
        return Changes()
    except ValidationError as error:
        raise UserError(f"{run / FILE} cannot be read: {error.errors()[0]['msg']}") from None


def finish_quarantine(run: Path) -> None:
    """What a kill kept from being set aside is set aside now. Before a session counts its records."""
    known = changes(run)
    for change in known.changes:
        if not change.moved:
            withdraw(run, change.attempts)
            for key in change.attempts:
                set_aside(key.directory(run), WHY)
    if any(not change.moved for change in known.changes):
        write_json(run / FILE, Changes(changes=tuple(_moved(change) for change in known.changes)))


def _moved(change: Change) -> Change:
    return change.model_copy(update={"moved": True})


class SameServer:
    """One session's watch over its server; threads share it."""

    def __init__(
        self, run: Path, check: ServerCheck, quarantine: Callable[[Collection[AttemptKey]], None]
    ) -> None:
        """`quarantine` takes recorded attempts back: out of the counts, set aside, into the queue."""
        self._run, self._check, self._quarantine = run, check, quarantine
        self._expected = check.expected
        self._suspect = ""
        self._since: list[AttemptKey] = []
        """Recorded since the last good check."""
        self.times = 0
        """How often it was another, in this session."""
        self._lock = threading.Lock()

    def see(self, served: Served | None) -> None:
        """An answer came. Raises `ModelError` where it is not from the server that the run began with."""
        with self._lock:
            if served and self._expected is not None:
                self._expected = Served(
                    *(old or new for old, new in zip(self._expected, served, strict=True))
                )
                self._doubt(signed_otherwise(self._expected, served))
            if self._suspect:
                raise ModelError(self._suspect, kind=Trouble.CHANGED)

    def _doubt(self, what: str) -> None:
        if what and not self._suspect:
            self._suspect, self.times = what, self.times + 1

    def recorded(self, key: AttemptKey, times: int) -> None:
        """Note an attempt that began after so many changes.

        Raises `ModelError` for one that ended while the server was another, and sets it aside.
        """
        with self._lock:
            if not self._suspect and times == self.times:
                self._since.append(key)
                return
        set_aside(key.directory(self._run), WHY)
        raise ModelError("the server changed while this attempt was made", kind=Trouble.CHANGED)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ask now and then meanwhile, in a thread of its own: an answer may take long."""
        over = threading.Event()

        def ask_on_a_timer() -> None:
            while not over.wait(self._check.every):
                self.ask()

        threading.Thread(target=ask_on_a_timer, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def ask(self) -> str:
        """The canary and the names; what is wrong stays in mind until `settle`. "" also when nobody answers."""
        with self._lock:
            before = len(self._since)
        what = self._check.changed()
        with self._lock:
            if what == "" and not self._suspect:
                del self._since[:before]
            self._doubt(what or "")
            return self._suspect

    @property
    def suspect(self) -> bool:
        """Something changed, and nobody has settled it yet."""
        return bool(self._suspect)

    @property
    def unverified(self) -> bool:
        """There are attempts that no good check came after."""
        return bool(self._since) or self.suspect

    def settle(self, stopping: threading.Event) -> bool:
        """After an outage, or when a change was seen: True if the server was another, and is itself again.

        Raises `UserError` for one that stays another, or changes again and again.
        """
        if not self.ask():
            return False
        self.set_aside(self._suspect)
        if self.times >= MOST_CHANGES:
            raise UserError(
                f"the server changed {self.times} times ({self._suspect}): two servers seem to share this address; give the "
                "address of one of them and run the same command again, or go on with --set same_server=false"
            )
        self._wait(stopping)
        return True

    def set_aside(self, what: str) -> None:
        """Quarantine what was recorded since the last good check, so that a kill in between changes nothing."""
        with self._lock:
            keys, self._since = tuple(self._since), []
        now = datetime.now(UTC).isoformat(timespec="seconds")
        known, change = changes(self._run).changes, Change(time=now, what=what, attempts=keys)
        write_json(self._run / FILE, Changes(changes=(*known, change)))
        self._quarantine(keys)
        write_json(self._run / FILE, Changes(changes=(*known, _moved(change))))

    def _wait(self, stopping: threading.Event) -> None:
        deadline, pause = time.monotonic() + PATIENCE, FIRST_WAIT
        while (what := self._check.changed()) != "":
            if time.monotonic() > deadline:
                raise UserError(f"{what or self._suspect}. {SAME_AGAIN}")
            if stopping.wait(pause):
                return
            pause = min(2 * pause, LONGEST_WAIT)
        with self._lock:
            self._suspect = ""


def signed_otherwise(expected: Served, served: Served) -> str:
    """What an answer says of its sender that it did not say before; what either leaves out is not judged."""
    for name, old, new in zip(("model", "system_fingerprint"), expected, served, strict=True):
        if old and new and old != new:
            return f"an answer bears the {name} {new!r}, the run began with {old!r}"
    return ""
