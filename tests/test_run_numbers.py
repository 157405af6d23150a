"""A run's numbers and refusals without a machine: what a plan may say, which tasks in which order, what stays unknown."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evals.grade import machine
from evals.record import AttemptKey, Failure, Grade, GraderVerdict, Outcome, Party, Record
from evals.results.table import Results, Row, System
from evals.run import manifest as manifests
from evals.run import outages as waiting
from evals.run import same_server
from evals.run.admission import Admission
from evals.run.backlog import Backlog
from evals.run.controls import PATCH_FILE, make_scaffold
from evals.run.empty_turns import FIRST_CALLS, EmptyTurnGuard
from evals.run.ledger import Ledger, verify
from evals.run.lock import interruptible
from evals.run.outages import TRIES, Outages, PatientPulls, Refused
from evals.run.plan import RunPlan, load_plan
from evals.run.plan_tasks import check_subset, in_random_order, load_tasks
from evals.run.spoiled import Again, Spoiled
from evals.run.state import keep_state
from evals.run.tally import Tally
from evals.stats.subset import Subset, draw_stratified
from scaffolds.base import Metrics, Settings, Step, Stop
from scaffolds.model import EmptyTurn, ModelError, Trouble
from tasks.backend import Prepared, Progress
from tasks.docker import stalls
from tasks.errors import GoldError, MachineError, UserError
from tasks.sandbox import ExecResult, MachineState, RegistryError, SandboxError
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_sandbox import PlainSandbox
from tests.runs_on_disk import write_run
from tests.test_run import make_run, make_task

KEY = AttemptKey(scaffold="s", task_id="t", attempt=1)
BARE = {
    "key": KEY,
    "task_hash": "h",
    "image": "i",
    "stop": None,
    "patch_sha256": "p",
    "patch_bytes": 0,
    "started": "s",
}


def test_a_record_that_says_no_more_claims_no_more() -> None:
    """Defaults are what is read from a record of an older version."""
    record = Record.model_validate(BARE)
    numbers = record.model_dump(include={name for name in Record.model_fields if name not in BARE})
    assert not any(value for name, value in numbers.items() if name != "tool_calls"), numbers
    grade = Grade(
        outcome=Outcome.RESOLVED, official=GraderVerdict(outcome=Outcome.RESOLVED), grader="g", key="k"
    )
    assert (grade.seconds, grade.test_seconds, grade.evidence, grade.party) == (0.0, 0.0, (), None)


def test_an_attempt_is_one_of_the_numbers_from_one() -> None:
    with pytest.raises(ValidationError):
        AttemptKey(scaffold="s", task_id="t", attempt=0)


def test_a_row_that_says_no_more_claims_no_more() -> None:
    row = Row(System("m", "s"), "t", "r", 1, Outcome.RESOLVED)
    assert not any(
        (row.official, row.flagged, row.stop, row.failure, row.malformed, row.tokens, row.tokens_out)
    )
    assert (row.seconds, row.grader, row.task_hash) == (0.0, "", "")
    rows = (row, row._replace(task="u"), row._replace(attempt=2))
    assert Results(source="s", benchmark="b", rows=rows).planned == 2


def test_a_tally_begins_at_nothing_and_grades_can_be_taken_back() -> None:
    tally = Tally()
    assert (tally.total, tally.done, tally.graded, tally.resolved, tally.unjudged) == (0, 0, 0, 0, 0)
    assert (tally.completion_tokens, tally.running, tally.judged, tally.to_grade, tally.grades) == (
        0,
        0,
        0,
        0,
        False,
    )
    passed = Grade(
        outcome=Outcome.RESOLVED, official=GraderVerdict(outcome=Outcome.RESOLVED), grader="g", key="k"
    )
    spoiled = passed.model_copy(
        update={
            "outcome": Outcome.NOT_JUDGED,
            "party": Party.SANDBOX,
            "official": GraderVerdict(outcome=Outcome.NOT_JUDGED, reason="gone"),
        }
    )
    tally.count(passed)
    tally.count(spoiled)
    assert (tally.graded, tally.resolved, tally.unjudged) == (1, 1, 1)
    assert tally.unjudged_reasons == {"sandbox: gone": 1}
    tally.done, tally.grades = 5, True
    assert (tally.judged, tally.to_grade) == (2, 3)
    tally.count(passed, -1)
    tally.count(spoiled, -1)
    assert (tally.graded, tally.resolved, tally.unjudged, tally.unjudged_reasons["sandbox: gone"]) == (
        0,
        0,
        0,
        0,
    )


def test_steps_and_tokens_are_of_the_agent_and_of_what_is_under_way() -> None:
    tally = Tally()
    step = Step(source="agent", message="", metrics=Metrics(completion_tokens=7))
    tally.began(KEY)
    for one in (step, step, Step(source="user", message="")):
        tally.stepped(KEY, one)
    assert (tally.under_way[KEY].steps, tally.completion_tokens, tally.running) == (2, 14, 1)
    with tally.waits("the server"):
        assert tally.suspended == "the server"
    assert tally.suspended == ""
    tally.ended(KEY)
    assert tally.running == 0


@pytest.mark.parametrize("key", ["limit", "sample", "attempts", "workers", "graders"])
def test_counts_of_a_plan_begin_at_one(key: str) -> None:
    assert getattr(RunPlan.model_validate({key: 1}), key) == 1
    with pytest.raises(ValidationError):
        RunPlan.model_validate({key: 0})


@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ({"margin": 0.5}, True), ({"margin": 0}, False), ({"margin": 99.5}, True), ({"margin": 100}, False),
        ({"scaffolds": ["nop"]}, True), ({"scaffolds": []}, False), ({"looks": [1, 2]}, True), ({"looks": [0, 2]}, False),
        ({"looks": [2, 1]}, False), ({"looks": [2, 2]}, False),
    ],
)  # fmt: skip
def test_what_a_plan_may_say(values: dict[str, Any], fits: bool) -> None:
    try:
        RunPlan.model_validate(values)
    except ValidationError:
        assert not fits
    else:
        assert fits


def test_a_plan_that_says_nothing_is_one_attempt_with_grading_and_no_network() -> None:
    plan = RunPlan()
    assert (plan.attempts, plan.workers, plan.scaffolds, plan.looks, plan.margin) == (
        1,
        "auto",
        ("bash",),
        (),
        None,
    )
    assert not plan.grading.network
    assert not plan.grading.leave_out_network_tasks
    assert not plan.accept_empty_turns
    assert plan.same_server


def test_a_plan_that_ships_is_found_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = load_plan(Path("runs/plans/demo.yaml"), {})
    monkeypatch.chdir(tmp_path)
    assert load_plan(Path("runs/plans/demo.yaml"), {}) == here
    for path in ("runs/plans/none.yaml", "demo.yaml"):
        with pytest.raises(UserError, match="cannot read the plan"):
            load_plan(Path(path), {})


def test_looks_are_at_tasks_that_there_are_in_an_order_that_the_seed_decides() -> None:
    ids = [task.id for task in load_tasks(RunPlan(limit=4))]
    assert [task.id for task in load_tasks(RunPlan(limit=4, seed=1))] == ids, "no order without looks"
    with pytest.raises(UserError, match="looks: 5 is more than the 4 tasks"):
        load_tasks(RunPlan(limit=4, looks=(1, 5)))
    looked = [task.id for task in load_tasks(RunPlan(limit=4, looks=(1, 4)))]
    tasks = load_tasks(RunPlan(limit=4))
    assert looked == [task.id for task in in_random_order(tasks, 0)] != ids
    assert [task.id for task in load_tasks(RunPlan(limit=4, looks=(1,), seed=3))] == [
        task.id for task in in_random_order(tasks, 3)
    ]


def test_a_subset_is_of_its_own_benchmark() -> None:
    drawn = draw_stratified("swe-bench-verified", {"a": "r"}, 1, 0)
    with pytest.raises(UserError, match=r"drawn from swe-bench-verified and the tasks are bundled"):
        check_subset(drawn, "bundled")


class Shell(PlainSandbox):
    """Remembers commands; all but the last end with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code, self.said = code, list[str]()

    def write(self, path: str, data: bytes) -> None:
        self.said.append(f"write {path} {data.decode()}")

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.said.append(command)
        return ExecResult("applied", 0 if command.startswith("rm") else self.code, False, 0, 0.0)


