"""One night of watching: run what changed, set it against a frozen baseline, say whether something got worse.

Every attempt has a digest of all that decides it (task, image, scaffold source, model server, sampling, budget). One
that an earlier night or the baseline already made is reused and is no new evidence; one whose grader alone changed is
graded again; the rest runs. Evidence adds up over the nights of a directory (`stats.eprocess`), so that all its nights
together raise a false alarm with chance ≤ alpha. After an alarm, or a wanted change: a new baseline; evidence starts anew.
Not covered: drift of a server that says nothing of it; `fresh: true` makes every attempt anew, each night.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evals.nightly.evidence import Baseline, Standing, Watched, standing, watched
from evals.nightly.outlook import outlook
from evals.nightly.plan import NightlyPlan
from evals.nightly.reuse import SERVER_FACTS, Action, Choice, alike, changed, decide, seed
from evals.record import AttemptKey, Grade, Outcome, grade_of
from evals.results.load import from_run_dir
from evals.results.table import Results, Row
from evals.run import manifest as manifests
from evals.run.lock import run_lock
from evals.run.manifest import Manifest
from evals.run.plan import RunPlan
from tasks.disk import write_json
from tasks.errors import UserError
from tasks.task import Frozen, Task


class Exit(StrEnum):
    """How a night ends; the order is that of the exit codes 0 to 3."""

    NO_REGRESSION = "no regression"
    REGRESSION = "regression"
    UNDECIDED = "undecided"
    INFRASTRUCTURE = "infrastructure"

    @property
    def code(self) -> int:
        return list(Exit).index(self)


class Night(Frozen):
    """What a night leaves behind as `night.json`: later nights add to its evidence."""

    name: str
    baseline: str
    """`identity` of the baseline; another one starts the evidence anew."""
    actions: dict[str, int]
    watched: tuple[Watched, ...]
    """What each scaffold showed tonight, in fresh attempts only."""
    standings: tuple[Standing, ...]
    """Evidence over all nights so far, one for each scaffold."""
    regraded: tuple[str, ...]
    """Attempts whose grade changed although the patch did not."""
    unjudged: float
    """Share of what was run or graded tonight."""
    exit: Exit
    reason: str
    differs: tuple[str, ...] = ()
    """What else than the model may make tonight unlike the baseline: settings, tasks, server; a line each."""
    outlook: tuple[str, ...] = ()
    """What this set-up can see, by when, and what it cannot tell from a regression."""


@dataclass(frozen=True)
class NightHooks:
    """The outside world, as functions: tests hand in fakes here and nowhere else."""

    load_tasks: Callable[[RunPlan], list[Task]]
    probe_server: Callable[[RunPlan], dict[str, Any] | None]
    image_of: Callable[[Task], str]
    """The identity of a task's image as it is now, as `Record.image_source` has it; "" where there is none."""
    work: Callable[[RunPlan, Path], None]
    """Make and grade what is missing in a run directory."""


def nightly(plan: NightlyPlan, hooks: NightHooks, now: datetime | None = None) -> tuple[Path, Night]:
    """One night, from deciding to `night.json`. Returns its run directory and what it found.

    Nothing is written before baseline, tasks and server are known to be there. Raises `UserError`.
    """
    reference = load_baseline(plan)
    tasks = hooks.load_tasks(plan.run)
    fresh = compose(plan.run, tasks, hooks)
    check_comparable(plan, reference, fresh)
    with run_lock(plan.nights):
        earlier = past_nights(plan.nights, identity(plan.baseline, reference))
        directory = tonight(plan.nights, fresh, now or datetime.now(UTC))
        fresh = fresh.model_copy(update={"run_id": directory.name})
        sources = [] if plan.fresh else [*(path for path, _ in reversed(earlier)), plan.baseline]
        choices = decide(fresh, tasks, sources, hooks.image_of)
        before = seed(directory, fresh, choices)
        if any(choice.action is not Action.REUSE for choice in choices.values()):
            hooks.work(plan.run, directory)
        night = judge(plan, reference, directory, choices, [found for _, found in earlier], before)
        night = night.model_copy(update={"differs": differing(manifests.load(plan.baseline), fresh)})
        write_json(directory / "night.json", night)
        return directory, night


