"""Names and paths become tasks; what cannot be used is refused in one line that names the place."""

from __future__ import annotations

import datetime
import json
import shutil
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tasks import catalog, rows, swebench
from tasks.errors import MachineError, TaskError, UserError

ROW: dict[str, Any] = {
    "instance_id": "acme__anvil-7",
    "repo": "acme/anvil",
    "base_commit": "0" * 40,
    "problem_statement": "It falls upwards.",
    "hints_text": "flip the sign in fall()",
    "patch": "diff --git a/fall.py b/fall.py\n",
    "test_patch": "diff --git a/test_fall.py b/test_fall.py\n",
    "FAIL_TO_PASS": '["test_fall.py::test_down"]',
    "PASS_TO_PASS": "[]",
    "version": "1.0",
}


def write_jsonl(path: Path, *found: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return str(path)


def test_row_of_swebench_4(tmp_path: Path) -> None:
    [task] = catalog.load(write_jsonl(tmp_path / "acme.jsonl", ROW))
    assert task.benchmark == "acme"
    assert task.image.reference == "swebench/sweb.eval.x86_64.acme_1776_anvil-7:latest"
    assert task.image.context is None
    assert task.checks.eval_script is None
    assert task.checks.log_parser is None
    assert task.checks.fail_to_pass == ("test_fall.py::test_down",)
    assert task.checks.row == ROW


def test_row_of_swebench_5(tmp_path: Path) -> None:
    row = ROW | {
        "image": "registry.example:5000/acme/anvil@sha256:" + "a" * 64,
        "eval_script": "#!/bin/bash\n",
        "log_parser": "parse_log_pytest",
        "eval_type": "fail_only",
        "FAIL_TO_PASS": ["a", "b"],
    }
    [task] = catalog.load(write_jsonl(tmp_path / "acme.jsonl", row))
    assert task.image.reference == row["image"]
    assert task.checks.eval_script == "#!/bin/bash\n"
    assert task.checks.log_parser == "parse_log_pytest"
    assert task.checks.eval_type == "fail_only"
    assert task.checks.fail_to_pass == ("a", "b")


def test_image_name_is_lower_case(tmp_path: Path) -> None:
    [task] = catalog.load(write_jsonl(tmp_path / "a.jsonl", ROW | {"instance_id": "Acme__Anvil-7"}))
    assert task.image.reference == "swebench/sweb.eval.x86_64.acme_1776_anvil-7:latest"


def test_brief_holds_nothing_but_the_question(tmp_path: Path) -> None:
    [task] = catalog.load(write_jsonl(tmp_path / "a.jsonl", ROW))
    assert task.brief.model_dump() == {
        "task_id": "acme__anvil-7",
        "repo": "acme/anvil",
        "problem_statement": "It falls upwards.",
        "workdir": "/testbed",
    }


def test_json_and_parquet_say_the_same_as_jsonl(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    dated = ROW | {"created_at": "2024-05-01 00:00:00"}
    (tmp_path / "x.json").write_text(json.dumps([dated]))
    table = pyarrow.Table.from_pylist([ROW | {"created_at": datetime.datetime(2024, 5, 1)}])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    write_jsonl(tmp_path / "x.jsonl", dated)
    loaded = [catalog.load(str(tmp_path / f"x.{suffix}")) for suffix in ("jsonl", "json", "parquet")]
    assert loaded[0] == loaded[1] == loaded[2]


def test_a_path_can_be_given_its_benchmark(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROW)
    [task] = catalog.load(f"swebench-verified={path}")
    assert task.benchmark == "swebench-verified"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"instance_id": "../../etc/passwd"}, "'instance_id'"),
        ({"instance_id": "a/b"}, "'instance_id'"),
        ({"instance_id": "a\x1b[2Jb"}, "'instance_id'"),
        ({"instance_id": 7}, "'instance_id' must be text"),
        ({"problem_statement": " \n"}, "'problem_statement'"),
        ({"patch": None}, "'patch'"),
        ({"base_commit": ""}, "'base_commit'"),
        ({"image": "--privileged"}, "'image'"),
        ({"FAIL_TO_PASS": "[not json"}, "'FAIL_TO_PASS'"),
        ({"FAIL_TO_PASS": [1]}, "'FAIL_TO_PASS'"),
        ({"PASS_TO_PASS": None}, "'PASS_TO_PASS'"),
        ({"eval_type": "vibes"}, "eval_type"),
        ({"eval_script": ["echo"]}, "'eval_script'"),
    ],
)
def test_malformed_row_is_named(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", ROW, ROW | {"instance_id": "acme__anvil-8"} | change)
    with pytest.raises(TaskError) as caught:
        catalog.load(path)
    message = str(caught.value)
    assert message.startswith("rows.jsonl line 2: ")
    assert complaint in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", b'{"instance_id": \n', "a.jsonl line 1"),
        ("a.jsonl", b"[1]\n", "a.jsonl line 1"),
        ("a.jsonl", b"\xff\xfe\n", "a.jsonl"),
        ("a.jsonl", b"\n\n", "holds no tasks"),
        ("a.json", b'{"rows": []}', "expected a list"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.parquet", b"PAR1 but not really", "not a readable Parquet file"),
        ("a.csv", b"instance_id\n", "no tasks at"),
    ],
)
def test_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=complaint) as caught:
        catalog.load(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="bundled, starter, swebench-verified"):
        catalog.load("swebench-verifed")


