"""`asclaimed grade`: verdicts from what is on disk."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands import interrupts
from evals.commands.options import AllowUnlimitedOption, JsonOption
from evals.commands.output import print_json
from tasks.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evals.grade.regrade import Graded
    from tasks.backend import TestLimits

GRADER = "swebench==5.0.2"
GraderOption = Annotated[
    str, typer.Option("--grader", help="The official grader, as swebench==VERSION.", metavar="swebench==X")
]
WorkersOption = Annotated[int, typer.Option("--workers", help="Test runs at once.", min=1)]


def grade(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run directory.")] = None,
    regrade: Annotated[bool, typer.Option("--regrade", help="Grade again what has a grade.")] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Run tests again even where their result is known.")
    ] = False,
    cases: Annotated[
        Path | None,
        typer.Option(help="Recorded logs: rows.jsonl and cases/<instance>/<kind>/test_output.txt."),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="SWE-bench predictions, .jsonl or .json; needs --tasks.")
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="With --predictions: the tasks they are for.", metavar="NAME|PATH")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="With --predictions: the run directory to write.")] = None,
    grader: Annotated[
        str | None, typer.Option(help="The official grader; the run's own by default.", metavar="swebench==X")
    ] = None,
    compare: Annotated[
        list[str] | None, typer.Option(help="With --cases: also ask this grader, and say where it differs.")
    ] = None,
    workers: WorkersOption = 1,
    allow_unlimited: AllowUnlimitedOption = False,
    as_json: JsonOption = False,
) -> None:
    """Grade the attempts of a run, somebody's predictions, or recorded test logs."""
    if (run is not None) + (cases is not None) + (predictions is not None) != 1:
        raise UserError("grade one thing: a run directory, --predictions FILE --tasks NAME, or --cases DIR")
    if cases is not None:
        _grade_cases(cases, grader or GRADER, compare or [], as_json)
        return
    if predictions is not None:
        if tasks is None:
            raise UserError("--predictions needs --tasks NAME|FILE: the tasks that they are for")
        run = _record(predictions, tasks, out, grader or GRADER)
    assert run is not None
    _grade_run(
        run, grader, regrade, fresh=fresh, workers=workers, allow_unlimited=allow_unlimited, as_json=as_json
    )


def _grade_cases(directory: Path, grader: str, compare: list[str], as_json: bool) -> None:
    from contextlib import ExitStack

    from evals.grade.logs import describe, grade_cases
    from evals.grade.official import DEFAULT, OfficialGrader
    from evals.report.text import plain

    names = dict.fromkeys([*compare, DEFAULT])
    names.pop(grader, None)
    lines, resolved, verdicts, acceptance = [], 0, 0, 0
    with ExitStack() as stack:
        first, *others = [stack.enter_context(OfficialGrader(name)) for name in (grader, *names)]
        for case in grade_cases(directory, first, tuple(others)):
            line = case.as_json()
            lines.append(line)
            resolved += line["resolved"]
            other_verdict = any(
                g.column.outcome is not case.grade.column.outcome for g in case.others.values()
            )
            verdicts += other_verdict
            acceptance += bool(case.differing) and not other_verdict
            if as_json:
                continue
            typer.echo(f"{line['outcome']:<11} {plain(line['case'])}  {plain(line['reason'])}".rstrip())
            for name, other in case.differing.items():
                typer.echo(f"{'':<11}   but {name}: {plain(describe(other))}")
    if as_json:
        print_json(lines)
    summary = f"{len(lines)} cases, {resolved} resolved by {grader}"
    if others:
        summary += f"; {verdicts} with another verdict from {' or '.join(names)}"
        summary += (
            f", and {acceptance} more logs that one accepts and another does not, with the same verdict"
        )
    typer.echo(summary, err=True)
    if any(line["outcome"] == "not_judged" for line in lines):
        raise typer.Exit(1)


