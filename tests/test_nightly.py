"""Nights: what is run again, what counts as evidence, how a night ends, and what it leaves for a CI server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from evals.commands.application import app
from evals.commands.interrupts import STOPPED
from evals.commands.nightly import Waiting
from evals.nightly.evidence import Baseline, watched
from evals.nightly.night import Exit, Night, NightHooks, nightly
from evals.nightly.plan import NightlyPlan, load_nightly
from evals.record import AttemptKey, Outcome
from evals.report.nightly_text import to_junit, to_lines, to_markdown
from evals.report.text import markdown
from evals.results.load import from_run_dir
from evals.results.table import Results, Row, System
from evals.run import manifest as manifests
from evals.run.lock import run_lock
from evals.run.plan import RunPlan, load_plan
from evals.run.tally import Tally
from tasks.errors import UserError
from tasks.task import Brief, Checks, ImageSpec, Task
from tests.runs_on_disk import write_attempt

NOW = datetime(2026, 4, 22, tzinfo=UTC)


def make_task(number: int, repo: str = "r") -> Task:
    return Task(
        id=f"t{number}",
        benchmark="b",
        image=ImageSpec(reference="img"),
        brief=Brief(task_id=f"t{number}", repo=repo, problem_statement="p"),
        checks=Checks(fail_to_pass=("a",), pass_to_pass=(), gold_patch="", test_patch=""),
    )


class World:
    """A machine on which attempts cost nothing: each task has a chance, tonight's and the baseline's."""

    def __init__(self, directory: Path, tasks: int = 100, attempts: int = 5, seed: int = 1) -> None:
        self.directory, self.rng = directory, np.random.default_rng(seed)
        self.tasks = [make_task(number) for number in range(tasks)]
        self.chances = self.rng.beta(0.36, 0.24, tasks)
        self.server: dict[str, Any] = {"version": "1"}
        self.image = "sha256:a"
        self.made: list[AttemptKey] = []
        self.graded: list[AttemptKey] = []
        self.outcome: Callable[[AttemptKey], Outcome] = self.draw
        self.plan = RunPlan.model_validate({"model": {"base_url": "http://h/v1", "model": "m"}})
        baseline = self.plan.model_copy(update={"attempts": attempts})
        manifests.begin_or_resume(directory / "baseline", self.compose(baseline, "baseline"))
        self.work(baseline, directory / "baseline")

    def compose(self, plan: RunPlan, name: str) -> manifests.Manifest:
        return manifests.compose(
            plan, self.tasks, run_id=name, server=self.server, base_image=None, excluded={}
        )

    def draw(self, key: AttemptKey) -> Outcome:
        return (
            Outcome.RESOLVED if self.rng.random() < self.chances[int(key.task_id[1:])] else Outcome.UNRESOLVED
        )

    def work(self, plan: RunPlan, run: Path) -> None:
        """As the run does it: skip what has a record, grade what has no grade."""
        hashes = {task.id: task.content_hash for task in self.tasks}
        for key in self.compose(plan, "x").frozen_keys():
            directory = key.directory(run)
            if not (directory / "record.json").exists():
                self.made.append(key)
            elif not (directory / "grade.json").exists():
                self.graded.append(key)
            else:
                continue
            write_attempt(
                run,
                key,
                self.outcome(key),
                task_hash=hashes[key.task_id],
                image_source=self.image,
                grader=plan.grader,
            )

    def night(self, number: int = 0, **settings: Any) -> tuple[Path, Night]:
        """One night; forgets what was made before it."""
        self.made, self.graded = [], []
        plan = NightlyPlan.model_validate(
            {
                "run": self.plan,
                "baseline": self.directory / "baseline",
                "nights": self.directory / "nights",
                **settings,
            }
        )
        hooks = NightHooks(lambda _: self.tasks, lambda _: self.server, lambda _: self.image, self.work)
        return nightly(plan, hooks, NOW + timedelta(days=number))


def test_an_unchanged_night_reuses_everything_and_proves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=10)
    directory, night = world.night()
    assert (night.exit, night.reason, night.actions) == (Exit.NO_REGRESSION, "nothing changed", {"reuse": 10})
    assert world.made == []
    assert night.standings[0].evidence == 0.0
    assert (directory / "bash" / "t3" / "1" / "grade.json").exists()


@pytest.mark.parametrize("what", ["server", "image", "task", "budget"])
def test_what_changed_runs_again(tmp_path: Path, what: str) -> None:
    world = World(tmp_path, tasks=10)
    if what == "server":
        world.server = {"version": "2"}
    elif what == "image":
        world.image = "sha256:b"
    elif what == "budget":
        world.plan = world.plan.model_copy(
            update={"budget": world.plan.budget.model_copy(update={"steps": 9})}
        )
    else:
        world.tasks[4] = make_task(4, repo="another")
    night = world.night()[1]
    said = {
        "server": ("the server's version was 1, now it is 2",),
        "image": (),
        "budget": ("`budget.steps` was 50, now it is 9",),
        "task": ("1 of 10 tasks are new or changed: they are not compared",),
    }
    assert night.differs == said[what]
    assert all(f"differs from the baseline: {line}" in to_lines(night) for line in night.differs)
    assert all(markdown(line) in to_markdown(night) for line in night.differs)
    assert [key.task_id for key in world.made] == (["t4"] if what == "task" else [t.id for t in world.tasks])
    assert night.actions["rerun"] == len(world.made)
    assert night.standings[0].compared == (0 if what == "task" else 10)  # another task, another chance
    assert world.night(1)[1].actions == {"reuse": 10}


def test_another_grader_grades_again_and_names_what_flips(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=10)
    world.plan = world.plan.model_copy(update={"grader": "swebench==4.1.0"})
    world.outcome = lambda key: Outcome.UNRESOLVED
    night = world.night()[1]
    assert (len(world.graded), world.made) == (10, [])
    assert night.exit is Exit.UNDECIDED
    assert night.regraded
    assert "same patch" in night.reason


def test_a_drop_is_caught_and_stays_caught(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.chances = world.chances * 0.6
    exits = [world.night(number, fresh=True)[1].exit for number in range(4)]
    assert Exit.REGRESSION in exits
    assert exits[-1] is Exit.REGRESSION


def test_a_stable_system_stays_quiet_and_later_nights_are_set_against_more(tmp_path: Path) -> None:
    world = World(tmp_path, attempts=2)
    nights = [world.night(number, fresh=True)[1] for number in range(4)]
    assert {night.exit for night in nights} == {Exit.NO_REGRESSION}
    assert [len(night.watched[0].shifts) for night in nights] == [1, 2, 3, 4]
    assert nights[1].watched[0].shifts[1] > nights[1].watched[0].shifts[0]
    assert nights[-1].standings[0].compared == 400


def test_unjudged_attempts_leave_it_open_or_break_the_night(tmp_path: Path) -> None:
    world = World(tmp_path)
    lost = {f"t{number}" for number in range(40)}
    world.outcome = lambda key: Outcome.NOT_JUDGED if key.task_id in lost else world.draw(key)
    assert world.night(0, fresh=True)[1].exit is Exit.INFRASTRUCTURE
    assert world.night(1, fresh=True, most_unjudged=1.0)[1].exit is Exit.UNDECIDED


def test_a_night_cut_short_is_finished(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=10)
    world.server = {"version": "2"}
    whole = world.work

    def breaks(plan: RunPlan, run: Path) -> None:
        write_attempt(run, world.compose(plan, "x").frozen_keys()[0], Outcome.RESOLVED)
        raise RuntimeError("power cut")

    world.work = breaks  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        world.night()
    world.work = whole  # type: ignore[method-assign]
    directory, night = world.night()
    assert directory.name == "2026-04-22.001"
    assert (len(world.made), night.actions) == (9, {"rerun": 10})


def test_reports_for_people_and_for_ci(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.chances = world.chances * 0.1
    directory, night = world.night(0, fresh=True)
    assert night.exit is Exit.REGRESSION
    document = Xml.fromstring(to_junit(night, from_run_dir(directory).rows))
    suite = document.find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("101", "1")
    assert (document.get("tests"), document.get("failures"), document.get("errors")) == ("101", "1", "0")
    assert suite.get("skipped") == str(len(suite.findall("testcase/skipped")))
    assert len(suite.findall("testcase/skipped")) > 50
    text = to_markdown(night)
    assert "regression" in text
    assert "| bash | 1 | 100 |" in text


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("run: {tasks: bundled}", "baseline"),
        ("- a", "must hold keys and values"),
        ("", "must hold keys and values"),
        ("run: {looks: [3]}\nbaseline: a\nnights: b", "looks"),
        ("run: {preset: nonsense}\nbaseline: a\nnights: b", "no preset"),
        ("run: {", "cannot read"),
        (None, "cannot read"),
    ],
)
def test_a_wrong_plan_is_refused(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "nightly.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=complaint):
        load_nightly(path)
    assert CliRunner().invoke(app, ["nightly", str(path)]).exit_code == Exit.INFRASTRUCTURE.code


def test_a_night_that_is_stopped_says_the_command_that_takes_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["nightly", str(tmp_path / "a night.yaml"), "--junit", str(tmp_path / "junit.xml")]
    monkeypatch.setattr(sys, "argv", ["asclaimed", *words])

    def stopped(*_args: object) -> None:
        raise typer.Exit(STOPPED)

    monkeypatch.setattr("evals.commands.nightly.one_night", stopped)
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == f"to go on: asclaimed nightly '{words[1]}' --junit {words[3]}\n"


def test_exit_codes_are_the_documented_ones() -> None:
    assert json.dumps({one.value: one.code for one in Exit}) == (
        '{"no regression": 0, "regression": 1, "undecided": 2, "infrastructure": 3}'
    )


def test_the_shipped_example_is_a_plan() -> None:
    plan = load_nightly(Path(__file__).parents[1] / "runs" / "plans" / "nightly.yaml")
    assert plan.run.scaffolds == ("bash", "edit")
    assert plan.fresh


def test_a_preset_holds_in_a_night_as_it_does_in_a_run(tmp_path: Path) -> None:
    path = tmp_path / "nightly.yaml"
    path.write_text("run: {preset: mini-swe-agent-2.4.6, tasks: bundled}\nbaseline: a\nnights: b")
    assert load_nightly(path).run == load_plan(None, {"preset": "mini-swe-agent-2.4.6", "tasks": "bundled"})


def test_a_night_cut_short_is_taken_up_another_day_unless_something_changed(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=10)
    world.server = {"version": "2"}
    whole, world.work = world.work, unplugged  # type: ignore[method-assign,assignment]
    for number in (0, 3):
        with pytest.raises(RuntimeError):
            world.night(number)
    world.server = {"version": "3"}
    with pytest.raises(RuntimeError):
        world.night(4)
    world.work = whole  # type: ignore[method-assign]
    assert world.night(5)[0].name == "2026-04-26.001"
    assert {path.name for path in (tmp_path / "nights").glob("2*")} == {"2026-04-22.001", "2026-04-26.001"}


def unplugged(_plan: RunPlan, _run: Path) -> None:
    raise RuntimeError("power cut")


def test_a_baseline_made_anew_under_its_old_name_starts_the_evidence_anew(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.chances = world.chances * 0.3
    assert world.night(0, fresh=True)[1].exit is Exit.REGRESSION
    grade = next((tmp_path / "baseline").glob("bash/t5/1/grade.json"))
    flipped = "unresolved" if json.loads(grade.read_text())["outcome"] == "resolved" else "resolved"
    grade.write_text(json.dumps({**json.loads(grade.read_text()), "outcome": flipped}))
    night = world.night(1)[1]
    assert (night.standings[0].nights, night.exit) == (1, Exit.NO_REGRESSION)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("bash/t1/1/grade.json", "not finished, 1 of 10"),
        ("manifest.json", "there is no baseline at .*asclaimed run RUN.yaml"),
    ],
)
def test_an_unusable_baseline_is_refused_before_anything_is_written(
    tmp_path: Path, damage: str, complaint: str
) -> None:
    world = World(tmp_path, tasks=2)
    (tmp_path / "baseline" / damage).unlink()
    with pytest.raises(UserError, match=complaint):
        world.night()
    assert not (tmp_path / "nights").exists()


@pytest.mark.parametrize("what", ["scaffold", "task"])
def test_a_night_that_can_show_nothing_is_refused_before_it_runs(tmp_path: Path, what: str) -> None:
    world = World(tmp_path, tasks=1)
    if what == "scaffold":
        world.plan = world.plan.model_copy(update={"scaffolds": ("bash", "edit")})
    else:
        world.tasks[0] = make_task(0, repo="another")
    with pytest.raises(UserError, match="has no attempt at these tasks"):
        world.night()


def test_damaged_files_are_named_or_made_again(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=5)
    first = world.night(0)[0]
    (first / "bash" / "t1" / "1" / "record.json").write_text("{")
    (first / "bash" / "t2" / "1" / "grade.json").write_bytes(b"\xff")
    assert world.night(1)[1].actions == {"reuse": 5}  # the baseline has them whole
    (first / "night.json").write_text("{")
    with pytest.raises(UserError, match=r"night\.json is damaged"):
        world.night(2)
    (tmp_path / "baseline" / "bash" / "t1" / "1" / "record.json").write_text("{")
    with pytest.raises(UserError, match=r"record\.json is damaged"):
        world.night(3)


def test_what_nobody_could_judge_is_graded_again_and_a_whole_night_of_it_is_broken_machinery(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, tasks=5)
    world.plan = world.plan.model_copy(update={"grader": "swebench==4.1.0"})
    world.outcome = lambda _: Outcome.NOT_JUDGED
    night = world.night(0)[1]
    assert (night.exit, night.actions) == (Exit.INFRASTRUCTURE, {"regrade": 5})
    world.outcome = lambda _: Outcome.RESOLVED
    assert world.night(1)[1].actions == {"regrade": 5}
    assert world.night(2)[1].actions == {"reuse": 5}


def test_another_grader_is_not_compared_with(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=10)
    world.plan = world.plan.model_copy(update={"grader": "swebench==4.1.0"})
    night = world.night(0, fresh=True)[1]
    assert (night.exit, night.standings[0].compared) == (Exit.UNDECIDED, 0)
    assert "same grader" in night.reason


def test_attempts_of_one_task_share_its_baseline() -> None:
    """A baseline pass and three failures tonight: one chance in four at each task, however many attempts there are."""
    system = System("m", "bash")
    frozen = [Row(system, f"t{n}", "r", 1, Outcome.RESOLVED) for n in range(5)]
    rows = [Row(system, f"t{n}", "r", k, Outcome.UNRESOLVED) for n in range(5) for k in range(1, 4)]
    shown = watched("bash", rows, Baseline.of(Results("x", "b", tuple(frozen)), []))
    assert shown.best.rank == pytest.approx(0.25**5)
    assert (shown.best.passes, shown.expected) == (0, 15.0)


def test_later_nights_are_set_against_earlier_ones_of_the_same_grader() -> None:
    system = System("m", "bash")

    def rows(outcome: Outcome, grader: str) -> list[Row]:
        return [Row(system, f"t{n}", "r", 1, outcome)._replace(grader=grader) for n in range(5)]

    frozen = Results("x", "b", (*rows(Outcome.RESOLVED, "g1"), *rows(Outcome.RESOLVED, "g2")))
    first = watched("bash", rows(Outcome.RESOLVED, "g1"), Baseline.of(frozen, []))
    again = watched("bash", rows(Outcome.UNRESOLVED, "g1"), Baseline.of(frozen, [first]))
    other = watched("bash", rows(Outcome.UNRESOLVED, "g2"), Baseline.of(frozen, [first]))
    assert again.best.rank == pytest.approx((1 / 3) ** 5)
    assert other.best.rank == pytest.approx((1 / 2) ** 5)
    unjudged = watched("bash", rows(Outcome.NOT_JUDGED, "g1"), Baseline.of(frozen, []))
    assert (unjudged.best.passes, unjudged.worst.passes) == (5, 0)
    after = watched("bash", rows(Outcome.UNRESOLVED, "g1"), Baseline.of(frozen, [unjudged]))
    assert after.best.rank == pytest.approx((1 / 2) ** 5)


class Suspended:
    """A run that waits for its server."""

    def __init__(self) -> None:
        self.tally, self.stopped = Tally(suspended="waiting for the model server"), False

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(("patience", "stopped"), [(0.001, True), (60.0, False)])
def test_a_night_does_not_wait_for_ever(patience: float, stopped: bool) -> None:
    run = Suspended()
    waiting = Waiting(run, patience)  # type: ignore[arg-type]
    for _ in range(2):
        waiting.look(lambda: time.sleep(0.01))
    assert (run.stopped, waiting.gave_up) == (stopped, run.tally.suspended if stopped else "")


def test_a_server_that_came_back_gets_its_patience_back() -> None:
    run = Suspended()
    waiting = Waiting(run, 0.05)  # type: ignore[arg-type]
    for state in ("away", "", "away", "", "away"):
        run.tally.suspended = state
        waiting.look(lambda: time.sleep(0.02))
    assert not run.stopped


def test_whatever_goes_wrong_ends_with_3_and_is_told_to_the_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    junit, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    junit.write_text("of last night")
    plan = tmp_path / "nightly.yaml"
    plan.write_text(f"run: {{scaffolds: [gold]}}\nbaseline: {tmp_path / 'none'}\nnights: {tmp_path / 'n'}")
    reports = ["--junit", str(junit), "--summary", str(summary)]
    first = CliRunner().invoke(app, ["nightly", str(plan), *reports])
    assert (first.exit_code, "make it with `asclaimed run RUN.yaml" in first.stderr) == (3, True)
    assert Xml.fromstring(junit.read_bytes()).find("testsuite/testcase/error") is not None
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "manifest.json").write_text("{}")
    monkeypatch.setattr("evals.nightly.night.from_run_dir", unplugged_reader)
    done = CliRunner().invoke(app, ["nightly", str(plan), *reports])
    assert (done.exit_code, "a fault of asclaimed" in done.stderr) == (3, True)
    assert summary.read_text().count("infrastructure") == 2


def unplugged_reader(_run: Path) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "arguments", [[], ["a.yaml", "--nonsense"], ["a.yaml", "--junit", "/dev/null/junit.xml"], ["/"]]
)
def test_a_wrong_command_line_is_not_taken_for_an_undecided_night(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["nightly", *arguments])
    assert done.exit_code == Exit.INFRASTRUCTURE.code
    assert "Traceback" not in done.stderr


def test_two_nights_at_once_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=2)
    with run_lock(tmp_path / "nights"), pytest.raises(UserError, match="another asclaimed"):
        world.night()


def test_every_night_says_what_it_can_see_and_what_it_cannot_tell(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=12, attempts=1)
    _, first = world.night(fresh=True)
    said = "\n".join(first.outlook)
    assert "sees a drop of" in said
    assert "by night 5" in said
    assert "a baseline of one attempt at each task" in said
    assert "cannot be told from a regression" in said
    assert "cannot be told from a regression" in to_markdown(first)
    better = World(tmp_path / "more", tasks=12, attempts=2)
    for number in range(5):
        _, night = better.night(number, fresh=True)
    assert "one attempt" not in "\n".join(night.outlook)
    assert "5 nights scatter" in "\n".join(night.outlook)


def test_the_terminal_gets_the_numbers(tmp_path: Path) -> None:
    _, night = World(tmp_path, tasks=5).night(1)
    lines = to_lines(night)
    assert len(lines) == len(night.standings)
    assert lines[0].startswith("bash: passed none made; evidence +0.00 after 1 night, alarm at ")


def test_terminal_page_and_json_say_the_same_numbers(tmp_path: Path) -> None:
    world = World(tmp_path, tasks=12, attempts=2)
    _, before = world.night(0, fresh=True)
    directory, night = world.night(1, fresh=True)
    said = json.loads((directory / "night.json").read_text())
    (standing,), (shown,) = said["standings"], said["watched"]
    line, page = to_lines(night)[0], to_markdown(night)
    (row,) = [one for one in page.splitlines() if one.startswith("| bash")]
    passed, made = shown["best"]["passes"], len(shown["tasks"])
    assert (made, standing["nights"], standing["compared"]) == (12, 2, 24)
    assert standing["evidence"] != before.standings[0].evidence
    evidence, alarm = f"{standing['evidence']:+.2f}", f"{standing['needed']:.2f}"
    assert line == (
        f"bash: passed {passed} of {made}, {shown['expected']:.1f} expected; "
        f"evidence {evidence} after 2 nights, alarm at {alarm}"
    )
    assert row == f"| bash | 2 | 24 | {passed} of {made} | {shown['expected']:.1f} | {evidence} | {alarm} |"
    assert all(f"- {markdown(one, 500)}" in page for one in said["outlook"])
    assert said["exit"] == str(night.exit)
    assert markdown(said["reason"]) in page