def test_duplicates_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="more than once: acme__anvil-7"):
        catalog.load(write_jsonl(tmp_path / "a.jsonl", ROW, ROW))


@pytest.fixture
def hub_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No hub at a port where nobody listens, and an empty cache."""
    # Before the variables change: what these read of them when first imported stays for every later test.
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    for constants in (huggingface_hub.constants, datasets.config):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("hub_away")
def test_hub_out_of_reach_says_what_to_do() -> None:
    with pytest.raises(MachineError, match=r"--tasks PATH.jsonl"):
        list(rows.from_hub("asclaimed/never-published"))


def test_hub_that_refuses_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:  # says 501 to everything
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert rows.hub_answers()


@pytest.mark.usefixtures("hub_away")
def test_hub_rows_come_through_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory stands in for the hub: `datasets` reads both through the same door."""
    assert not rows.hub_answers()
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "test.jsonl", ROW)
    monkeypatch.setitem(swebench.DATASETS, "swebench-lite", str(tmp_path / "data"))
    [task] = catalog.load("swebench-lite")
    assert task.benchmark == "swebench-lite"
    assert task.checks.row == ROW


def test_task_repo_by_path_with_the_easiest_first(tmp_path: Path) -> None:
    shutil.copytree(
        catalog.bundled_directory(), tmp_path / "mine", ignore=shutil.ignore_patterns("__pycache__")
    )
    tasks = catalog.load(str(tmp_path / "mine"))
    assert [task.id for task in tasks] == [task.id for task in catalog.load("bundled")]
    assert {task.benchmark for task in tasks} == {"mine"}
    tiers = [task.checks.row["tier"] for task in tasks]
    assert tiers == sorted(tiers)
    assert all(task.image.context == tmp_path / "mine" / "tasks" / task.id for task in tasks)


def test_bundled_images_are_built_and_never_pulled() -> None:
    for task in catalog.load("bundled"):
        assert task.image.reference == f"asclaimed/{task.id}"
        assert task.image.context is not None


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("task.yaml", "instance_id: [\n", "task.yaml"),
        ("task.yaml", "just words", "expected keys"),
        ("task.yaml", "instance_id: another__task-1", "not the directory's name"),
        (
            "task.yaml",
            "instance_id: asclaimed__kettle-1\nrepo: a/b\nversion: '1'",
            "missing base_commit, image, log_parser, eval_type",
        ),
        ("tests.json", "{", "tests.json"),
        ("gold.patch", None, "cannot read gold.patch"),
    ],
)
def test_malformed_task_directory_is_named(
    tmp_path: Path, name: str, content: str | None, complaint: str
) -> None:
    source = catalog.bundled_directory() / "tasks" / "asclaimed__kettle-1"
    (tmp_path / "sweb.yaml").touch()
    target = shutil.copytree(source, tmp_path / "tasks" / source.name)
    (target / name).unlink()
    if content is not None:
        (target / name).write_text(content)
    with pytest.raises(TaskError, match=complaint) as caught:
        catalog.load(str(tmp_path))
    assert "asclaimed__kettle-1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_content_hash_covers_repo_and_dockerfile(tmp_path: Path) -> None:
    shutil.copytree(
        catalog.bundled_directory(), tmp_path / "bundled", ignore=shutil.ignore_patterns("__pycache__")
    )
    before = {task.id: task.content_hash for task in catalog.load(str(tmp_path / "bundled"))}
    with (tmp_path / "bundled/tasks/asclaimed__kettle-1/Dockerfile").open("a") as dockerfile:
        dockerfile.write("RUN apt-get install --yes tea\n")
    after = {task.id: task.content_hash for task in catalog.load(str(tmp_path / "bundled"))}
    assert {task_id for task_id in before if before[task_id] != after[task_id]} == {"asclaimed__kettle-1"}


@pytest.mark.parametrize(
    ("name", "count", "difficulty"),
    [
        ("swebench_verified_500", 500, True),
        ("swebench_lite_300", 300, False),
        ("swebench_multilingual_300", 300, False),
    ],
)
def test_real_rows_load(shared_data: Path, name: str, count: int, difficulty: bool) -> None:
    tasks = catalog.load(str(shared_data / f"{name}.jsonl"))
    assert len(tasks) == count
    assert len({task.content_hash for task in tasks}) == count
    assert all(task.checks.gold_patch not in task.brief.problem_statement for task in tasks)
    from tasks.swebench import difficulty as difficulty_of

    assert all(bool(difficulty_of(task)) is difficulty for task in tasks)


def test_real_rows_of_swebench_5_load(shared_data: Path) -> None:
    tasks = catalog.load(str(shared_data / "grading" / "rows.jsonl"))
    assert len(tasks) == 21
    assert all(task.checks.eval_script and task.checks.log_parser for task in tasks)


def test_the_names_of_images_follow_the_daemons_processor() -> None:
    name = "swebench/sweb.eval.x86_64.acme_1776_anvil-7:latest"
    assert swebench.image_names(name, "x86_64") == (name,)
    assert swebench.image_names(name, "aarch64") == (
        "swebench/sweb.eval.arm64.acme_1776_anvil-7:latest",
        name,
    )
    assert swebench.image_names("acme/anvil:1", "aarch64") == ("acme/anvil:1",)
