"""What the gold patch does under the strict grader, once a task: the yardstick of everything else.

A graded id counts only if the reporter sees it pass on gold; a copy or a broken test counts only
if it does there what it is meant to. Kept in the user's cache under a key of content, the grader's own source included.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import Field, ValidationError

from evals.grade.strict import suite
from evals.grade.strict.delivery import Observed, observe
from evals.grade.strict.drawing import MixedContext
from evals.grade.strict.mixed import Mixed, make_mixed
from evals.grade.strict.negative_controls import Contents, Control, make_controls, packed
from evals.grade.strict.runners import PYTHON, runner_of
from evals.grade.strict.script import Parts, take_apart
from tasks.backend import RunRequest, RunTests
from tasks.disk import exclusive, write_json
from tasks.task import Frozen, Task

PASSING = ("passed", "xfailed")


class Calibration(Frozen):
    """A task's yardstick; `reason` says why there is none."""

    reason: str = ""
    tests: Contents = Field(default_factory=dict)
    baseline: dict[str, str] = Field(default_factory=dict)
    """Graded id → state on gold; only the ids that pass there (PASS_TO_PASS: or are skipped)."""
    exit_code: int | None = None
    tampered: tuple[str, ...] = ()
    mixed: Mixed | None = None
    """Judged in place of the tests as they are; None where no FAIL_TO_PASS test bears copies."""
    negative_controls: tuple[Control, ...] = ()
    keep: bool = True
    """False: what went wrong may go right another time; do not store."""

    @property
    def judged(self) -> Contents:
        return self.mixed.tests if self.mixed else self.tests

    @property
    def guess(self) -> float | None:
        return self.mixed.guess if self.mixed else None


def calibration_of(
    task: Task, parts: Parts, image_id: str, run_tests: RunTests, directory: Path
) -> Calibration:
    """The stored calibration, or a new one. One process makes it, the others wait. Raises `SandboxError`."""
    content = repr((task.content_hash, image_id, parts, _own_source()))
    key = hashlib.sha256(content.encode()).hexdigest()
    path = directory / f"{key}.json"
    with exclusive(f"calibration-{key}"):
        try:
            return Calibration.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            made = calibrate(task, parts, run_tests)
        if made.keep:
            directory.mkdir(parents=True, exist_ok=True)
            write_json(path, made)
    return made


def calibrate_ahead(
    task: Task, eval_script: str, image_id: str, run_tests: RunTests, directory: Path
) -> None:
    """So that the first patch that passes need not wait for it. Raises `SandboxError`."""
    if parts := take_apart(eval_script):
        calibration_of(task, parts, image_id, run_tests, directory)


def _own_source() -> bytes:
    """Whatever decides what is changed and what is seen; another text makes old calibrations void."""
    here = Path(__file__).parent
    files = sorted(
        path for path in (*here.glob("*.py"), *here.glob("reporters/*")) if path.name != "verdict.py"
    )
    return b"".join(path.read_bytes() for path in files)


def calibrate(task: Task, parts: Parts, run_tests: RunTests) -> Calibration:
    """Run gold as it is, mixed (twice at most), and under the control of what bears no copies: four runs at most."""
    paths = suite.test_paths(task, parts.restored)
    runner = runner_of(parts.tests, paths)
    if isinstance(runner, str):
        return Calibration(reason=runner)
    try:
        tests = suite.with_test_patch(_start_files(run_tests, paths, task), task.patch_checks.test_patch)
    except ValueError as error:
        return Calibration(reason=str(error))
    tests = {p: c for p, c in tests.items() if c is not None or f" b/{p}\n" in task.patch_checks.test_patch}
    gold = observe(run_tests, task.patch_checks.gold_patch.encode(), parts, tests, task.brief.workdir)
    baseline = _baseline(task, gold)
    reason = _unusable(task, gold, baseline)
    if reason:
        return Calibration(reason=reason, keep=not gold.timed_out)
    mixed = (
        make_mixed(MixedContext(task, parts, tests, baseline, gold, run_tests)) if runner is PYTHON else None
    )
    copied = mixed.functions if mixed else frozenset[str]()
    controls = make_controls(task, parts, tests, baseline, run_tests, copied)
    if not copied and not any(
        i in control.covers for control in controls for i in task.patch_checks.fail_to_pass
    ):
        return Calibration(reason="no FAIL_TO_PASS test can be made to fail on gold")
    return Calibration(
        tests=packed(tests),
        baseline=baseline,
        exit_code=gold.exit_code,
        tampered=gold.tampered,
        mixed=mixed,
        negative_controls=controls,
    )


def _start_files(run_tests: RunTests, paths: tuple[str, ...], task: Task) -> dict[str, bytes | None]:
    """Contents in the image, before anything ran in it."""
    places = {f"{task.brief.workdir}/{path}": path for path in paths}
    found = run_tests(RunRequest(b"", {}, "true", tuple(places))).collected
    return {path: found.get(place) for place, path in places.items()}


def _baseline(task: Task, gold: Observed) -> dict[str, str]:
    reported = suite.Reported(gold.results.states)
    states = {test_id: reported.state(test_id) for test_id in suite.graded(task)}
    hidden = set(task.patch_checks.fail_to_pass)
    return {i: s for i, s in states.items() if s in PASSING or (s == "skipped" and i not in hidden)}


def _unusable(task: Task, gold: Observed, baseline: dict[str, str]) -> str:
    if not gold.applied:
        return "the gold patch does not apply"
    if gold.timed_out or not gold.results.ended:
        return "the runner does not report to us, or not to its end"
    if gold.results.forged:
        return "the suite writes into our result file"
    if not any(test_id in baseline for test_id in task.patch_checks.fail_to_pass):
        return "no FAIL_TO_PASS id passes on gold for our reporter"
    return ""
