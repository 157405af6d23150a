"""`asclaimed run` and `asclaimed report`: measure, and read what was measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evals.commands import output
from evals.commands.options import (
    TASKS,
    AllowUnlimitedOption,
    ApiKeyEnvOption,
    IdsOption,
    JsonOption,
    LimitOption,
    MirrorOption,
    ProScriptsOption,
    SampleOption,
    SeedOption,
    SetOption,
    key_in,
)

if TYPE_CHECKING:
    from rich.console import Console

    from evals.run.plan import RunPlan
    from evals.run.queue import Run
    from tasks.backend import Progress


OTHER_NAMES = {
    "scaffolds": "--scaffold",
    "model.api_key": "--api-key-env",
    "images.mirrors": "--registry-mirror",
    "budget.steps": "--max-steps",
    "budget.seconds": "--max-seconds",
}
"""Options that are not called as the last part of their key."""


def at_once(text: str) -> int | str:
    """`--workers`. Raises `ValueError`."""
    if text != "auto" and int(text) < 1:
        raise ValueError
    return text if text == "auto" else int(text)


def run(  # as long as its list of options, which the command line takes from here; `_work` does the work
    plan: Annotated[
        Path | None, typer.Argument(help="A plan (runs/plans/*.yaml); options go on top of it.")
    ] = None,
    tasks: Annotated[str | None, TASKS] = None,
    ids: IdsOption = None,
    sample: SampleOption = None,
    seed: SeedOption = None,
    limit: LimitOption = None,
    pro_scripts: ProScriptsOption = None,
    registry_mirror: MirrorOption = None,
    subset: Annotated[
        Path | None, typer.Option(help="Only the tasks of a file that `asclaimed subset --json` printed.")
    ] = None,
    scaffold: Annotated[
        list[str] | None,
        typer.Option(
            help="A name (`scaffolds list`; gold, nop), FILE.yaml or module:Class; repeat for several."
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Limits of an upstream scaffold, e.g. mini-swe-agent-2.4.6.")
    ] = None,
    attempts: Annotated[int | None, typer.Option(min=1, help="Attempts at each task.")] = None,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible server, up to /v1.")] = None,
    model: Annotated[str | None, typer.Option(help="Model name, as the server lists it.")] = None,
    api_key_env: ApiKeyEnvOption = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Sampling temperature; the server's own when not given.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Nucleus sampling; the server's own when not given.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens in one answer.")] = None,
    tool_calls: Annotated[str | None, typer.Option(help="native, lenient, text, fenced or xml.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Model calls an attempt may make.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=1, help="Agent-active seconds an attempt may take.")
    ] = None,
    workers: Annotated[
        Any, typer.Option(help="Attempts at once; auto finds how many.", metavar="N|auto", parser=at_once)
    ] = None,
    allow_unlimited: AllowUnlimitedOption = False,
    accept_empty_turns: Annotated[
        bool, typer.Option(help="Go on where the server loses a fifth of its first 50 answers.")
    ] = False,
    margin: Annotated[
        float | None, typer.Option(help="Equivalence margin in points, fixed now for `verify`.")
    ] = None,
    claim: Annotated[
        str | None, typer.Option(help="Claim to verify (id, or FILE.yaml:ID); needs --margin.")
    ] = None,
    looks: Annotated[
        str | None,
        typer.Option(
            help="Numbers of tasks after which a scaffold may stop because its verdict on --claim is decided.",
            metavar="N,N…",
        ),
    ] = None,
    reliable: Annotated[
        Path | None, typer.Option(help="List made by `tasks check`: failed tasks are excluded.")
    ] = None,
    grader: Annotated[str | None, typer.Option(help="swebench==5.0.2, or another version.")] = None,
    grade: Annotated[
        bool, typer.Option("--grade/--no-grade", help="Grade as attempts end, or leave it.")
    ] = True,
    set_: SetOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory; give an existing one to resume it.")
    ] = None,
    retry_unjudged: Annotated[bool, typer.Option(help="Try again what server or sandbox spoiled.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run scaffolds over tasks, record every attempt, grade it, and print the table."""
    from evals.run.plan import load_plan, settings

    given = {
        "tasks": tasks,
        "ids": _ids(ids),
        "sample": sample,
        "seed": seed,
        "limit": limit,
        "pro_scripts": pro_scripts,
        "images.mirrors": registry_mirror or None,
        "subset": subset,
        "scaffolds": scaffold or None,
        "preset": preset,
        "attempts": attempts,
        "model.base_url": base_url,
        "model.model": model,
        "model.api_key": key_in(api_key_env),
        "model.sampling.temperature": temperature,
        "model.sampling.top_p": top_p,
        "model.sampling.max_tokens": max_tokens,
        "tool_calls": tool_calls,
        "budget.steps": max_steps,
        "budget.seconds": max_seconds,
        "workers": workers,
        "sandbox.allow_unlimited": allow_unlimited or None,
        "accept_empty_turns": accept_empty_turns or None,
        "margin": margin,
        "claim": claim,
        "looks": looks.replace(",", " ").split() if looks else None,
        "reliable": reliable,
        "grader": grader,
    }
    names = {key: OTHER_NAMES.get(key, f"--{key.split('.')[-1].replace('_', '-')}") for key in given}
    chosen = load_plan(plan, given | settings(set_ or []), options=names)
    _work(chosen, out, grade=grade, retry_unjudged=retry_unjudged, as_json=as_json)


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run directories.")],
    as_json: JsonOption = False,
) -> None:
    """Sum each run up: on the terminal, and as report.html, report.md and report.json in its directory.

    With --json: one object, or a list of them for several runs.
    """
    from evals.report.summary import summarise

    if as_json:
        found = [summarise(run_directory).model_dump(mode="json") for run_directory in runs]
        output.print_json(found[0] if len(found) == 1 else found)
        return
    for run_directory in runs:
        _report(run_directory)


