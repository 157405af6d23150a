"""From a patch to a grade on real Docker: every shape of patch, hostile tests, what is reused, what is nobody's fault."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.grade.check_tasks import CheckList, Reliability, check, excluded_tasks, host, judge, save
from evals.grade.grader import Grader, conservative
from evals.grade.oddities import oddities
from evals.grade.store import FACTS, LOG, KeptRun, RunStore, TestFacts
from evals.imports.predictions import Prediction, read_predictions, record_predictions
from evals.record import AttemptKey, Failure, Grade, GraderVerdict, Outcome, Party, Record
from evals.run.plan import RunPlan
from scaffolds.base import Stop, ToolCallMode
from tasks import catalog
from tasks.backend import APPLY_COMMANDS, RunRequest, TestLimits
from tasks.docker import daemon
from tasks.docker.daemon import client
from tasks.docker.images import resolve
from tasks.docker.testing import PATCH_FILE, TestContainers
from tasks.errors import UserError
from tasks.sandbox import Limits
from tasks.task import ImageSpec, Task
from tests.command_line import asclaimed as here

TASK_ID = "asclaimed__purl-1"
MODULE = "purl/pattern.py"
QUICK = TestLimits(seconds=60, log_bytes=64 << 10, container=Limits(memory=512 << 20, pids=128))


@pytest.fixture(scope="module")
def task() -> Task:
    return catalog.load("bundled", ids=[TASK_ID])[0]


@pytest.fixture(scope="module")
def gold(task: Task) -> bytes:
    return task.checks.gold_patch.encode()


@pytest.fixture
def grader(docker_daemon: None, tmp_path: Path) -> Iterator[Grader]:
    with Grader(limits=QUICK, strict=False, store=RunStore(tmp_path / "store")) as made:
        yield made


def added(path: str, text: str) -> bytes:
    """A patch that adds one file."""
    lines = text.splitlines()
    head = f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
    return (head + "".join(f"+{line}\n" for line in lines)).encode()


def prepended(statement: str) -> bytes:
    """A patch that puts a line on top of the tested module, so that it runs when the tests import it."""
    first = (catalog.bundled_directory() / "tasks" / TASK_ID / "repo" / MODULE).read_text().splitlines()[0]
    return f"--- a/{MODULE}\n+++ b/{MODULE}\n@@ -1 +1,2 @@\n+{statement}\n {first}\n".encode()


def running_containers() -> set[str]:
    found = client().containers.list(filters={"label": f"asclaimed.pid={os.getpid()}"})
    return {str(container.id) for container in found}


@pytest.mark.docker
def test_gold_and_patches_of_every_shape(task: Task, gold: bytes, grader: Grader) -> None:
    large = added("notes.txt", "\n".join(["x" * 99] * 102_000))
    expected = {
        "gold": (gold, Outcome.RESOLVED, ""),
        "stray": (added("stray.txt", "nothing"), Outcome.UNRESOLVED, "did not pass"),
        "crlf": (gold.replace(b"\n", b"\r\n"), Outcome.RESOLVED, "its lines end in CRLF"),
        "no newline": (gold.rstrip(b"\n"), Outcome.RESOLVED, "it does not end in a newline"),
        "large": (gold + large, Outcome.RESOLVED, "10.3 MB large"),
        "words": (b"I fixed it.\n", Outcome.UNRESOLVED, "not a unified diff"),
        "binary": (
            b"diff --git a/a.png b/a.png\nindex 1..2 100644\nBinary files a/a.png and b/a.png differ\n",
            Outcome.UNRESOLVED,
            "binary file without carrying its content",
        ),
        "elsewhere": (gold.replace(b"pattern.py", b"absent.py"), Outcome.UNRESOLVED, "does not apply"),
    }
    for name, (patch, outcome, words) in expected.items():
        grade = grader.grade_patch(task, patch)
        said = " ".join((grade.official.reason, *grade.evidence))
        assert (name, grade.outcome) == (name, outcome)
        assert words in said
        assert "\n" not in grade.official.reason
    assert running_containers() == set()


@pytest.mark.parametrize("patch", [b"", b"\n \n"])
def test_an_empty_patch_needs_no_container(task: Task, patch: bytes) -> None:
    with Grader(limits=QUICK, strict=False) as grader:
        assert grader.grade_patch(task, patch).outcome is Outcome.NO_PATCH


@pytest.mark.docker
@pytest.mark.parametrize(
    ("statement", "seconds", "words"),
    [
        ("import os; os.kill(-1, 9)", 60, "the eval script was killed, or its container was"),
        ("import time; time.sleep(600)", 4, "did not end within 4 s"),
        (
            "import os; out = open(f'/proc/{os.getppid()}/fd/1', 'wb'); [out.write(b'x' * 65536) for _ in range(250)]",
            60,
            "wrote 16 MB",
        ),
        ("import subprocess; subprocess.Popen(['sleep', '600'])", 60, "did not pass"),
        ("x = bytearray(2 << 30)", 60, "ended with status 137"),
    ],
)
def test_what_tested_code_does_to_the_machine_is_its_own_failure(
    task: Task, docker_daemon: None, tmp_path: Path, statement: str, seconds: float, words: str
) -> None:
    limits = QUICK.model_copy(update={"seconds": seconds})
    with Grader(limits=limits, strict=False, store=RunStore(tmp_path)) as grader:
        grade = grader.grade_patch(task, prepended(statement))
    assert grade.outcome is Outcome.UNRESOLVED
    assert words in " ".join((grade.official.reason, *grade.evidence))
    assert running_containers() == set()


@pytest.mark.docker
def test_the_same_patch_is_tested_once(task: Task, gold: bytes, grader: Grader, tmp_path: Path) -> None:
    first = grader.grade_patch(task, gold, made(tmp_path / "1"))
    second = grader.grade_patch(task, gold, made(tmp_path / "2"))
    assert second == first  # a second run would have taken another number of milliseconds
    assert (tmp_path / "1" / LOG).read_bytes() == (tmp_path / "2" / LOG).read_bytes()
    assert grader.grade_patch(task, gold + b"\n").key != first.key
    (tmp_path / "1" / LOG).write_bytes(b"forged")
    assert KeptRun.load(tmp_path / "1") is None


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.docker
def test_predictions_of_others_and_a_regrade_without_docker(
    task: Task, gold: bytes, docker_daemon: None, tmp_path: Path
) -> None:
    """Both columns, the command line, and the promise that a log is enough."""
    lines = [
        {"instance_id": task.id, "model_name_or_path": "vendor/model 1", "model_patch": gold.decode()},
        {"instance_id": task.id, "model_name_or_path": "vendor/model 1", "model_patch": None},
        {"instance_id": "nobody__knows-1", "model_patch": "x"},
        "not a prediction",
    ]
    predictions, run = tmp_path / "predictions.jsonl", tmp_path / "run"
    predictions.write_text("\n".join(json.dumps(line) for line in lines))
    done = asclaimed(
        "grade", "--predictions", str(predictions), "--tasks", "bundled", "--out", str(run), "--json"
    )
    assert outcomes(done) == {
        f"vendor__model__1/{task.id}/1": "resolved",
        f"vendor__model__1/{task.id}/2": "no_patch",
    }
    assert "nobody__knows-1" in done.stderr
    assert all(words in done.stderr for words in ("images: 1 ", "disk: about ", "to grade: 2 attempts"))
    assert "predictions.jsonl:4" in done.stderr
    grade = Grade.model_validate_json((run / "vendor__model__1" / task.id / "1" / "grade.json").read_bytes())
    assert grade.strict is not None
    assert grade.strict.outcome is Outcome.RESOLVED
    spoiled = run / "vendor__model__1" / task.id / "2" / "grade.json"
    spoiled.write_bytes(spoiled.read_bytes().replace(b'"party": null', b'"party": "sandbox"'))
    assert outcomes(asclaimed("grade", str(run), "--json")) == {f"vendor__model__1/{task.id}/2": "no_patch"}
    again = asclaimed("grade", str(run), "--regrade", "--json", DOCKER_HOST="unix:///nowhere")
    assert outcomes(again) == outcomes(done)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_daemon")
def test_a_daemon_that_limits_nothing_grades_only_when_allowed(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rootless Docker on cgroup v1 says that it is one; `grade` and `tasks check` take the same option as `run`."""
    facts = client().info() | {"MemoryLimit": False, "PidsLimit": False}
    monkeypatch.setattr(daemon, "facts", lambda: facts)
    run = tmp_path / "run"
    patch = Prediction(task.id, "m", added("stray.txt", "nothing"))
    record_predictions(run, [patch], RunPlan(tasks="bundled"), [task])
    refused = here("grade", run, "--fresh")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.endswith("or give --allow-unlimited (sandbox.allow_unlimited in a plan)\n")
    allowed = here("grade", run, "--fresh", "--allow-unlimited")
    assert (allowed.returncode, allowed.stdout.split()[0]) == (0, "unresolved")
    assert "1 graded, 0 resolved, 0 not judged" in allowed.stderr
    check = ("tasks", "check", "--tasks", "bundled", "--ids", task.id, "-k", "1")
    assert "--allow-unlimited" in "".join(here(*check)[1:])


