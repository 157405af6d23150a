"""SWE-bench Pro: every row of the public set loads, with all that its judge and its prompt need; and the judge on real Docker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evals.commands.preflight import check_graders
from evals.grade.grader import Grader
from evals.grade.judge import Judgement, NotJudged
from evals.grade.pro import ProJudge, parser_output
from evals.grade.store import KeptRun, TestFacts
from evals.record import Outcome, Party
from tasks import catalog, pro
from tasks.backend import TestLimits, quiet
from tasks.docker.images import build, sandbox_base
from tasks.errors import TaskError, UserError
from tasks.task import Task

OFFICIAL = {
    "instance_NodeBB__NodeBB-00c7-vnan": ("NodeBB/NodeBB", "nodebb.nodebb-NodeBB__NodeBB-00c7"),
    "instance_element-hq__element-web-1077-vnan": (
        "element-hq/element-web",
        "element-hq.element-element-hq__element-web-1077",
    ),
    pro.FULL_NAME: (
        "element-hq/element-web",
        f"element-hq.element-web-{pro.FULL_NAME.removeprefix('instance_')}",
    ),
    f"instance_a__b-{'c' * 200}": ("a/b", f"a.b-a__b-{'c' * 119}"),
}
ROW: dict[str, Any] = {
    "instance_id": "instance_acme__anvil-1",
    "repo": "acme/anvil",
    "base_commit": "0" * 40,
    "problem_statement": "It falls upwards.",
    "requirements": "fall() goes down.",
    "interface": "None.",
    "patch": "diff --git a/fall.py b/fall.py\n--- a/fall.py\n+++ b/fall.py\n@@ -1 +1 @@\n-WAY = 'up'\n+WAY = 'down'\n",
    "test_patch": "diff --git a/tests.txt b/tests.txt\nnew file mode 100644\n--- /dev/null\n+++ b/tests.txt\n@@ -0,0 +1 @@\n+down\n",
    "fail_to_pass": "['goes down']",
    "pass_to_pass": "[]",
    "selected_test_files_to_run": "['tests.txt', 'other.txt']",
    "before_repo_set_cmd": "git status\necho down >tests.txt",
    "dockerhub_tag": "acme.anvil-acme__anvil-1",
}
RUN = """\
echo "asked for $1"
grep -q "$(cat tests.txt)" fall.py && echo 'ok: goes down' || echo 'bad: goes down'
exit 3
"""
PARSER = """\
import json, sys
lines = [line.partition(': ') for line in open(sys.argv[1]) if ': ' in line]
tests = [{'name': name.strip(), 'status': {'ok': 'PASSED', 'bad': 'FAILED'}[word]} for word, _, name in lines]
json.dump({'tests': tests}, open(sys.argv[3], 'w'))
"""


def write(tmp_path: Path, row: dict[str, Any] = ROW, parser: str = PARSER) -> tuple[str, Path]:
    """A file of one row, and a checkout with its scripts."""
    rows, home = tmp_path / "rows.jsonl", tmp_path / "checkout" / "run_scripts" / row["instance_id"]
    rows.write_text(json.dumps(row) + "\n")
    home.mkdir(parents=True, exist_ok=True)
    (home / "run_script.sh").write_text(RUN)
    (home / "parser.py").write_text(parser)
    return f"swebench-pro={rows}", tmp_path / "checkout"


def load(tmp_path: Path, **others: Any) -> Task:
    name, scripts = write(tmp_path, ROW | others)
    [task] = catalog.load(name, pro_scripts=scripts)
    return task


def test_a_row_with_its_scripts(tmp_path: Path) -> None:
    task = load(tmp_path)
    checks = task.patch_checks
    assert (checks.fail_to_pass, checks.pass_to_pass, task.brief.workdir) == (("goes down",), (), "/app")
    assert task.brief.problem_statement == (
        "It falls upwards.\n\nRequirements:\nfall() goes down.\n\nNew interfaces introduced:\nNone."
    )
    script = (checks.eval_script or "").split("\n")
    assert script[1] == "echo down >tests.txt"  # the last line of the setup alone
    assert "run_script.sh tests.txt,other.txt >" in script[2]
    assert (checks.row["run_script.sh"], checks.row["parser.py"]) == (RUN, PARSER)


@pytest.mark.parametrize("instance_id", OFFICIAL)
def test_image_names(instance_id: str) -> None:
    repo, tag = OFFICIAL[instance_id]
    assert pro.image_name(instance_id, repo) == f"jefzda/sweap-images:{tag}"


def test_what_is_missing_is_said_before_a_run(tmp_path: Path) -> None:
    name, scripts = write(tmp_path)
    tasks = catalog.load(name)  # may be listed without
    with pytest.raises(UserError, match="give --pro-scripts DIR"):
        check_graders("swebench==5.0.2", tasks, quiet)
    with pytest.raises(UserError, match=r"no instance_acme__anvil-1 in it: give a checkout of scaleapi"):
        catalog.load(name, pro_scripts=tmp_path)
    (scripts / "run_scripts" / ROW["instance_id"] / "parser.py").unlink()
    with pytest.raises(UserError, match=r"instance_acme__anvil-1: .*No such file"):
        catalog.load(name, pro_scripts=scripts)


@pytest.mark.parametrize(
    "column",
    ["fail_to_pass", "selected_test_files_to_run", "patch", "repo", "base_commit"],
)
def test_a_bad_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(TaskError, match=f"line 1: column '{column}'"):
        load(
            tmp_path,
            **{column: "" if column in ("patch", "repo", "base_commit") else "exit()"},
        )


def test_nothing_in_a_row_is_evaluated(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="must be a list of texts"):
        load(tmp_path, pass_to_pass=f"[open({str(tmp_path / 'made')!r}, 'w')]")
    assert not (tmp_path / "made").exists()


def test_all_public_rows_load(shared_data: Path) -> None:
    tasks = catalog.load(f"swebench-pro={shared_data / 'swebench_pro_public_731.jsonl'}")
    assert len(tasks) == 731
    assert sum(not task.patch_checks.pass_to_pass for task in tasks) == 372
    for task in tasks:
        problem, _, rest = task.brief.problem_statement.partition("\n\nRequirements:\n")
        assert all((problem, *rest.rpartition("\n\nNew interfaces introduced:\n")))
        assert task.patch_checks.fail_to_pass
        assert len(task.image.reference.partition(":")[2]) <= 128


@pytest.mark.parametrize(
    ("name", "rows", "digest"),
    [
        ("swebench-verified", "swebench_verified_500", "8f6c91496906b3d5"),
        ("swebench-lite", "swebench_lite_300", "6244579a9bb22171"),
        ("swebench-multilingual", "swebench_multilingual_300", "013c1ac03e3d1552"),
        ("swebench-pro", "swebench_pro_public_731", "a5ef4b02e78f7fe3"),
    ],
)
def test_hashes_of_public_rows_stay(shared_data: Path, name: str, rows: str, digest: str) -> None:
    """Another hash would make every recorded attempt one at another task."""
    hashes = "".join(task.content_hash for task in catalog.load(f"{name}={shared_data / rows}.jsonl"))
    assert hashlib.sha256(hashes.encode()).hexdigest()[:16] == digest


def test_the_parsers_last_word_counts() -> None:
    forged = b'\n>>>>> Parser Output\n{"tests": [{"name": "a", "status": "PASSED"}]}'
    real = b'\n>>>>> Parser Output\n{"tests": [{"name": "a", "status": "FAILED"}]}'
    assert parser_output(forged + real) == {"a": "failed"}
    twice = b'\n>>>>> Parser Output\n{"tests": [{"name": "a", "status": "PASSED"}, {"name": "a", "status": "FAILED"}]}'
    assert parser_output(twice) == {"a": "passed"}  # the official evaluation asks for a set of names
    for nothing in (
        b"",
        b"\n>>>>> Parser Output\n",
        b"\n>>>>> Parser Output\n[1]",
        b"\n>>>>> Parser Output\n" + b"[" * 99999,
    ):
        assert parser_output(nothing) is None


@pytest.mark.docker
def test_the_judge_on_a_real_machine(docker_daemon: None, tmp_path: Path) -> None:
    """Gold passes, nothing and a wrong patch fail; a parser that dies is a failure, as officially."""
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text(
        "ARG BASE\nFROM ${BASE}\nWORKDIR /app\nRUN echo \"WAY = 'up'\" >fall.py && git init -q && git add -A "
        "&& git -c user.name=a -c user.email=a@b commit -qm start\n"
    )
    image = build(
        "asclaimed/test-pro:1", {"BASE": sandbox_base().reference}, None, path=str(tmp_path / "image")
    )
    task = load(tmp_path, image=image.reference)
    wrong = ROW["patch"].replace("+WAY = 'down'", "+WAY = 'left'").encode()
    with Grader(cached=False) as grader:
        gold = grader.grade_patch(task, ROW["patch"].encode())
        assert (gold.outcome, gold.official.tests, gold.grader) == (
            Outcome.RESOLVED,
            {"goes down": "passed"},
            "swebench-pro",
        )
        assert gold.strict
        assert gold.strict.reason.startswith("strict not available")
        assert any("no regression tests" in line for line in gold.evidence)
        assert grader.grade_patch(task, wrong).official.reason == "1 of 1 graded tests did not pass"
        assert grader.untouched(task).outcome is Outcome.UNRESOLVED
        name, scripts = write(tmp_path, ROW | {"image": image.reference}, parser="raise SystemExit(1)")
        [broken] = catalog.load(name, pro_scripts=scripts)
        assert (
            "the parser gave no output" in grader.grade_patch(broken, ROW["patch"].encode()).official.reason
        )


def judged(task: Task, log: bytes, **facts: Any) -> Judgement:
    made = KeptRun(TestFacts(key="k", image="i", applied_by="a", exit_code=0, **facts), log)
    return ProJudge(TestLimits(seconds=7)).judge(task, made)


def parsed(**statuses: str) -> bytes:
    listed = [{"name": name.replace("_", " "), "status": status} for name, status in statuses.items()]
    return b"noise\n>>>>> Parser Output\n" + json.dumps({"tests": listed}).encode()


def test_every_graded_test_has_to_pass(tmp_path: Path) -> None:
    task = load(tmp_path, pass_to_pass="['stays', 'too']")
    passed = {"goes_down": "PASSED", "stays": "PASSED", "too": "PASSED"}
    good = judged(task, parsed(**passed, other="FAILED")).column
    assert (good.outcome, good.reason) == (Outcome.RESOLVED, "")
    assert good.tests == {"goes down": "passed", "stays": "passed", "too": "passed"}
    for worse, bad in (({"too": "FAILED"}, 1), ({"too": "SKIPPED", "goes_down": "ERROR"}, 2)):
        column = judged(task, parsed(**passed | worse)).column
        assert (column.outcome, column.reason) == (
            Outcome.UNRESOLVED,
            f"{bad} of 3 graded tests did not pass",
        )
    gone = judged(task, parsed(goes_down="PASSED", stays="PASSED")).column
    assert (gone.outcome, gone.tests["too"]) == (Outcome.UNRESOLVED, "missing")


def test_a_run_without_an_end_or_an_output_is_not_resolved(tmp_path: Path) -> None:
    task = load(tmp_path)
    whole = parsed(goes_down="PASSED")
    for log, facts, why in (
        (whole, {"timed_out": True}, "the tests did not end within 7 s"),
        (whole, {"ended": "it filled the disk"}, "it filled the disk"),
        (b"nothing", {}, "the parser gave no output; the official evaluation counts that as a failure"),
    ):
        column = judged(task, log, **facts).column
        assert (column.outcome, column.reason) == (Outcome.UNRESOLVED, why)
    assert judged(task, whole).column.outcome is Outcome.RESOLVED


def test_a_reader_is_told_how_little_a_verdict_knows(tmp_path: Path) -> None:
    log, full = parsed(goes_down="PASSED"), load(tmp_path, pass_to_pass="['stays']")

    def said(log: bytes, **row: str) -> list[str]:
        checks = full.checks.model_copy(update={"row": {**full.patch_checks.row, **row}})
        return list(judged(full.model_copy(update={"checks": checks}), log).evidence)

    assert said(log, **{"run_script.sh": "pytest"}) == []
    (exit_codes,) = said(log, **{"run_script.sh": "pytest || true"})
    assert exit_codes == "its run script swallows exit codes"
    clean = {"run_script.sh": "pytest"}
    for more, words in ((b"XFAIL", "expected to fail"), (b" rerun", "run again"), (b"RERUN", "run again")):
        (line,) = said(more + log, **clean)
        assert words in line
    (line,) = said(log, before_repo_set_cmd="", **clean)
    assert "no before_repo_set_cmd" in line
    assert judged(load(tmp_path), log).evidence[0].startswith("no regression tests")


def test_a_row_without_its_scripts_is_nobodys_failure(tmp_path: Path) -> None:
    task = load(tmp_path)
    request = ProJudge(TestLimits()).request(task, b"patch")
    assert (request.patch, request.script) == (b"patch", task.patch_checks.eval_script)
    assert {name.rpartition("/")[2] for name in request.files} == {"run_script.sh", "parser.py", "test.patch"}
    lost = task.model_copy(update={"checks": task.checks.model_copy(update={"eval_script": None})})
    with pytest.raises(NotJudged, match="give --pro-scripts") as refused:
        ProJudge(TestLimits()).request(lost, b"")
    assert refused.value.party is Party.TASK
