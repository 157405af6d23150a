"""What every report of a run says: one set of numbers, every notice by name, in little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evals.record import AttemptKey, Record
from evals.report.notices import notices
from evals.report.page import to_html
from evals.report.summary import read_report
from evals.report.tables import to_markdown
from evals.results.load import from_run_dir
from evals.verdict.compare import compare
from tests.page_run import write_page_run


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
import json, sys
from pathlib import Path
from evals.report.page import to_html
from evals.report.summary import read_report
to_html(read_report(Path(sys.argv[1])))
heavy = [name for name in ("scipy.stats", "scipy.optimize", "statsmodels", "pandas") if name in sys.modules]
own = Path("/proc/self/status").read_text()  # ru_maxrss starts at what the parent holds
print(json.dumps([int(own.split("VmHWM:")[1].split()[0]) / 1024, heavy]))
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
    (much, heavy), (little, _) = map(json.loads, measured)
    assert heavy == []
    assert much - little < 20
    assert little < 110, (much, little)


def test_passes_that_a_guess_could_have_got_are_listed(tmp_path: Path) -> None:
    directory = write_page_run(tmp_path / "run", 6)
    grades = [(path, json.loads(path.read_text())) for path in sorted(directory.rglob("grade.json"))]
    path, grade = next(pair for pair in grades if pair[1]["outcome"] == "resolved")
    path.write_text(json.dumps(grade | {"guess": 0.25}))
    task = path.parts[-3].replace("_", "\\_")
    assert f"to more than one guess in a thousand: {task}" in to_markdown(read_report(directory).summary)