def asclaimed(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("asclaimed")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=250)
    assert done.returncode == 0, done.stderr
    return done


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {line["case"]: line["outcome"] for line in json.loads(done.stdout)}


@pytest.mark.docker
def test_the_strict_column_is_made_where_it_can_take_a_pass_away(
    task: Task, docker_daemon: None, tmp_path: Path
) -> None:
    with Grader(limits=QUICK, store=RunStore(tmp_path)) as grader:
        grade = grader.grade_patch(task, added("stray.txt", "nothing"))
    assert grade.strict is not None
    assert (grade.strict.outcome, grade.strict.reason) == (
        Outcome.UNRESOLVED,
        "not run: official is not resolved",
    )
    facts = [TestFacts.model_validate_json(path.read_bytes()) for path in tmp_path.rglob(FACTS)]
    assert [f.strict for f in facts] == [None]


@pytest.mark.docker
def test_pip_does_not_ask_again_where_there_is_no_network(task: Task, docker_daemon: None) -> None:
    run = TestContainers(resolve(task.image).id, "/", QUICK)
    assert b"PIP_RETRIES=0" in run(RunRequest(b"", {}, "env")).log


@pytest.mark.docker
def test_a_missing_image_is_the_machines_fault_and_named(task: Task, gold: bytes, grader: Grader) -> None:
    lost = task.model_copy(update={"image": ImageSpec(reference="localhost:1/absent:1")})
    grade = grader.grade_patch(lost, gold)
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.SANDBOX)
    assert "localhost:1/absent:1" in grade.official.reason


