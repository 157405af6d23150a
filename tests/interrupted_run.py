"""`asclaimed` with a Ctrl-C at a call of a function in its main thread.

    python -m tests.interrupted_run WHEN DIRECTORY WORD…

WHEN: separated by commas, a number (the so manieth call of any function; 0: never) or a function's name (its first call).
All of them one after the other, each in a child of its own that need not import anything any more, and writes to
DIRECTORY/WHEN.out; {} in a WORD becomes WHEN. Prints for each WHEN, exit code, number of calls, and seconds from the Ctrl-C on.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from evals.cli import main
from evals.commands.index import COMMANDS

LOADED = ("openai", "scipy.stats", "evals.commands.session", "evals.report.page", "evals.imports.predictions")


class CtrlC:
    """A profile function: counts calls, and sends the signal at one of them."""

    def __init__(self, when: str) -> None:
        self.when, self.at = when, int(when) if when.isdigit() else -1
        self.calls, self.sent = 0, 0.0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self.calls += 1
            if not self.sent and (self.calls == self.at or frame.f_code.co_name == self.when):
                self.sent = time.monotonic()
                os.kill(os.getpid(), signal.SIGINT)


def child(at: str, directory: Path, words: list[str]) -> None:
    out = os.open(directory / f"{at}.out", os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.argv = ["asclaimed", *(word.replace("{}", at) for word in words)]
    counting = CtrlC(at)
    sys.setprofile(counting)
    try:
        main()
    finally:
        sys.setprofile(None)
        took = time.monotonic() - counting.sent if counting.sent else 0.0
        (directory / f"{at}.calls").write_text(f"{counting.calls} {took:.1f}")


def run_all(points: list[str], directory: Path, words: list[str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell's background job lacks
    for name in (*LOADED, *(f"evals.commands.{COMMANDS[words[0]].module}",)):
        import_module(name)
    for at in points:
        if not (pid := os.fork()):
            child(at, directory, words)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        calls = directory / f"{at}.calls"
        code = os.waitstatus_to_exitcode(status)
        print(at, code, calls.read_text() if calls.exists() else "0 0", flush=True)


if __name__ == "__main__":
    run_all(sys.argv[1].split(","), Path(sys.argv[2]), sys.argv[3:])
