"""Limits, waits and controls of grading, each at its edge: what is read of a verifier, how long a machine is waited for, what a
child of the official grader does to us, why a task's own solution fails. No Docker."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.grade import check_machines, check_tasks, official
from evals.grade.check_tasks import CheckedTask, CheckList, Reliability, check_task
from evals.grade.grader import Grader
from evals.grade.judge import NotJudged
from evals.grade.logs import completed
from evals.grade.machine import Machine
from evals.grade.official import OfficialGrader
from evals.grade.pro import parser_output
from evals.grade.reward import read_missing, read_report, read_reward
from evals.grade.store import KeptRun, StrictFacts, TestFacts
from evals.grade.verifier import SHARED, VerifierGrader, roomy
from evals.record import AttemptKey, Grade, GraderVerdict, KeptState, Outcome, Party, Record
from evals.run.attempt import Abandoned
from evals.run.kept_verification import FACTS, JSON, MISSING, TEXT, KeptVerification, shared_key
from tasks.backend import Left, RunResult, TestLimits, VerifierResult, VerifierRun, quiet
from tasks.errors import GoldError, MachineError, ServiceError, TaskError, UserError
from tasks.sandbox import ExecResult, Limits, MachineState, SandboxError
from tasks.task import Brief, ImageSpec, Task, Verifier
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox

CTRF = "/logs/verifier/ctrf.json"
STATE, UNTOUCHED = "sha256:state", "sha256:0"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_reward_may_have_65_536_bytes() -> None:
    def reward(path: str, size: int) -> float | None:
        return read_reward({path: Left(b" " * (size - 1) + b"1")}).value

    for path in (TEXT, JSON):
        assert (reward(path, 65_536), reward(path, 65_537)) == (1.0, None)


def test_of_a_report_20_000_tests_are_read_with_so_much_of_their_words() -> None:
    def read(*tests: tuple[str, str]) -> dict[str, str]:
        listed = [{"name": name, "status": status} for name, status in tests]
        return read_report({CTRF: Left(json.dumps({"results": {"tests": listed}}).encode())}, CTRF).tests

    assert len(read(*((f"t{n}", "passed") for n in range(20_001)))) == 20_000
    assert read(("n" * 501, "s" * 21)) == {"n" * 500: "s" * 20}


def test_of_what_a_script_asked_for_10_000_bytes_are_read_and_100_characters_shown() -> None:
    def asked(data: bytes) -> tuple[str, ...]:
        return read_missing({MISSING: Left(data)})

    assert asked(b"x" * 101 + b"\n y \n\x1b\n" + b"y\n") == ("x" * 100, "y")
    assert asked(b"a\n" * 4_999 + b"uv") == ("a", "uv")
    assert asked(b"a\n" * 5_000 + b"uv") == ("a",)
    assert read_missing({}) == ()


def test_of_a_status_20_characters_are_kept() -> None:
    tests = json.dumps({"tests": [{"name": "a", "status": "S" * 21}]})
    assert parser_output(b"\n>>>>> Parser Output\n" + tests.encode()) == {"a": "s" * 20}


def test_facts_that_say_no_more_claim_no_more() -> None:
    """Defaults are what is read from files of an older version."""
    facts = TestFacts(key="k", image="i", applied_by="git apply")
    assert not any(facts.model_dump(exclude={"key", "image", "applied_by"}).values()), facts
    strict = StrictFacts(version="v", column=GraderVerdict(outcome=Outcome.RESOLVED))
    assert (strict.available, strict.seconds, strict.startup_seconds, strict.guess) == (True, 0, 0, None)


def test_times_of_a_run_are_kept_to_the_millisecond() -> None:
    run = RunResult(True, 0, False, b"", {}, 1.23456, 0.98765, "git apply", 0)
    facts = KeptRun.of("k", "i", run).facts
    assert (facts.seconds, facts.startup_seconds) == (1.235, 0.988)


class Clock(threading.Event):
    """Waits for nothing and remembers for how long it should have."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        return self.is_set()


def broken() -> None:
    raise SandboxError("gone")


