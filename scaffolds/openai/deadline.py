"""Ends a read that waits too long, whatever the transport's own timeouts can express.

An HTTP client's read timeout is one number for the whole answer. We need a patient one until the first byte of the
body (prompt processing) and a short one after it, so a single watchdog thread shuts the socket of a late answer.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

TICK_SECONDS = 0.2


class Watch:
    """One read under supervision. `move` its end (of `time.monotonic()`) as data arrives."""

    def __init__(self, sock: socket.socket, due: float) -> None:
        self.sock = sock
        self.due = due
        self.expired = False
        self.moved = False

    def move(self, due: float) -> None:
        self.due, self.moved = due, True

    def expire(self) -> None:
        self.expired = True
        with contextlib.suppress(OSError):  # the other side was quicker
            self.sock.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """One daemon thread for all reads of the process; it sleeps while there are none."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def guard(self, sock: socket.socket, due: float) -> Iterator[Watch]:
        watch = Watch(sock, due)
        with self._changed:
            self._watches.add(watch)
            self._start()
            self._changed.notify()
        try:
            yield watch
        finally:
            with self._changed:
                self._watches.discard(watch)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._watches))
                now = time.monotonic()
                late = [watch for watch in self._watches if now > watch.due and not watch.expired]
            for watch in late:
                watch.expire()
            time.sleep(TICK_SECONDS)


WATCHDOG = Watchdog()
