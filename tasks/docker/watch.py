"""Ends a running container that takes from the machine what no limit of the kernel's withholds.

One thread a container asks each check in turn, once a second. Not here: what the checks look at (`crowd`, `written`).
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

from docker.models.containers import Container

from tasks.docker.crowd import Crowd
from tasks.docker.daemon import DAEMON_ERRORS
from tasks.docker.written import Written
from tasks.sandbox import Limits, SandboxError

Check = Callable[[], str | None]
"""Why the container has to end, for a reader; None while it may go on."""


class Watch:
    """Looks at one running container until `stop` or its end; `reason` once it was ended."""

    def __init__(self, container: Container, crowd: Crowd, written: Check, *, seconds: float = 1.0) -> None:
        self._container, self._crowd, self._seconds = container, crowd, seconds
        self._checks: tuple[Check, ...] = (crowd, written)
        self._stopped = threading.Event()
        self.reason = ""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    @property
    def crowds(self) -> bool:
        """Whether the limit on processes ever refused a fork: then what starves is home-made."""
        return self._crowd.crowds

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                found = next(filter(None, (check() for check in self._checks)), None)
            except (SandboxError, subprocess.SubprocessError, *DAEMON_ERRORS):
                continue  # a daemon that is away for a moment
            if found and not self._stopped.is_set():
                self.reason = found
                with suppress(*DAEMON_ERRORS):
                    self._container.kill()
                return


def watch(container: Container, limits: Limits) -> Watch:
    """For a container that has started, its attributes fresh."""
    return Watch(container, Crowd(container), Written(container, limits.disk))