def test_a_row_that_cannot_be_used_is_the_tasks_fault(task: Task, gold: bytes) -> None:
    row = {**task.checks.row, "log_parser": "parse_log_none"}
    broken = task.model_copy(update={"checks": task.checks.model_copy(update={"row": row})})
    with Grader(limits=QUICK, strict=False) as grader:
        grade = grader.grade_patch(broken, gold)
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.TASK)


def record_of(task: Task, patch: bytes, **changes: object) -> Record:
    record = Record(
        key=AttemptKey(scaffold="bash", task_id=task.id, attempt=1),
        task_hash=task.content_hash,
        image="",
        stop=Stop.SUBMITTED,
        patch_sha256=hashlib.sha256(patch).hexdigest(),
        patch_bytes=len(patch),
        tool_calls=ToolCallMode.NATIVE,
        started="2026-01-01T00:00:00+00:00",
    )
    return record.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "party", "words"),
    [
        ({"failure": Failure(party=Party.SERVER, message="it is gone")}, Party.SERVER, "it is gone"),
        ({"patch_sha256": "0" * 64}, Party.SANDBOX, "not the one that the record names"),
        ({"task_hash": "0" * 64}, Party.TASK, "not the one that was attempted"),
    ],
)
def test_a_record_that_does_not_hold_together_is_not_judged(
    task: Task, gold: bytes, tmp_path: Path, changes: dict[str, object], party: Party, words: str
) -> None:
    (tmp_path / "patch.diff").write_bytes(gold)
    with Grader(limits=QUICK, strict=False) as grader:
        grade = grader.grade(task, record_of(task, gold, **changes), tmp_path)
        lost = grader.grade(task, record_of(task, gold), tmp_path / "lost")
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, party)
    assert words in grade.official.reason
    assert (lost.outcome, lost.party) == (Outcome.NOT_JUDGED, Party.SANDBOX)
    assert not (tmp_path / FACTS).exists()


def test_patches_are_applied_as_swebench_does() -> None:
    """Its own source, read and not imported: importing it takes seconds."""
    spec = importlib.util.find_spec("swebench")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], "harness", "run_evaluation.py").read_text()
    lists = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GIT_APPLY_CMDS"
    ]
    assert [tuple(ast.literal_eval(found)) for found in lists] == [APPLY_COMMANDS]
    constants = Path(spec.submodule_search_locations[0], "harness", "constants", "__init__.py").read_text()
    assert f'CONTAINER_PATCH_FILE = "{PATCH_FILE}"' in constants


@pytest.mark.parametrize(
    ("official", "strict", "outcome"),
    [
        (Outcome.RESOLVED, Outcome.RESOLVED, Outcome.RESOLVED),
        (Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.UNRESOLVED),
        (Outcome.UNRESOLVED, Outcome.RESOLVED, Outcome.UNRESOLVED),
        (Outcome.RESOLVED, Outcome.VIOLATION, Outcome.VIOLATION),
        (Outcome.RESOLVED, None, Outcome.RESOLVED),
    ],
)
def test_only_both_columns_make_a_pass(official: Outcome, strict: Outcome | None, outcome: Outcome) -> None:
    assert (
        conservative(GraderVerdict(outcome=official), GraderVerdict(outcome=strict) if strict else None)
        is outcome
    )