def test_a_machine_that_breaks_is_tried_three_times_and_its_daemon_asked_after_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def held(*answers: bool) -> tuple[str, list[float]]:
        clock, left, tries = Clock(), list(answers), list[None]()

        def work() -> None:
            tries.append(None)
            broken()

        with pytest.raises((NotJudged, MachineError)) as ended:
            Machine(PlainBackend(answers=lambda: left.pop(0)), "r", clock).held(work)
        assert (len(tries), left) == (3, [])
        return str(ended.value), clock.waits

    assert held(True, True, True) == ("gone", [1.0, 2.0])
    assert held(True, True, False, False, True) == ("gone", [1.0, 2.0, 1.0, 1.0])
    monkeypatch.setattr("evals.grade.machine.DAEMON_PATIENCE", -1.0)
    why, waits = held(True, True, False)
    assert why.startswith("the Docker daemon went away")
    assert waits == [1.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("error", "party"),
    [
        (TaskError, Party.SANDBOX),
        (GoldError, Party.TASK),
        (ServiceError, Party.TASK),
        (SandboxError, Party.SANDBOX),
    ],
)
def test_whose_doing_it_is_that_a_machine_cannot_be_had(error: type[Exception], party: Party) -> None:
    def work() -> None:
        raise error("no")

    with pytest.raises(NotJudged, match=r"^no$") as reason:
        Machine(PlainBackend(), "r", Clock()).held(work)
    assert reason.value.party is party


def verifying_task(**facts: Any) -> tuple[Task, Verifier]:
    verifier = Verifier(**{"directory": Path("/none"), "digest": "d", "seconds": 90.0, "ctrf": CTRF, **facts})
    brief = Brief(task_id="t", repo="r", problem_statement="p", workdir="/app")
    return Task(id="t", benchmark="b", image=ImageSpec(reference="i"), brief=brief, checks=verifier), verifier


def left_behind(
    reward: str, more: Mapping[str, Left] | None = None, seconds: float = 2.0, **tests: str
) -> VerifierResult:
    listed = [{"name": name, "status": status} for name, status in tests.items()]
    report = Left(json.dumps({"results": {"tests": listed}}).encode())
    return VerifierResult(
        0, False, b"said", 4, {TEXT: Left(reward.encode()), CTRF: report, **(more or {})}, seconds
    )


PASSES = left_behind("1", a="passed")
FAILS = left_behind("0", a="failed", b="passed")
State = Callable[[VerifierRun], VerifierResult]


def states_of(verify: State, *, abandoned: threading.Event | None = None) -> VerifierGrader:
    machine = Machine(PlainBackend(verify=verify), "run", abandoned or Clock())
    return VerifierGrader(machine, TestLimits(), quiet, cached=True)


def attempted(task: Task) -> Record:
    state = KeptState(image=STATE, name="n", changed=1, changes_sha256="0")
    return Record(
        key=AttemptKey(scaffold="s", task_id=task.id, attempt=1),
        task_hash=task.content_hash, image="i", stop=None, started="s", state=state,
    )  # fmt: skip


def test_what_a_verifier_said_in_the_agents_own_machine_stands_for_it_cannot_run_again(
    tmp_path: Path,
) -> None:
    task, verifier = verifying_task()
    asked: list[str] = []

    def verify(run: VerifierRun) -> VerifierResult:
        asked.append(run.image)
        return FAILS

    key = shared_key(task, "a kit")
    KeptVerification.of(key, "a kit", PASSES, shared=True).save(tmp_path / "1")
    found = states_of(verify).grade(task, verifier, attempted(task), tmp_path / "1")
    assert (found.outcome, found.key, asked) == (Outcome.RESOLVED, key, [])
    assert found.evidence == (f"verified {SHARED}, without a network, with a kit",)
    KeptVerification.of("of another task", "a kit", PASSES, shared=True).save(tmp_path / "2")
    KeptVerification.of(key, "a kit", PASSES).save(tmp_path / "3")
    for name in "23":
        again = states_of(verify).grade(task, verifier, attempted(task), tmp_path / name)
        assert again.outcome is Outcome.UNRESOLVED
    assert asked.count(STATE) == 2
    assert again.evidence == ("verified in a fresh container of the state, without a network, with no kit",)


def test_no_state_is_graded_for_whom_has_given_up_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    task, verifier = verifying_task()
    abandoned, asked = threading.Event(), list[str]()

    def verify(run: VerifierRun) -> VerifierResult:
        asked.append(run.image)
        abandoned.set()
        return PASSES

    for _ in range(2):
        with pytest.raises(Abandoned):
            states_of(verify, abandoned=abandoned).grade(task, verifier, attempted(task), tmp_path)
    assert asked == [STATE]
    assert not (tmp_path / FACTS).exists()


def test_an_image_that_was_looked_at_before_is_not_looked_at_again_unless_asked() -> None:
    task, verifier = verifying_task()
    asked: list[str] = []

    def verify(run: VerifierRun) -> VerifierResult:
        asked.append(run.image)
        return FAILS

    states = states_of(verify)
    states.untouched(task, verifier)
    states.untouched(task, verifier)
    assert len(asked) == 1
    states.untouched(task, verifier, cached=False)
    assert len(asked) == 2


