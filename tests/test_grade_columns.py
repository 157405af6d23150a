"""How the columns of a grade meet: what strict said before, what is run again, and what a grader does when nobody tells it otherwise.

On a machine that is none; the strict grader itself is in test_strict_*.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.grade import check_tasks
from evals.grade.check_tasks import CheckedTask, Reliability
from evals.grade.grader import NOT_RUN, Grader, conservative
from evals.grade.judge import Judge, Judgement
from evals.grade.logs import CaseGrade, LogGrade, grade_log, reason_of
from evals.grade.machine import Machine
from evals.grade.official import DEFAULT, DERIVES, V5_COLUMNS, BadRow, GraderFailed, Verdict
from evals.grade.regrade import grade_run, to_grade, unjudged_before
from evals.grade.store import KeptRun, RunStore, StrictFacts, TestFacts, digest, grade_key, strict_version
from evals.grade.swebench import SwebenchJudge
from evals.imports.predictions import Prediction, record_predictions
from evals.record import NOT_AVAILABLE, AttemptKey, Failure, GraderVerdict, Outcome, Party, Record
from evals.run.attempt import Abandoned
from evals.run.lock import Stop
from evals.run.plan import RunPlan
from tasks import catalog
from tasks.backend import APPLY_COMMANDS, RunRequest, RunResult, RunTests, TestLimits
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_judge import PlainJudge
from tests.test_grade_limits import children

PATCH = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"
R, U, N, V = Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.NOT_JUDGED, Outcome.VIOLATION


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return catalog.load("bundled", limit=1)[0]


def ran(log: bytes = b"pass", **facts: object) -> RunResult:
    made = RunResult(True, 0, False, log, {}, 0.5, 0.25, APPLY_COMMANDS[0], len(log))
    return made._replace(**facts)


def by_log(run: KeptRun) -> Judgement:
    return Judgement(column(R if run.log == b"pass" else U, "official"))


def column(outcome: Outcome, reason: str = "") -> GraderVerdict:
    return GraderVerdict(outcome=outcome, reason=reason)


class Instant(threading.Event):
    """Nobody gives up, and nobody waits."""

    def wait(self, timeout: float | None = None) -> bool:
        return False


class Machines(PlainBackend):
    """One machine, and with which network each run was asked for."""

    def __init__(self, machine: Callable[[RunRequest], RunResult] = lambda _request: ran()) -> None:
        super().__init__(tests=self.run)
        self.machine, self.networks, self.asked = machine, list[bool](), list[RunRequest]()

    def run(self, request: RunRequest, /) -> RunResult:
        self.asked.append(request)
        return self.machine(request)

    def tests(
        self, image: str, workdir: str, limits: TestLimits, *, script_file: str | None = None, run: str = ""
    ) -> RunTests:
        self.networks.append(limits.network)
        return self.run


def grader_on(backend: PlainBackend, task: Task, *, judge: Judge | None = None, **more: Any) -> Grader:
    return Grader(backend=backend, judges={task.benchmark: judge or PlainJudge(by_log)}, **more)


@pytest.mark.parametrize(
    ("official", "strict", "outcome"),
    [
        (R, None, R), (U, None, U), (R, R, R), (U, U, U), (R, U, U), (R, V, V), (U, V, V), (U, R, U),
        (R, N, N), (U, N, U), (N, N, N),
    ],
)  # fmt: skip
def test_a_pass_is_one_in_both_columns(official: Outcome, strict: Outcome | None, outcome: Outcome) -> None:
    assert conservative(column(official), strict and column(strict)) is outcome


def test_a_grader_that_is_told_nothing_has_a_strict_column_and_keeps_what_it_ran(
    task: Task, tmp_path: Path
) -> None:
    backend = Machines(lambda _request: ran(b"fail"))
    with grader_on(backend, task) as grader:
        first, second = grader.grade_patch(task, PATCH), grader.grade_patch(task, PATCH)
    assert (first, len(backend.asked), backend.networks) == (second, 1, [False])
    assert first.strict == column(U, NOT_RUN)
    kept = kept_in(tmp_path / "cache/asclaimed/grading")
    assert first.key == grade_key(kept.facts.key, "plain==1", "")
    own = RunStore(tmp_path / "own")
    with grader_on(backend, task, store=own) as grader:
        grader.grade_patch(task, PATCH)
    assert kept_in(own.directory).log == b"fail"


def kept_in(directory: Path) -> KeptRun:
    """The one run in a store."""
    (path,) = directory.glob("runs/*/*/test.json")
    kept = RunStore(directory).get(path.parent.name)
    assert kept
    return kept


@pytest.mark.parametrize("network", [True, False])
def test_the_official_run_has_the_network_that_the_plan_gives(
    task: Task, tmp_path: Path, network: bool
) -> None:
    backend = Machines()
    with grader_on(backend, task, limits=TestLimits(network=network)) as grader:
        grader.grade_patch(task, PATCH)
    assert backend.networks == [network, False], "strict has none, ever"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, f"{NOT_AVAILABLE}the eval script has no output markers; as the official column"),
        ({"timed_out": True, "exit_code": None}, NOT_RUN),
        ({"log_bytes": 99}, NOT_RUN),
    ],
)
def test_strict_looks_at_passes_with_a_whole_log_alone(task: Task, facts: dict[str, Any], words: str) -> None:
    with grader_on(Machines(lambda _request: ran(**facts)), task) as grader:
        grade = grader.grade_patch(task, PATCH)
    assert (grade.outcome, grade.strict) == (R, column(R, words))
    assert grade.seconds == 0.75


def test_a_patch_that_does_not_apply_has_no_strict_column_of_its_own(task: Task) -> None:
    with grader_on(Machines(lambda _request: ran(b"", applied_by="", exit_code=None)), task) as grader:
        grade = grader.grade_patch(task, PATCH)
    assert (grade.outcome, grade.strict) == (U, column(U, NOT_RUN))


def strict_facts(**facts: Any) -> StrictFacts:
    made = {"column": column(V, "it cheats"), "seconds": 2.00049, "startup_seconds": 1.0}
    return StrictFacts.model_validate(
        {"version": strict_version(), "evidence": ("seen",), "guess": 0.25, **made, **facts}
    )


def with_strict(task: Task, store: RunStore, **facts: Any) -> KeptRun:
    """A run in the store whose strict column says what a test wants."""
    with grader_on(Machines(), task, store=store) as grader:
        grader.grade_patch(task, PATCH)
    run = kept_in(store.directory)
    known = run._replace(facts=run.facts.model_copy(update={"strict": strict_facts(**facts)}))
    store.put(known)
    return known


def test_what_strict_said_before_is_said_again_with_its_time_and_its_evidence(
    task: Task, tmp_path: Path
) -> None:
    store = RunStore(tmp_path / "store")
    known = with_strict(task, store)
    with grader_on(backend := Machines(), task, store=store) as grader:
        grade = grader.grade_patch(task, PATCH)
    assert backend.asked == []
    assert (grade.outcome, grade.party, grade.strict) == (V, None, column(V, "it cheats"))
    assert (grade.seconds, grade.test_seconds, grade.guess) == (3.75, 0.5, 0.25)
    assert grade.evidence == ("seen",)
    assert grade.key == grade_key(known.facts.key, "plain==1", strict_version())
    with grader_on(Machines(), task, store=store, strict=False) as grader:
        bare = grader.grade_patch(task, PATCH)
    assert (bare.outcome, bare.strict, bare.seconds, bare.guess, bare.evidence) == (R, None, 0.75, None, ())
    assert bare.key == grade_key(known.facts.key, "plain==1", "")


def test_what_strict_could_not_judge_is_the_sandboxs_and_what_it_cannot_look_at_is_the_officials(
    task: Task, tmp_path: Path
) -> None:
    def graded(name: str, **facts: Any) -> tuple[Outcome, Party | None, GraderVerdict | None]:
        store = RunStore(tmp_path / name)
        with_strict(task, store, **facts)
        with grader_on(Machines(), task, store=store) as grader:
            grade = grader.grade_patch(task, PATCH)
        return grade.outcome, grade.party, grade.strict

    assert graded("1", column=column(N, "full")) == (N, Party.SANDBOX, column(N, "full"))
    assert graded("2", column=column(V, "no runner"), available=False) == (R, None, column(R, "no runner"))


def test_another_version_of_strict_looks_again_and_an_attempts_own_column_stands(
    task: Task, tmp_path: Path
) -> None:
    store, attempt = RunStore(tmp_path / "store"), tmp_path / "attempt"
    older = with_strict(task, store, version="older")
    attempt.mkdir()
    older.save(attempt)
    with grader_on(backend := Machines(), task, store=store) as grader:
        found = grader.grade_patch(task, PATCH, attempt)
        assert (found.outcome, found.strict) == (V, column(V, "it cheats"))
        words = "the strict column was made by another version of the strict grader"
        assert found.evidence == (words, "seen")
        again = grader.grade_patch(task, PATCH)
    assert again.strict
    assert again.strict.reason.startswith(NOT_AVAILABLE)
    assert words not in again.evidence
    assert backend.asked == [], "the official run is the same"
    newest = kept_in(store.directory).facts.strict
    assert newest
    assert (newest.version, newest.available) == (strict_version(), False)


def test_what_was_given_up_while_it_was_judged_is_no_grade_and_is_not_kept(
    task: Task, tmp_path: Path
) -> None:
    abandoned = threading.Event()

    def judged(run: KeptRun) -> Judgement:
        abandoned.set()
        return by_log(run)

    with (
        grader_on(
            Machines(),
            task,
            judge=PlainJudge(judged),
            abandoned=abandoned,
            store=RunStore(tmp_path / "store"),
        ) as grader,
        pytest.raises(Abandoned),
    ):
        grader.grade_patch(task, PATCH, tmp_path / "attempt")
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "attempt").exists()


def test_nothing_is_run_for_whom_has_given_up_and_what_ran_meanwhile_says_nothing() -> None:
    abandoned, asked = threading.Event(), list[RunRequest]()

    def run(request: RunRequest, /) -> RunResult:
        asked.append(request)
        abandoned.set()
        return ran()

    tests = Machine(PlainBackend(tests=run), "r", abandoned).tests("i", "/", TestLimits(), None)
    for _ in range(2):
        with pytest.raises(Abandoned):
            tests(RunRequest(b"", {}, ""))
    assert len(asked) == 1


def test_strict_is_prepared_ahead_without_a_network_while_somebody_wants_it(
    task: Task, tmp_path: Path
) -> None:
    class Marked(PlainJudge):
        script = task.checks.row["eval_script"]

    def broken(_request: RunRequest) -> RunResult:
        raise SandboxError("gone")

    def prepared(*wanted: Callable[[], bool], **more: Any) -> tuple[str, int]:
        backend = Machines(broken)
        limits = TestLimits(network=True)
        with grader_on(
            backend, task, judge=Marked(by_log), limits=limits, abandoned=Instant(), **more
        ) as grader:
            why = grader.calibrate(task, *wanted)
        assert backend.networks in ([False], [False] * 3, [])
        return why, len(backend.asked)

    assert prepared(lambda: False) == (str(Abandoned()), 0)
    assert prepared() == prepared(lambda: True) == ("gone", 3), "a machine that breaks is tried three times"
    assert prepared(strict=False) == ("", 0)


def attempted(task: Task, **facts: Any) -> Record:
    key = AttemptKey(scaffold="s", task_id=task.id, attempt=1)
    bare = {"key": key, "task_hash": task.content_hash, "image": "i", "stop": None, "started": "s"}
    return Record.model_validate(bare | {"patch_sha256": digest(PATCH), "patch_bytes": 1} | facts)


@pytest.mark.parametrize(
    ("facts", "patch", "party", "words"),
    [
        ({"failure": Failure(party=Party.SERVER, message="away")}, PATCH, Party.SERVER, "away"),
        ({"task_hash": "another"}, PATCH, Party.TASK, "the task is not the one that was attempted"),
        ({}, None, Party.SANDBOX, "patch.diff cannot be read: No such file or directory"),
        ({}, PATCH + b"\n", Party.SANDBOX, "patch.diff is not the one that the record names"),
        ({}, PATCH, None, "official"),
    ],
)
def test_a_record_that_does_not_fit_gives_no_verdict_and_says_whose_doing_that_is(
    task: Task, tmp_path: Path, facts: dict[str, Any], patch: bytes | None, party: Party | None, words: str
) -> None:
    if patch is not None:
        (tmp_path / "patch.diff").write_bytes(patch)
    with grader_on(Machines(), task) as grader:
        grade = grader.grade(task, attempted(task, **facts), tmp_path)
    assert (grade.outcome, grade.party) == (R if party is None else N, party)
    assert (grade.official.reason, grade.grader) == (words, "plain==1")
    assert (tmp_path / "test.json").exists() == (party is None)


class Said:
    """An official grader of which a test says what it answers."""

    def __init__(self, name: str, answer: Verdict | Exception) -> None:
        self.name, self.answer, self.logs, self.closed = name, answer, list[bytes](), False

    def script(self, row: Mapping[str, Any]) -> str:
        return f"script of {row['instance_id']}"

    def derive_v5(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "instance_id": f"derived {row['instance_id']}"}

    def grade(self, row: Mapping[str, Any], log: Path) -> Verdict:
        self.logs.append(log.read_bytes())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.closed = True


PASSED = Verdict(True, True, {"t": "passed"}, "", "")
FAILED = Verdict(False, True, {"t": "passed", "u": "failed", "v": "missing"}, "", "")


def judge_of(
    name: str, said: Verdict | Exception, newest: Verdict | Exception
) -> tuple[SwebenchJudge, dict[str, Said]]:
    judge = SwebenchJudge(name, TestLimits())
    graders = {DERIVES: Said(DERIVES, FAILED), DEFAULT: Said(DEFAULT, newest), name: Said(name, said)}
    judge._graders.update(graders)  # type: ignore[arg-type]
    return judge, graders


def test_the_version_that_was_asked_for_decides_and_the_newest_one_is_heard_beside_it(task: Task) -> None:
    whole = KeptRun(TestFacts(key="", image="", applied_by="git apply", log_bytes=4), b"said")
    judge, graders = judge_of("swebench==5.0.1", PASSED._replace(infra="no network"), FAILED)
    found = judge.judge(task, whole)
    assert found.column == GraderVerdict(outcome=R, tests={"t": "passed"})
    reason = "2 of 3 graded tests did not pass (1 failed, 1 missing)"
    assert found.evidence == (
        "swebench==5.0.1 guesses at an environment fault from the log: no network",
        f"{DEFAULT} differs: unresolved: {reason}",
    )
    assert [graders[name].logs for name in ("swebench==5.0.1", DEFAULT)] == [[b"said"]] * 2
    judge.close()
    assert all(grader.closed for grader in graders.values())
    agreeing, _ = judge_of("swebench==5.0.1", FAILED, FAILED)
    assert (agreeing.judge(task, whole).column.reason, agreeing.judge(task, whole).evidence) == (reason, ())
    alone, graders = judge_of(DEFAULT, PASSED, PASSED)
    assert alone.judge(task, whole).evidence == ()
    assert graders[DEFAULT].logs == [b"said"], "asked once"
    lost, _ = judge_of(DEFAULT, BadRow("no tests"), PASSED)
    with pytest.raises(Exception, match="the row is unusable: no tests"):
        lost.judge(task, whole)


def test_a_row_that_lacks_a_column_of_a_new_one_has_it_derived(task: Task) -> None:
    judge, _ = judge_of(DEFAULT, PASSED, PASSED)
    assert judge.request(task, PATCH).script == f"script of {task.id}"
    for name in V5_COLUMNS:
        row = {column: value for column, value in task.checks.row.items() if column != name}
        checks = task.checks.model_copy(update={"row": row})
        older = task.model_copy(update={"checks": checks, "id": name})
        for _ in range(2):
            assert judge.request(older, PATCH).script == f"script of derived {task.id}"


def test_whose_doing_a_log_without_a_verdict_is(tmp_path: Path) -> None:
    log = tmp_path / "test.log"
    lost = grade_log(Said("g", PASSED), {}, log)  # type: ignore[arg-type]
    assert (lost.column.reason, lost.party, lost.applied) == (
        "no test log: test.log is missing",
        Party.SANDBOX,
        False,
    )
    log.write_bytes(b"")
    for answer, outcome, party, reason in (
        (BadRow("no"), N, Party.TASK, "the row is unusable: no"),
        (GraderFailed("no"), U, None, "g fails on this log: no"),
        (PASSED, R, None, ""),
        (FAILED._replace(reason="cut", applied=False), U, None, "cut"),
    ):
        found = grade_log(Said("g", answer), {}, log)  # type: ignore[arg-type]
        assert (found.column.outcome, found.party, found.column.reason) == (outcome, party, reason)
        assert found.applied == (answer is PASSED)
    assert reason_of(PASSED) == ""
    assert reason_of(FAILED) == "2 of 3 graded tests did not pass (1 failed, 1 missing)"


def test_a_case_names_the_graders_that_differ_and_only_those() -> None:
    passed, failed = LogGrade(column(R), True), LogGrade(column(U, "no"), True)
    others = {"same": passed, "other": failed, "unsure": passed._replace(applied=False)}
    line = CaseGrade("c", "g", passed, others).as_json()
    assert line == {
        "case": "c",
        "resolved": True,
        "outcome": "resolved",
        "grader": "g",
        "applied": True,
        "reason": "",
        "party": None,
        "differs": {"other": "unresolved: no", "unsure": "resolved, results not accepted"},
    }
    assert "differs" not in CaseGrade("c", "g", failed, {"same": failed}).as_json()
    assert CaseGrade("c", "g", failed, {}).as_json()["resolved"] is False


@pytest.mark.parametrize(
    ("gold", "nop", "verdict", "reason"),
    [
        ([R, R], [U, U], Reliability.RELIABLE, ""),
        ([U, U], [U, U], Reliability.GOLD_FAILS, "gold passed 0 of 2 times: gold 0"),
        ([R, U], [U, U], Reliability.FLAKY, "gold passed 1 of 2 times: gold 1"),
        ([R, R], [U, R], Reliability.NOP_PASSES, "without any patch it passed 1 of 2 times"),
        ([N, R], [U, R], Reliability.NOP_PASSES, "without any patch it passed 1 of 2 times"),
        ([R, N], [U, U], Reliability.NOT_JUDGED, "gold 1"),
        ([R, R], [N, N], Reliability.NOT_JUDGED, "nop 0"),
        ([N, N], [N, N], Reliability.NOT_JUDGED, "gold 0"),
    ],
)
def test_what_runs_of_gold_and_of_nothing_say_of_a_task(
    gold: list[Outcome], nop: list[Outcome], verdict: Reliability, reason: str
) -> None:
    def columns(name: str, outcomes: list[Outcome]) -> list[GraderVerdict]:
        return [column(outcome, f"{name} {n}") for n, outcome in enumerate(outcomes)]

    assert check_tasks.judge(columns("gold", gold), columns("nop", nop)) == (verdict, reason)


def test_each_run_of_a_check_is_made_anew(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Machines(lambda _request: ran(b"no result"))
    monkeypatch.setattr("evals.grade.grader.DockerBackend", lambda: backend)
    before = children()
    (checked,) = check_tasks.check([task], k=2, limits=TestLimits(), grader=DEFAULT, workers=1)
    assert isinstance(checked, CheckedTask)
    assert (checked.verdict, checked.gold_passed, len(backend.asked)) == (Reliability.GOLD_FAILS, 0, 4)
    assert children() == before, "swebench's processes end with the check"


def test_no_more_is_begun_once_somebody_asks_for_an_end_and_what_is_left_is_counted(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stop = tmp_path / "run", Stop()
    patches = [PATCH, PATCH.replace(b"+b", b"+c"), PATCH.replace(b"+b", b"+d")]
    record_predictions(run, [Prediction(task.id, "m", one) for one in patches], RunPlan(), [task])

    def machine(_request: RunRequest) -> RunResult:
        stop.asked.set()
        raise SandboxError("gone")

    def graded(*, with_stop: Stop | None) -> list[AttemptKey]:
        with grader_on(Machines(machine), task, abandoned=Instant(), strict=False) as grader:
            found = list(grade_run(run, grader, *to_grade(run, again=True), workers=1, stop=with_stop))
        assert {one.grade.outcome for one in found} <= {N}
        return [one.key for one in found]

    first = graded(with_stop=stop)
    assert [key.attempt for key in first] == [1], "what had begun is seen through"
    assert (unjudged_before(run, []), unjudged_before(run, first)) == (1, 0)
    assert graded(with_stop=stop) == []
    everything = graded(with_stop=None)
    assert len(everything) == 3
    assert unjudged_before(run, everything[1:]) == 1
    monkeypatch.setattr("evals.grade.grader.DockerBackend", Machines)
    assert (
        list(check_tasks.check([task], k=1, limits=TestLimits(), grader=DEFAULT, workers=1, stop=stop)) == []
    )
