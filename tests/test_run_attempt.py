"""One attempt without a machine: what its record says of it, what is kept of one that broke, whose its time was."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.record import AttemptKey, Failure, Party
from evals.run.answer import fix_shown
from evals.run.attempt import (
    TRANSCRIPT,
    Abandoned,
    RunContext,
    check_time_was_its_own,
    record_failure,
    run_attempt,
)
from evals.run.controls import Nop, make_scaffold
from evals.run.definitions import ScaffoldMaker, definitions, facts
from evals.run.kept_verification import KeptVerification
from evals.run.plan import RunPlan
from scaffolds.base import Budget, Settings, Step, Stop, ToolCallMode, Trajectory
from tasks import catalog
from tasks.backend import VerifierResult
from tasks.errors import GoldError, UserError
from tasks.sandbox import ExecResult, Sandbox, SandboxError, SandboxFacts, SandboxGone
from tasks.task import Skill, Skills, Task, Verifier
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_context import plain_context
from tests.fakes.plain_sandbox import PlainSandbox
from tests.harbor_tasks import TASKS, write_task
from tests.test_run import PATCH, make_task

KEY = AttemptKey(scaffold="a", task_id="one", attempt=1)
TASK = make_task("one")


class Ends:
    """A scaffold that ends as it is told, or breaks."""

    def __init__(self, end: Callable[[], Trajectory]) -> None:
        self.end = end

    def solve(self, brief: object, model: object, sandbox: object) -> Trajectory:
        return self.end()


def context_of(directory: Path, end: Callable[[], Trajectory], **given: Any) -> RunContext:
    chosen = {"backend": PlainBackend(lambda: PlainSandbox(PATCH)), **given}
    return plain_context(directory, make_scaffold=lambda _name, _task, _settings: Ends(end), **chosen)


def test_a_record_says_how_an_attempt_went(tmp_path: Path) -> None:
    how = Trajectory(
        Stop.NO_TOOL_CALL,
        detail="x\ud800" * 400,
        steps=3,
        active_seconds=1.23456,
        tool_calls=ToolCallMode.TEXT,
        transcript=b"what it printed",
        warnings=("something",),
    )
    record = run_attempt(KEY, TASK, plain_image(TASK), context_of(tmp_path, lambda: how))
    directory = KEY.directory(tmp_path)
    assert json.loads((directory / "record.json").read_bytes()) == record.model_dump(mode="json")
    assert record.detail == "x\ufffd" * 250
    assert (record.active_seconds, record.tool_calls, record.steps) == (1.235, ToolCallMode.TEXT, 3)
    assert 0 <= record.wall_seconds < 60
    assert record.wall_seconds == round(record.wall_seconds, 3)
    assert record.image_source == "sha256:0", "its id, where no registry has it"
    assert [flag.what for flag in record.flags] == ["something"]
    assert gzip.decompress((directory / TRANSCRIPT).read_bytes()) == b"what it printed"
    assert (directory / "patch.diff").read_bytes() == PATCH


def test_a_record_names_the_digest_and_the_plans_way_of_calling(tmp_path: Path) -> None:
    pulled = plain_image(TASK).model_copy(update={"digest": "sha256:d"})
    settings = Settings(tool_calls=ToolCallMode.XML)
    context = context_of(tmp_path, lambda: Trajectory(Stop.SUBMITTED), settings=settings)
    record = run_attempt(KEY, TASK, pulled, context)
    assert (record.image_source, record.tool_calls) == ("sha256:d", ToolCallMode.XML)
    assert not (KEY.directory(tmp_path) / TRANSCRIPT).exists()


def test_what_was_interrupted_and_what_broke_is_set_aside(tmp_path: Path) -> None:
    directory = KEY.directory(tmp_path)
    directory.mkdir(parents=True)
    (directory / "steps.jsonl").write_text("half")

    def breaks() -> Trajectory:
        raise SandboxError("gone")

    with pytest.raises(SandboxError):
        run_attempt(KEY, TASK, plain_image(TASK), context_of(tmp_path, breaks))
    assert not directory.exists()
    assert (directory.with_name("1.interrupted-1") / "steps.jsonl").read_text() == "half"
    assert (directory.with_name("1.failed-1") / "patch.diff").read_bytes() == PATCH


def test_an_attempt_of_a_session_that_is_over_leaves_no_record(tmp_path: Path) -> None:
    context = context_of(tmp_path, lambda: context.abandon() or Trajectory(Stop.SUBMITTED))  # type: ignore[func-returns-value]
    with pytest.raises(Abandoned) as ended:
        run_attempt(KEY, TASK, plain_image(TASK), context)
    assert ended.value.exit_code == 130, "as a shell has it for Ctrl-C"
    assert not (KEY.directory(tmp_path) / "record.json").exists()
    context.abandon()
    assert context.abandoned


def test_an_attempt_that_nobody_could_make_is_recorded_with_the_party_at_fault(tmp_path: Path) -> None:
    failure = Failure(party=Party.SERVER, message="down")
    context = plain_context(tmp_path, settings=Settings(tool_calls=ToolCallMode.TEXT))
    for _ in range(2):
        record = record_failure(KEY, TASK, context, failure)
    assert (record.failure, record.stop, record.patch_bytes) == (failure, None, 0)
    assert record.tool_calls is ToolCallMode.TEXT
    assert json.loads((KEY.directory(tmp_path) / "record.json").read_bytes()) == record.model_dump(
        mode="json"
    )


@pytest.mark.parametrize(
    ("stop", "limit", "lost", "is_its_own"),
    [
        (Stop.TIME_LIMIT, 100.0, 9.9, True), (Stop.TIME_LIMIT, 100.0, 10.0, False),
        (Stop.SUBMITTED, 100.0, 50.0, True), (Stop.TIME_LIMIT, None, 50.0, True),
    ],
)  # fmt: skip
def test_time_of_which_a_tenth_was_lost_was_not_the_agents(
    stop: Stop, limit: float | None, lost: float, is_its_own: bool
) -> None:
    known = SandboxFacts("sha256:0", True, 0, None, stalled_seconds=lost)
    settings = Settings(budget=Budget(seconds=limit))
    if is_its_own:
        check_time_was_its_own(Trajectory(stop), known, settings)
        return
    with pytest.raises(SandboxError, match=r"^this machine stood still for 10 s of the agent's 100 s$"):
        check_time_was_its_own(Trajectory(stop), known, settings)


def test_an_attempt_whose_machine_stood_still_is_set_aside(tmp_path: Path) -> None:
    class Still(PlainSandbox):
        def facts(self) -> SandboxFacts:
            return SandboxFacts("sha256:0", True, 0, None, stalled_seconds=900)

    context = context_of(
        tmp_path, lambda: Trajectory(Stop.TIME_LIMIT), backend=PlainBackend(lambda: Still(PATCH))
    )
    with pytest.raises(SandboxError, match="stood still for 900 s"):
        run_attempt(KEY, TASK, plain_image(TASK), context)
    assert KEY.directory(tmp_path).with_name("1.failed-1").exists()


def test_withheld_skills_are_gone_before_the_work_begins(tmp_path: Path) -> None:
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    skills = Skills(skills=(Skill(name="s", description="", folder="s"),), places=("/root/x",), withheld=True)
    task = task.model_copy(update={"brief": task.brief.model_copy(update={"skills": skills})})
    shell = Shell()
    context = context_of(
        tmp_path / "run",
        lambda: Trajectory(Stop.SUBMITTED, str(shell.said)),
        backend=PlainBackend(lambda: shell),
    )
    key = KEY.model_copy(update={"task_id": task.id})
    record = run_attempt(key, task, plain_image(task), context)
    assert "/root/x" in record.detail
    assert record.state


@pytest.mark.parametrize("shared", [True, False])
def test_a_verifier_runs_where_its_agent_worked_only_where_that_was_agreed(
    tmp_path: Path, shared: bool
) -> None:
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    opened: list[Verifier | None] = []

    class Verifying(PlainSandbox):
        def verify(self, verifier: Verifier, collect: Sequence[str]) -> VerifierResult:
            assert verifier == task.verifier
            return VerifierResult(0, False, b"log", 3, {}, 1.0)

    class Backend(PlainBackend):
        def open(self, image: str, *, verifier: Verifier | None = None, **given: Any) -> Sandbox:
            opened.append(verifier)
            return super().open(image, verifier=verifier, **given)

    context = context_of(
        tmp_path / "run",
        lambda: Trajectory(Stop.SUBMITTED),
        backend=Backend(Verifying),
        shared={task.id: "kit"} if shared else {"another": "kit"},
    )
    key = KEY.model_copy(update={"task_id": task.id})
    assert run_attempt(key, task, plain_image(task), context).state
    assert opened == [task.verifier if shared else None]
    found = KeptVerification.load(key.directory(tmp_path / "run"))
    assert (found and found.facts.shared) is (True if shared else None)


def test_a_trajectory_is_beside_its_record(tmp_path: Path) -> None:
    context = context_of(tmp_path, lambda: Trajectory(Stop.SUBMITTED, steps=7))
    run_attempt(KEY, TASK, plain_image(TASK), context)
    document = json.loads((KEY.directory(tmp_path) / "trajectory.json").read_bytes())
    assert (document["session_id"], document["agent"]) == (
        "test/a/one/1",
        {"name": "asclaimed-a", "version": "0", "model_name": "m"},
    )
    assert document["final_metrics"]["extra"]["model_calls"] == 7


def test_a_tasks_own_limits_hold_only_where_the_plan_says_so(tmp_path: Path) -> None:
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    context = plain_context(tmp_path / "run")
    assert context.fitted(task) is context
    assert plain_context(tmp_path / "run", task_limits=True).fitted(TASK).limits == context.limits


def test_whether_the_fix_was_shown_is_asked_of_files_that_were_there_before(tmp_path: Path) -> None:
    fix = "--- a/one.py\n+++ b/one.py\n--- a/two.py\n+++ b/two.py\n"
    task = TASK.model_copy(update={"checks": TASK.patch_checks.model_copy(update={"gold_patch": fix})})
    for shown, known in ((("two.py", "x"), True), (("x",), False), ((), False), (None, None)):
        assert fix_shown(task, shown) is known
    assert fix_shown(TASK, ("x",)) is None, "a fix that changes no file that was there"
    [about_a_machine] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    assert fix_shown(about_a_machine, ("x",)) is None


class Shell(PlainSandbox):
    """Remembers what was written and run, with its limit; `code` is how the solution ends, or it takes the machine away."""

    def __init__(self, code: int | None = 0) -> None:
        super().__init__()
        self.code, self.said, self.limits = code, list[str](), set[float]()

    def write(self, path: str, data: bytes) -> None:
        self.said.append(path)

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.said.append(command)
        self.limits.add(timeout)
        if self.code is None:
            raise SandboxGone("it ended the machine")
        return ExecResult("done", self.code, False, 0, 0.0)


@pytest.fixture
def machine_task(tmp_path: Path) -> Task:
    [task] = catalog.load(str(write_task(tmp_path, TASKS[0])))
    return task


def solved(task: Task, shell: Shell, **given: Any) -> tuple[Trajectory, list[Step]]:
    steps: list[Step] = []
    scaffold = make_scaffold("gold", task, Settings(on_step=steps.append, **given))
    return scaffold.solve(task.brief, None, shell), steps  # type: ignore[arg-type]


def test_gold_of_a_task_about_a_machine_runs_its_own_solution(machine_task: Task) -> None:
    shell = Shell()
    done, steps = solved(machine_task, shell)
    assert "/solution/solve.sh" in shell.said[:-1]
    assert shell.said[-1].endswith("bash /solution/solve.sh")
    assert (done.stop, done.detail, done.steps) == (Stop.SUBMITTED, "the task's own solution", 1)
    assert [step.observations for step in steps] == [("done",)]
    assert solved(machine_task, Shell(3))[0].detail == "the task's own solution, which ended with 3"
    gone, _steps = solved(machine_task, Shell(None))
    assert (gone.stop, gone.detail, gone.steps) == (Stop.SANDBOX_BROKEN, "it ended the machine", 1)
    assert machine_task.verifier
    (machine_task.verifier.directory / "solution/solve.sh").unlink()
    with pytest.raises(GoldError, match=r"has no solution/solve\.sh"):
        solved(machine_task, Shell())


def test_a_solution_has_the_time_of_an_agent_and_an_hour_where_nothing_limits_that(
    machine_task: Task,
) -> None:
    assert machine_task.verifier
    endless = machine_task.verifier.model_copy(update={"agent_seconds": None})
    for checks, seconds, expected in (
        (machine_task.verifier, 50, 90.0), (endless, 50, 50.0), (endless, None, 3600.0),
    ):  # fmt: skip
        shell = Shell()
        solved(machine_task.model_copy(update={"checks": checks}), shell, budget=Budget(seconds=seconds))
        assert shell.limits == {expected}
    patched = Shell()
    solved(TASK, patched)
    assert patched.limits == {60.0}, "a patch needs a minute at most"


def test_doing_nothing_is_one_step() -> None:
    steps: list[Step] = []
    done = make_scaffold("nop", TASK, Settings(on_step=steps.append)).solve(TASK.brief, None, PlainSandbox())  # type: ignore[arg-type]
    assert (done.stop, done.steps, [step.message for step in steps]) == (Stop.SUBMITTED, 1, ["did nothing"])


def test_a_plan_names_each_scaffold_once_and_controls_need_no_definition() -> None:
    plan = RunPlan(scaffolds=("base-greedy", "gold", "nop"))
    assert set(definitions(plan)) == {"base-greedy"}
    maker = ScaffoldMaker(definitions(plan))
    assert isinstance(maker("nop", TASK, Settings()), Nop)
    assert not isinstance(maker("base-greedy", TASK, Settings()), Nop)
    known = facts(plan)["base-greedy"]
    found = definitions(plan)["base-greedy"]
    assert found.factors
    assert (known.source, known.sha256) == (found.source, found.sha256)
    assert known.own_protocol == found.factors.own_protocol == {"temperature": 0.0}
    with pytest.raises(UserError, match="named twice"):
        definitions(RunPlan(scaffolds=("bash", "gold", "bash")))