@pytest.mark.parametrize(("given", "wanted", "memory"), [(5, None, 5), (5, 4, 5), (5, 9, 9)])
def test_a_verifier_has_the_memory_of_its_task_at_least(given: int, wanted: int | None, memory: int) -> None:
    gib = 1 << 30
    limits = TestLimits(container=Limits(memory=given * gib), seconds=7)
    found = roomy(limits, verifying_task(memory=wanted and wanted * gib)[1])
    assert (found.container.memory, found.seconds) == (memory * gib, 7)


class Solving(PlainSandbox):
    """A machine on which a solution ends as a test says, and whose verifier passes while it still runs, or not."""

    def __init__(self, code: int = 0, output: str = "", beside: VerifierResult = FAILS) -> None:
        super().__init__()
        self.code, self.output, self.beside, self.told = code, output, beside, list[str]()

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.told.append(command)
        return ExecResult(self.output, self.code, False, 0, 0.0)

    def keep(self, name: str, labels: Mapping[str, str]) -> MachineState:
        assert any("solve.sh" in command for command in self.told), "solved first"
        return MachineState(STATE, ("added /x",))

    def verify(self, verifier: Verifier, collect: Sequence[str]) -> VerifierResult:
        assert any("solve.sh" in command for command in self.told), "solved first"
        return self.beside


def solved(tmp_path: Path, sandbox: Solving, *verdicts: VerifierResult, **facts: Any) -> Grade:
    """The grade of a task's own solution, of which the verifier says these in turn, then that it fails."""
    (tmp_path / "solution").mkdir(exist_ok=True)
    (tmp_path / "solution" / "solve.sh").write_bytes(b"true")
    task, verifier = verifying_task(directory=tmp_path, **facts)
    said = list(verdicts)
    backend = PlainBackend(lambda: sandbox, verify=lambda _run: said.pop(0) if said else FAILS)
    states = VerifierGrader(Machine(backend, "run", Clock()), TestLimits(), quiet, cached=True)
    grade = check_machines.solved(states, task, verifier)
    assert all(labels == {"purpose": "checking", "run": "run"} for labels in backend.labels)
    assert len(backend.forgotten) == 1
    return grade


def test_a_task_whose_own_solution_passes_is_asked_no_more(tmp_path: Path) -> None:
    grade = solved(tmp_path, Solving(), PASSES)
    assert (grade.outcome, grade.official.reason) == (Outcome.RESOLVED, "reward 1")


def test_a_solution_that_passes_only_beside_what_it_left_running_says_so(tmp_path: Path) -> None:
    words = "reward 0; it passes only beside what its solution left running: --set grading.shared=[t]"
    grade = solved(tmp_path, Solving(beside=PASSES))
    assert (grade.outcome, grade.official.reason) == (Outcome.UNRESOLVED, words)
    for beside in (PASSES._replace(timed_out=True), left_behind("0.9"), left_behind("none")):
        assert "beside" not in solved(tmp_path, Solving(beside=beside)).official.reason


def test_why_a_tasks_own_solution_fails_is_said_as_far_as_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_machines, "cores", lambda: 2.0)

    def reason(code: int = 0, output: str = "", cpus: float | None = None, **tests: str) -> str:
        found = solved(tmp_path, Solving(code, output), left_behind("0", **tests), cpus=cpus)
        return found.official.reason.removeprefix("reward 0")

    one = {"a": "failed", "b": "passed"}
    assert reason(**one) == "; 1 of 2 tests failed: a"
    three = {"a": "failed", "b": "failed", "c" * 101: "failed"}
    assert reason(**three) == f"; 3 of 3 tests failed: a, b, {'c' * 100}"
    assert reason(**three, d="failed") == f"; 4 of 4 tests failed: a, b, {'c' * 100}, …"
    assert reason(3, b="passed") == "; solve.sh ended with 3"
    assert reason(3, f"first\n {'x' * 101} \n\n", b="passed") == f"; solve.sh ended with 3: {'x' * 100}"
    assert reason(0, "fine", b="passed") == ""
    assert reason(cpus=2, b="passed") == ""
    assert reason(cpus=4, b="passed") == "; it is meant for 4 CPUs, and Docker's machine has 2"


