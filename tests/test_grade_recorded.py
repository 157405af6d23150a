"""The official column on recorded real logs: parity with the version named, and rows and logs that are broken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evals.commands.application import app
from evals.grade import official
from evals.grade.logs import CaseGrade, grade_cases, grade_log
from evals.grade.official import DERIVES, GraderFailed, OfficialGrader
from evals.record import Outcome, Party
from tasks.errors import UserError

ROW: dict[str, Any] = {
    "instance_id": "org__thing-1",
    "repo": "org/thing",
    "version": "1.0",
    "image": "none",
    "eval_script": "#!/bin/bash\nset -uxo pipefail\n: '>>>>> Start Test Output'\npytest\n: '>>>>> End Test Output'\n",
    "log_parser": "parse_log_pytest",
    "eval_type": "pass_and_fail",
    "FAIL_TO_PASS": ["t.py::test_new"],
    "PASS_TO_PASS": '["t.py::test_old"]',
}
LOG = (
    b"+ : '>>>>> Start Test Output'\nPASSED t.py::test_new\nPASSED t.py::test_old\n"
    b"+ : '>>>>> End Test Output'\n>>>>> Test Exit Code: 0\n"
)


@pytest.fixture(scope="module")
def grader() -> Iterator[OfficialGrader]:
    with OfficialGrader() as found:
        yield found


@pytest.fixture(scope="module")
def older() -> Iterator[OfficialGrader]:
    """4.1.0 in its own environment, made here when this machine never had it (network, 10 s with uv)."""
    with OfficialGrader(DERIVES) as found:
        yield found


def recorded(data: Path) -> dict[str, dict[str, Any]]:
    lines = (data / "grading" / "verdicts.jsonl").read_text().splitlines()
    return {line["case"]: line for line in map(json.loads, lines)}


def disagreements(found: list[CaseGrade], verdicts: dict[str, dict[str, Any]], version: str) -> list[str]:
    return [
        case.case
        for case in found
        if (case.grade.column.outcome is Outcome.RESOLVED, case.grade.applied)
        != (verdicts[case.case][f"resolved_{version}"], verdicts[case.case][f"applied_{version}"])
    ]


def test_parity_with_5_0_2_at_a_hundred_logs_a_second(shared_data: Path) -> None:
    """Seconds of CPU, the grader's process included: this machine may be busy."""
    verdicts, before = recorded(shared_data), os.times()
    with OfficialGrader() as grader:
        found = list(grade_cases(shared_data / "grading", grader))
    after = os.times()
    assert {case.case for case in found} == set(verdicts)
    assert disagreements(found, verdicts, "5.0.2") == []
    assert sum(after[:4]) - sum(before[:4]) < 10


def test_parity_with_4_1_0_and_every_difference_is_named(
    shared_data: Path, grader: OfficialGrader, older: OfficialGrader
) -> None:
    verdicts = recorded(shared_data)
    found = list(grade_cases(shared_data / "grading", older, (grader,)))
    assert disagreements(found, verdicts, "4.1.0") == []
    expected = {name for name, v in verdicts.items() if v["resolved_4.1.0"] != v["resolved_5.0.2"]}
    assert expected
    named = {
        case.case
        for case in found
        for g in case.differing.values()
        if g.column.outcome is not case.grade.column.outcome
    }
    assert named == expected
    reasons = " ".join(grade.column.reason for case in found for grade in case.differing.values())
    assert "skipped" in reasons
    assert "ended with status 1" in reasons


def test_4_1_0_derives_what_v5_rows_carry(
    shared_data: Path, grader: OfficialGrader, older: OfficialGrader
) -> None:
    for line in (shared_data / "grading" / "rows.jsonl").read_text().splitlines():
        row = json.loads(line)
        old = {key: value for key, value in row.items() if key not in official.V5_COLUMNS}
        assert older.derive_v5(old) == row
        assert "Test Exit Code" in grader.script(older.derive_v5(old))


def test_logs_of_a_v4_row_are_graded_too(shared_data: Path, grader: OfficialGrader, tmp_path: Path) -> None:
    source = shared_data / "grading"
    row = json.loads((source / "rows.jsonl").read_text().splitlines()[0])
    old = {key: value for key, value in row.items() if key not in official.V5_COLUMNS}
    unknown = {**old, "instance_id": "x__y-1", "version": "0.0"}
    write(tmp_path / "rows.jsonl", f"{json.dumps(old)}\n{json.dumps(unknown)}\n".encode())
    log = (source / "cases" / row["instance_id"] / "gold" / "test_output.txt").read_bytes()
    write(tmp_path / "cases" / row["instance_id"] / "gold" / "test_output.txt", log)
    write(tmp_path / "cases/x__y-1/gold/test_output.txt", log)
    found = {case.case: case.grade.column.outcome for case in grade_cases(tmp_path, grader)}
    assert found == {f"{row['instance_id']}/gold": Outcome.RESOLVED, "x__y-1/gold": Outcome.NOT_JUDGED}


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("change", "log", "outcome", "words"),
    [
        ({}, LOG, Outcome.RESOLVED, ""),
        ({}, LOG[:60], Outcome.UNRESOLVED, "no END_TEST_OUTPUT"),
        ({}, b"", Outcome.UNRESOLVED, "no START_TEST_OUTPUT"),
        ({}, LOG.replace(b"Code: 0", b"Code: 1"), Outcome.UNRESOLVED, "status 1"),
        (
            {},
            LOG.replace(b"PASSED t.py::test_new", b"SKIPPED t.py::test_new"),
            Outcome.UNRESOLVED,
            "1 skipped",
        ),
        ({}, LOG.replace(b"\n", b"\xff\x00\n"), Outcome.UNRESOLVED, "missing"),
        ({"FAIL_TO_PASS": []}, LOG, Outcome.NOT_JUDGED, "FAIL_TO_PASS is empty"),
        ({"FAIL_TO_PASS": "[not json"}, LOG, Outcome.NOT_JUDGED, "unusable"),
        ({"log_parser": "parse_log_none"}, LOG, Outcome.NOT_JUDGED, "unknown log parser"),
        ({"eval_type": "vibes"}, LOG, Outcome.NOT_JUDGED, "unusable"),
    ],
)
def test_each_defect_has_its_outcome_and_line(
    tmp_path: Path, grader: OfficialGrader, change: dict[str, Any], log: bytes, outcome: Outcome, words: str
) -> None:
    found = grade_log(grader, ROW | change, write(tmp_path / "test.log", log))
    assert found.column.outcome is outcome
    assert words in found.column.reason
    assert "\n" not in found.column.reason
    assert (found.party is Party.TASK) == (outcome is Outcome.NOT_JUDGED)


