"""Harbor task directories become tasks: from a directory, a checkout, a registry; what cannot be run is refused by name.

Also what a verifier left, read as data. Nothing here needs a machine.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from evals.grade.reward import read_missing, read_report, read_reward
from evals.run.kept_verification import JSON, MISSING, TEXT
from evals.run.plan import RunPlan
from evals.run.state import CHANGES, flags_of_state
from scaffolds.opening import Prompt, opening
from scaffolds.submit import SubmitProtocol
from tasks import catalog
from tasks.backend import Left
from tasks.docker.verifier import as_left
from tasks.errors import TaskError, UserError
from tasks.harbor.script import needs, report_path
from tasks.harbor.wheels import complaint
from tasks.task import Task
from tests.command_line import asclaimed
from tests.harbor_tasks import PINNED, TASKS, UVX, write_task, write_tasks


def only(tmp_path: Path, **files: str) -> Task:
    """The first of our tasks with other files in it; `__` stands for `/`, `_dot_` for `.`."""
    directory = write_task(tmp_path / "own", TASKS[0])
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    [task] = catalog.load(str(directory))
    return task


def test_a_directory_becomes_a_task_about_a_machine(tmp_path: Path) -> None:
    task = only(tmp_path)
    assert (task.id, task.benchmark, task.brief.repo, task.brief.workdir) == (
        "sum-ledger", "sum-ledger", "files", "/app",
    )  # fmt: skip
    assert task.image.reference == "asclaimed/harbor-sum-ledger"
    assert task.image.context
    verifier = task.verifier
    assert verifier
    assert (verifier.seconds, verifier.agent_seconds, verifier.memory, verifier.cpus) == (120, 90, 2 << 30, 1)
    assert (verifier.packages, verifier.tools, verifier.ctrf) == (
        tuple(sorted(PINNED)),
        (),
        "/logs/verifier/ctrf.json",
    )
    assert verifier.wants_network
    assert not verifier.refused
    assert not any(secret in task.brief.model_dump_json() for secret in ("total.txt').read", "awk"))


def test_a_directory_of_tasks_a_checkout_and_a_registry(tmp_path: Path) -> None:
    names = sorted(task.name for task in TASKS)
    write_tasks(tmp_path / "checkout" / "data")
    assert [task.id for task in catalog.load(f"mine={tmp_path / 'checkout' / 'data'}")] == names
    assert [task.id for task in catalog.load(str(tmp_path / "checkout"))] == names
    entries = [
        {"name": name, "path": f"data/{name}", "git_commit_id": "abc", "git_url": "https://x"}
        for name in names
    ]
    registry = tmp_path / "checkout" / "registry.json"
    registry.write_text(
        json.dumps(
            [
                {"name": "own", "version": version, "tasks": entries[:count]}
                for version, count in (("1.0", 2), ("2.0", 8))
            ]
            + [
                {
                    "name": "away",
                    "tasks": [
                        {"name": "gone", "path": "elsewhere", "git_url": "https://x", "git_commit_id": "abc"}
                    ],
                }
            ]
        )
    )
    tasks = catalog.load(f"own@1.0={registry}")
    assert ([task.id for task in tasks], tasks[0].benchmark) == (names[:2], "own")
    with pytest.raises(UserError, match="several data sets are called 'own'; give one of away@head, own@1"):
        catalog.load(f"own={registry}")
    with pytest.raises(TaskError, match="check out https://x at abc"):
        catalog.load(f"away={registry}")


def test_contents_decide_the_hash_and_places_do_not(tmp_path: Path) -> None:
    first, second = only(tmp_path / "a"), only(tmp_path / "b")
    assert first.content_hash == second.content_hash
    assert only(tmp_path / "a", tests__data_dot_txt="x").content_hash != first.content_hash


def test_the_newest_schema(tmp_path: Path) -> None:
    task = next(t for t in catalog.load(str(write_tasks(tmp_path))) if t.id == "greeting")
    assert task.verifier
    assert (task.verifier.memory, task.verifier.wants_network) == (1 << 30, False)
    assert (task.verifier.env, task.verifier.solution_env) == ({"EXPECTED": "words"}, {"GREETING": "hello"})


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ("[[steps]]\nname = 'one'", r"several steps"),
        ("[environment.tpu]\ntype = 'v5e'", "a TPU"),
        ("[environment]\ngpus = 1", "a GPU"),
        ("[environment]\nos = 'windows'", "needs windows"),
        ("[environment]\nmcp_servers = [{ name = 'x' }]", "MCP"),
        ("[verifier]\nenvironment_mode = 'separate'", "environment of its own"),
        ("[verifier]\nuser = 'tester'", "as another user than root"),
        ("[environment.env]\nA = '${A}'", "takes A from the environment"),
        ("[verifier.env]\nOPENAI_API_KEY = '${OPENAI_API_KEY}'", "takes OPENAI_API_KEY from the environment"),
    ],
)
def test_what_one_machine_of_ours_is_not_is_refused_by_name(tmp_path: Path, toml: str, why: str) -> None:
    """Such a task is listed with its reason, so that nothing of a benchmark is lost in silence."""
    task = only(tmp_path, task_dot_toml=toml)
    assert task.verifier
    assert why in task.verifier.refused


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ("main:\n    privileged: true\n    ports: ['80:80']", "is privileged"),
        ("main:\n    network_mode: host", "has the network 'host'"),
        ("main:\n    volumes: ['/:/host']", "mounts /"),
        (
            "main:\n    volumes: ['${HOME}/.config/x:/root/.config/x:ro']",
            "mounts ${HOME}/.config/x",
        ),
        ("main:\n    volumes: [{type: bind, source: ../data, target: /data}]", "mounts ../data"),
        ("main:\n    environment: ['GH_TOKEN=${GH_TOKEN}']\n    volumes: ['/:/host']", "takes GH_TOKEN from"),
        ("main:\n    environment: {KEY: $KEY}", "takes KEY from"),
        ("main:\n    volumes: ['cache:/cache']", "mounts cache"),
        ("main:\n    environment: [GH_TOKEN]", "takes GH_TOKEN from"),
        ("main:\n    build: {context: ., dockerfile: Other}", "is built from Other"),
        ("main:\n    command: [redis-server]", "starts a service in its machine"),
        ("main:\n    shm_size: 2g", "sets shm_size"),
        ("main:\n    build: ./other", "is built from ./other"),
        ("website:\n    ports: ['80:80']\n  api:\n    image: y", "its service website has neither an image"),
    ],
)
def test_compose_is_refused_for_the_worst_in_it(tmp_path: Path, services: str, why: str) -> None:
    task = only(tmp_path, **{"environment__docker-compose_dot_yaml": f"services:\n  {services}\n"})
    assert task.verifier
    assert task.verifier.refused.startswith("needs docker compose, and ")
    assert why in task.verifier.refused


def test_a_compose_file_that_holds_what_harbor_fills_in_needs_no_compose(tmp_path: Path) -> None:
    text = (
        "services:\n  main:\n    build:\n      context: ${CONTEXT_DIR}\n    image: ${MAIN_IMAGE_NAME}\n"
        "    command: [sh, -c, sleep infinity]\n    network_mode: ${NETWORK_MODE:-bridge}\n"
        "    environment: ['TEST_DIR=${TEST_DIR}']\n"
        "    volumes: ['${HOST_VERIFIER_LOGS_PATH}:${ENV_VERIFIER_LOGS_PATH}']\n"
        "    deploy: {resources: {limits: {cpus: '${CPUS}'}}}\n"
    )
    task = only(tmp_path, **{"environment__docker-compose_dot_yaml": text})
    assert task.verifier
    assert not task.verifier.refused


def test_a_broken_compose_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"sum-ledger/environment/compose\.yml: not a readable compose file"):
        only(tmp_path, environment__compose_dot_yml="services: 3\n")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("task.toml", "version = ", r"sum-ledger/task.toml: not valid TOML"),
        ("task.toml", "[agent]\ntimeout_sec = 'long'", r"sum-ledger/task.toml: `agent.timeout_sec`"),
        ("task.toml", "[environment]\nmemory = 'much'", "'much' is no size"),
        ("tests/test.sh", None, "sum-ledger: tests/test.sh is missing"),
        ("instruction.md", None, "sum-ledger: instruction.md is missing"),
        ("environment/Dockerfile", None, "neither `docker_image` in task.toml nor environment/Dockerfile"),
    ],
)
def test_what_is_broken_is_said_in_one_line(
    tmp_path: Path, name: str, text: str | None, complaint: str
) -> None:
    path = write_task(tmp_path, TASKS[0]) / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(TaskError, match=complaint):
        catalog.load(str(tmp_path))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("terminal-bench-2.1", "terminal-bench-2.1"),
        ("skillsbench/tasks", "skillsbench"),
        ("own", "own"),
    ],
)
def test_a_directory_of_tasks_gives_its_benchmark_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, name: str
) -> None:
    """Its whole name: `2.1` is no `2`; and of a checkout not the word `tasks`, which no claim is about."""
    write_task(tmp_path / place, TASKS[0])
    assert catalog.load(str(tmp_path / place))[0].benchmark == name
    monkeypatch.chdir(tmp_path / place)
    assert catalog.load(".")[0].benchmark == name


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (
            "WARNING: x\nERROR: Could not find a version that satisfies a==9 (from versions: 1, 2, 3)\nERROR: No match",
            "Could not find a version that satisfies a==9",
        ),
        ("something\n  else", "something else"),
    ],
)
def test_what_pip_cannot_have_is_said_without_all_that_it_could(stderr: str, line: str) -> None:
    assert complaint(stderr) == line


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    for home in ("a", "b"):
        write_task(tmp_path / home, TASKS[0])
    with pytest.raises(TaskError, match="more than once: sum-ledger"):
        catalog.load(str(tmp_path))


def test_a_link_out_of_the_task_is_no_file_of_it(tmp_path: Path) -> None:
    (write_task(tmp_path, TASKS[0]) / "tests" / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(TaskError, match="tests/passwords is no file of the task"):
        catalog.load(str(tmp_path))


@pytest.mark.parametrize(
    ("script", "packages", "tools", "impossible"),
    [
        (UVX, ("pytest-json-ctrf==0.3.5", "pytest==8.4.1"), (), ()),
        ("uvx --with 'numpy>=2,<3' --from pytest==8.4.1 pytest x", ("numpy>=2,<3", "pytest==8.4.1"), (), ()),
        ("if uvx -w a==1 pytest@8.4.1 t.py; then echo; fi", ("a==1", "pytest==8.4.1"), (), ()),
        (
            "apt-get update -qq && DEBIAN_FRONTEND=x apt-get install -y curl mtools socat",
            (),
            ("mtools", "socat"),
            (),
        ),
        ("python3 -m pip install -q x==1 -r req.txt 2>/dev/null || true", ("x==1",), (), ()),
        ("uv add requests && uv pip install --python 3.12 y", ("requests", "y"), (), ()),
        (
            "uvx -w git+https://github.com/x/y.git pytest",
            ("pytest",),
            (),
            ("git+https://github.com/x/y.git",),
        ),
        ("# pip install no\npython3 - <<'E'\nprint(\"pip install that's\nE\n", (), (), ()),
    ],
)
def test_what_a_script_fetches(script: str, packages: tuple[str, ...], tools: tuple[str, ...], impossible: tuple[str, ...]) -> None:  # fmt: skip
    assert needs(script) == (packages, tools, impossible)


def test_where_a_script_promises_its_report() -> None:
    assert report_path("pytest --ctrf=/logs/verifier/a.json x") == "/logs/verifier/a.json"
    assert report_path("pytest --ctrf $DIR/ctrf.json x") == "/logs/verifier/ctrf.json"
    assert report_path("# pytest --ctrf x\npytest y") == ""


@pytest.mark.parametrize(
    ("files", "value", "problem"),
    [
        ({TEXT: b"1\n"}, 1, ""),
        ({TEXT: b" 0.25"}, 0.25, ""),
        ({JSON: b'{"reward": 1}', TEXT: b"0"}, 1, ""),
        ({JSON: b'{"score": 0.5}'}, 0.5, ""),
        ({JSON: b'{"a": 1, "b": 1}'}, None, "reward.json holds no number"),
        ({JSON: b'{"reward": true}'}, None, "reward.json holds no number"),
        ({JSON: b'{"reward": NaN}'}, None, "reward.json holds no"),
        ({TEXT: b"nan"}, None, "no finite number"),
        ({TEXT: b"inf"}, None, "no finite number"),
        ({TEXT: b"2"}, None, "not between 0 and 1"),
        ({TEXT: b"-1"}, None, "not between 0 and 1"),
        ({TEXT: b"\xff\xfe"}, None, "holds no number"),
        ({TEXT: b"9" * 100_000}, None, "too long"),
        ({JSON: b"[" * 60_000}, None, "holds no number"),
        ({}, None, "wrote no reward"),
    ],
)
def test_a_reward_is_a_number_or_a_reason(files: dict[str, bytes], value: float | None, problem: str) -> None:
    found = read_reward({path: Left(data) for path, data in files.items()})
    assert found.value == value
    assert problem in found.problem


def test_a_report_and_notes_are_data() -> None:
    good = {
        "results": {"tests": [{"name": "a\x1b[2J", "status": "passed"}, {"name": "b", "status": "failed"}]}
    }
    tests = read_report({"p": Left(json.dumps(good).encode())}, "p").tests
    assert tests["b"] == "failed"
    long = {"results": {"tests": [{"name": "n" * 600, "status": "s" * 600}]}}
    assert read_report({"p": Left(json.dumps(long).encode())}, "p").tests == {"n" * 500: "s" * 20}
    for bad in (b"[]", b"{}", b'{"results": {"tests": 3}}', b"[" * 100_000, b'{"results": {"tests": []}}'):
        assert read_report({"p": Left(bad)}, "p").problem
    assert read_report({}, "p").problem == "the report of its tests is missing"
    assert read_missing({MISSING: Left(b"socat\nsocat\n\x1b[31mx\n")})[0] == "socat"


def member(kind: bytes, size: int = 0) -> Left:
    """What is made of a tar with one such file in it."""
    info = tarfile.TarInfo("reward.txt")
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    packed = io.BytesIO(info.tobuf() + b"1".ljust(512, b"\0") + bytes(1024))
    with tarfile.open(fileobj=packed, mode="r|") as tar:
        return as_left(tar, tar.next())


def test_links_pipes_and_giants_are_findings() -> None:
    assert member(tarfile.REGTYPE, 1) == (b"1", "")
    assert member(tarfile.SYMTYPE).problem == "is a link"
    assert member(tarfile.FIFOTYPE).problem == "is a pipe"
    assert "10000000000 bytes" in member(tarfile.REGTYPE, 10_000_000_000).problem
    assert member(tarfile.DIRTYPE).problem == "is no regular file"


def test_changed_files_that_a_verifier_stands_on_are_flagged(tmp_path: Path) -> None:
    (tmp_path / CHANGES).write_text(
        "added /app/x.py\nchanged /bin/bash\nadded /conftest.py\nadded /tests/a.py\n"
    )
    found = {str(flag.kind): (flag.detail, flag.count) for flag in flags_of_state(tmp_path)}
    assert found == {"replaces_runner": ("/bin/bash", 2), "touches_tests": ("/tests/a.py", 1)}


def test_a_model_is_told_of_a_machine_and_not_of_a_repository(tmp_path: Path) -> None:
    system, task = opening(Prompt.SHELL, only(tmp_path).brief, SubmitProtocol.TOOL)
    assert "repository" not in system + task
    assert "commands start in /app" in task
    assert "/app/ledger.csv" in task


def test_a_plan_is_the_same_for_both_kinds() -> None:
    assert RunPlan(tasks="terminal-bench@2.0=registry.json").tasks


def test_what_is_refused_is_said_wherever_tasks_are_listed_or_checked(tmp_path: Path) -> None:
    """Without a run, and without a machine."""
    directory = write_task(tmp_path / "own", TASKS[0])
    (directory / "task.toml").write_text("[environment]\ngpus = 1")
    listed = asclaimed("tasks", "list", "--tasks", directory)
    assert listed.stderr.strip() == "refused: sum-ledger needs a GPU"
    checked = asclaimed("tasks", "check", "--tasks", directory, "-k", 1)
    assert "not_judged  sum-ledger  refused: it needs a GPU" in checked.stdout
    assert checked.returncode == 1


def test_what_no_kit_can_give_is_named_before_a_run(tmp_path: Path) -> None:
    directory = write_task(tmp_path / "own", TASKS[0])
    (directory / "tests" / "test.sh").write_text("uvx -w git+https://example.org/x/y pytest /tests\n")
    done = asclaimed("run", "--tasks", directory, "--scaffold", "gold", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.strip().split("\n")[-1] == (
        "asclaimed: no task can be run here: sum-ledger has a verifier that installs git+https://example.org/x/y, "
        "which is on no package index"
    )
    assert not (tmp_path / "run" / "manifest.json").exists()