def test_an_ordinary_patch_is_not_odd(gold: bytes) -> None:
    assert oddities(gold) == ()


def column(outcome: Outcome) -> GraderVerdict:
    return GraderVerdict(outcome=outcome, reason=outcome)


R, U, N = (column(outcome) for outcome in (Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.NOT_JUDGED))


@pytest.mark.parametrize(
    ("gold_runs", "nop_runs", "verdict"),
    [
        ([R, R], [U, U], Reliability.RELIABLE),
        ([R, U], [U, U], Reliability.FLAKY),
        ([U, U], [U, U], Reliability.GOLD_FAILS),
        ([R, R], [U, R], Reliability.NOP_PASSES),
        ([R, N], [U, U], Reliability.NOT_JUDGED),
    ],
)
def test_reliability_is_gold_always_and_nop_never(
    gold_runs: list[GraderVerdict], nop_runs: list[GraderVerdict], verdict: Reliability
) -> None:
    assert judge(gold_runs, nop_runs)[0] is verdict


@pytest.mark.docker
def test_tasks_check_finds_the_two_ways_to_be_useless(
    task: Task, docker_daemon: None, tmp_path: Path
) -> None:
    useless = task.checks.model_copy(update={"gold_patch": added("stray.txt", "nothing").decode()})
    solved_row = {**task.checks.row, "FAIL_TO_PASS": list(task.checks.pass_to_pass)}
    solved = task.checks.model_copy(update={"row": solved_row})
    tasks = [task.model_copy(update={"id": name, "checks": c}) for name, c in (("a", useless), ("b", solved))]
    checked = tuple(check(tasks, k=1, limits=QUICK, grader="swebench==5.0.2", workers=1))
    assert [t.verdict for t in checked] == [Reliability.GOLD_FAILS, Reliability.NOP_PASSES]
    path = tmp_path / "list.json"
    save(path, CheckList(grader="swebench==5.0.2", k=1, limits=QUICK, host=host(), tasks=checked))
    assert set(excluded_tasks(path)) == {"a", "b"}
    assert all(t.image.startswith("sha256:") for t in checked)


@pytest.mark.parametrize("content", [None, b"{}", b"not json"])
def test_a_list_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        excluded_tasks(path)
    assert "list" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_predictions_in_all_three_shapes(tmp_path: Path) -> None:
    one = {"instance_id": "a__b-1", "model_name_or_path": "m", "model_patch": "diff\udc80"}
    shapes = {
        "lines.jsonl": json.dumps(one) + "\n\n{broken\n",
        "list.json": json.dumps([one, {"instance_id": 3, "model_patch": ""}]),
        "dictionary.json": json.dumps(
            {"a__b-1": {"model_patch": "diff\udc80", "model_name_or_path": "m"}, "x": 1}
        ),
    }
    for name, text in shapes.items():
        (tmp_path / name).write_text(text)
        found = read_predictions(tmp_path / name)
        assert [(p.instance_id, p.model, p.patch) for p in found.usable] == [
            ("a__b-1", "m", "diff\ufffd".encode())
        ]
        assert len(found.unusable) == 1


def test_models_whose_names_look_alike_keep_their_own_patches(task: Task, tmp_path: Path) -> None:
    predictions = [Prediction(task.id, model, model.encode()) for model in ("org/m", "org__m", "other")]
    record_predictions(tmp_path / "run", predictions, RunPlan(tasks="bundled"), [task])
    patches = {p.parents[2].name: p.read_bytes() for p in (tmp_path / "run").rglob("patch.diff")}
    assert sorted(patches.values()) == [b"org/m", b"org__m", b"other"]
    assert patches["other"] == b"other"


@pytest.mark.parametrize(
    ("name", "text"), [("p.jsonl", ""), ("p.jsonl", "{}"), ("p.json", "{"), ("p.json", "3")]
)
def test_a_file_without_predictions_is_the_users_mistake(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError):
        read_predictions(tmp_path / name)


def test_hostile_model_names_stay_inside_the_run_directory(task: Task, tmp_path: Path) -> None:
    for number, model in enumerate(("../../etc", "..", "/", "a" * 500, "\x1b[31mred")):
        predictions = tmp_path / f"{number}.json"
        entry = {"instance_id": task.id, "model_name_or_path": model, "model_patch": "x"}
        predictions.write_text(json.dumps([entry]))
        run = tmp_path / "runs" / str(number)
        record_predictions(run, read_predictions(predictions).usable, RunPlan(), [task])
        (directory,) = (path for path in run.iterdir() if path.is_dir())
        assert (directory / task.id / "1" / "record.json").is_file()
        assert directory.name.strip("._").isprintable()