def _record(predictions: Path, tasks: str, out: Path | None, grader: str) -> Path:
    """Turn predictions into a run directory; what cannot be used is said on stderr."""
    from evals.commands import session
    from evals.imports.predictions import read_predictions, record_predictions
    from evals.report.text import plain
    from evals.run.plan import RunPlan
    from evals.run.plan_tasks import load_tasks

    found = read_predictions(predictions)
    plan = RunPlan(tasks=tasks, grader=grader)
    run = out or session.default_directory(plan)
    unknown = record_predictions(run, found.usable, plan, load_tasks(plan))
    for line in (*found.unusable, *unknown):
        typer.echo(f"not graded: {plain(line)}", err=True)
    typer.echo(f"run directory {run}", err=True)
    return run


def _grade_run(
    run: Path,
    name: str | None,
    again: bool,
    *,
    fresh: bool,
    workers: int,
    allow_unlimited: bool,
    as_json: bool,
) -> None:
    from evals.commands.preflight import grading_lines
    from evals.commands.stopping import stoppable_tests
    from evals.grade.grader import Grader
    from evals.grade.regrade import grade_run, to_grade, unjudged_before
    from evals.report.text import plain
    from evals.run import manifest

    to_go_on = f"to go on: asclaimed grade {shlex.quote(str(run))}"
    interrupts.remember(lambda: to_go_on)
    plan = manifest.load(run).plan
    name, limits = name or plan.grader, plan.test_limits
    if allow_unlimited:
        limits = without_limits(limits)
    keys, tasks = to_grade(run, again=again or fresh)
    for line in grading_lines(run, keys, tasks, name, say_once):
        typer.echo(plain(line, 500), err=True)
    with (
        stoppable_tests(run.name) as stop,
        Grader(
            name,
            limits=limits,
            cached=not fresh,
            progress=say_once,
            run=stop.label,
            abandoned=stop.abandoned,
        ) as grader,
    ):
        grades = grade_run(run, grader, keys, tasks, workers=workers, stop=stop)
        graded = _shown(grades, as_json)
    if as_json:
        print_json([line.as_json() for line in graded])
    before = unjudged_before(run, {line.key for line in graded})
    unjudged = _summed_up(graded, before)
    if len(graded) < len(keys):
        typer.echo(to_go_on, err=True)
        raise typer.Exit(interrupts.STOPPED)
    if unjudged or before:
        raise typer.Exit(1)


def _summed_up(graded: list[Graded], before: int) -> int:
    """One line on stderr; how many of them are not judged. `before`: others that an earlier grading left so."""
    resolved = sum(line.grade.outcome == "resolved" for line in graded)
    differing = sum(
        bool(g.strict and g.strict.outcome != g.official.outcome) for g in (x.grade for x in graded)
    )
    unjudged = sum(line.grade.outcome == "not_judged" for line in graded)
    typer.echo(
        f"{len(graded)} graded, {resolved} resolved, {unjudged} not judged; "
        f"official and strict differ on {differing}" + f"; {before} of before stay not judged" * bool(before),
        err=True,
    )
    return unjudged


def without_limits(limits: TestLimits) -> TestLimits:
    """As it was, but going on where Docker enforces none of it."""
    unlimited = limits.container.model_copy(update={"allow_unlimited": True})
    return limits.model_copy(update={"container": unlimited})


def _shown(graded: Iterator[Graded], as_json: bool) -> list[Graded]:
    """Print each attempt as its grade comes; JSON waits for the end."""
    from evals.report.text import plain

    kept = []
    for attempt in graded:
        line = attempt.as_json()
        if not as_json:
            typer.echo(f"{line['outcome']:<11} {plain(line['case'])}  {plain(line['reason'])}".rstrip())
        kept.append(attempt)
    return kept


def say_once(what: str, _fraction: float | None) -> None:
    """An image that is pulled or built takes minutes: say so, once a step."""
    if _fraction is None:
        typer.echo(what, err=True)
