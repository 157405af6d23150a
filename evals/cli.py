"""`asclaimed`: the one entry point. Prints the help, or starts the application, and ends errors well."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import sys
from types import FrameType
from typing import NoReturn

from evals.commands.index import WIDTH, help_page


def main() -> None:
    """Run the command line; a user's mistake becomes one line on stderr and an exit code, never a traceback."""
    prepare_streams()
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # not where a shell told us to ignore it
        signal.signal(signal.SIGINT, interrupted)
    if sys.argv[1:] in (["--help"], ["-h"]) and shutil.get_terminal_size().columns >= WIDTH:
        sys.stdout.write(help_page())
        return
    try:
        run_application()
    except KeyboardInterrupt:  # at whatever point, the imports included
        sys.exit(130)


def interrupted(_signal: int, frame: FrameType | None) -> None:
    """Ctrl-C. What is raised while a module is loaded, libraries may swallow (in the middle of a class, in a C call): it ends at once."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), SHOW_CURSOR)
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


IMPORTING = "<frozen importlib._bootstrap>"
SHOW_CURSOR = b"\x1b[?25h"
"""What was turning hid it."""


def prepare_streams() -> None:
    """What the caller closed (`>&-`) is opened: else the next file of ours is our output. Letters that an old locale lacks
    become question marks."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run_application() -> None:
    from evals.commands.application import app
    from tasks.errors import MachineError, UserError
    from tasks.sandbox import SandboxError

    try:
        app(prog_name="asclaimed")
    except UserError as error:
        end(error, error.exit_code)
    except SandboxError as error:
        end(error, MachineError.exit_code)
    except OSError as error:
        end(describe(error), UserError.exit_code if error.errno in WRONG_PATH else MachineError.exit_code)
    except SystemExit as ended:  # Typer's 1 for a reader who went away (`| head`) would say "not judged"
        sys.exit(128 + signal.SIGPIPE if isinstance(ended.__context__, BrokenPipeError) else ended.code)


WRONG_PATH = frozenset(
    {errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENOENT, errno.ENOTDIR, errno.EPERM, errno.EROFS}
)
"""What the user can mend by naming another file; all else is the machine's."""


def describe(error: OSError) -> str:
    """The path and what is wrong with it."""
    where = error.filename2 or error.filename
    return f"{where}: {error.strerror}" if where else str(error.strerror or error)


def end(reason: object, code: int) -> NoReturn:
    """One line, and the exit code."""
    from evals.commands.output import complain
    from evals.report.text import plain

    complain(plain(reason, 2000))
    sys.exit(code)
