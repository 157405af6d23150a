"""What a benchmark's tasks give an attempt, beside what a run gives it: at its start, in its report, in a verdict's table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.claims.catalog import find
from evals.commands.preflight_machines import size_lines
from evals.record import AttemptKey, Outcome
from evals.report.findings import findings
from evals.report.summary import summarise
from evals.results.load import load_run
from evals.run.conditions import Given, conditions, given_by, machine_of, own_limits, spread
from evals.run.ledger import Ledger
from evals.run.manifest import load
from evals.run.plan import RunPlan, load_plan
from evals.verdict.protocol_match import Match, match
from scaffolds.base import Budget
from tasks import catalog
from tasks.sandbox import Limits
from tasks.task import Skill, Skills
from tests.fakes.plain_context import plain_context
from tests.harbor_tasks import TASKS, write_task
from tests.runs_on_disk import write_run
from tests.test_run import make_task

TERMINAL = Given(seconds=900, memory=2 << 30, cpus=1, network=True)
LARGER = Given(seconds=1800, memory=4 << 30, cpus=2, network=True)


def test_every_point_is_told_on_both_sides() -> None:
    plan = RunPlan.model_validate({"budget": {"seconds": 10800}, "sandbox": {"cpus": 32, "memory": 48 << 30}})
    found = {one.name: one for one in conditions(plan, [TERMINAL, TERMINAL, LARGER], {})}
    assert {name: (one.theirs, one.ours) for name, one in found.items()} == {
        "time limit": ("900 (2), 1800 (1) s", "10800 s"),
        "clock": ("seconds on the wall's clock", "seconds in which the agent is at work"),
        "CPUs": ("1 (2), 2 (1)", "32"),
        "memory": ("2 (2), 4 (1) GB", "48 GB"),
        "network": ("a network", "none"),
    }
    assert not any(one.same for one in found.values())


def test_what_is_the_same_is_said_to_be() -> None:
    plan = RunPlan.model_validate({"budget": {"seconds": 900}, "sandbox": {"cpus": 1, "memory": 2 << 30}})
    given = [TERMINAL.model_copy(update={"network": False})]
    same = {one.name: one.same for one in conditions(plan, given, {})}
    assert same == {"time limit": True, "clock": False, "CPUs": True, "memory": True, "network": True}


def test_what_a_task_does_not_say_is_no_point() -> None:
    assert [one.name for one in conditions(RunPlan(), [Given()], {})] == ["network"]
    assert list(conditions(RunPlan(), [], {})) == []


def test_many_values_are_summed_up() -> None:
    given = [Given(seconds=seconds) for seconds in (900, 900, 1200, 1800, 3600, 12000)]
    assert next(iter(conditions(RunPlan(), given, {}))).theirs == "900 to 12000 (median 1500) s"


def test_up_to_four_values_are_told_apart() -> None:
    assert spread([2.0, 2.0]) == "2"
    assert spread([2.0, 1.0, 2.0]) == "1 (1), 2 (2)"
    assert spread([4.0, 3.0, 2.0, 1.0]) == "1 (1), 2 (1), 3 (1), 4 (1)"
    assert spread([5.0, 4.0, 3.0, 2.0, 1.0]) == "1 to 5 (median 3)"


@pytest.mark.parametrize(
    ("wanted", "host", "cpus", "memory", "words"),
    [
        ((None, 4 << 30), {}, None, 4 << 30, "all CPUs but a half, 4 GB"),
        ((None, 4 << 30), {"daemon_cpus": 2, "daemon_memory": 8 << 30}, None, 4 << 30, "all CPUs but a half, 4 GB"),
        ((2, 4 << 30), {}, 2, 4 << 30, "2 CPU, 4 GB"),
        ((2, 4 << 30), {"daemon_cpus": 4, "daemon_memory": 2 << 30}, 2, 2 << 30, "2 CPU, 2 GB"),
        ((8, 4 << 30), {"daemon_cpus": 4, "daemon_memory": 8 << 30}, 4, 4 << 30, "4 CPU, 4 GB"),
    ],
)  # fmt: skip
def test_a_machine_has_what_the_plan_gives_or_all_there_is(
    wanted: tuple[float | None, int], host: dict[str, int], cpus: float | None, memory: int, words: str
) -> None:
    plan = RunPlan(sandbox=Limits(cpus=wanted[0], memory=wanted[1]))
    found = machine_of(plan, host)
    assert (found.cpus, found.memory, found.words) == (cpus, memory, words)


def points(
    given: list[Given], host: dict[str, int] | None = None, **plan: Any
) -> dict[str, tuple[str, str, bool]]:
    found = conditions(RunPlan.model_validate(plan), given, host or {})
    return {one.name: (one.theirs, one.ours, one.same) for one in found}


def test_what_some_tasks_have_is_not_what_all_have() -> None:
    offline = TERMINAL.model_copy(update={"network": False, "skills": 1})
    plan = {"budget": {"seconds": 900}, "sandbox": {"cpus": 1, "memory": 2 << 30}}
    found = points([TERMINAL, LARGER, offline, offline], **plan)
    assert found == {
        "time limit": ("900 (3), 1800 (1) s", "900 s", False),
        "clock": ("seconds on the wall's clock", "seconds in which the agent is at work", False),
        "CPUs": ("1 (3), 2 (1)", "1", False),
        "memory": ("2 (3), 4 (1) GB", "2 GB", False),
        "skills": ("for 2 of 4 tasks", RunPlan().skills, RunPlan().skills == "with"),
        "network": ("2 of 4 a network", "none", False),
    }
    assert points([offline], skills="with")["skills"] == ("with", "with", True)
    assert points([offline], skills="without")["skills"] == ("with", "without", False)
    assert points([Given()]) == {"network": ("none", "none", True)}, "who says nothing asks for nothing"


def test_what_a_plan_does_not_limit_is_said() -> None:
    plan = {"budget": {"seconds": None}, "sandbox": {"cpus": None}}
    found = points([TERMINAL], **plan)
    assert (found["time limit"][1:], found["CPUs"][1:]) == (("no limit", False), ("all but a half", False))


def test_each_tasks_own_limits_are_the_same_unless_the_machine_is_smaller() -> None:
    def cpus(host: dict[str, int], **plan: Any) -> tuple[str, bool]:
        return points([TERMINAL, LARGER], host, **plan)["CPUs"][1:]

    assert cpus({}, task_limits=True) == ("the same for each", True)
    assert cpus({"daemon_cpus": 2}, task_limits=True) == ("the same for each", True)
    assert cpus({"daemon_cpus": 1}, task_limits=True) == ("the same for each, at most 1", False)
    assert cpus({"daemon_cpus": 1}, sandbox={"cpus": 1}) == ("1", False)


def test_a_task_about_a_machine_says_what_it_gives_and_others_say_nothing(tmp_path: Path) -> None:
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    given = given_by(task)
    assert given
    assert (given.seconds, given.memory, given.cpus, given.skills) == (90, 2 << 30, 1, 0)
    assert given_by(make_task("one")) is None
    skills = Skills(skills=tuple(Skill(name=name, description="", folder=name) for name in "ab"))
    skilled = task.model_copy(update={"brief": task.brief.model_copy(update={"skills": skills})})
    assert [one and one.skills for one in (given_by(skilled),)] == [2]
    assert task.verifier
    silent = task.verifier.model_copy(update={"memory": None, "cpus": None, "agent_seconds": None})
    assert own_limits(silent, Limits(cpus=3), Budget(seconds=7)) == (Limits(cpus=3), Budget(seconds=7))


def about_machines(tmp_path: Path) -> Path:
    """A run on disk, of tasks about machines."""
    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED, tasks=2, benchmark="terminal-bench-2.0")
    facts = load(run)
    Ledger(run / "ledger.jsonl").close()
    tasks = tuple(task.model_copy(update={"given": TERMINAL}) for task in facts.tasks)
    (run / "manifest.json").write_text(facts.model_copy(update={"tasks": tasks}).model_dump_json())
    return run


def test_a_report_and_a_verdict_name_every_difference(tmp_path: Path) -> None:
    run = load_run(about_machines(tmp_path))
    told = list(findings(run, ()))
    assert "other CPUs: the tasks give 1, this run all but a half" in told
    assert "other network: the tasks give a network, this run none" in told
    points = match(find("qwen3.6-27b/terminal-bench-2.0"), run.results, run.results.systems[0])
    row = {point.name: point for point in points}["memory (the tasks' own)"]
    assert (row.claimed, row.measured, row.match) == ("2 GB", "4 GB", Match.MISMATCH)


def test_the_grader_is_the_tasks_own_before_there_is_a_grade(tmp_path: Path) -> None:
    run = about_machines(tmp_path)
    for path in run.glob("*/*/*/grade.json"):
        path.unlink()
    assert load_run(run).results.protocol.grader == "each task's own (harbor-verifier)"


def test_a_plan_that_gives_more_than_there_is_gives_what_there_is(tmp_path: Path) -> None:
    """A vendor's 32 CPUs on a machine of two were no protocol that was kept."""
    run = about_machines(tmp_path)
    facts = load(run)
    plan = facts.plan.model_copy(update={"sandbox": Limits(cpus=32, memory=48 << 30)})
    host = {"daemon_cpus": 2, "daemon_memory": 8 << 30}
    facts = facts.model_copy(update={"plan": plan, "host": host})
    assert list(size_lines(facts)) == [
        "SMALLER MACHINE: the plan gives a sandbox 32 CPUs, Docker's machine has 2",
        "SMALLER MACHINE: the plan gives a sandbox 48 GB of memory, Docker's machine has 8 GB",
    ]
    (run / "manifest.json").write_text(facts.model_dump_json())
    results = load_run(run).results
    points = {p.name: p for p in match(find("qwen3.6-27b/terminal-bench-2.0"), results, results.systems[0])}
    assert (points["resources"].measured, points["resources"].match) == ("2 CPU, 8 GB", Match.MISMATCH)


