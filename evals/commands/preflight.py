"""What cannot work is said before the first attempt: grader, images, disk, hours, server; a few lines, or a refusal in one.

Looks and pulls nothing, but for a grader's own environment. Sizes and hours are rough. Not covered: whether the gold
patches pass here (`asclaimed tasks check`).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.claims.claim import Claim
from evals.commands.preflight_machines import machine_lines, size_lines, to_attempt
from evals.grade.official import DEFAULT, DERIVES, V5_COLUMNS, python_of
from evals.grade.store import KeptRun
from evals.record import AttemptKey
from evals.report.text import counted
from evals.run.admission import AT_FIRST
from evals.run.manifest import Manifest
from evals.run.plan import RunPlan
from tasks.backend import Progress
from tasks.disk import cache_directory
from tasks.docker.availability import ImageAvailability, ImageState, availability
from tasks.docker.space import disk_need
from tasks.errors import MachineError, UserError
from tasks.pro import PARSER
from tasks.task import Task

SURELY_TOO_MUCH = 2
"""A run is refused when it needs so many times the free disk; the estimate itself is not that far off."""


def preflight(
    manifest: Manifest, tasks: Sequence[Task], directory: Path, progress: Progress, *, grade: bool
) -> list[str]:
    """The lines, for what the run still has to do. Raises `MachineError`, `UserError`: nothing of it could work."""
    left = [
        key for key in to_attempt(manifest, tasks) if not (key.directory(directory) / "record.json").exists()
    ]
    ids = {key.task_id for key in left}
    todo = [task for task in tasks if task.id in ids]
    for path in (directory, cache_directory()):
        check_writable(path)
    if grade:
        check_graders(manifest.plan.grader, tasks, progress)
    if not todo:
        return []
    found = availability(todo, progress=progress)
    check_images(found)
    return [
        *image_lines(found),
        *disk_lines(todo, found, budget=manifest.plan.images.disk),
        hours_line(manifest.plan, len(left)),
        *size_lines(manifest),
        *machine_lines(manifest, tasks, progress),
        *server_lines(manifest.plan, manifest.server or {}),
        *doctor_lines(manifest.server or {}),
        *window_lines(manifest.claim, manifest.server or {}, allowed=manifest.plan.allow_smaller_window),
    ]


def grading_lines(
    run: Path, keys: Sequence[AttemptKey], tasks: Mapping[str, Task], grader: str, progress: Progress
) -> list[str]:
    """The same for attempts that are recorded and are to be graded; of images only those whose tests have not run yet."""
    check_writable(run)
    check_writable(cache_directory())
    check_graders(grader, list(tasks.values()), progress)
    todo = {key.task_id for key in keys if not is_tested(key.directory(run))}
    wanted = [task for name, task in tasks.items() if name in todo]
    if not wanted:
        return []
    found = availability(wanted, progress=progress)
    check_images(found)
    return [
        *image_lines(found),
        *disk_lines(wanted, found, attempts=False),
        f"to grade: {counted(len(keys), 'attempt')}",
    ]


def is_tested(attempt: Path) -> bool:
    """Whether no machine is needed: its tests have run, or it has no patch to run them for."""
    patch = attempt / "patch.diff"
    return KeptRun.load(attempt) is not None or not (patch.exists() and patch.stat().st_size)


def check_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise MachineError(f"cannot write to {directory}: {error.strerror}") from None


def check_graders(name: str, tasks: Sequence[Task], progress: Progress) -> None:
    """Raises `MachineError` for a version that is not there and cannot be installed; rows of old need one more."""
    for task in tasks:
        if is_pro(task) and task.patch_checks.eval_script is None:
            raise UserError(
                f"{task.id} cannot be judged: give --pro-scripts DIR, a checkout of scaleapi/SWE-bench_Pro-os"
            )
    tasks = [task for task in tasks if task.verifier is None and not is_pro(task)]
    if not tasks:
        return
    old = any(not all(task.patch_checks.row.get(column) for column in V5_COLUMNS) for task in tasks)
    for version in dict.fromkeys((name, DEFAULT, *((DERIVES,) if old else ()))):
        progress(f"looking for the grader {version}", None)
        python_of(version)


def is_pro(task: Task) -> bool:
    return task.verifier is None and task.patch_checks.log_parser == PARSER


def check_images(found: Mapping[str, ImageAvailability]) -> None:
    """Raises `MachineError` when no image can be had, or none runs on this processor."""
    first = next(iter(found.values()))
    if all(image.state is ImageState.MISSING for image in found.values()):
        raise MachineError(f"no task has an image that can be had: {first.reason}")
    if not any(image.runs_here for image in found.values()):
        raise MachineError(
            f"no task has an image for this machine's processor: {first.reference} is for {first.architecture}"
        )


def image_lines(found: Mapping[str, ImageAvailability]) -> Iterator[str]:
    states = Counter(image.state for image in found.values())
    yield "images: " + ", ".join(f"{states[state]} {WORDS[state]}" for state in ImageState if states[state])
    for image in found.values():
        if image.state is ImageState.MISSING:
            yield f"NOT TO BE JUDGED: {image.reason}"
        elif not image.runs_here:
            yield f"WRONG PROCESSOR: image {image.reference} is for {image.architecture}, which this machine does not run"
        elif image.state is ImageState.UNKNOWN and image.reason != NOT_ASKED:
            yield f"the registry does not answer for now: {image.reason}"
    if emulated := [image for image in found.values() if image.emulated and image.runs_here]:
        yield f"EMULATED: {len(emulated)} images are for another processor ({emulated[0].architecture}): slow, and tests may fail by it"


NOT_ASKED = "no registry was asked"
WORDS = {
    ImageState.PRESENT: "here",
    ImageState.PULLABLE: "to be pulled",
    ImageState.BUILDABLE: "to be built",
    ImageState.MISSING: "not to be had",
    ImageState.UNKNOWN: "to be pulled, if a registry has them",
}


def disk_lines(
    tasks: Sequence[Task],
    found: Mapping[str, ImageAvailability],
    *,
    attempts: bool = True,
    budget: int | None = None,
) -> Iterator[str]:
    need = disk_need(tasks, found, attempts=attempts)._replace(budget=budget)
    if need.free is not None and need.total > SURELY_TOO_MUCH * need.free:
        raise MachineError(f"not enough disk: {need.line()}")
    yield f"{'disk' if need.fits else 'DISK MAY NOT BE ENOUGH'}: {need.line()}"


def hours_line(plan: RunPlan, attempts: int) -> str:
    """An upper bound: nobody knows yet how fast the model is."""
    at_once = AT_FIRST if plan.workers == "auto" else plan.workers
    head = f"attempts: {attempts}, " + (
        "as many at once as suit the server" if plan.workers == "auto" else f"{at_once} at once"
    )
    if plan.model is None or plan.budget.seconds is None or plan.task_limits:
        return head
    hours = attempts * plan.budget.seconds / at_once / 3600
    seconds = plan.budget.seconds
    each = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    supposed = f" and {at_once} go on at once" if plan.workers == "auto" else ""
    return f"{head}; at most {hours:.1f} h, if each takes its {each}{supposed}"


def server_lines(plan: RunPlan, server: Mapping[str, Any]) -> Iterator[str]:
    if plan.model is None:
        return
    known = [
        f"{fact} {server[fact]}"
        for fact in ("version", "window", "slots", "quantization")
        if server.get(fact)
    ]
    yield f"server: {server.get('dialect', 'unknown')} at {plan.model.base_url}, {', '.join(known) or 'says nothing of itself'}"
    slots = server.get("slots")
    if isinstance(slots, int) and plan.workers != "auto" and slots < plan.workers:
        yield f"the server works on {slots} at once, so {plan.workers - slots} of {plan.workers} attempts wait for it"


def doctor_lines(server: Mapping[str, Any]) -> Iterator[str]:
    """What the short look at the server found; what it could not see is in the manifest alone."""
    for finding in server.get("doctor", ()):
        if finding["level"] != "ok" and finding["name"] != "no-answer":
            yield f"SERVER, {finding['level']}: {finding['what']}; {finding['effect']}. To mend it: {finding['cure']}"


def window_lines(claim: Claim | None, server: Mapping[str, Any], *, allowed: bool) -> Iterator[str]:
    """A smaller window than the claim's own protocol makes another, harder test. Raises `UserError` unless `allowed`."""
    ours, theirs = server.get("window"), claim.protocol.context_window if claim else None
    if not (ours and theirs and ours < theirs):
        return
    line = (
        f"SMALLER WINDOW THAN THE CLAIM'S: {ours:,} tokens here, {theirs:,} there: attempts that need more can only "
        "fail here; start the server with a larger context to repeat the claim"
    )
    if not allowed:
        raise UserError(f"{line}, or go on with --set allow_smaller_window=true")
    yield line
