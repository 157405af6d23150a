"""Results of others as runs: each format, what stays unknown, and what is refused in one line."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evals.claims.catalog import find
from evals.cli import main
from evals.commands.application import app
from evals.imports.batch import UNJUDGED, Batch, ImportedAttempt, SourceVerdict
from evals.imports.detect import detect, read
from evals.imports.predictions import write_predictions
from evals.imports.staging import staged
from evals.imports.write import ImportOptions, own_name, write_run
from evals.record import Outcome
from evals.report.summary import summarise
from evals.results.load import from_run_dir, from_run_dirs
from evals.results.score import Attempt, load_attempts
from evals.run.manifest import load
from evals.verdict.compare import compare
from evals.verdict.protocol_match import Match
from evals.verdict.verify import verify
from scaffolds.base import Stop
from tasks.errors import MachineError, UserError
from tests import runs_on_disk

IDS = [f"django__django-{n}" for n in range(1, 7)]
PATCH = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-1\n+2\n"


def dump(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def imported(
    source: Path, run: Path, kind: str = "auto", verdicts: Path | None = None, **options: str
) -> dict[str, Attempt]:
    """Task#attempt → what the run directory says of it, for a run of one scaffold."""
    write_run(run, source, read(kind, source, verdicts), ImportOptions(**options))
    attempts = sorted(
        load_attempts(run, load(run).counted_keys()), key=lambda a: (a.key.task_id, a.key.attempt)
    )
    return {f"{a.key.task_id}#{a.key.attempt}": a for a in attempts}


def outcomes(attempts: dict[str, Attempt]) -> list[Outcome | None]:
    return [attempt.outcome for attempt in attempts.values()]


def task_file(directory: Path, ids: list[str]) -> str:
    (directory / "ids.txt").write_text("\n".join(ids))
    return f"swe-bench-verified={directory / 'ids.txt'}"


REPORT = {
    "total_instances": 6,
    "resolved_ids": IDS[:2],
    "unresolved_ids": [IDS[2], IDS[5]],
    "empty_patch_ids": [IDS[3]],
    "error_ids": [IDS[4]],
    "infra_failure_ids": [IDS[5]],
    "submitted_ids": IDS,
    "schema_version": 2,
}


def test_a_report_keeps_its_categories(tmp_path: Path) -> None:
    found = imported(dump(tmp_path / "model.run1.json", REPORT), tmp_path / "run")
    judged = [Outcome.RESOLVED, Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.NO_PATCH]
    assert outcomes(found) == [*judged, Outcome.NOT_JUDGED, Outcome.NOT_JUDGED]
    assert all(one.grade and one.grade.strict is None for one in found.values())
    assert all(one.grade and "not graded by asclaimed" in one.grade.grader for one in found.values())
    assert {one.record.stop for one in found.values() if one.record} == {None}


def test_what_was_not_submitted_is_missing_not_failed(tmp_path: Path) -> None:
    report = {"resolved_ids": IDS[:1], "unresolved_ids": IDS[1:2], "submitted_ids": IDS[:2]}
    run = tmp_path / "run"
    found = imported(dump(tmp_path / "r.json", report), run, tasks=task_file(tmp_path, IDS))
    assert outcomes(found) == [Outcome.RESOLVED, Outcome.UNRESOLVED, None, None, None, None]
    (score,) = summarise(run).scores
    assert (score.rate, score.bounds.low, score.bounds.high) == (0.5, 1 / 6, 5 / 6)


def test_a_list_of_passes_needs_its_tasks_and_says_how_gaps_were_read(tmp_path: Path) -> None:
    lists = dump(tmp_path / "lists.json", {"one": IDS[:3], "two": {"resolved": IDS[:1], "missing": IDS[1:2]}})
    with pytest.raises(UserError, match="give --tasks"):
        write_run(tmp_path / "no", lists, read("auto", lists), ImportOptions())
    run = tmp_path / "run"
    write_run(run, lists, read("auto", lists), ImportOptions(tasks=task_file(tmp_path, IDS)))
    summary = summarise(run)
    assert [(s.scaffold, s.resolved, s.judged) for s in summary.scores] == [("one", 3, 6), ("two", 1, 5)]
    assert any("read as not resolved" in line for line in summary.findings)
    assert summary.findings[0] == "imported: not graded by asclaimed"