def test_the_gold_control_applies_the_fix_and_leaves_nothing_else_behind() -> None:
    task = make_task("one")
    task = task.model_copy(update={"checks": task.checks.model_copy(update={"gold_patch": "the fix"})})
    steps: list[Step] = []
    shell = Shell(0)
    done = make_scaffold("gold", task, Settings(on_step=steps.append)).solve(task.brief, None, shell)  # type: ignore[arg-type]
    assert shell.said[0] == f"write {PATCH_FILE} the fix"
    assert PATCH_FILE in shell.said[1]
    assert shell.said[2:] == [f"rm -f {PATCH_FILE}"]
    assert [step.observations for step in steps] == [("applied",)]
    assert (done.stop, done.steps) == (Stop.SUBMITTED, 1)
    with pytest.raises(GoldError, match="gold patch of one does not apply"):
        make_scaffold("gold", task, Settings()).solve(task.brief, None, Shell(1))  # type: ignore[arg-type]


STOPPED = """
import os, signal, sys
from evals.run.lock import interruptible

with interruptible(gently=lambda: print("gently", flush=True), at_once=lambda: print("at once", flush=True)):
    for number in range(int(sys.argv[1])):
        os.kill(os.getpid(), signal.SIGINT if number else signal.SIGTERM)
print("to its end", flush=True)
"""


