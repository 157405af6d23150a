"""`asclaimed`: the one entry point. Prints the help, or starts the application, and ends errors well."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import sys
from typing import NoReturn

from evals.commands import interrupts
from evals.commands.index import WIDTH, help_page


def main() -> None:
    """Run the command line; a user's mistake becomes one line on stderr and an exit code, never a traceback."""
    prepare_streams()
    try:
        with interrupts.noticed():
            if sys.argv[1:] in (["--help"], ["-h"]) and shutil.get_terminal_size().columns >= WIDTH:
                sys.stdout.write(help_page())
                return
            run_application()
    except KeyboardInterrupt:  # at whatever point, the imports included
        end_stopped()


def end_stopped() -> NoReturn:
    """Whoever cannot wait until threads have ended has no need to."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(interrupts.STOPPED))
    interrupts.last_words()
    sys.exit(interrupts.STOPPED)


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
        if interrupts.is_dealt_with(ended):
            raise KeyboardInterrupt from None
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