def test_experiments_submission_directory(tmp_path: Path) -> None:
    """all_preds.jsonl beside results/results.json, as SWE-bench/experiments has them."""
    lines = [
        {"instance_id": i, "model_patch": PATCH if i != IDS[3] else "", "model_name_or_path": "sys"}
        for i in IDS[:4]
    ]
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "all_preds.jsonl").write_text("\n".join(map(json.dumps, lines)))
    dump(
        tmp_path / "sub" / "results" / "results.json",
        {"no_generation": [IDS[3]], "no_logs": [IDS[2]], "resolved": IDS[:1]},
    )
    found = imported(tmp_path / "sub", tmp_path / "run")
    assert outcomes(found) == [Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.NOT_JUDGED, Outcome.NO_PATCH]
    assert (tmp_path / "run" / "sys" / IDS[0] / "1" / "patch.diff").read_text() == PATCH


def test_predictions_alone_wait_for_a_judge(tmp_path: Path) -> None:
    source = dump(
        tmp_path / "preds.json", {i: {"model_patch": PATCH, "model_name_or_path": "m"} for i in IDS[:2]}
    )
    found = imported(source, tmp_path / "run")
    assert outcomes(found) == [None, None]
    assert load(tmp_path / "run").plan.grader.startswith("swebench==")
    assert "the attempts were made elsewhere" in summarise(tmp_path / "run").findings


def test_instance_reports(tmp_path: Path) -> None:
    for number, task in enumerate(IDS[:3]):
        entry = {"resolved": number == 0, "patch_exists": number != 2}
        dump(tmp_path / "logs" / task / "report.json", {task: entry})
    found = imported(tmp_path / "logs", tmp_path / "run")
    assert outcomes(found) == [Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.NO_PATCH]


def mini_trajectory(status: str, submission: str, calls: int = 3) -> dict[str, Any]:
    usage = {"extra": {"response": {"usage": {"prompt_tokens": 100, "completion_tokens": 10}}}}
    return {
        "info": {
            "exit_status": status,
            "submission": submission,
            "model_stats": {"instance_cost": 0.1, "api_calls": calls},
            "config": {"agent": {"step_limit": 250, "cost_limit": 3.0}, "model": {"model_name": "m/q"}},
        },
        "messages": [{"role": "system"}, usage, usage],
        "trajectory_format": "mini-swe-agent-1.1",
    }


def test_mini_swe_agent(tmp_path: Path) -> None:
    kinds = [
        mini_trajectory("Submitted", PATCH),
        mini_trajectory("LimitsExceeded", "", calls=250),
        mini_trajectory("LimitsExceeded", "", calls=9),
        mini_trajectory("ContextWindowExceededError", ""),
        mini_trajectory("APIError", ""),
    ]
    for task, value in zip(IDS, kinds, strict=False):
        dump(tmp_path / "out" / task / f"{task}.traj.json", value)
    verdicts = dump(tmp_path / "v.json", {"x": IDS[:1]})
    found = imported(
        tmp_path / "out", tmp_path / "run", verdicts=verdicts, tasks=task_file(tmp_path, IDS[:5])
    )
    records = [one.record for one in found.values() if one.record]
    assert [r.stop for r in records] == [Stop.SUBMITTED, Stop.STEP_LIMIT, None, Stop.CONTEXT_OVERFLOW, None]
    assert outcomes(found)[0] is Outcome.RESOLVED
    assert (records[0].prompt_tokens, records[0].completion_tokens, records[0].steps) == (200, 20, 3)
    assert load(tmp_path / "run").model_name == "m/q"
    assert (tmp_path / "run" / "mini-swe-agent" / IDS[0] / "1" / "upstream.json").is_file()


def test_mini_swe_agent_without_a_judge(tmp_path: Path) -> None:
    for task, (status, patch) in zip(
        IDS, [("Submitted", PATCH), ("Submitted", ""), ("APIError", "")], strict=False
    ):
        dump(tmp_path / "out" / f"{task}.traj.json", mini_trajectory(status, patch))
    found = imported(tmp_path / "out", tmp_path / "run")
    assert outcomes(found) == [None, Outcome.NO_PATCH, Outcome.NOT_JUDGED]


def test_swe_agent(tmp_path: Path) -> None:
    stats = {"tokens_sent": 900, "tokens_received": 90, "api_calls": 7, "instance_cost": 0.2}
    config = json.dumps({"agent": {"model": {"name": "vendor/m"}}})
    for task, status in zip(IDS, ["submitted", "submitted (exit_context)", "exit_cost"], strict=False):
        info = {"exit_status": status, "submission": PATCH if "sub" in status else None, "model_stats": stats}
        dump(tmp_path / "t" / f"{task}.traj", {"trajectory": [], "info": info, "replay_config": config})
    found = imported(tmp_path / "t", tmp_path / "run")
    records = [one.record for one in found.values() if one.record]
    assert [r.stop for r in records] == [Stop.SUBMITTED, Stop.CONTEXT_OVERFLOW, None]
    assert outcomes(found) == [None, None, Outcome.NO_PATCH]
    assert (records[0].prompt_tokens, records[0].steps, load(tmp_path / "run").model_name) == (
        900,
        7,
        "vendor/m",
    )