def _ids(text: str | None) -> list[str] | None:
    from tasks import selection

    return None if text is None else list(selection.read_ids(text))


def _work(plan: RunPlan, out: Path | None, *, grade: bool, retry_unjudged: bool, as_json: bool) -> None:
    from evals.commands import interrupts, session
    from evals.commands.run_images import over_budget
    from evals.commands.stopping import resuming, to_go_on
    from evals.imports.predictions import write_predictions
    from evals.run import manifest
    from evals.run.lock import run_lock
    from evals.run.looks import open_keys
    from evals.run.set_aside import forget_unjudged

    console = output.console(stderr=True)
    directory = out or session.default_directory(plan)
    session.check_scaffolds(plan)
    for line in session.notes(plan):
        _say(console, f"note: {line}")
    interrupts.remember(partial(to_go_on, directory))
    with run_lock(directory):
        if retry_unjudged and (directory / "manifest.json").exists():
            forget_unjudged(directory, open_keys(directory, manifest.load(directory)))
        made = _attempts(plan, directory, console, grade=grade)
        write_predictions(directory, manifest.load(directory))
        _report(directory, as_json=as_json)
    if images := made.tally.over_budget:
        _say(console, over_budget(images))
    unjudged = made.tally.unjudged if grade else spoiled(directory)
    if not made.finished:
        _say(console, to_go_on(directory))
    elif unjudged:
        _say(console, retry_hint(unjudged, resuming(directory)))
    raise typer.Exit(_exit_code(made.finished, bool(unjudged)))


def _attempts(plan: RunPlan, directory: Path, console: Console, *, grade: bool) -> Run:
    """Make and grade what is missing in a run directory, in sight of the user; returns what became of it."""
    from evals.commands import session
    from evals.commands.progress import RunProgress
    from evals.commands.stopping import stoppable

    with (
        console.status("preparing") as status,
        session.open_run(plan, directory, show_on(status), grade=grade, say=partial(_say, console)) as run,
    ):
        status.stop()
        console.print(f"run directory {directory}", markup=False, highlight=False)
        with RunProgress(run.tally, console) as progress, stoppable(run, directory, console):
            run.work(graders=plan.grading_threads, watch=progress)
        return run


def _say(console: Console, line: str) -> None:
    """A line for people."""
    from evals.report.text import plain

    console.print(plain(line, 2000), markup=False, highlight=False, soft_wrap=True)


def spoiled(directory: Path) -> int:
    """Attempts that no grade can come of; a run that grades counts them as it goes."""
    from evals.record import Outcome
    from evals.results.load import from_run_dir

    rows = from_run_dir(directory).rows
    return sum(row.outcome is Outcome.NOT_JUDGED and row.failure != "missing" for row in rows)


def retry_hint(unjudged: int, command: str) -> str:
    """What to do first: a few attempts without a verdict cost a claim's verdict much of its power."""
    some = f"{unjudged} attempts were" if unjudged > 1 else "1 attempt was"
    return f"{some} not judged; to try just these again: {command.removesuffix(' --retry-unjudged')} --retry-unjudged"


def _exit_code(finished: bool, unjudged: bool) -> int:
    """0 all judged; 1 something could not be judged; 130 stopped before the end."""
    return int(unjudged) if finished else 130


def show_on(status: Any) -> Progress:
    """A progress line on a Rich status."""

    def show(what: str, fraction: float | None) -> None:
        from rich.text import Text

        from evals.report.text import plain

        share = "" if fraction is None else f" {100 * fraction:.0f} %"
        status.update(Text(plain(what, 100) + share))

    return show


def _report(directory: Path, *, as_json: bool = False) -> None:
    from evals.report.page import to_html
    from evals.report.summary import read_report
    from evals.report.tables import print_summary, to_markdown
    from tasks.disk import write_atomic, write_json

    found = read_report(directory)
    summary = found.summary
    write_json(directory / "report.json", summary)
    write_atomic(directory / "report.md", to_markdown(summary).encode())
    write_atomic(directory / "report.html", to_html(found).encode())
    if as_json:
        typer.echo(summary.model_dump_json(indent=1))
        return
    console = output.console()
    print_summary(summary, console)
    console.print(
        f"report: {directory / 'report.html'} and report.md", markup=False, highlight=False, soft_wrap=True
    )
