"""Where the page puts a number, in which order notices come, which claims stand beside a run: what a reader takes in first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.claims.catalog import find
from evals.record import AttemptKey, Flag, FlagKind, Outcome
from evals.report.notices import notices
from evals.report.page_matrix import Link, groups
from evals.report.page_plots import rate_forest
from evals.report.summary import Report, Summary, read_report
from evals.report.summary import _claim_line as claim_line
from evals.results.score import Attempt
from evals.run.manifest import load
from tests.runs_on_disk import write_run
from tests.test_report_summary import record

BENCHMARK = "swe-bench-verified"
CLAIM = "qwen3.6-27b/swe-bench-verified"


def half(key: AttemptKey) -> Outcome:
    """Of ten tasks five solved, three not, two not judged."""
    n = int(key.task_id[1:])
    return Outcome.RESOLVED if n < 5 else Outcome.UNRESOLVED if n < 8 else Outcome.NOT_JUDGED


def report_of(run: Path) -> Report:
    (run / "ledger.jsonl").touch()
    return read_report(run)


def summary_of(run: Path) -> Summary:
    return report_of(run).summary


def test_claims_margin_rates_and_bounds_lie_where_the_axis_says(tmp_path: Path) -> None:
    summary = summary_of(write_run(tmp_path / "run", half, scaffolds=("edit",)))
    low, high = (100 * end for end in summary.scores[0].interval or ())
    for margin, lowest, highest in ((None, low, high), (20.0, low, 97.2), (60.0, 17.2, 100)):
        forest = rate_forest(summary, margin, {"edit": "said"})
        scale, (claim, measured) = forest.scale, forest.rows
        assert scale.low <= lowest < scale.low + (scale.ticks[1] - scale.low)
        assert scale.high - (scale.ticks[1] - scale.low) < highest <= scale.high
        assert claim.at == scale.at(77.2)
        assert (measured.at, measured.bounds) == (scale.at(62.5), (scale.at(50), scale.at(70)))
        assert (measured.value, measured.verdict, measured.official) == ("62.5 %", "said", None)
        assert measured.note.endswith("; 5 of 8 judged, 10 planned")
        assert (forest.band is None) == (margin is None)
    assert forest.band
    assert forest.band.label.startswith("Shaded: 77.2 ± 60 points")


def test_of_a_scaffold_nobody_judged_there_is_no_rate(tmp_path: Path) -> None:
    def outcome(key: AttemptKey) -> Outcome:
        return half(key) if key.scaffold == "edit" else Outcome.NOT_JUDGED

    bash, edit = summary_of(write_run(tmp_path / "run", outcome)).scores
    assert (bash.rate, bash.interval, bash.official_rate) == (None, None, None)
    assert (bash.bounds.low, bash.bounds.high) == (0, 1)
    assert edit.rate == 0.625


def test_an_attempt_links_to_what_it_left_and_one_that_was_not_made_to_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", half, scaffolds=("my edit",), tasks=2)
    key = AttemptKey(scaffold="my edit", task_id="t0", attempt=1)
    for name in ("patch.diff", "test.log"):
        (key.directory(run) / name).touch()
    made = report_of(run).run.attempts
    lost = [Attempt(one.key, None, None) if one.key.task_id == "t1" else one for one in made]
    for group in groups(run, load(run), lost, ["my edit"]):
        (row,) = group.rows
        ((cell,),) = row.cells
        assert (cell.outcome, cell.sign, cell.stop, cell.why) == {
            "t0": ("resolved", "✓", "submitted", ""),
            "t1": ("missing", "·", "", ""),
        }[row.id]
        at = "my%20edit/t0/1"
        assert cell.links == (
            (
                Link("patch", f"{at}/patch.diff"),
                Link("log", f"{at}/test.log"),
                Link("record", f"{at}/record.json"),
            )
            if row.id == "t0"
            else ()
        )


def test_a_run_without_its_ledger_is_reported_and_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED)
    first = read_report(run).summary.findings[0]
    assert first.startswith("ledger.jsonl is missing: ")
    (run / "ledger.jsonl").touch()
    assert not any("ledger" in line for line in read_report(run).summary.findings)


def test_notices_come_by_what_they_do_to_the_number() -> None:
    kinds = [Flag(kind=kind, what=f"w{n}") for n, kind in enumerate(FlagKind)]
    kinds += [
        Flag(kind=FlagKind.SERVER, what=what) for what in ("silent_until_time_limit", "context_truncated")
    ]
    lines = list(notices([record(1, flags=tuple(reversed(kinds))), record(2, flags=tuple(kinds[:1]))]))
    assert [line.split(": ")[1:-1] for line in lines[2:]] == [str(flag).split(": ") for flag in kinds[:6]]
    assert lines[0].startswith("1 attempt: the server cut the front")
    assert lines[1].startswith("1 attempt: the server sent nothing until")
    assert lines[2].startswith("2 attempts: ")


def test_the_claim_that_was_asked_comes_first_and_strangers_only_where_there_is_no_own(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", half, scaffolds=("edit",))
    own = summary_of(run).claims
    assert [line.same_model for line in own] == [True] * len(own)
    assert CLAIM in {line.id for line in own}
    facts = json.loads((run / "manifest.json").read_text())
    other = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"id": "x/asked", "model": "Other"})
    (run / "manifest.json").write_text(json.dumps(facts | {"claim": other.model_dump(mode="json")}))
    assert [line.id for line in summary_of(run).claims] == ["x/asked", *(line.id for line in own)]
    facts["plan"]["model"]["model"] = "nobody-knows-it"
    (run / "manifest.json").write_text(json.dumps(facts))
    strangers = summary_of(run).claims
    assert not any(line.same_model for line in strangers)
    scores = [line.score for line in strangers]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(max(scores))


def test_a_claim_for_another_version_is_a_strangers() -> None:
    claim = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"model": "GLM-4"})
    assert claim_line(claim, "zai-org/GLM-4-GGUF").same_model
    assert not claim_line(claim, "zai-org/GLM-4.6").same_model