def load_baseline(plan: NightlyPlan) -> Results:
    """The frozen run. Raises `UserError` when it is none, or not whole: what is missing may not be missing by chance."""
    if not (plan.baseline / "manifest.json").exists():
        raise UserError(
            f"there is no baseline at {plan.baseline}: make it with `asclaimed run RUN.yaml --attempts 3 --out "
            f"{plan.baseline}`, where RUN.yaml holds what stands under `run:` in the nightly plan"
        )
    found = from_run_dir(plan.baseline)
    if missing := sum(row.failure == "missing" for row in found.rows):
        raise UserError(
            f"the baseline {plan.baseline} is not finished, {missing} of {len(found.rows)} attempts have no verdict: "
            "run its command again, or `asclaimed grade` it"
        )
    return found


def identity(path: Path, baseline: Results) -> str:
    """Names a baseline by all that nights are set against: a run made anew, or regraded otherwise, is another one."""
    outcomes = [(r.system.scaffold, r.task, r.attempt, r.task_hash, r.outcome.value) for r in baseline.rows]
    text = json.dumps([manifests.load(path).created, outcomes])
    return f"{path.resolve().name}@{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def check_comparable(plan: NightlyPlan, baseline: Results, fresh: Manifest) -> None:
    """Refuse a night that cannot show anything, before it takes its hours."""
    hashes = {task.id: task.hash for task in fresh.tasks}
    seen = {r.system.scaffold for r in baseline.rows if hashes.get(r.task) == r.task_hash}
    if missing := [name for name in plan.run.scaffold_names if name not in seen]:
        raise UserError(
            f"the baseline {plan.baseline} has no attempt at these tasks, as they are now, with {', '.join(missing)}: "
            "make one with `asclaimed run`"
        )


BY_DESIGN = frozenset({"attempts", "tasks (content)"})
"""A baseline has more attempts; its tasks are told by number."""


def differing(baseline: Manifest, fresh: Manifest) -> tuple[str, ...]:
    """What a reader of a regression must know: what else changed since the baseline was made."""
    lines = [line for key, line in manifests.differences(baseline, fresh) if key not in BY_DESIGN]
    before, now = ({task.id: task.hash for task in found.tasks} for found in (baseline, fresh))
    if changed_tasks := sum(before.get(name) != digest for name, digest in now.items()):
        lines.append(f"{changed_tasks} of {len(now)} tasks are new or changed: they are not compared")
    if left := sum(name not in now for name in before):
        lines.append(f"{left} of the baseline's {len(before)} tasks are not in the plan")
    old, new = baseline.server or {}, fresh.server or {}
    lines += [
        f"the server's {fact} was {old.get(fact)}, now it is {new.get(fact)}"
        for fact in SERVER_FACTS
        if old.get(fact) != new.get(fact)
    ]
    return tuple(lines)


def past_nights(directory: Path, baseline: str) -> list[tuple[Path, Night]]:
    """Finished nights against this baseline, oldest first. Raises `UserError`: evidence must not get lost silently."""
    found = [(path.parent, read_night(path)) for path in sorted(directory.glob("*/night.json"))]
    return [(path, night) for path, night in found if night.baseline == baseline]


def read_night(path: Path) -> Night:
    try:
        return Night.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise UserError(
            f"{path} is damaged: restore it, or move {path.parent} away to do without it"
        ) from None


def tonight(directory: Path, fresh: Manifest, now: datetime) -> Path:
    """The run directory of this night: the last one where it was cut short and can be taken up, or a new name."""
    known = sorted(path for path in directory.glob("*") if path.is_dir())
    if known and not (known[-1] / "night.json").exists() and alike(known[-1], fresh):
        return known[-1]
    stem = now.strftime("%Y-%m-%d")
    names = (directory / f"{stem}.{number:03d}" for number in range(1, 1000))
    if free := next((path for path in names if not path.exists()), None):
        return free
    raise UserError(f"{directory} already has 999 nights of {stem}")


