"""One Ctrl-C is always noticed, whatever swallows what it raises, and the last line says how to go on.

Python raises `KeyboardInterrupt` wherever the main thread happens to be: in a `__del__` or a callback of a C library nobody
passes it on. So while the main thread neither ends nor deals with it, it is raised again. Not here: commands that finish what
runs first (`stopping`), which nothing is raised in.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

STOPPED = 130
AGAIN_SECONDS = 0.3
"""Twice as long without a sign of it, and Ctrl-C is raised again."""
IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = b"\x1b[?25h"
"""What was turning hid it."""
LINKS = 100
"""Exceptions that are looked at, from one to what it came from."""


class State:
    """The process's one: signals are."""

    def __init__(self) -> None:
        self.going_on: Callable[[], str] = str
        """Says how to go on; "" where there is nothing to go on with."""
        self.insists = False


state = State()


@contextmanager
def noticed() -> Iterator[None]:
    """Inside, Ctrl-C raises `KeyboardInterrupt` until somebody takes notice; not where a shell said to ignore it."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    state.going_on, hook = str, sys.unraisablehook
    sys.unraisablehook = lambda lost: None if lost.exc_type is KeyboardInterrupt else hook(lost)
    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        state.insists = False
        sys.unraisablehook = hook
        signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted(_signal: int, frame: FrameType | None) -> None:
    """Ctrl-C. What is raised while a module is loaded, libraries may swallow (in the middle of a class, in a C call): it ends at once."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            leave()
        frame = frame.f_back
    if not state.insists:
        state.insists = True
        _thread.start_new_thread(insist, ())  # `threading` may be what was interrupted
    raise KeyboardInterrupt


def insist() -> None:
    """Ctrl-C again and again, until it is dealt with."""
    main, unheard = threading.main_thread().ident, 0
    while state.insists and main is not None:
        time.sleep(AGAIN_SECONDS)
        unheard = 0 if is_dealt_with(sys._current_exceptions().get(main)) else unheard + 1
        if unheard == 2 and state.insists:
            unheard = 0
            signal.pthread_kill(main, signal.SIGINT)


def is_dealt_with(handled: Any) -> bool:
    """Whether what a thread is handling is a Ctrl-C, or came of one. Python 3.11 has three parts of it, 3.12 one."""
    error: BaseException | None = handled[1] if isinstance(handled, tuple) else handled
    for _ in range(LINKS):
        if error is None or isinstance(error, KeyboardInterrupt):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


def took_notice() -> None:
    """For whoever catches it and goes on: it is not raised again."""
    state.insists = False


def remember(going_on: Callable[[], str]) -> None:
    """What to say to whoever stops us: the command that goes on."""
    state.going_on = going_on


def last_words() -> None:
    """On stderr, past everything that may be in the middle of a line there."""
    line = state.going_on()
    state.going_on = str
    cursor = SHOW_CURSOR if sys.stderr is not None and sys.stderr.isatty() else b""
    with suppress(OSError):
        os.write(2, cursor + (f"{line}\n".encode(errors="replace") if line else b""))


def leave() -> None:
    """At once, from any thread."""
    last_words()
    os._exit(STOPPED)