def test_one_bad_row_or_case_never_stops_the_others(tmp_path: Path) -> None:
    rows = [
        json.dumps(ROW),
        "{broken",
        json.dumps({**ROW, "instance_id": "org__thing-2", "FAIL_TO_PASS": []}),
        "[1]",
    ]
    write(tmp_path / "rows.jsonl", "\n".join(rows).encode())
    write(tmp_path / "cases/org__thing-1/gold/test_output.txt", LOG)
    write(tmp_path / "cases/org__thing-1/nothing/patch.diff", b" \n")
    write(tmp_path / "cases/org__thing-1/nothing/test_output.txt", LOG)
    (tmp_path / "cases/org__thing-1/lost").mkdir()
    write(tmp_path / "cases/org__thing-2/gold/test_output.txt", LOG)
    write(tmp_path / "cases/stranger/gold/test_output.txt", LOG)
    done = CliRunner().invoke(app, ["grade", "--cases", str(tmp_path), "--json"])
    lines = {line["case"]: line for line in json.loads(done.stdout)}
    assert {name: line["outcome"] for name, line in lines.items()} == {
        "rows.jsonl:2": "not_judged",
        "rows.jsonl:4": "not_judged",
        "org__thing-1/gold": "resolved",
        "org__thing-1/lost": "not_judged",
        "org__thing-1/nothing": "no_patch",
        "org__thing-2/gold": "not_judged",
        "stranger/gold": "not_judged",
    }
    assert lines["org__thing-1/gold"]["resolved"] is True
    assert {name for name, line in lines.items() if line["applied"]} == {"org__thing-1/gold"}
    assert lines["org__thing-1/gold"]["grader"] == official.DEFAULT
    assert done.exit_code == 1


def test_names_of_tests_and_cases_steer_no_terminal(tmp_path: Path) -> None:
    """A log is what tested code printed, and ids are what a row says."""
    evil = "\x1b]0;mine\x07\x1b[2J\x9b31m"
    row = ROW | {"FAIL_TO_PASS": [f"t.py::test_{evil}new"], "PASS_TO_PASS": [f"t.py::{evil}"]}
    case = tmp_path / "cases" / "org__thing-1" / f"go{evil}ld"
    case.mkdir(parents=True)
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    log = LOG.replace(b"PASSED t.py::test_new", f"FAILED t.py::test_{evil}new - {evil}".encode())
    (case / "test_output.txt").write_bytes(log)
    done = CliRunner().invoke(app, ["grade", "--cases", str(tmp_path), "--compare", DERIVES])
    assert "unresolved  org__thing-1/go]0;mine[2J31mld  " in done.output
    assert not set(done.output) & set(evil[0] + "\x07\x9b\r")
    typed = CliRunner().invoke(app, ["grade", "--cases", str(tmp_path), "--json"])
    assert json.loads(typed.stdout)[0]["case"] == f"org__thing-1/go{evil}ld"
    assert "\x1b" not in typed.output


def test_a_directory_without_rows_is_the_users_mistake(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["grade", "--cases", str(tmp_path), "--json"])
    assert isinstance(done.exception, UserError)
    assert "rows.jsonl" in str(done.exception)


@pytest.mark.parametrize("name", ["5.0.2", "swebench", "swebench==", "swebench==5; rm -rf /", "other==1.0"])
def test_a_grader_is_a_version_of_swebench(name: str) -> None:
    with pytest.raises(UserError, match="swebench==VERSION"):
        OfficialGrader(name)


def test_a_log_that_holds_the_grader_up_costs_only_its_own_verdict(
    tmp_path: Path, grader: OfficialGrader, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "test.log", LOG)
    assert grade_log(grader, ROW, log).column.outcome is Outcome.RESOLVED
    os.mkfifo(tmp_path / "endless")
    monkeypatch.setattr(official, "STUCK_SECONDS", 0.2)
    with pytest.raises(GraderFailed, match="no verdict within"):
        grader.grade(ROW, tmp_path / "endless")
    monkeypatch.undo()
    monkeypatch.setattr(official, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(official, "LOOK_SECONDS", 0.05)
    flood = write(tmp_path / "flood.log", LOG.replace(b"\n", b"\n" + b"PASSED x\n" * 1_000_000, 1))
    slow = grade_log(grader, ROW, flood)
    assert (slow.column.outcome, slow.party) == (Outcome.UNRESOLVED, None)
    assert "fails on this log: no verdict within" in slow.column.reason
    monkeypatch.undo()
    assert grade_log(grader, ROW, log).column.outcome is Outcome.RESOLVED
