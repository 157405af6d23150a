"""`asclaimed nightly`: one night of watching. Exit codes: 0 no regression, 1 regression, 2 undecided, 3 infrastructure.

These codes are read by machines, so nothing else may end with one of the first three: a wrong command line, a mistake
in the plan and a fault of our own end with 3. 130 is a night that was stopped and can be taken up again.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from evals.commands.interrupts import STOPPED
from evals.commands.options import ApiKeyEnvOption, JsonOption, key_in
from evals.commands.output import complain

if TYPE_CHECKING:
    from evals.nightly.night import Night, NightHooks
    from evals.nightly.plan import NightlyPlan
    from evals.run.plan import RunPlan
    from evals.run.queue import Run
    from tasks.task import Task

INFRASTRUCTURE = 3


class NightlyCommand(TyperCommand):
    """A wrong command line ends with 3: 2, which is usual for it, means undecided here."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().make_context(*args, **kwargs)
        except Exception as error:
            if getattr(error, "exit_code", 0):
                error.exit_code = INFRASTRUCTURE  # type: ignore[attr-defined]
            raise


def nightly(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A nightly plan, as runs/plans/nightly.yaml.")],
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the JUnit XML here, whatever happens.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append the Markdown summary to this file.")
    ] = None,
    api_key_env: ApiKeyEnvOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run what changed, test it against a frozen baseline, write JUnit XML and a Markdown summary."""
    from evals.commands import interrupts
    from evals.report.nightly_text import failed_junit, failed_markdown, to_lines
    from evals.report.text import plain

    again = f"to go on: {shlex.join(['asclaimed', *sys.argv[1:]])}"
    interrupts.remember(lambda: again)
    try:
        clear(junit, summary)
        directory, night = one_night(plan, junit, summary, key_in(api_key_env))
    except KeyboardInterrupt:
        raise
    except typer.Exit as stopped:
        if stopped.exit_code == interrupts.STOPPED:
            typer.echo(again, err=True)
        raise
    except Exception as error:  # noqa: BLE001 - Python's own exit code, 1, would say that the model got worse
        reason = explain(error)
        complain(plain(reason, 1000))
        with suppress(OSError):  # it may be what failed
            publish(junit, failed_junit(reason), summary, failed_markdown(reason))
        raise typer.Exit(INFRASTRUCTURE) from None
    said = "\n".join(
        [
            f"{night.exit}: {plain(night.reason, 500)}",
            *to_lines(night),
            *(plain(one, 500) for one in night.outlook),
        ]
    )
    typer.echo(night.model_dump_json(indent=1) if as_json else said)
    typer.echo(f"{directory / 'nightly.md'}", err=True)
    raise typer.Exit(night.exit.code)


def one_night(path: Path, junit: Path | None, summary: Path | None, key: str | None) -> tuple[Path, Night]:
    """The night and its reports, in its own directory and where the user wants them."""
    from evals.nightly.night import nightly as watch
    from evals.nightly.plan import load_nightly
    from evals.report.nightly_text import to_junit, to_markdown
    from evals.results.load import from_run_dir
    from tasks.disk import write_atomic

    plan = load_nightly(path, key)
    directory, night = watch(plan, outside(plan))
    xml, text = to_junit(night, from_run_dir(directory).rows), to_markdown(night)
    write_atomic(directory / "junit.xml", xml)
    write_atomic(directory / "nightly.md", text.encode())
    publish(junit, xml, summary, text)
    return directory, night


def clear(junit: Path | None, summary: Path | None) -> None:
    """Find out now, not after hours, what cannot be written; and leave no verdict of another night to be read."""
    if junit is not None:
        junit.write_bytes(b"")
    if summary is not None:
        summary.open("a").close()


def publish(junit: Path | None, xml: bytes, summary: Path | None, text: str) -> None:
    """The JUnit file is tonight's alone; a summary file belongs to a whole CI job, so this adds to it."""
    if junit is not None:
        junit.write_bytes(xml)
    if summary is not None:
        with summary.open("a", encoding="utf-8") as handle:
            handle.write(text)


def explain(error: Exception) -> str:
    """One line for what the user can mend; what we did not foresee keeps its traceback on stderr."""
    import shutil
    import traceback

    from tasks.errors import UserError
    from tasks.sandbox import SandboxError

    if isinstance(error, UserError | SandboxError):
        return str(error)
    if isinstance(error, shutil.Error):  # of copying a tree: a list of (from, to, why)
        return str(error.args[0][0][2])
    if isinstance(error, OSError) and error.strerror:
        return f"cannot use {error.filename}: {error.strerror}" if error.filename else error.strerror
    traceback.print_exception(error)
    return f"a fault of asclaimed, please report it: {type(error).__name__}: {error}"


def outside(plan: NightlyPlan) -> NightHooks:
    """The real world: Docker, the model server, the run."""
    from functools import partial

    from evals.commands.server import probe_server
    from evals.nightly.night import NightHooks

    return NightHooks(load_checked_tasks, probe_server, image_identity, partial(work, patience=plan.patience))


def load_checked_tasks(plan: RunPlan) -> list[Task]:
    from evals.commands import session
    from evals.run.plan_tasks import load_tasks

    session.check_scaffolds(plan)
    return load_tasks(plan)


def image_identity(task: Task) -> str:
    from tasks.docker.backend import DockerBackend
    from tasks.errors import TaskError

    try:
        prepared = DockerBackend().prepare(task)
    except TaskError:
        return ""  # the run will say so of this task, and go on with the others
    return prepared.identity


def work(plan: RunPlan, directory: Path, *, patience: float) -> None:
    """Make and grade what is missing; Ctrl-C stops as it does in `asclaimed run`."""
    from evals.commands import output, session
    from evals.commands.progress import RunProgress
    from evals.commands.stopping import stoppable
    from evals.report.text import plain
    from evals.run.lock import run_lock
    from tasks.backend import quiet
    from tasks.errors import MachineError

    console = output.console(stderr=True)
    console.print(f"run directory {directory}", markup=False, highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(plain(line, 2000), markup=False, highlight=False, soft_wrap=True)

    with run_lock(directory), session.open_run(plan, directory, quiet, say=say) as run:
        waiting = Waiting(run, patience)
        with RunProgress(run.tally, console) as progress, stoppable(run, directory, console):
            run.work(graders=plan.grading_threads, watch=lambda: waiting.look(progress))
        if waiting.gave_up:
            raise MachineError(
                f"gave up after {patience:g} s of {waiting.gave_up}; the next call takes this night up again"
            )
        if not run.finished:
            raise typer.Exit(STOPPED)


class Waiting:
    """Ends a run that was suspended for too long: nobody is there at night to start the server again."""

    def __init__(self, run: Run, patience: float) -> None:
        self._run, self._patience = run, patience
        self._since: float | None = None
        self.gave_up = ""
        """What it waited for when it gave up."""

    def look(self, progress: Callable[[], None]) -> None:
        """Called about four times a second."""
        progress()
        now, reason = time.monotonic(), self._run.tally.suspended
        self._since = (self._since or now) if reason else None
        if self._since is not None and now - self._since > self._patience:
            self.gave_up = self.gave_up or reason
            self._run.stop()