@pytest.mark.parametrize(
    ("signals", "code", "said"),
    [(0, 0, ["to its end"]), (1, 0, ["gently", "to its end"]), (2, 130, ["gently", "at once"])],
)
def test_once_is_gentle_and_twice_is_at_once(signals: int, code: int, said: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STOPPED), str(signals)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stdout.split("\n")[:-1]) == (code, said)


def test_a_signal_is_the_callers_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible(gently=lambda: None, at_once=lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_unreadable_line_between_others_is_a_break(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.append("one")
    ledger.append("two")
    ledger.close()
    first, second = path.read_text().split("\n")[:-1]
    path.write_text(f"{first}\nnothing\n{second}\n")
    assert [(found.line, found.reason) for found in verify(path)] == [(2, "unreadable line")]
    assert len(json.loads(first)["hash"]) == 64


def test_a_pull_is_shown_with_its_share_and_ends_with_the_run() -> None:
    tally, stopping = Tally(), threading.Event()
    shown: list[str] = []

    class Pulling(PlainBackend):
        def prepare(self, task: Any, progress: Progress = lambda _what, _fraction: None) -> Prepared:
            for fraction in (None, 0.25):
                progress("pulling", fraction)
                shown.append(tally.preparing)
            return plain_image(task)

    pulls = PatientPulls(tally, stopping)
    pulls.prepare(make_task("one"), Pulling())
    assert (shown, tally.preparing) == (["pulling", "pulling 25 %"], "")
    stopping.set()
    with pytest.raises(RegistryError, match="the run was stopped"):
        pulls.prepare(make_task("one"), Pulling())


def test_pulls_are_tried_after_waits_that_double() -> None:
    waits: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    class Refusing(PlainBackend):
        def prepare(self, task: Any, progress: Progress = lambda _what, _fraction: None) -> Prepared:
            if len(waits) < 10:
                raise RegistryError("429")
            return plain_image(task)

    PatientPulls(Tally(), Clock()).prepare(make_task("one"), Refusing())
    longest = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, *[300.0] * 4]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True))


def test_how_long_is_waited_for_what() -> None:
    """In seconds: a user plans a night by them."""
    assert (waiting.DAEMON_PATIENCE, machine.DAEMON_PATIENCE) == (60, 60)
    assert (waiting.REFUSAL_PATIENCE, same_server.PATIENCE) == (1800, 1800)
    assert (waiting.PULL_WAITS.patience, stalls.LATE_SECONDS) == (3600, 5)


def test_the_first_calls_decide_about_a_server_and_later_ones_do_not(tmp_path: Path) -> None:
    fine = Step(source="agent", message="x", metrics=Metrics())
    lost = fine.model_copy(update={"empty": EmptyTurn.NOTHING})
    guard = EmptyTurnGuard()
    for step in [lost] * 9 + [fine] * (FIRST_CALLS - 9):
        assert not guard.judged
        guard.see(step)
    guard.see(Step(source="user", message="no call"))
    assert (guard.judged, guard.calls, guard.empty[EmptyTurn.NOTHING]) == (True, 50, 9)
    for _ in range(20):
        guard.see(lost)
    strict = EmptyTurnGuard()
    for _ in range(9):
        strict.see(lost)
    strict.recorded(KEY)
    KEY.directory(tmp_path).mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(UserError):
            strict.see(lost)
    assert not strict.judged
    strict.set_aside(tmp_path)
    assert not KEY.directory(tmp_path).exists()
    assert KEY.directory(tmp_path).with_name("1.failed-1").exists()
    assert strict.made == []


