"""What a grade says and counts, on a machine that is none: columns that meet, evidence, what is kept, what is graded again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.commands.tasks_check import _sum_up
from evals.grade import check_tasks, official
from evals.grade.check_tasks import CheckedTask, CheckList, Reliability, check_task, excluded_tasks
from evals.grade.grader import Grader, conservative
from evals.grade.judge import Judgement, NotJudged
from evals.grade.logs import LogGrade, describe
from evals.grade.machine import Abandoned, Machine
from evals.grade.oddities import oddities, why_not_applied
from evals.grade.regrade import Graded, grade_run, to_grade
from evals.grade.store import FACTS, LOG, KeptRun, RunStore
from evals.imports.predictions import Prediction, record_predictions
from evals.record import AttemptKey, Grade, GraderVerdict, Outcome, Party
from evals.run.ledger import verify
from evals.run.plan import RunPlan
from tasks import catalog
from tasks.backend import APPLY_COMMANDS, RunRequest, RunResult, TestLimits
from tasks.disk import write_json
from tasks.errors import MachineError
from tasks.sandbox import SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_judge import PlainJudge

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
    said = R if run.log == b"pass" else U
    return Judgement(GraderVerdict(outcome=said, reason="" if said is R else "a test fails"))


def grader_on(machine: Callable[[RunRequest], RunResult], benchmark: str, store: Path) -> Grader:
    return Grader(
        strict=False,
        store=RunStore(store),
        backend=PlainBackend(tests=machine),
        judges={benchmark: PlainJudge(by_log)},
    )


def column(outcome: Outcome, reason: str = "") -> GraderVerdict:
    return GraderVerdict(outcome=outcome, reason=reason)


@pytest.mark.parametrize(("official", "outcome"), [(R, N), (U, U), (V, V)])
def test_what_strict_could_not_judge_is_a_pass_for_nobody_and_no_failure(
    official: Outcome, outcome: Outcome
) -> None:
    assert conservative(column(official), column(N)) is outcome


@pytest.mark.parametrize(
    ("patch", "facts"),
    [
        (b"hello\n", ("it is not a unified diff",)),
        (
            b"diff --git a/x b/x\nBinary files a/x and b/x differ\n",
            ("it changes a binary file without carrying its content",),
        ),
        (b"diff --git a/x b/x\nBinary files a/x and b/x differ\nGIT binary patch\n", ()),
        (b"--- a\r\n+++ b\r\n\n", ("its lines end in CRLF",)),
        (b"--- a\r\n+++ b\n", ()),
        (b"--- a\n+++ b", ("it does not end in a newline",)),
        (b"--- a\n" + b"+" * (10_000_000 - 7) + b"\n", ("it is 10.0 MB large",)),
        (b"--- a\n" + b"+" * (10_000_000 - 8) + b"\n", ()),
    ],
)
def test_what_is_odd_about_a_patch(patch: bytes, facts: tuple[str, ...]) -> None:
    assert oddities(patch) == facts


def test_a_patch_that_does_not_apply_is_told_its_two_likeliest_reasons() -> None:
    assert why_not_applied(PATCH) == "the patch does not apply"
    assert why_not_applied(b"a\r\nb\r\nc") == (
        "the patch does not apply; it is not a unified diff; its lines end in CRLF"
    )


@pytest.mark.parametrize(
    ("facts", "evidence"),
    [
        ({}, ()),
        (
            {"applied_by": APPLY_COMMANDS[1]},
            (f"the patch was applied by `{APPLY_COMMANDS[1]}` after `git apply` refused it",),
        ),
        ({"exit_code": 128}, ()),
        ({"exit_code": 129}, ("the eval script was killed, or its container was",)),
        ({"exit_code": None}, ("the eval script was killed, or its container was",)),
        (
            {"exit_code": None, "timed_out": True},
            ("whether the gold patch's tests end in time here is not known: run `asclaimed tasks check`",),
        ),
        ({"exit_code": None, "timed_out": True, "ended": "it crowded"}, ()),
        (
            {"oom_kills": 3},
            ("3 processes of the tests were killed at the limit on memory (sandbox.memory)",),
        ),
    ],
)
def test_facts_beside_a_verdict(
    facts: dict[str, object], evidence: tuple[str, ...], task: Task, tmp_path: Path
) -> None:
    with grader_on(lambda _: ran(**facts), task.benchmark, tmp_path / "runs") as grader:
        grade = grader.grade_patch(task, PATCH)
    assert grade.evidence == evidence
    assert (grade.seconds, grade.test_seconds) == (0.75, 0.5)


@pytest.mark.parametrize("gold_ends", [True, False])
def test_a_timeout_is_believed_where_the_gold_patch_is_known_to_end(
    task: Task, tmp_path: Path, *, gold_ends: bool
) -> None:
    gold = task.checks.gold_patch.encode()

    def machine(request: RunRequest) -> RunResult:
        late = request.patch != gold or not gold_ends
        return ran(exit_code=None if late else 0, timed_out=late)

    with grader_on(machine, task.benchmark, tmp_path / "runs") as grader:
        grader.grade_patch(task, gold)
        assert bool(grader.grade_patch(task, PATCH).evidence) is not gold_ends


def test_a_kept_run_is_whole_or_none(task: Task, tmp_path: Path) -> None:
    kept = KeptRun.of("k", "sha256:0", ran(b"a log"))
    kept.save(tmp_path)
    assert KeptRun.load(tmp_path) == kept
    assert not kept.cut
    assert kept._replace(log=b"a lo").cut
    (tmp_path / LOG).write_bytes(b"another")
    assert KeptRun.load(tmp_path) is None
    assert RunStore().directory == tmp_path / "cache" / "asclaimed" / "grading"
    store = RunStore(tmp_path / "store")
    assert store.directory == tmp_path / "store"
    assert store.get("k") is None
    store.put(kept)
    assert store.get("k") == kept
    store.put(kept._replace(log=b"another"))
    assert store.get("k") is None
    unapplied = KeptRun.of("u", "sha256:0", ran(b"", applied_by="", exit_code=None))
    (tmp_path / "u").mkdir()
    unapplied.save(tmp_path / "u")
    assert not (tmp_path / "u" / LOG).exists()
    assert KeptRun.load(tmp_path / "u") == unapplied
    assert json.loads((tmp_path / "u" / FACTS).read_bytes())["key"] == "u"


def test_the_same_run_is_made_once_and_again_where_asked(task: Task, tmp_path: Path) -> None:
    asked: list[RunRequest] = []

    def machine(request: RunRequest) -> RunResult:
        asked.append(request)
        return ran()

    def grade(directory: Path | None, *, cached: bool, store: str) -> None:
        grader = grader_on(machine, task.benchmark, tmp_path / store)
        grader._cached = cached
        with grader:
            assert grader.grade_patch(task, PATCH, directory).outcome is R

    own = tmp_path / "attempt"
    own.mkdir()
    grade(own, cached=True, store="one")
    grade(None, cached=True, store="one")
    grade(own, cached=True, store="two")
    assert len(asked) == 1, "found in the store, and in the attempt's directory"
    grade(own, cached=False, store="one")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("official", "strict", "reason"),
    [
        (column(U, "theirs"), None, "theirs"),
        (column(U, "theirs"), column(U, "ours"), "theirs"),
        (column(R), column(R, "ours"), "ours"),
        (column(R, "theirs"), column(V, "ours"), "ours"),
    ],
)
def test_a_line_gives_the_words_of_the_column_that_decided(
    official: GraderVerdict, strict: GraderVerdict | None, reason: str
) -> None:
    outcome = conservative(official, strict)
    grade = Grade(outcome=outcome, official=official, strict=strict, grader="g", key="k", seconds=2.0)
    line = Graded(AttemptKey(scaffold="s", task_id="t", attempt=3), grade).as_json()
    assert line == {
        "case": "s/t/3",
        "resolved": outcome is R,
        "outcome": str(outcome),
        "grader": "g",
        "official": str(official.outcome),
        "strict": str(strict.outcome) if strict else None,
        "reason": reason,
        "party": None,
        "evidence": (),
        "seconds": 2.0,
    }


def test_what_has_a_verdict_is_graded_again_only_when_asked(task: Task, tmp_path: Path) -> None:
    run, asked = tmp_path / "run", list[bytes]()
    patches = [PATCH, PATCH.replace(b"+b", b"+c")]
    predictions = [Prediction(task.id, "m", patch) for patch in patches]
    assert record_predictions(run, predictions, RunPlan(tasks="bundled"), [task]) == []

    def machine(request: RunRequest) -> RunResult:
        asked.append(request.patch)
        return ran(b"pass" if request.patch == PATCH else b"fail")

    def outcomes(*, again: bool) -> dict[int, Outcome]:
        with grader_on(machine, task.benchmark, tmp_path / "runs") as grader:
            return {
                line.key.attempt: line.grade.outcome
                for line in grade_run(run, grader, *to_grade(run, again=again), workers=0)
            }

    assert outcomes(again=False) == {1: R, 2: U}
    assert outcomes(again=False) == {}
    assert outcomes(again=True) == {1: R, 2: U}
    first, second = (run / "m" / task.id / n / "grade.json" for n in "12")
    for path, party in ((first, Party.SANDBOX), (second, Party.TASK)):
        grade = Grade.model_validate_json(path.read_bytes())
        write_json(path, grade.model_copy(update={"outcome": N, "party": party}))
    assert outcomes(again=False) == {1: R}, "a machine that broke is asked again, a task at fault is not"
    second.write_bytes(b"{")
    assert outcomes(again=False) == {2: U}
    (run / "m" / task.id / "1" / "record.json").write_bytes(b"{")
    kept = first.read_bytes()
    assert outcomes(again=False) == {1: N}, "a grade says nothing of a record that is damaged"
    assert first.read_bytes() == kept
    assert outcomes(again=True) == {1: N, 2: U}
    assert len(asked) == 2, "what was run stays known"
    assert verify(run / "ledger.jsonl") == []
    assert (run / "ledger.jsonl").read_text().count("attempt-graded") == 2 + 2 + 1 + 1 + 1 + 2


@pytest.mark.parametrize(
    ("gold", "nothing", "verdict", "excluded", "counts"),
    [
        ("pass", "fail", Reliability.RELIABLE, False, (2, 0)),
        ("fail", "fail", Reliability.GOLD_FAILS, True, (0, 0)),
        ("pass", "pass", Reliability.NOP_PASSES, True, (2, 2)),
    ],
)
def test_a_task_is_checked_twice_each_way(
    gold: str,
    nothing: str,
    verdict: Reliability,
    excluded: bool,
    counts: tuple[int, int],
    task: Task,
    tmp_path: Path,
) -> None:
    seconds = iter((2.0, 3.0))

    def machine(request: RunRequest) -> RunResult:
        if not request.patch:
            return ran(nothing.encode())
        return ran(gold.encode(), seconds=next(seconds, 1.0))

    official = grader_on(machine, task.benchmark, tmp_path / "one")
    official._cached = False
    with official, grader_on(machine, task.benchmark, tmp_path / "two") as both:
        checked = check_task(task, 2, official, both)
    assert (checked.verdict, checked.excluded) == (verdict, excluded)
    assert (checked.gold_passed, checked.nop_passed, checked.gold_seconds) == (*counts, 3.0)
    assert checked.image == "sha256:0"


def test_only_useless_tasks_of_a_list_are_excluded(tmp_path: Path) -> None:
    tasks = tuple(
        CheckedTask(
            id=verdict.name,
            task_hash="h",
            image="i",
            verdict=verdict,
            reason="why",
            gold_passed=1,
            nop_passed=0,
            gold_seconds=1.0,
        )
        for verdict in Reliability
    )
    assert [task.id for task in tasks if task.weak] == ["RELIABLE"], "how likely a guess is, nobody said"
    assert not tasks[0].model_copy(update={"guess": 1 / 1024}).weak
    host = check_tasks.host()
    path = tmp_path / "new" / "list.json"
    made = CheckList(grader="swebench==5.0.2", k=1, limits=TestLimits(), host=host, tasks=tasks)
    check_tasks.save(path, made)
    check_tasks.save(path, made)
    assert check_tasks.load(path) == made
    assert excluded_tasks(path) == {
        "GOLD_FAILS": "gold_fails: why",
        "NOP_PASSES": "nop_passes: why",
        "FLAKY": "flaky: why",
    }
    assert isinstance(host["memory_mb"], int)
    assert 100 < host["memory_mb"] < 100_000_000


def test_tasks_check_lists_the_tasks_that_a_guess_may_pass(capsys: pytest.CaptureFixture[str]) -> None:
    one = CheckedTask(
        id="x__strong-1",
        task_hash="h",
        image="i",
        verdict=Reliability.RELIABLE,
        gold_passed=1,
        nop_passed=0,
        gold_seconds=1.0,
        guess=1 / 1024,
    )
    guesses = {"x__few-1": 1 / 49, "x__relations-1": 1.0, "x__unknown-1": None}
    weak = [one.model_copy(update={"id": name, "guess": guess}) for name, guess in guesses.items()]
    fails = one.model_copy(update={"id": "x__fails-1", "verdict": Reliability.GOLD_FAILS, "guess": None})
    _sum_up([one, *weak, fails], 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == list(guesses), (
        "neither the strong nor the useless one"
    )
    assert "once in 49" in lines[0]
    assert "expect no values" in lines[1]
    assert "nobody knows how often" in lines[2]
    assert lines[-1] == "4 of 5 tasks reliable at k = 1, 1 to exclude"


def test_what_was_given_up_while_a_machine_failed_has_no_verdict_at_all() -> None:
    """Whatever was seen then may be our own doing: neither a result nor the sandbox's fault."""
    abandoned = threading.Event()
    machine = Machine(PlainBackend(), "run", abandoned)

    def fails() -> None:
        abandoned.set()
        raise SandboxError("gone")

    with pytest.raises(Abandoned):
        machine.held(fails)