def compose(plan: RunPlan, tasks: list[Task], hooks: NightHooks) -> Manifest:
    """The manifest of a night that has no name yet."""
    from evals.grade.check_tasks import excluded_tasks
    from evals.run.definitions import facts
    from evals.run.plan_tasks import drawn_subset

    return manifests.compose(
        plan,
        tasks,
        run_id="",
        server=hooks.probe_server(plan),
        base_image=None,
        excluded=excluded_tasks(plan.reliable) if plan.reliable else {},
        subset=drawn_subset(plan),
        scaffolds=facts(plan),
    )


def judge(
    plan: NightlyPlan,
    reference: Results,
    directory: Path,
    choices: Mapping[AttemptKey, Choice],
    earlier: Sequence[Night],
    before: Mapping[AttemptKey, Grade | None],
) -> Night:
    """What the night showed, alone and with all nights before it."""
    rows = from_run_dir(directory).rows
    fresh = chosen(rows, choices, Action.RERUN)
    touched = [*fresh, *chosen(rows, choices, Action.REGRADE)]
    baseline = Baseline.of(reference, [one for night in earlier for one in night.watched])
    alpha = plan.alpha / len(plan.run.scaffold_names)
    shown = tuple(
        watched(name, [r for r in fresh if r.system.scaffold == name], baseline)
        for name in plan.run.scaffold_names
    )
    history = [one for night in earlier for one in night.watched]
    series = [[*(w for w in history if w.scaffold == one.scaffold), one] for one in shown]
    standings = tuple(standing(one, alpha) for one in series)
    unjudged = sum(row.outcome is Outcome.NOT_JUDGED for row in touched) / max(len(touched), 1)
    flipped = tuple(
        f"{k.scaffold}/{k.task_id}/{k.attempt}" for k, old in before.items() if changed(directory, k, old)
    )
    verdict, reason = conclude(plan, standings, unjudged, flipped, fresh=len(fresh))
    if verdict is Exit.INFRASTRUCTURE:
        reason = f"{reason}, most of it for this: {common_reason(directory, choices)}"
    return Night(
        name=directory.name,
        baseline=identity(plan.baseline, reference),
        actions=dict(Counter(choice.action.value for choice in choices.values())),
        watched=shown,
        standings=standings,
        regraded=flipped,
        unjudged=unjudged,
        exit=verdict,
        reason=reason,
        outlook=tuple(line for one in series for line in outlook(reference, one, alpha)),
    )


def common_reason(directory: Path, choices: Mapping[AttemptKey, Choice]) -> str:
    """Why most of what was not judged was not."""
    grades = [grade_of(key.directory(directory)) for key in choices]
    reasons = Counter(g.official.reason for g in grades if g and g.outcome is Outcome.NOT_JUDGED)
    return max(reasons, key=reasons.__getitem__)[:200] if reasons else "no reason was recorded"


def chosen(rows: Sequence[Row], choices: Mapping[AttemptKey, Choice], action: Action) -> list[Row]:
    """The rows of attempts that this was chosen for."""
    keys = {(k.scaffold, k.task_id, k.attempt) for k, choice in choices.items() if choice.action is action}
    return [row for row in rows if (row.system.scaffold, row.task, row.attempt) in keys]


def conclude(
    plan: NightlyPlan, standings: Sequence[Standing], unjudged: float, flipped: Sequence[str], fresh: int
) -> tuple[Exit, str]:
    """The night's ending and one sentence why; an infrastructure failure first, then the strongest finding."""
    if unjudged > plan.most_unjudged:
        return Exit.INFRASTRUCTURE, f"{unjudged:.0%} of what ran tonight was not judged"
    if worse := [s.scaffold for s in standings if s.alarm]:
        return Exit.REGRESSION, f"worse than the baseline: {', '.join(worse)}"
    if open_ := [s.scaffold for s in standings if s.alarm_if_unjudged_failed]:
        return Exit.UNDECIDED, f"it hangs on attempts that were not judged: {', '.join(open_)}"
    if flipped:
        return Exit.UNDECIDED, f"another grade for the same patch: {', '.join(flipped[:5])}"
    if fresh and (blind := [s.scaffold for s in standings if not s.compared]):
        return (
            Exit.UNDECIDED,
            f"the baseline has no attempt at the same tasks under the same grader: {', '.join(blind)}",
        )
    return Exit.NO_REGRESSION, "nothing changed" if not fresh else "no evidence of a regression"