def outages(*, away: bool = False, stopping: bool = False) -> Outages:
    stop = threading.Event()
    if stopping:
        stop.set()
    return Outages(Tally(), stop, wait_for_server=lambda _stop: away, short_prompt=lambda: None)


def test_what_a_failure_costs_of_an_attempts_tries() -> None:
    assert outages().of_sandbox(SandboxError("gone"), lambda: True).tries == 1
    assert outages().of_sandbox(RegistryError("429"), lambda: True).tries == TRIES == 3
    assert outages(stopping=True).of_sandbox(RegistryError("the run was stopped"), lambda: True).tries == 0
    assert outages().of_server(ModelError("once"), 0, worked=True).tries == 1
    assert outages().of_server(ModelError("never", retryable=False), 0, worked=True).tries == TRIES
    assert outages(away=True).of_server(ModelError("away"), 0, worked=True).tries == 0
    known = outages(away=True)
    assert known.of_server(ModelError("away"), 1, worked=True).tries == 1, "it began after this outage"
    assert known.of_server(ModelError("away"), 1, worked=True).tries == 0, "this one is a new outage"
    handled = outages().of_server(ModelError("once"), 0, worked=True)
    assert (handled.failure.party, handled.failure.message) == (Party.SERVER, "once")
    assert outages().of_sandbox(SandboxError("gone"), lambda: True).failure.party is Party.SANDBOX


def test_what_cannot_be_waited_out_ends_the_run() -> None:
    with pytest.raises(UserError, match="the model server refuses: another"):
        outages().of_server(ModelError("another", kind=Trouble.WRONG_MODEL), 0, worked=True)
    with pytest.raises(MachineError, match="the Docker daemon went away"):
        outages(stopping=True).of_sandbox(SandboxError("gone"), lambda: False)


def test_a_server_is_given_up_after_three_tasks_or_all_there_are() -> None:
    failure = Failure(party=Party.SERVER, message="no")
    for tasks, until in ((1, 1), (2, 2), (3, 3), (500, 3)):
        refused = Refused(tasks=tasks)
        for task in range(until - 1):
            refused.hold(KEY.model_copy(update={"task_id": f"t{task}"}), failure)
            refused.hold(KEY.model_copy(update={"task_id": f"t{task}", "attempt": 2}), failure)
        with pytest.raises(UserError, match="the model server refuses: no"):
            refused.hold(KEY.model_copy(update={"task_id": "last"}), failure)
    held = Refused(tasks=500)
    held.hold(KEY, failure)
    assert held.release() == {KEY: failure}
    held.give_up()


def test_a_ledger_says_what_a_session_began_with_and_came_to(tmp_path: Path) -> None:
    for scaffolds in (("a",), ("a", "b")):
        make_run(tmp_path, scaffolds=scaffolds).work(workers=2, graders=1)
    bodies = [
        json.loads(json.loads(line)["body"])
        for line in (tmp_path / "ledger.jsonl").read_text().split("\n")[:-1]
    ]
    began = [
        (one["remaining"], one["ungraded"], one["workers"])
        for one in bodies
        if one["event"] == "work-started"
    ]
    ended = [(one["done"], one["stopped"]) for one in bodies if one["event"] == "work-ended"]
    assert (began, ended) == ([(3, 0, 2), (3, 0, 2)], [(3, False), (6, False)])
    assert (bodies[0]["event"], bodies[-1]["event"]) == ("work-started", "work-ended")


def test_what_waits_is_taken_in_order_counted_and_given_back(tmp_path: Path) -> None:
    a1, b1, a2 = (AttemptKey(scaffold=s, task_id="t", attempt=n) for s, n in (("a", 1), ("b", 1), ("a", 2)))
    tally, stopping = Tally(total=3), threading.Event()
    backlog = Backlog(tally, stopping, Admission(2))
    assert backlog.take() is None
    backlog.extend([a1, b1, a2])
    assert backlog.take() == a1
    assert (set(tally.under_way), len(backlog)) == ({a1}, 2)
    tally.ended(a1)
    backlog.put_back(a1)
    assert list(backlog) == [a1, b1, a2]
    backlog.settle(["a"])
    assert (list(backlog), tally.total) == ([b1], 1)
    backlog.put_back(a1)
    assert (list(backlog), tally.total) == ([b1], 0)
    backlog.reopen(["a"], [])
    assert (sorted(map(str, backlog)), tally.total) == (sorted(map(str, (b1, a1, a2, a1))), 3)
    stopping.set()
    assert backlog.take() is None


