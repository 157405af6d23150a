"""Tasks about machines, end to end on real Docker and without a network: our own ones in the shape of Terminal-Bench's.

Oracle 100 %, nop 0 %; a verifier that is broken is not judged, and an agent that breaks its ground fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evals.grade.grader import Grader
from evals.grade.judge import NotJudged
from evals.grade.reward import Reward
from evals.record import FlagKind, Grade, Outcome, Party, Record
from evals.results.load import from_run_dir
from evals.run import manifest
from evals.run.kept_verification import KeptVerification
from tasks import catalog
from tasks.backend import TestLimits, VerifierRun
from tasks.docker.backend import DockerBackend
from tasks.task import Task, Verifier
from tests.command_line import asclaimed
from tests.fakes.openai_server import Answer, FakeServer, say
from tests.harbor_tasks import TASKS, UVX, OwnTask, write_task, write_tasks

pytestmark = pytest.mark.docker
BROKEN = TASKS[0]._replace(name="broken", test=UVX.replace("pytest --ctrf", "pytest --no-such-option --ctrf"))
"""Its reward is 0 whatever is done, without the report that it promises."""
REFUSED = TASKS[0]._replace(name="refused", toml="[environment]\ngpus = 1\n")
LIMITS = TestLimits()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = write_tasks(tmp_path_factory.mktemp("harbor") / "own-bench")
    write_task(home, BROKEN)
    write_task(home, REFUSED)
    return home


@pytest.fixture(scope="module")
def run(docker_daemon: None, home: Path) -> Iterator[Path]:
    """The solutions of all; what it kept in Docker is removed again."""
    run = home.parent / "run"
    done = asclaimed(
        "run", "--tasks", home, "--scaffold", "gold", "--workers", 2, "--set", "graders=2", "--out", run
    )
    assert done.returncode == 1, done.stderr  # the broken one
    assert "REFUSED, and excluded: refused needs a GPU" in done.stderr
    assert "PROTOCOL, other time limit: the tasks give 90 s, this run 1800 s" in done.stderr
    assert "PROTOCOL, other clock: the tasks give seconds on the wall's clock, this run" in done.stderr
    assert "grader each task's own (harbor-verifier==1)" in done.stdout
    assert "swebench" not in done.stdout
    yield run
    forget_states(run)


def forget_states(run: Path) -> None:
    for record in records(run).values():
        if record.state:
            DockerBackend().forget(record.state.name)


def records(run: Path) -> dict[tuple[str, str], Record]:
    found = (Record.model_validate_json(path.read_bytes()) for path in run.glob("*/*/*/record.json"))
    return {(record.key.scaffold, record.key.task_id): record for record in found}


def grades(run: Path, scaffold: str) -> dict[str, Grade]:
    found = {path.parts[-3]: path for path in run.glob(f"{scaffold}/*/1/grade.json")}
    return {name: Grade.model_validate_json(path.read_bytes()) for name, path in found.items()}


def test_solutions_pass(run: Path) -> None:
    found = grades(run, "gold")
    assert {name: grade.outcome for name, grade in found.items()} == {
        **{task.name: Outcome.RESOLVED for task in TASKS},
        BROKEN.name: Outcome.NOT_JUDGED,
    }
    assert all(grade.official.tests for name, grade in found.items() if name != BROKEN.name)
    assert manifest.load(run).excluded == {REFUSED.name: "needs a GPU"}


def test_a_broken_verifier_is_the_tasks_doing(run: Path) -> None:
    grade = grades(run, "gold")[BROKEN.name]
    assert grade.party is Party.TASK
    assert "the verifier fails on the untouched image as well" in grade.official.reason


def test_nothing_done_earns_nothing(run: Path, home: Path) -> None:
    """The verifier of each, on its untouched image: it works, and says 0."""
    tasks = [task for task in catalog.load(str(home)) if task.id not in (BROKEN.name, REFUSED.name)]
    with Grader() as grader, ThreadPoolExecutor(2) as pool:
        readings = list(pool.map(lambda task: grader.states.untouched(task, task.verifier), tasks))
    assert [reading.reward for reading in readings] == [Reward(0.0)] * len(TASKS)
    assert {reading.doubt or reading.wants for reading in readings} == {""}


def test_an_attempt_that_changed_nothing_is_its_own_control(
    docker_daemon: None, home: Path, tmp_path: Path
) -> None:
    ids = f"own-command,{BROKEN.name}"
    asclaimed(
        "run", "--tasks", home, "--ids", ids, "--scaffold", "nop", "--workers", 2, "--out", tmp_path / "run"
    )
    try:
        assert {record.state and record.state.changed for record in records(tmp_path / "run").values()} == {0}
        found = grades(tmp_path / "run", "nop")
        assert found["own-command"].official.reason == "reward 0"
        assert found[BROKEN.name].party is Party.TASK
    finally:
        forget_states(tmp_path / "run")


def test_a_record_says_what_changed_and_where_the_machine_is_kept(run: Path) -> None:
    found = records(run)
    record = found["gold", "own-command"]
    assert record.state
    changes = (record.key.directory(run) / "changes.txt").read_text().split("\n")
    assert "added /usr/local/bin/shout" in changes
    assert record.state.changed == len(changes) - 1
    assert (record.patch_sha256, record.patch_bytes) == ("", 0)


def test_what_is_kept_is_graded_again_without_a_machine(run: Path) -> None:
    before = grades(run, "gold")["sum-ledger"]
    done = asclaimed("grade", run, "--regrade", "--json")
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    assert {line["outcome"] for line in lines if line["case"].startswith("gold/")} == {
        "resolved",
        "not_judged",
    }
    assert grades(run, "gold")["sum-ledger"] == before


def test_kits_are_listed_with_the_rest_of_the_cache(run: Path) -> None:
    names = [one["name"] for one in json.loads(asclaimed("cache", "list", "--kind", "kits", "--json").stdout)]
    assert KeptVerification.load(run / "gold" / "sum-ledger" / "1").facts.kit in names  # type: ignore[union-attr]


def task_of(home: Path, own: OwnTask) -> tuple[Task, Verifier]:
    [task] = catalog.load(str(write_task(home, own)))
    assert task.verifier
    return task, task.verifier


ANSWERS = (
    OwnTask(
        "sixth-prime",
        "What is the sixth prime number? Write it, and nothing else, to /app/answer.txt.",
        "def test_answer():\n    assert open('/app/answer.txt').read().strip() == '13'\n",
        "echo 13 >answer.txt\n",
        category="maths",
    ),
    OwnTask(
        "largest-gap",
        "Write a module /app/solution.py with `gap(numbers)`, the largest difference of two neighbours.",
        "import sys\n\nsys.path.insert(0, '/app')\n\n\ndef test_gap():\n    from solution import gap\n\n"
        "    assert gap([1, 4, 9]) == 5\n",
        "printf 'def gap(numbers):\\n    return max(map(lambda a, b: b - a, numbers, numbers[1:]))\\n' >solution.py\n",
        category="code",
    ),
)
"""As AIME and LiveCodeBench are where they are Harbor tasks: a question, an answer in a file, a verifier of their own."""
SAID = {
    "sixth prime": "It is 13.\n\n/app/answer.txt\n```\n13\n```",
    "largest": "solution.py\n```python\ndef gap(numbers):\n    return 7\n```",
}


def test_questions_without_a_machine_take_one_answer(docker_daemon: None, tmp_path: Path) -> None:
    """One is right, one is wrong, and each task's own verifier says so."""
    for task in ANSWERS:
        write_task(tmp_path / "aime-2026", task)

    def answer(body: Mapping[str, Any]) -> Answer:
        text = str(body["messages"][-1]["content"])
        return next((say(found) for words, found in SAID.items() if words in text), say("hello"))

    with FakeServer(answer) as server:
        done = asclaimed(
            "run", "--tasks", tmp_path / "aime-2026", "--scaffold", "oneshot", "--base-url", server.url, "--model", "fake",
            "--workers", 2, "--set", "graders=2", "--out", tmp_path / "run",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    try:
        found = grades(tmp_path / "run", "oneshot")
        assert {name: grade.outcome for name, grade in found.items()} == {
            "sixth-prime": Outcome.RESOLVED, "largest-gap": Outcome.UNRESOLVED,
        }  # fmt: skip
    finally:
        forget_states(tmp_path / "run")


ENDLESS = TASKS[0]._replace(
    test="sleep 600\n", toml=TASKS[0].toml.replace("timeout_sec = 120.0", "timeout_sec = 3.0")
)
SILENT = TASKS[0]._replace(test="exit 0\n")


@pytest.mark.parametrize(
    ("own", "why"),
    [(ENDLESS, "the verifier did not end within 3 s"), (SILENT, "the verifier wrote no reward")],
    ids=["endless", "silent"],
)
def test_a_verifier_that_judges_nothing_is_the_tasks_doing(
    docker_daemon: None, tmp_path: Path, own: OwnTask, why: str
) -> None:
    task, verifier = task_of(tmp_path, own)
    with Grader() as grader, pytest.raises(NotJudged, match=why) as raised:
        grader.states.grade_state(task, verifier, DockerBackend().prepare(task).image)
    assert raised.value.party is Party.TASK


SERVICE = OwnTask(
    "service",
    "Serve /app over HTTP on 127.0.0.1:8765, and leave it running.",
    "from urllib.request import urlopen\n\n\ndef test_it_answers():\n"
    "    assert urlopen('http://127.0.0.1:8765/', timeout=5).status == 200\n",
    "setsid nohup python3 -m http.server 8765 --bind 127.0.0.1 >/dev/null 2>&1 &\n"
    "for n in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/8765) 2>/dev/null && exit 0; sleep 0.1; done\nexit 1\n",
)


def test_a_verifier_that_wants_a_running_service_is_run_beside_it_and_marked(
    docker_daemon: None, tmp_path: Path
) -> None:
    """In a fresh container its solution fails, and `tasks check` says what would help."""
    directory = write_task(tmp_path / "own", SERVICE)
    checked = asclaimed("tasks", "check", "--tasks", directory, "-k", 1)
    assert (
        "it passes only beside what its solution left running: --set grading.shared=[service]"
        in checked.stdout
    )
    run = tmp_path / "run"
    done = asclaimed(
        "run", "--tasks", directory, "--scaffold", "gold", "--set", "grading.shared=[service]", "--out", run
    )
    try:
        assert "SHARED: service: verified in the agent's own machine" in done.stderr
        grade, record = grades(run, "gold")["service"], records(run)["gold", "service"]
        assert grade.outcome is Outcome.RESOLVED
        assert grade.evidence[0].startswith(
            "verified in the agent's own machine, beside what it left running (shared)"
        )
        assert record.flags[0].kind is FlagKind.SHARED_VERIFIER
        assert from_run_dir(run).rows[0].flagged
        assert asclaimed("grade", run, "--regrade", "--fresh").returncode == 0
        assert grades(run, "gold")["service"].outcome is Outcome.RESOLVED
    finally:
        forget_states(run)


HOSTILE = """\
#!/bin/bash
ln -s /etc/passwd /logs/verifier/reward.txt
mkfifo /logs/verifier/reward.json
truncate -s 10G /logs/verifier/ctrf.json
(sleep 30; rm -f /logs/verifier/reward.txt; echo 1 >/logs/verifier/reward.txt; sleep 60) >/dev/null 2>&1 &
ls -A /tests /logs/verifier; cat /proc/net/route | wc -l; id -u
exit 7
"""


def test_what_a_verifier_leaves_is_data(docker_daemon: None, tmp_path: Path) -> None:
    """A link, a pipe, 10 GB, and a process that writes a reward later: none of it is one."""
    task, verifier = task_of(tmp_path, TASKS[0]._replace(test=HOSTILE))
    backend = DockerBackend()
    collect = tuple(f"/logs/verifier/{name}" for name in ("reward.txt", "reward.json", "ctrf.json", "absent"))
    result = backend.verify(VerifierRun(backend.prepare(task).image, "/app", verifier, collect, LIMITS))
    problems = {path.rpartition("/")[2]: left.problem for path, left in result.left.items()}
    assert problems == {
        "reward.txt": "is a link",
        "reward.json": "is a pipe",
        "ctrf.json": "has 10737418240 bytes, more than 16777216",
    }
    assert result.exit_code == 7
    assert b"test_outputs.py" in result.log
    assert result.log.endswith(b"1\n0\n")  # no route but the table's head, and root


def test_an_agent_that_breaks_its_verifiers_ground_fails(docker_daemon: None, tmp_path: Path) -> None:
    """No shell, foreign files where the verifier puts its own, no working directory: it gains nothing by that."""
    task, verifier = task_of(tmp_path, TASKS[0])
    backend, name = DockerBackend(), "asclaimed/state:test-broken"
    with backend.open(
        backend.prepare(task).image, workdir="/app", limits=LIMITS.container, labels={}
    ) as sandbox:
        sandbox.exec(
            "mkdir -p /tests /logs/verifier; echo 1 >/logs/verifier/reward.txt; touch /tests/conftest.py; "
            "rm -rf /app /bin/bash /usr/bin/bash",
            timeout=30,
            cwd="/",
        )
        state = sandbox.keep(name, {})
    assert "deleted /usr/bin/bash" in state.changed
    try:
        with Grader() as grader:
            grade = grader.states.grade_state(task, verifier, state.image)
    finally:
        backend.forget(name)
    assert (grade.outcome, grade.party) == (Outcome.UNRESOLVED, None)
    assert (
        grade.official.reason == "the verifier wrote no reward, and on the untouched image the verifier works"
    )


def test_a_state_that_no_machine_starts_in_is_a_failure(docker_daemon: None, tmp_path: Path) -> None:
    """A pipe where the daemon reads accounts would hold it; a machine that is the daemon's to refuse is the agent's doing."""
    task, verifier = task_of(tmp_path, TASKS[0])
    backend, name = DockerBackend(), "asclaimed/state:test-stuck"
    with backend.open(
        backend.prepare(task).image, workdir="/app", limits=LIMITS.container, labels={}
    ) as sandbox:
        sandbox.exec("rm /etc/passwd; mkfifo /etc/passwd", timeout=30, cwd="/")
        state = sandbox.keep(name, {})
    try:
        result = backend.verify(VerifierRun(state.image, "/app", verifier, (), LIMITS))
    finally:
        backend.forget(name)
    assert (result.starts, result.log) == (False, b"/etc/passwd is a pipe")


FAILING = TASKS[0]._replace(
    name="failing",
    solution="echo one >&2\necho 'no such module: \x1b[31mpandas'\nexit 3\n",
    toml=TASKS[0].toml.replace("cpus = 1", "cpus = 512"),
)


def test_tasks_check_says_why_a_solution_fails(docker_daemon: None, tmp_path: Path) -> None:
    directory = write_task(tmp_path / "own", FAILING)
    done = asclaimed("tasks", "check", "--tasks", directory, "-k", 1)
    line = done.stdout.strip()
    assert line.startswith("gold_fails  failing")
    assert "reward 0; 1 of 1 tests failed: " in line
    assert "; solve.sh ended with 3: no such module: " in line
    assert "; it is meant for 512 CPUs, and Docker's machine has " in line
    assert "\x1b" not in line


def test_tasks_check_runs_both_controls(docker_daemon: None, home: Path) -> None:
    done = asclaimed("tasks", "check", "--tasks", home, "--ids", "sum-ledger", "-k", 1)
    assert done.stdout.split() == ["reliable", "sum-ledger"]
    assert "1 of 1 tasks reliable at k = 1, 0 to exclude" in done.stderr
    assert "weak" not in done.stderr, "there is no strict run of it that a guess could pass"