def test_a_log_is_described_by_outcome_reason_and_whether_it_was_accepted() -> None:
    def said(outcome: Outcome, reason: str, applied: bool) -> str:
        return describe(LogGrade(GraderVerdict(outcome=outcome, reason=reason), applied))

    assert said(Outcome.RESOLVED, "", True) == "resolved"
    assert said(Outcome.UNRESOLVED, "1 failed", True) == "unresolved: 1 failed"
    assert said(Outcome.UNRESOLVED, "", False) == "unresolved, results not accepted"
    assert said(Outcome.NOT_JUDGED, "no row", False) == "not_judged: no row"


def test_a_grader_is_installed_once_whole_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls, installer = tmp_path / "calls", tmp_path / "uv"
    installer.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\n[ "$1" = pip ] && exit\nfor last; do :; done\nmkdir -p "$last/bin"\n'
    )
    installer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name in ("swebench==9.9.9", "swebench==9.9.9", "swebench==9.9.8"):
        python = Path(official.python_of(name))
        assert (python.parents[1] / "ready").exists()
    assert [line.split()[0] for line in calls.read_text().split("\n")[:-1]] == ["venv", "pip"] * 2
    assert [path.name for path in python.parents[2].iterdir() if path.name.startswith(".")] == []


def test_so_many_are_graded_at_once_as_are_asked_for(task: Task, tmp_path: Path) -> None:
    run, together = tmp_path / "run", threading.Barrier(3)
    patches = [PATCH.replace(b"+b", b"+b%d" % n) for n in range(3)]
    record_predictions(run, [Prediction(task.id, "m", p) for p in patches], RunPlan(tasks="bundled"), [task])

    def machine(_request: RunRequest) -> RunResult:
        together.wait(60)
        return ran()

    with grader_on(machine, task.benchmark, tmp_path / "runs") as grader:
        graded = list(grade_run(run, grader, *to_grade(run, again=False), workers=3))
    assert [line.grade.outcome for line in graded] == [R] * 3