def test_a_task_about_a_machine_is_checked_by_its_verifier_and_a_refused_one_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([3.0, 5.0, 1.0])

    def verify(run: VerifierRun) -> VerifierResult:
        return FAILS if run.image == UNTOUCHED else left_behind("1", seconds=next(times), a="passed")

    monkeypatch.setattr(check_machines, "work", lambda *_: MachineState(STATE, ()))
    task, _ = verifying_task(directory=tmp_path)
    refused, _ = verifying_task(refused="wants a GPU")
    with Grader(backend=PlainBackend(verify=verify), abandoned=Clock()) as grader:
        found, not_run = check_task(task, 3, grader, grader), check_task(refused, 3, grader, grader)
    assert (found.verdict, found.gold_passed, found.nop_passed) == (Reliability.RELIABLE, 3, 0)
    assert found.gold_seconds == 5.0, "the slowest"
    assert (found.own_verifier, not_run.own_verifier, found.weak) == (True, True, False)
    assert (not_run.verdict, not_run.reason) == (Reliability.NOT_JUDGED, "refused: it wants a GPU")
    assert (not_run.gold_passed, not_run.nop_passed, not_run.gold_seconds, not_run.image) == (0, 0, 0.0, "")


def test_a_list_of_checked_tasks_is_one_of_this_form_or_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "list.json"
    check_tasks.save(path, CheckList(grader="g", k=1, limits=TestLimits(), host=check_tasks.host(), tasks=()))
    assert json.loads(path.read_bytes())["schema_version"] == 1
    for text, where in (("{", "file"), ('{"grader": "g"}', "k"), ('{"grader": "g", "k": 0}', "k")):
        path.write_text(text)
        with pytest.raises(
            UserError, match=f"is not a list made by `asclaimed tasks check --out`: `{where}`"
        ):
            check_tasks.load(path)
    with pytest.raises(UserError, match="cannot read the list of reliable tasks"):
        check_tasks.load(tmp_path / "none.json")


def test_a_list_says_with_how_many_processors_it_was_made() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert check_tasks.host()["cpus"] == 1
    finally:
        os.sched_setaffinity(0, before)


def test_only_a_reliable_task_is_weak_and_only_where_a_guess_is_likely_or_unknown() -> None:
    def weak(verdict: Reliability, guess: float | None) -> bool:
        made = {
            "id": "t",
            "task_hash": "h",
            "image": "i",
            "gold_passed": 1,
            "nop_passed": 0,
            "gold_seconds": 1.0,
        }
        return CheckedTask.model_validate({**made, "verdict": verdict, "guess": guess}).weak

    assert [weak(Reliability.RELIABLE, guess) for guess in (None, 1.0, 0.0)] == [True, True, False]
    assert [weak(Reliability.FLAKY, guess) for guess in (None, 1.0, 0.0)] == [False] * 3


