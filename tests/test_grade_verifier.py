"""What a verifier's run proves, case by case, without a machine: reward, report, tools that lack, and the untouched image."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.grade.check_machines import solved, start
from evals.grade.check_tasks import Reliability, check_machine
from evals.grade.grader import Grader
from evals.grade.machine import Machine
from evals.grade.reward import LONGEST_REWARD
from evals.grade.verifier import NAME, VerifierGrader
from evals.record import AttemptKey, Grade, KeptState, Outcome, Party, Record
from evals.run.controls import Oracle
from evals.run.kept_verification import FACTS, FILES, JSON, LOG, MISSING, TEXT, KeptVerification
from scaffolds.base import Settings, Step, Stop
from tasks.backend import Left, TestLimits, VerifierResult, VerifierRun, quiet
from tasks.errors import GoldError, TaskError
from tasks.sandbox import ExecResult, SandboxGone
from tasks.task import Brief, ImageSpec, Task, Verifier
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox

CTRF = "/logs/verifier/ctrf.json"
UNTOUCHED, STATE = "sha256:0", "sha256:state"
Answers = Mapping[str, VerifierResult]
"""By image."""


def task_with(ctrf: str = CTRF) -> tuple[Task, Verifier]:
    verifier = Verifier(directory=Path("/none"), digest="d", seconds=90, ctrf=ctrf, packages=("pytest",))
    brief = Brief(task_id="t", repo="r", problem_statement="p", workdir="/app")
    task = Task(id="t", benchmark="b", image=ImageSpec(reference="i"), brief=brief, checks=verifier)
    return task, verifier


def report(**tests: str) -> bytes:
    listed = [{"name": name, "status": status} for name, status in tests.items()]
    return json.dumps({"results": {"tests": listed}}).encode()


def run_that_left(
    reward: str | None = None,
    tests: bytes | None = None,
    more: Mapping[str, Left] | None = None,
    **facts: Any,
) -> VerifierResult:
    left = {TEXT: reward and Left(reward.encode()), CTRF: tests and Left(tests), **(more or {})}
    made = {"exit_code": 0, "timed_out": False, "log": b"said", "log_bytes": 4, "seconds": 2.0004}
    return VerifierResult(
        **made | {"startup_seconds": 1.0} | facts, left={path: one for path, one in left.items() if one}
    )


GOOD = run_that_left("1", report(a="passed", b="passed", c="skipped"))
ZERO = run_that_left("0", report(a="failed", b="passed"))


class Verified:
    """A grader over a machine that answers what a test says, and how often it was asked about which image."""

    def __init__(self, answers: Answers, *, cached: bool = True) -> None:
        self.answers, self.asked = answers, list[str]()
        self.backend = PlainBackend(verify=self.verify)
        machine = Machine(self.backend, "run", threading.Event())
        self.grader = VerifierGrader(machine, TestLimits(), quiet, cached=cached)

    def verify(self, run: VerifierRun) -> VerifierResult:
        self.asked.append(run.image)
        assert (run.workdir, run.run) == ("/app", "run")
        assert run.collect == tuple(filter(None, (TEXT, JSON, MISSING, run.verifier.ctrf)))
        return self.answers[run.image]

    def grade(self, directory: Path, *, changed: int = 1, ctrf: str = CTRF, image: str = STATE) -> Grade:
        state = KeptState(image=image, name="n", changed=changed, changes_sha256="0")
        return self.grader.grade(*task_with(ctrf), recorded(state), directory)


def recorded(state: KeptState | None) -> Record:
    return Record(
        key=AttemptKey(scaffold="s", task_id="t", attempt=1),
        task_hash="h", image="i", stop=None, patch_sha256="p", patch_bytes=0, started="s", state=state,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def strict_of(grade: Grade) -> tuple[Outcome, str]:
    assert grade.strict
    return grade.strict.outcome, grade.strict.reason


def test_a_reward_of_one_and_a_report_that_agrees_are_a_pass(tmp_path: Path) -> None:
    grade = Verified({STATE: GOOD}).grade(tmp_path)
    assert (grade.outcome, grade.party, grade.grader) == (Outcome.RESOLVED, None, NAME)
    assert (grade.official.reason, grade.seconds, grade.test_seconds) == ("reward 1", 3.0, 2.0)
    assert grade.official.tests == {"a": "passed", "b": "passed", "c": "skipped"}
    words = "reward 1, 2 tests passed; read from files that the tested code could write"
    assert strict_of(grade) == (Outcome.RESOLVED, words)
    assert grade.evidence == ("verified in a fresh container of the state, without a network, with no kit",)


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        (report(a="passed", b="failed"), "1 of 2 tests failed in its report"),
        (report(a="skipped"), "no test passed in its report"),
        (b"{}", "the report of its tests is not CTRF"),
        (None, "the report of its tests is missing"),
    ],
)
def test_a_reward_that_the_report_does_not_bear_out_is_official_alone(
    tmp_path: Path, tests: bytes | None, why: str
) -> None:
    grade = Verified({STATE: run_that_left("1", tests)}).grade(tmp_path)
    assert (grade.outcome, grade.official.outcome) == (Outcome.UNRESOLVED, Outcome.RESOLVED)
    assert strict_of(grade) == (Outcome.UNRESOLVED, f"the reward is 1, but {why}")


def test_without_a_promised_report_there_is_no_strict_column(tmp_path: Path) -> None:
    grade = Verified({STATE: run_that_left("1")}).grade(tmp_path, ctrf="")
    assert (grade.outcome, grade.strict, grade.official.tests) == (Outcome.RESOLVED, None, {})


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (ZERO, "reward 0"),
        (run_that_left("0.5", report(a="passed")), "reward 0.5"),
        (run_that_left(None, report(a="passed")), "the verifier wrote no reward, and on the untouched image the verifier works"),
        (run_that_left("0", None), "the report of its tests is missing, and on the untouched image the verifier works"),
        (run_that_left("1", report(a="passed"), timed_out=True), "the verifier did not end within 90 s, and on the untouched image the verifier works"),
        (run_that_left(None, None, ended="it filled the disk"), "it filled the disk, and on the untouched image the verifier works"),
        (run_that_left(None, None, starts=False), "no machine starts in the state that was left, and on the untouched image the verifier works"),
    ],
)  # fmt: skip
def test_less_than_a_pass_is_the_attempts_where_the_untouched_image_is_judged_well(
    tmp_path: Path, left: VerifierResult, reason: str
) -> None:
    verified = Verified({STATE: left, UNTOUCHED: ZERO})
    grade = verified.grade(tmp_path)
    assert (grade.outcome, grade.party, grade.official.reason) == (Outcome.UNRESOLVED, None, reason)
    assert strict_of(grade)[1] == f"{reason}; read from files that the tested code could write"
    assert verified.asked == [STATE, UNTOUCHED]
    assert ("a reward of 0.5 is no pass here" in grade.evidence) == (reason == "reward 0.5")


@pytest.mark.parametrize(
    ("untouched", "why"),
    [
        (run_that_left("0", None), "the report of its tests is missing"),
        (run_that_left(None, report(a="failed")), "the verifier wrote no reward"),
        (run_that_left("0", report(a="failed"), {MISSING: Left(b"curl\nuv\ncurl\n")}), "it needs curl, uv, which neither image nor kit has"),
        (run_that_left("0", report(a="failed"), timed_out=True), "the verifier did not end within 90 s"),
    ],
)  # fmt: skip
def test_what_fails_on_the_untouched_image_as_well_is_the_tasks_doing(
    tmp_path: Path, untouched: VerifierResult, why: str
) -> None:
    grade = Verified({STATE: ZERO, UNTOUCHED: untouched}).grade(tmp_path)
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.TASK)
    assert grade.official.reason == f"the verifier fails on the untouched image as well: {why}"
    task, verifier = task_with()
    said = start(Verified({UNTOUCHED: untouched}).grader, task, verifier)
    assert (said.outcome, said.reason) == (
        Outcome.NOT_JUDGED,
        f"the verifier fails on the untouched image: {why}",
    )


def test_an_attempt_that_changed_nothing_is_asked_about_once(tmp_path: Path) -> None:
    verified = Verified({STATE: ZERO})
    assert verified.grade(tmp_path, changed=0).outcome is Outcome.UNRESOLVED
    assert verified.asked == [STATE]
    other = Verified({STATE: run_that_left("0", None), UNTOUCHED: ZERO})
    assert other.grade(tmp_path / "other", changed=0).outcome is Outcome.NOT_JUDGED


def test_a_run_is_kept_and_used_again_while_it_is_whole_and_of_the_same_state(tmp_path: Path) -> None:
    attempt = tmp_path / "attempt"
    first, answers = (
        Verified({STATE: ZERO, UNTOUCHED: ZERO}),
        {STATE: ZERO, "sha256:x": GOOD, UNTOUCHED: ZERO},
    )
    before = first.grade(attempt)
    again = Verified(answers)
    assert again.grade(attempt) == before
    assert again.asked == []
    assert (attempt / LOG).read_bytes() == b"said"
    assert sorted(path.name for path in (attempt / FILES).iterdir()) == ["ctrf.json", "reward.txt"]
    assert again.grade(attempt, image="sha256:x").outcome is Outcome.RESOLVED
    (attempt / FILES / "reward.txt").write_text("0")
    assert KeptVerification.load(attempt) is None, "forged"
    assert again.grade(attempt, image="sha256:x").outcome is Outcome.RESOLVED
    assert again.asked == ["sha256:x"] * 2
    (attempt / FACTS).unlink()
    assert KeptVerification.load(attempt) is None
    fresh = Verified(answers, cached=False)
    fresh.grade(attempt)
    fresh.grade(attempt)
    assert fresh.asked == [STATE, STATE], "but of the untouched image what is known is enough"


def test_an_untouched_image_is_asked_anew_where_the_state_starts_no_machine(tmp_path: Path) -> None:
    verified = Verified({STATE: run_that_left(None, None, starts=False), UNTOUCHED: ZERO})
    verified.grade(tmp_path / "1")
    verified.grade(tmp_path / "2")
    assert verified.asked == [STATE, UNTOUCHED] * 2
    calm = Verified({STATE: ZERO, UNTOUCHED: ZERO})
    calm.grade(tmp_path / "3")
    assert calm.asked == [STATE]


def test_facts_stand_beside_a_verdict(tmp_path: Path) -> None:
    more = {
        JSON: Left(b'{"reward": 1}'),
        CTRF: Left(b"", "is a link"),
        MISSING: Left(b"apt-get\n"),
    }
    grade = Verified({STATE: run_that_left("0", None, more, oom_kills=2)}).grade(tmp_path)
    assert grade.evidence[1:] == (
        "ctrf.json is a link",
        "2 processes were killed at the limit on memory (sandbox.memory)",
        "it asked for what is not there: apt-get",
        "it wrote both reward.json and reward.txt; the first one counts",
    )
    assert grade.official.outcome is Outcome.RESOLVED
    facts = json.loads((tmp_path / FACTS).read_text())
    assert facts["left"][CTRF] == {
        "file": "",
        "sha256": facts["left"][CTRF]["sha256"],
        "problem": "is a link",
    }
    assert (facts["seconds"], facts["startup_seconds"], facts["log_bytes"]) == (2.0, 1.0, 4)
    long = run_that_left(None, report(a="passed"), {JSON: Left(b" " * LONGEST_REWARD + b"1")})
    assert "too long" in Verified({STATE: long, UNTOUCHED: ZERO}).grade(tmp_path / "2").official.reason


def test_what_is_not_there_to_be_judged_has_no_verdict(tmp_path: Path) -> None:
    task, verifier = task_with()
    lost = Verified({}).grader.grade(task, verifier, recorded(None), tmp_path)
    assert (lost.outcome, lost.party) == (Outcome.NOT_JUDGED, Party.SANDBOX)
    verified = Verified({STATE: GOOD})

    def refuse(*_: object) -> str:
        raise TaskError("no such package: pytset")

    verified.backend.kit = refuse  # type: ignore[method-assign]
    grade = verified.grade(tmp_path)
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.TASK)
    assert grade.official.reason == "no such package: pytset"


@pytest.mark.parametrize(("left", "outcome"), [(GOOD, Outcome.RESOLVED), (ZERO, Outcome.UNRESOLVED)])
def test_the_control_that_does_nothing_runs_anew(left: VerifierResult, outcome: Outcome) -> None:
    verified = Verified({UNTOUCHED: left})
    for _ in range(2):
        assert start(verified.grader, *task_with()).outcome is outcome
    assert verified.asked == [UNTOUCHED] * 2


def test_the_control_that_solves_keeps_no_state_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, verifier = task_with()
    verified = Verified({})
    work: Callable[..., object] = lambda *_: KeptState(image=STATE, name="n", changed=1, changes_sha256="0")  # noqa: E731
    monkeypatch.setattr("evals.grade.check_machines.work", work)
    for answers, outcome in (
        ({STATE: GOOD}, Outcome.RESOLVED),
        ({STATE: ZERO, UNTOUCHED: run_that_left()}, Outcome.NOT_JUDGED),
    ):
        verified.answers = answers
        assert solved(verified.grader, task, verifier).outcome is outcome
    assert len({*verified.backend.forgotten}) == 2


class Solvable(PlainSandbox):
    """Remembers what it was given and told; ends the solution as a test says."""

    def __init__(self, code: int = 0, *, gone: bool = False) -> None:
        super().__init__()
        self.code, self.gone, self.files = code, gone, dict[str, bytes]()
        self.told: list[tuple[str, float, str | None]] = []

    def write(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def exec(self, command: str, *, timeout: float, cwd: str | None = None) -> ExecResult:
        self.told.append((command, timeout, cwd))
        if self.gone:
            raise SandboxGone("it is gone")
        return ExecResult("done", self.code, False, 4, 0.0)


def test_the_oracle_runs_the_tasks_own_solution(tmp_path: Path) -> None:
    task, verifier = task_with()
    steps: list[Step] = []
    settings = Settings(on_step=steps.append)
    verifier = verifier.model_copy(update={"directory": tmp_path, "solution_env": {"A": "b c"}})
    with pytest.raises(GoldError, match="t has no solution"):
        Oracle(verifier, settings).solve(task.brief, None, Solvable())
    (tmp_path / "solution" / "deep").mkdir(parents=True)
    (tmp_path / "solution" / "solve.sh").write_bytes(b"true")
    (tmp_path / "solution" / "deep" / "data").write_bytes(b"1")
    sandbox = Solvable()
    done = Oracle(verifier, settings).solve(task.brief, None, sandbox)
    assert sandbox.files == {"/solution/solve.sh": b"true", "/solution/deep/data": b"1"}
    ((command, seconds, cwd),) = sandbox.told
    assert command.endswith("env A='b c' bash /solution/solve.sh")
    assert (seconds, cwd) == (settings.budget.seconds, "/app")
    assert (done.stop, done.detail, done.steps) == (Stop.SUBMITTED, "the task's own solution", 1)
    assert [step.observations for step in steps] == [("done",)]
    own = verifier.model_copy(update={"agent_seconds": 11.0})
    failing, dying = Solvable(3), Solvable(gone=True)
    assert Oracle(own, settings).solve(task.brief, None, failing).detail.endswith(", which ended with 3")
    assert failing.told[0][1] == 11
    broken = Oracle(own, settings).solve(task.brief, None, dying)
    assert (broken.stop, broken.detail, broken.steps) == (Stop.SANDBOX_BROKEN, "it is gone", 1)


def test_tasks_check_counts_passes_of_solution_and_start(monkeypatch: pytest.MonkeyPatch) -> None:
    task, verifier = task_with()
    verified = Verified({STATE: GOOD, UNTOUCHED: ZERO})
    kept = KeptState(image=STATE, name="n", changed=1, changes_sha256="0")
    monkeypatch.setattr("evals.grade.check_machines.work", lambda *_: kept)
    with Grader(backend=verified.backend, run="run") as grader:
        for untouched, verdict, passed in (
            (ZERO, Reliability.RELIABLE, 0),
            (GOOD, Reliability.NOP_PASSES, 2),
        ):
            verified.answers = {STATE: GOOD, UNTOUCHED: untouched}
            found = check_machine(task, verifier, 2, grader)
            assert (found.verdict, found.gold_passed, found.nop_passed) == (verdict, 2, passed)
            assert (found.gold_seconds, found.image) == (2.0, UNTOUCHED)
        verified.answers = {STATE: ZERO, UNTOUCHED: ZERO}
        never = check_machine(task, verifier, 2, grader)
        assert (never.verdict, never.gold_passed) == (Reliability.GOLD_FAILS, 0)
