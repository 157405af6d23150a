"""What every report of a run says: one set of numbers, every notice by name, in little memory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from evals.claims.catalog import find
from evals.record import AttemptKey, Decision, Outcome, Record
from evals.report.notices import notices
from evals.report.page import to_html
from evals.report.summary import Summary, read_report
from evals.report.tables import print_summary, to_markdown
from evals.report.verdict_text import comparison_lines, headline, verdict_lines
from evals.results.load import from_run_dir
from evals.results.table import Reading
from evals.run.ledger import Ledger
from evals.stats.subset import draw_stratified
from evals.verdict.compare import compare
from evals.verdict.verify import verify
from tests.page_run import write_page_run
from tests.runs_on_disk import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page_run(tmp_path_factory.mktemp("runs") / "both", 120, attempts=2)


def test_report_and_compare_say_the_same(run: Path) -> None:
    report, comparison = read_report(run), compare(from_run_dir(run))
    for line, standing in zip(report.summary.scores, comparison.systems, strict=True):
        assert line.interval is not None
        ours = (line.rate, *line.interval, *line.bounds)
        theirs = (standing.rate, standing.low, standing.high, standing.worst, standing.best)
        assert [100 * (value or 0) for value in ours] == pytest.approx(theirs, abs=1e-4)
    for pair, theirs_too in zip(report.summary.pairs, comparison.pairs, strict=True):
        assert (pair.difference, pair.low, pair.high) == (
            theirs_too.difference,
            theirs_too.low,
            theirs_too.high,
        )
        assert (pair.p_value, pair.p_adjusted) == (theirs_too.p, theirs_too.p_holm)


def test_markdown_and_page_say_the_same_of_a_difference(run: Path) -> None:
    report = read_report(run)
    text, page = to_markdown(report.summary), to_html(report)
    for pair in report.summary.pairs:
        assert pair.p_adjusted is not None
        assert f"| {pair.p_adjusted:.2g} |" in text
        assert f"adjusted p {pair.p_adjusted:.2g}" in page


ASKED = find("qwen3.6-27b/swe-bench-verified").model_copy(update={"benchmark": "mine", "n_tasks": 20})


def outcome_of(kind: str, key: AttemptKey) -> Outcome:
    n = int(key.task_id[1:])
    if kind == "unjudged" and n % 5 == 0:
        return Outcome.NOT_JUDGED
    return Outcome.RESOLVED if n % 4 or (key.scaffold, key.attempt) == ("edit", 2) else Outcome.UNRESOLVED


def written(kind: str, run: Path) -> Path:
    """A run of twenty tasks on a claim, two scaffolds, two attempts; `kind` says what is odd about it."""
    write_run(run, lambda key: outcome_of(kind, key), tasks=20, benchmark="mine", attempts=2, margin=8.0)
    for path in run.glob("*/*/*/record.json"):
        attempt = json.loads(path.read_text())
        if outcome_of(kind, AttemptKey.model_validate(attempt["key"])) is Outcome.NOT_JUDGED:
            attempt |= {"stop": None, "failure": {"party": "server", "message": "down"}}
            path.write_text(json.dumps(attempt))
    facts = json.loads((run / "manifest.json").read_text())
    facts["claim"] = ASKED.model_dump(mode="json")
    ids = [task["id"] for task in facts["tasks"]]
    if kind.endswith("excluded"):
        facts["excluded"] = dict.fromkeys(ids[: 20 if kind.startswith("all") else 5], "gold fails")
    if kind.startswith("subset"):
        drawn = draw_stratified("mine", dict.fromkeys(ids, "r"), 6, 0).keeping(ids[:1])
        facts["subset"], facts["tasks"] = drawn.model_dump(mode="json"), facts["tasks"][:1]
    (run / "manifest.json").write_text(json.dumps(facts))
    with closing(Ledger(run / "ledger.jsonl")) as ledger:
        ledger.append("run-started")
    return run


def outputs(run: Path) -> dict[str, str]:
    """What a reader may open."""
    report, console = read_report(run), Console(width=1000, file=StringIO(), record=True)
    print_summary(report.summary, console)
    found = {
        "report.md": to_markdown(report.summary),
        "terminal": console.export_text(),
        "report.html": re.sub(r"<[^>]*>", " ", to_html(report)),
    }
    return {name: squeezed(text) for name, text in found.items()}


def squeezed(text: str) -> str:
    """With one kind of minus and of range, and blanks instead of line ends."""
    return " ".join(text.replace("−", "-").replace("…", "to").split())


@pytest.mark.parametrize(
    "kind", ["usual", "unjudged", "some excluded", "all excluded", "subset with one task left"]
)
def test_every_output_has_the_same_headline_numbers(kind: str, tmp_path: Path) -> None:
    """Rates, verdicts and differences of the terminal, report.md, report.html, report.json, `verify` and `compare`."""
    run = written(kind, tmp_path / "run")
    texts, summary = outputs(run), read_report(run).summary
    results = from_run_dir(run) if kind != "all excluded" else None
    for line in summary.scores:
        rate = "–" if line.rate is None else f"{100 * line.rate:.1f}"
        assert (line.rate is None) == (results is None)
        assert f"{line.scaffold} | {rate} |" in texts["report.md"]
        for name in ("terminal", "report.html"):
            assert rate in texts[name] or "nothing judged" in texts[name]
    verdicts = [verify(ASKED, results.of(one)) for one in results.systems] if results else []
    assert len(summary.verdicts) == len(verdicts)
    for ours, theirs in zip(summary.verdicts, verdicts, strict=True):
        low, high = theirs.interval
        told = (
            headline(theirs),
            f"{theirs.claimed:.1f} % claimed, {theirs.measured:.1f} % measured",
            f"{theirs.difference:+.1f}",
            f"{low:+.1f} to {high:+.1f}",
            "margin ±8",
        )
        assert (ours.measured, ours.low, ours.high, ours.decision) == (
            theirs.measured,
            low,
            high,
            theirs.decision,
        )
        for name, text in texts.items():
            assert all(part in text for part in told), (name, told)
            assert theirs.carried.replace("−", "-") in text, name
        told_by_verify = squeezed("\n".join(verdict_lines(theirs)))
        rates = f"as claimed {theirs.claimed:.1f} % as measured {theirs.measured:.1f} %"
        assert all(part in told_by_verify for part in (told[0], rates, *told[3:]))
        assert f"difference {theirs.difference:+.1f} points, 90 % interval {told[3]}" in told_by_verify
        assert f"points, 90 % interval {told[3]}" in texts["report.html"]
        assert [line.name for line in theirs.bounds] == [Reading.WORST, Reading.BEST]
        assert kind != "subset with one task left" or theirs.decision is Decision.UNDECIDED
        for line in theirs.bounds:
            row = (f"{line.rate:.1f}", f"{line.difference:+.1f}", f"{line.low:+.1f} to {line.high:+.1f}")
            assert " ".join((str(line.tasks), f"{line.claimed:.1f}", *row, line.decision)) in told_by_verify
            assert " ".join((str(line.tasks), *row, line.decision)) in texts["report.html"]
        assert ("5 tasks count for nobody" in told_by_verify) == (kind == "some excluded")
        assert ("retry 8 attempts first" in told_by_verify) == (kind == "unjudged")
    assert ("retry 16 attempts first" in texts["report.md"]) == (kind == "unjudged")
    if results:
        comparison = compare(results)
        texts["compare"] = squeezed("\n".join(comparison_lines(comparison)))
        for one in comparison.systems:
            row = f"{one.rate:.1f} {one.low:.1f}–{one.high:.1f} {one.worst:.1f}–{one.best:.1f}"
            assert row in texts["compare"]
        for pair in comparison.pairs:
            for name, text in texts.items():
                assert f"{pair.low:+.1f} to {pair.high:+.1f}" in text, name
                assert f"{pair.difference:+.1f}" in text, name


def record(n: int, **more: object) -> Record:
    return Record.model_validate(
        {
            "key": AttemptKey(scaffold="bash", task_id="t", attempt=n),
            "task_hash": "h",
            "image": "sha256:0",
            "stop": "submitted",
            "patch_sha256": "0",
            "patch_bytes": 1,
            "started": "2026-04-22T09:30:00+00:00",
            **more,
        }
    )


def test_every_kind_of_notice_is_named_and_truncation_leads() -> None:
    lines = list(
        notices(
            [
                record(1, flags=("patch touches conftest: a/conftest.py", "server: context_truncated ×3")),
                record(2, flags=("server: context_truncated ×1", "server: brand_new ×2")),
                record(3, oom_kills=2, skipped_paths=("a.pyc", "b"), image_notes=("closed 3 leaks",)),
            ]
        )
    )
    assert lines[0].startswith(
        "2 attempts: the server cut the front of the conversation off in silence (4 times): "
    )
    assert "num_ctx" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == ["1 attempt"] * 5
    for words in (
        "patch touches conftest",
        "brand_new",
        "lack of memory",
        "2 changed paths",
        "closed 3 leaks",
    ):
        assert sum(words in line for line in lines) == 1


MEASURE = """
import json, sys, time
from pathlib import Path
from evals.report.page import to_html
from evals.report.summary import Summary, read_report
to_html(read_report(Path(sys.argv[1])))
heavy = [name for name in ("scipy.stats", "scipy.optimize", "statsmodels", "pandas") if name in sys.modules]
own = Path("/proc/self/status").read_text()  # ru_maxrss starts at what the parent holds
print(json.dumps([int(own.split("VmHWM:")[1].split()[0]) / 1024, heavy, time.process_time()]))
"""


def test_a_large_run_is_read_once_and_in_little_memory(tmp_path: Path) -> None:
    """600 attempts with 2 × 400 tests each, which would be 70 MB; 4,500 peak at 118 MB. Libraries are most of it."""
    run = write_page_run(tmp_path / "large", 100, attempts=2, tests=400)
    small = write_page_run(tmp_path / "small", 2)
    measured = [
        subprocess.run(
            [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
        ).stdout
        for path in (run, small)
    ]
    (much, heavy, long), (little, _, short) = map(json.loads, measured)
    assert heavy == []
    assert little + (much - little) * 4500 / 600 < 150, (much, little)
    assert short + (long - short) * 4500 / 600 < 5 * 5, "seconds of CPU, on a machine five times as slow"


def test_passes_that_a_guess_could_have_got_are_listed(tmp_path: Path) -> None:
    directory = write_page_run(tmp_path / "run", 6)
    grades = [(path, json.loads(path.read_text())) for path in sorted(directory.rglob("grade.json"))]
    path, grade = next(pair for pair in grades if pair[1]["outcome"] == "resolved")
    path.write_text(json.dumps(grade | {"guess": 0.25}))
    task = path.parts[-3].replace("_", "\\_")
    assert f"to more than one guess in a thousand: {task}" in to_markdown(read_report(directory).summary)


def test_no_terminal_is_too_narrow_for_whole_words(run: Path) -> None:
    summary = read_report(run).summary
    wanted = set(printed(summary, 1000).replace(":", " ").split())
    assert "solved/judged/all" in wanted
    for width in (140, 100, 80, 60, 40):
        text = printed(summary, width)
        assert wanted - set(text.replace(":", " ").split()) == set(), width
        assert max(map(len, text.split("\n"))) <= width


def printed(summary: Summary, width: int) -> str:
    """What a terminal of so many columns shows, without the frames of the tables."""
    console = Console(width=width, file=StringIO(), record=True)
    print_summary(summary, console)
    return re.sub(r"[─-╿]", " ", console.export_text())