def test_the_vendors_protocol_is_a_preset() -> None:
    """Three hours, 32 CPUs, 48 GB, five attempts: as the claim's own protocol has it."""
    model = {"base_url": "http://h/v1", "model": "m"}
    plan = load_plan(None, {"preset": "qwen-terminal-bench-2", "model": model})
    claimed = find("qwen3.6-27b/terminal-bench-2.0").protocol
    ours = machine_of(plan, {"daemon_cpus": 64, "daemon_memory": 128 << 30}).words
    assert (plan.budget.seconds, ours, plan.attempts) == (
        claimed.time_limit_seconds, claimed.resources, claimed.runs,
    )  # fmt: skip
    assert plan.model
    assert plan.model.sampling.max_tokens == claimed.max_output_tokens


def test_the_leaderboards_limits_are_each_tasks_own(tmp_path: Path) -> None:
    """Five attempts under them; a machine with fewer CPUs than a task gives is said to have fewer."""
    plan = load_plan(None, {"preset": "terminal-bench-leaderboard-2"})
    assert (plan.attempts, plan.task_limits) == (5, True)
    found = {one.name: one for one in conditions(plan, [TERMINAL, LARGER], {"daemon_cpus": 1})}
    assert {name: one.same for name, one in found.items()} == {
        "time limit": True, "clock": False, "CPUs": False, "memory": True, "network": False,
    }  # fmt: skip
    assert found["CPUs"].ours == "the same for each, at most 1"
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    assert task.verifier
    limits, budget = own_limits(task.verifier, Limits(), Budget())
    assert (limits.memory, limits.cpus, budget.seconds) == (2 << 30, 1, 90)
    context = plain_context(tmp_path / "run", task_limits=True).fitted(task)
    assert (context.limits.memory, context.settings.budget.seconds) == (2 << 30, 90)


def test_the_rate_is_the_mean_of_all_attempts(tmp_path: Path) -> None:
    """As the leaderboard has it: of five attempts each, not of the best."""

    def outcome(key: AttemptKey) -> Outcome:
        return Outcome.RESOLVED if key.attempt <= int(key.task_id[1:]) else Outcome.UNRESOLVED

    run = write_run(tmp_path / "run", outcome, tasks=4, attempts=5, scaffolds=("bash",))
    Ledger(run / "ledger.jsonl").close()
    assert summarise(run).scores[0].rate == pytest.approx((0 + 1 + 2 + 3) / 20)