def harbor_trial(
    task: str, reward: float | None, problem: str | None = None, model: str = "m"
) -> dict[str, Any]:
    return {
        "task_name": f"bench/{task}",
        "trial_name": f"{task}__abc",
        "source": "terminal-bench",
        "agent_info": {"name": "terminus-2", "version": "2", "model_info": {"name": model, "provider": "p"}},
        "agent_result": {"n_input_tokens": 5000, "n_output_tokens": 300},
        "verifier_result": None if reward is None else {"rewards": {"reward": reward}},
        "exception_info": None if problem is None else {"exception_type": problem},
        "agent_execution": {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:01:30Z"},
    }


def test_harbor(tmp_path: Path) -> None:
    trials = [
        ("a", 1.0, None),
        ("a", 0.0, "AgentTimeoutError"),
        ("b", 0.5, None),
        ("b", None, "EnvironmentError"),
    ]
    for number, (task, reward, problem) in enumerate(trials):
        dump(tmp_path / "job" / f"{task}__{number}" / "result.json", harbor_trial(task, reward, problem))
    dump(tmp_path / "job" / "result.json", {"id": "job", "stats": {}})
    (tmp_path / "job" / "a__0" / "agent").mkdir()
    (tmp_path / "job" / "a__0" / "agent" / "trajectory.json").write_text("{}")
    run = tmp_path / "run"
    found = imported(tmp_path / "job", run)
    assert list(found) == ["a#1", "a#2", "b#1", "b#2"]
    assert outcomes(found) == [Outcome.RESOLVED, Outcome.UNRESOLVED, Outcome.UNRESOLVED, Outcome.NOT_JUDGED]
    timeout = found["a#2"].record
    assert timeout is not None
    assert (timeout.stop, timeout.active_seconds, timeout.prompt_tokens) == (Stop.TIME_LIMIT, 90.0, 5000)
    assert (run / "terminus-2" / "a" / "1" / "trajectory.json").is_file()
    assert (load(run).benchmark, load(run).model_name) == ("terminal-bench", "m")


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    for model in ("m1", "m2"):
        dump(tmp_path / "job" / model / "result.json", harbor_trial("a", 1.0, model=model))
    with pytest.raises(UserError, match="choose one with --model: m1, m2"):
        imported(tmp_path / "job", tmp_path / "run")
    assert len(imported(tmp_path / "job", tmp_path / "run", model="m2")) == 1


def test_an_imported_protocol_is_not_invented(tmp_path: Path) -> None:
    """The plan's own defaults (50 turns, 4 GB) say nothing of somebody else's run."""
    run = tmp_path / "run"
    imported(dump(tmp_path / "r.json", REPORT), run, benchmark="swe-bench-verified", model="Qwen3.6-27B")
    found = verify(find("qwen3.6-27b/swe-bench-verified"), from_run_dir(run), margin=0.05)
    points = {point.name: point for point in found.protocol}
    assert points["turn limit"].measured == points["resources"].measured == "not stated"
    assert points["context window (tokens)"].match is Match.UNKNOWN


def test_public_results_give_the_known_answers(shared_data: Path, tmp_path: Path) -> None:
    """Qwen3-Coder-480B on the 500, mini-SWE-agent against OpenHands: 55.4 and 69.6, discordant 21/92, p ≈ 9e-12."""
    wanted = {
        "20250802_mini-v1.0.0_qwen3-coder-480b-a35b-instruct": "mini",
        "20250805_openhands-Qwen3-Coder-480B-A35B-Instruct": "openhands",
    }
    public = json.loads((shared_data / "verified_submissions.json").read_text())
    runs = []
    (tmp_path / "ids.txt").write_text("\n".join(public["instances"]))
    for one in public["submissions"]:
        if (name := wanted.get(one["id"])) is not None:
            source = dump(tmp_path / f"{name}.json", {name: one["resolved_ids"]})
            options = ImportOptions(
                tasks=f"swe-bench-verified={tmp_path / 'ids.txt'}", model="Qwen3-Coder-480B-A35B-Instruct"
            )
            write_run(tmp_path / name, source, read("auto", source), options)
            runs.append(tmp_path / name)
    found = compare(from_run_dirs(sorted(runs)))
    (pair,) = found.pairs
    assert [round(s.rate, 1) for s in found.systems] == [55.4, 69.6]
    assert (pair.only_first, pair.only_second) == (21, 92)
    assert pair.p == pytest.approx(8.7e-12, rel=0.02)


def test_the_command_writes_a_run_that_reports(tmp_path: Path) -> None:
    source = dump(tmp_path / "r.json", REPORT)
    done = CliRunner().invoke(app, ["import", "auto", str(source), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "imported from SWE-bench report" in done.output
    assert CliRunner().invoke(app, ["report", str(tmp_path / "run")]).exit_code == 0
    assert "Imported: not graded by asclaimed." in (tmp_path / "run" / "report.html").read_text()


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    source = dump(tmp_path / "r.json", REPORT)
    imported(source, tmp_path / "run")
    with pytest.raises(UserError, match="choose another --out"):
        imported(source, tmp_path / "run")


def test_a_task_list_with_paths_in_it_is_refused(tmp_path: Path) -> None:
    source = dump(tmp_path / "r.json", {"sys": IDS[:1]})
    with pytest.raises(UserError, match="cannot name a directory"):
        imported(source, tmp_path / "run", tasks=task_file(tmp_path, [IDS[0], "../../evil"]))


def test_hostile_names_stay_inside(tmp_path: Path) -> None:
    evil = ["../../evil", "/etc/passwd", "a" * 10_000, "..", "x\x1b[31m", "", IDS[0]]
    source = dump(tmp_path / "r.json", {"../../up": {"resolved_ids": evil, "submitted_ids": evil}})
    found = imported(source, tmp_path / "deep" / "run")
    assert list(found) == [f"{IDS[0]}#1"]
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"run"}
    assert [path.name for path in (tmp_path / "deep" / "run").iterdir() if path.is_dir()] == ["up"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.json", "{", "is not valid JSON"),
        ("x.json", "[" * 100_000, "is not valid JSON"),
        ("x.json", "{}", "cannot tell what"),
        ("x.json", '{"a": 1}', "cannot tell what"),
        ("x.json", '{"resolved_ids": []}', "lists no task"),
        ("x.jsonl", "no json\n", "holds no usable prediction"),
        ("x.json", '{"info": {}, "messages": []}', ""),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    if words:
        with pytest.raises(UserError, match=words) as caught:
            read("auto", tmp_path / name)
        assert "\n" not in str(caught.value)
    else:
        assert len(read("auto", tmp_path / name).attempts) == 1


@pytest.mark.parametrize("kind", ["report", "predictions", "harbor", "mini", "swe-agent", "auto", "nonsense"])
def test_an_empty_directory_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UserError):
        read(kind, tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["info", "messages", "resolved", "resolved_ids", "model_patch", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_json_breaks_the_readers(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = dump(tmp_path_factory.mktemp("any") / "x.json", value)
    with suppress(UserError):
        detect(path)
        found = read("auto", path)
        assert found.attempts or found.systems


def test_an_import_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for cause, seen in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "disk full"), MachineError)):
        with pytest.raises(seen):
            break_off(run, cause)
        assert list(tmp_path.iterdir()) == []


def break_off(run: Path, cause: BaseException) -> None:
    with staged(run) as stage:
        (stage / "manifest.json").write_text("{}")
        raise cause


def test_what_a_killed_import_left_is_no_run_and_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".run.importing"
    (left / "someone" / "t1" / "1").mkdir(parents=True)
    (left / "manifest.json").write_text("{}")
    imported(dump(tmp_path / "model.run1.json", REPORT), tmp_path / "run")
    assert not left.exists()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        ".lock",
        "manifest.json",
        "ledger.jsonl",
        "model.run1",
    }


def test_an_import_takes_over_no_directory_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    source = dump(tmp_path / "model.run1.json", REPORT)
    with pytest.raises(UserError, match="is not empty"):
        imported(source, tmp_path / "run")
    (tmp_path / "run" / "thesis.tex").unlink()
    assert len(imported(source, tmp_path / "run")) == 6


def test_two_imports_at_once_are_refused(tmp_path: Path) -> None:
    source = dump(tmp_path / "model.run1.json", REPORT)
    with staged(tmp_path / "run"), pytest.raises(UserError, match="another asclaimed"):
        imported(source, tmp_path / "run")


def test_many_systems_of_one_name_are_told_apart() -> None:
    taken: set[str] = set()
    for number in range(3):
        taken.add(own_name("?" * (number + 1), taken))
    assert taken == {"system", "system-2", "system-3"}


def test_names_that_cannot_be_directories_and_lines_for_one_task_are_told(tmp_path: Path) -> None:
    source = tmp_path / "preds.jsonl"
    lines = [
        {"instance_id": name, "model_name_or_path": "m", "model_patch": PATCH} for name in ("../x", "a", "a")
    ]
    source.write_text("\n".join(map(json.dumps, lines)))
    done = CliRunner().invoke(app, ["import", "auto", str(source), "--out", str(tmp_path / "run")])
    assert "note: ../x: cannot name a directory" in done.stderr
    assert "note: 1 tasks have several predictions of one system: each was read as an attempt" in done.stderr


def test_an_error_carries_no_escapes_of_a_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = dump(tmp_path / "lists.json", {"\x1b[2Jred": IDS, "b": IDS})
    options = ["--scaffold", "c", "--tasks", task_file(tmp_path, IDS), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["asclaimed", "import", "auto", str(source), *options])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with pytest.raises(SystemExit):
        main()
    told = capsys.readouterr().err
    assert "[2Jred" in told
    assert "\x1b[2J" not in told


def test_a_system_that_solved_nothing_is_not_lost(tmp_path: Path) -> None:
    source = dump(tmp_path / "lists.json", {"good": IDS, "useless": []})
    write_run(tmp_path / "run", source, read("auto", source), ImportOptions(task_file(tmp_path, IDS)))
    rates = {line.scaffold: (line.resolved, line.judged) for line in summarise(tmp_path / "run").scores}
    assert rates == {"good": (6, 6), "useless": (0, 6)}
    alone = dump(tmp_path / "alone.json", {"useless": []})
    found = imported(alone, tmp_path / "run2", tasks=task_file(tmp_path, IDS))
    assert outcomes(found) == [Outcome.UNRESOLVED] * 6
    patches = tmp_path / "preds.jsonl"
    patches.write_text(json.dumps({"instance_id": IDS[0], "model_name_or_path": "m", "model_patch": PATCH}))
    assert outcomes(imported(patches, tmp_path / "run3", verdicts=alone)) == [Outcome.UNRESOLVED]


def test_verdicts_find_their_system_or_nobody_guesses() -> None:
    solved, failed = SourceVerdict(Outcome.RESOLVED), SourceVerdict(Outcome.UNRESOLVED)

    def batch(
        *systems: str, verdict: SourceVerdict | None = None, rest: SourceVerdict | None = None
    ) -> Batch:
        made = tuple(ImportedAttempt("t", system, verdict=verdict) for system in systems)
        return Batch("k", "judge" if verdict else UNJUDGED, made, rest=rest, notes=(f"{len(made)}",))

    one = batch("ours").judged_by(batch("theirs", verdict=solved))
    assert [a.verdict for a in one.attempts] == [solved], "one system's verdicts are on the one there is"
    assert (one.judge, one.judged, one.notes) == ("judge", True, ("1", "1"))
    both = batch("a", "b", verdict=solved)
    assert [a.verdict for a in batch("b").judged_by(both).attempts] == [solved]
    with pytest.raises(UserError, match="verdicts are on 2 systems, none of them called ours"):
        batch("ours").judged_by(both)
    kept = Batch("k", UNJUDGED, (ImportedAttempt("other", "a", verdict=failed), ImportedAttempt("t", "a")))
    assert [a.verdict for a in kept.judged_by(both).attempts] == [failed, solved]
    listed = batch("a", verdict=solved, rest=failed)
    assert [a.verdict for a in kept.judged_by(listed).attempts] == [failed, solved]


def test_predictions_are_of_attempts_that_are_recorded_with_a_patch(tmp_path: Path) -> None:
    run = runs_on_disk.write_run(
        tmp_path / "run", lambda _key: Outcome.RESOLVED, tasks=3, scaffolds=("edit",)
    )
    for task in ("t0", "t2"):
        (run / "edit" / task / "1" / "patch.diff").write_bytes(b"--- \xff\n")
    (run / "edit" / "t2" / "1" / "record.json").unlink()
    write_predictions(run, load(run))
    (line,) = (run / "predictions.jsonl").read_text().split("\n")[:-1]
    assert json.loads(line) == {
        "instance_id": "t0",
        "model_name_or_path": "Qwen3.6-27B+edit#1",
        "model_patch": "--- \ufffd\n",
    }