def test_a_daemon_that_went_away_is_waited_for_and_its_end_is_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, abandoned = [False, True, True, True, True], threading.Event()
    machine = Machine(PlainBackend(answers=lambda: answers.pop(0)), "run", abandoned)
    tries = iter([SandboxError("gone"), "made"])

    def work() -> str:
        found = next(tries)
        if isinstance(found, SandboxError):
            raise found
        return found

    assert machine.held(work) == "made"
    assert len(answers) == 3, "asked again until it answered"
    monkeypatch.setattr("evals.grade.machine.DAEMON_PATIENCE", -1.0)
    away = Machine(PlainBackend(answers=lambda: False), "run", abandoned)
    tries = iter([SandboxError("gone")])
    with pytest.raises(MachineError, match="went away: start it"):
        away.held(work)
    abandoned.set()
    tries = iter([SandboxError("gone")])
    with pytest.raises(Abandoned):
        away.held(work)


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [(N, Reliability.NOT_JUDGED), (U, Reliability.GOLD_FAILS), (V, Reliability.GOLD_FAILS)],
)
def test_a_gold_patch_that_strict_refuses_makes_a_task_useless_and_one_that_it_cannot_judge_does_not(
    task: Task, tmp_path: Path, outcome: Outcome, verdict: Reliability
) -> None:
    def judged(_run: KeptRun) -> Judgement:
        if outcome is N:
            raise NotJudged(Party.SANDBOX, "no word")
        return Judgement(GraderVerdict(outcome=outcome, reason="no word"))

    backend = PlainBackend(tests=lambda _: ran())
    judges = {task.benchmark: PlainJudge(judged)}
    with Grader(strict=False, store=RunStore(tmp_path), backend=backend, judges=judges) as grader:
        assert check_tasks.accepted_by(grader, task) == (verdict, "strict grader: no word", None)


def test_a_grader_is_installed_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def commands(_name: str, venv: Path) -> list[list[str]]:
        made.append(venv)
        return [
            ["mkdir", str(venv)],
            ["touch", str(venv / "python")],
            *([["false"]] if len(made) == 1 else []),
        ]

    monkeypatch.setattr(official, "_install_commands", commands)
    home = tmp_path / "graders" / "swebench-9"
    with pytest.raises(MachineError, match="cannot install swebench==9"):
        official._make_venv("swebench==9", home)
    assert list(home.parent.iterdir()) == []
    official._make_venv("swebench==9", home)
    assert sorted(path.name for path in home.iterdir()) == ["python", "ready"]
    official._make_venv("swebench==9", home)
    assert [path.name for path in home.parent.iterdir()] == [home.name], "another process was first"