def test_what_was_spoiled_leaves_the_counts_and_what_was_seen_through_is_only_graded_again(
    tmp_path: Path,
) -> None:
    keys = {n: AttemptKey(scaffold="s", task_id=f"t{n}", attempt=1) for n in range(4)}
    judged, lost = (
        Grade(outcome=o, official=GraderVerdict(outcome=o), grader="g", key="k", party=party)
        for o, party in ((Outcome.RESOLVED, None), (Outcome.NOT_JUDGED, Party.SANDBOX))
    )
    grades = {0: judged, 1: lost, 2: lost, 3: judged}
    tally = Tally(done=4)
    spoiled = Spoiled(tmp_path, tally)
    for n, key in keys.items():
        key.directory(tmp_path).mkdir(parents=True)
        failure = Failure(party=Party.SANDBOX, message="gone") if n == 2 else None
        (key.directory(tmp_path) / "record.json").write_text(
            Record.model_validate(BARE | {"key": key, "failure": failure}).model_dump_json()
        )
        (key.directory(tmp_path) / "grade.json").write_text(grades[n].model_dump_json())
        if n == 2:
            spoiled.attempt(key)
        tally.count(grades[n])
        spoiled.graded(key, grades[n])
    assert (tally.graded, tally.resolved, tally.unjudged) == (2, 2, 2)
    assert set(spoiled.without([])) == {keys[1], keys[2]}
    assert spoiled.without(["s"]) == []
    again = spoiled.take_back([keys[1], keys[2]])
    assert again == Again([keys[2]], [keys[1]])
    assert (tally.done, tally.graded, tally.unjudged) == (3, 2, 0)
    assert spoiled.without([]) == []
    spoiled.quarantine([keys[0]], "another-server")
    assert (tally.done, tally.graded, tally.resolved) == (2, 1, 1)
    assert sorted(path.name for path in (tmp_path / "s" / "t0").iterdir()) == ["1.another-server-1"]


def test_a_plan_whose_subset_is_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    ids = [task.id for task in load_tasks(RunPlan(tasks="bundled"))]
    file = tmp_path / "subset.json"
    for benchmark, chosen in (("bundled", ids), ("swe-bench-verified", ids)):
        file.write_text(draw_stratified(benchmark, dict.fromkeys(chosen, "r"), 3, 0).model_dump_json())
        plan = RunPlan(tasks="bundled", subset=file)
        if benchmark == "bundled":
            drawn = Subset.model_validate_json(file.read_text()).ids
            assert tuple(task.id for task in load_tasks(plan)) == tuple(drawn)
        else:
            with pytest.raises(UserError, match="drawn from swe-bench-verified and the tasks are bundled"):
                load_tasks(plan)


def test_what_changed_on_a_machine_is_listed_beside_the_attempt(tmp_path: Path) -> None:
    class Changed(PlainSandbox):
        def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
            assert labels == {"asclaimed.run": "r"}
            return MachineState("sha256:1", ("A /one", "C /t\nwo\x1b", "D /\udcff"))

    kept = keep_state(Changed(), tmp_path, "r")
    text = (tmp_path / "changes.txt").read_bytes()
    assert text == b"A /one\nC /t\\nwo\\x1b\nD /\\\\udcff\n"
    assert (kept.image, kept.changed) == ("sha256:1", 3)
    assert kept.changes_sha256 == hashlib.sha256(text).hexdigest()
    assert kept.name.startswith("asclaimed/state:")


def test_a_manifest_that_is_damaged_is_named_with_the_place(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: None)
    facts = json.loads((run / "manifest.json").read_text())
    facts["plan"]["workers"] = 0
    for text, where in (("{", "its beginning"), ("{}", "run_id"), (json.dumps(facts), "plan.workers")):
        (run / "manifest.json").write_text(text)
        with pytest.raises(UserError, match=rf"manifest.json cannot be read at `{where}"):
            manifests.load(run)