WORKER = """\
#!{python}
import json, os, sys, time
print(json.dumps({{"version": "{version}"}}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    row, answer = asked["row"], {{"script": f"{{os.getpid()}} {{os.getsid(0)}}"}}
    if row.get("pays"):
        end = time.process_time() + row["pays"]
        while time.process_time() < end:
            pass
    time.sleep(row.get("waits", 0))
    if row.get("dies"):
        os._exit(1)
    if asked["op"] == "derive":
        answer = {{"log_parser": "derived"}} if "version" in row else {{"error": "no version"}}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def small_grader() -> Callable[..., OfficialGrader]:
    """A grader of a version that is no swebench: its child says who it is, and dies where a row says so."""

    def make(version: str, name: str = "swebench==9.9.9") -> OfficialGrader:
        home = official.venv_of(name)
        (home / "bin").mkdir(parents=True, exist_ok=True)
        (home / "ready").touch()
        program = home / "bin" / "python"
        program.write_text(WORKER.format(python=sys.executable, version=version))
        program.chmod(0o755)
        return OfficialGrader(name)

    return make


def children() -> set[str]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return set(found)


def test_a_graders_child_lives_in_a_session_of_its_own_and_ends_with_the_grader(
    small_grader: Callable[..., OfficialGrader],
) -> None:
    before, threads = children(), set(threading.enumerate())
    with small_grader("9.9.9") as grader:
        first = grader.script({})
        assert first == grader.script({}), "the same child"
        child, session = first.split()
        assert (session, children() - before) == (child, {child}), "a Ctrl-C is not for it"
        assert all(thread.daemon for thread in set(threading.enumerate()) - threads)
    assert children() == before


def test_a_parser_has_a_minute_of_its_own_time_and_a_quarter_of_an_hour_by_the_clock(
    small_grader: Callable[..., OfficialGrader], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is busy with other things makes a log no worse."""
    assert (official.START_SECONDS, official.ANSWER_SECONDS, official.STUCK_SECONDS) == (120.0, 60.0, 900.0)
    waits: list[float | None] = []

    class Answers(queue.Queue[str]):
        def get(self, block: bool = True, timeout: float | None = None) -> str:
            waits.append(timeout)
            return super().get(block, timeout)

    monkeypatch.setattr(official.queue, "Queue", Answers)
    monkeypatch.setattr(official, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(official, "ANSWER_SECONDS", 0.5)
    before = children()
    with small_grader("9.9.9") as grader:
        assert grader.script({"waits": 1.0}), "which is no work"
        assert (waits[0], set(waits[1:])) == (120.0, {0.05}), "it has two minutes to start"
        first = grader.script({"pays": 0.3})
        assert grader.script({"pays": 0.3}) == first, "for each log anew"
        with pytest.raises(official.GraderFailed, match=r"no verdict within 0 s$"):
            grader.script({"pays": 30})
        assert children() == before
        monkeypatch.setattr(official, "STUCK_SECONDS", 0.5)
        with pytest.raises(official.Stuck, match="no verdict within 0 s, of which swebench computed 0 s"):
            grader.script({"waits": 30})
        assert children() == before
        monkeypatch.setattr(official, "STUCK_SECONDS", 60.0)
        monkeypatch.setattr(official, "cpu_seconds", lambda _pid: None)  # as where there is no /proc
        with pytest.raises(official.GraderFailed, match=r"no verdict within 0 s$"):
            grader.script({"waits": 30})


def test_a_child_that_somebody_ends_is_started_anew_and_a_row_that_ends_two_is_at_fault(
    small_grader: Callable[..., OfficialGrader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official, "ANSWER_SECONDS", 10.0)
    before = children()
    with small_grader("9.9.9") as grader:
        child = int(grader.script({}).split()[0])
        os.kill(child, 9)
        assert int(grader.script({}).split()[0]) != child
        with pytest.raises(official.GraderFailed, match="the grader's process died of it, twice"):
            grader.script({"dies": True})
        assert children() == before
        assert grader.script({})


def test_a_program_that_is_another_version_is_ended_and_named(
    small_grader: Callable[..., OfficialGrader],
) -> None:
    before = children()
    with pytest.raises(MachineError, match=r"swebench==9.9.9 does not start; delete .*swebench-9.9.9-py3"):
        small_grader("9.9.8").script({})
    assert children() == before


def test_rows_of_version_4_are_completed_where_any_says_its_version_and_the_older_grader_can(
    small_grader: Callable[..., OfficialGrader],
) -> None:
    small_grader("4.1.0", official.DERIVES).close()
    new = dict.fromkeys(official.V5_COLUMNS, "x")
    lacking = {"version": "1", **{name: "x" for name in official.V5_COLUMNS if name != "log_parser"}}
    nothing = {"image": "x"}
    rows: dict[str, dict[str, Any]] = {"new": new, "lacking": lacking, "nothing": nothing}
    before = children()
    assert completed(rows) == rows | {"lacking": lacking | {"log_parser": "derived"}}
    assert children() == before
    assert completed({"new": new, "nothing": nothing}) == {"new": new, "nothing": nothing}


def test_without_a_version_in_any_row_the_older_grader_is_not_even_started(
    small_grader: Callable[..., OfficialGrader],
) -> None:
    small_grader("another", official.DERIVES).close()
    rows = {"nothing": {"image": "x"}}
    assert completed(rows) == rows
    with pytest.raises(MachineError, match="does not start"):
        completed({"old": {"version": "1"}})


def test_a_failed_installation_is_told_by_its_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for script, words in (("printf 'first\\nlast\\n\\n' >&2; exit 1", "last"), ("exit 1", "no message")):
        monkeypatch.setattr(official, "_install_commands", lambda *_, s=script: [["sh", "-c", s]])
        with pytest.raises(MachineError, match=rf"within reach: {words}$"):
            official._make_venv("swebench==9", tmp_path / "deep" / "graders" / "x")


def test_the_reward_of_a_failure_is_no_finding(tmp_path: Path) -> None:
    task, verifier = verifying_task()
    found = states_of(lambda _run: FAILS).grade(task, verifier, attempted(task), tmp_path)
    assert (found.outcome, found.party, len(found.evidence)) == (Outcome.UNRESOLVED, None, 1)
    half = states_of(lambda _run: left_behind("0.25", a="passed")).grade(
        task, verifier, attempted(task), tmp_path / "2"
    )
    assert half.evidence[1:] == ("a reward of 0.25 is no pass here",)
