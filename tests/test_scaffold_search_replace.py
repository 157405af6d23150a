"""Search and replace blocks in an answer: what is written, what is refused, and that no answer costs time."""

from __future__ import annotations

import time

import pytest

from scaffolds.base import Budget, ToolCallMode
from scaffolds.catalog import find
from scaffolds.factors import difference
from scaffolds.search_replace import parse_edits
from scaffolds.whole_files import Place

SHOWN = {"pkg/calc.py": "def add(a, b):\n    return a - b\n", "pkg/app.py": "import calc\nrun()\nrun()\n"}
OLD, NEW = "    return a - b", "    return a + b"
ADDS = "def add(a, b):\n    return a + b\n"


def block(old: str, new: str) -> str:
    parts = ["<<<<<<< SEARCH", *old.split("\n"), "=======", *new.split("\n"), ">>>>>>> REPLACE"]
    return "\n".join(part for part in parts if part)


def read(answer: str, shown: dict[str, str] = SHOWN) -> tuple[dict[str, str], list[str]]:
    return parse_edits(answer, shown, Place("/testbed"))


@pytest.mark.parametrize(
    "answer",
    [
        "pkg/calc.py\n" + block(OLD, NEW),
        "In `/testbed/pkg/calc.py`:\n```python\n" + block(OLD, NEW) + "\n```\nThat is all.",
        "**calc.py**\n\n" + block(OLD, NEW),
        block(OLD, NEW),
        "pkg/calc.py\n" + block(OLD, "    return 0") + "\n\n" + block("    return 0", NEW),
        "pkg/calc.py\n<<<<<<< SEARCH\nnever ended\n" + block(OLD, NEW),
    ],
)
def test_the_file_is_found_where_models_name_it_and_edits_go_on_from_each_other(answer: str) -> None:
    assert read(answer) == ({"pkg/calc.py": ADDS}, [])


def test_a_new_file_a_deletion_and_two_files_at_once() -> None:
    answer = f"pkg/new.py\n{block('', 'x = 1')}\npkg/app.py\n{block('import calc', '')}"
    assert read(answer) == ({"pkg/app.py": "run()\nrun()\n", "pkg/new.py": "x = 1\n"}, [])


@pytest.mark.parametrize(
    "text", [ADDS.replace("+", "-").rstrip("\n"), ADDS.replace("+", "-").replace("\n", "\r\n")]
)
def test_endings_stay_as_they_were(text: str) -> None:
    assert read(block(OLD, NEW), {"a.py": text}) == ({"a.py": text.replace("-", "+")}, [])


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("pkg/calc.py\n" + block("    return a * b", NEW), "pkg/calc.py: not changed: the lines to look for are there 0 times"),
        ("pkg/app.py\n" + block("run()", "stop()"), "pkg/app.py: not changed: the lines to look for are there 2 times"),
        ("pkg/app.py\n" + block("", "stop()"), "pkg/app.py: not changed: it has lines already, and none to look for are given"),
        (block("nowhere", "x"), "an edit names no file, and its lines are not those of one file"),
        (block("", "x"), "an edit names no file, and its lines are not those of one file"),
        ("../../etc/passwd\n" + block("", "x"), "an edit names no file, and its lines are not those of one file"),
        ("pkg/other.py\n" + block(OLD, NEW), "pkg/other.py: not changed: the lines to look for are there 0 times"),
    ],
)  # fmt: skip
def test_an_edit_that_would_be_a_guess_is_refused_and_the_others_are_kept(
    answer: str, complaint: str
) -> None:
    assert read(answer) == ({}, [complaint])
    kept, refused = read(f"{answer}\npkg/calc.py\n{block(OLD, NEW)}")
    assert (kept, refused) == ({"pkg/calc.py": ADDS}, [complaint])


@pytest.mark.parametrize(
    "answer", ["", "It should add.", "<<<<<<< SEARCH\n=======\n", block(OLD, NEW).replace("SEARCH", "HEAD")]
)
def test_an_answer_without_an_edit(answer: str) -> None:
    assert read(answer) == ({}, [])


@pytest.mark.parametrize(
    "piece",
    ["<<<<<<< SEARCH\n", "<" * 9, "=======\n", block("x", "y") + "\n", block("", "y") + "\n", "a/" * 9, "\n"],
)
def test_hostile_repetition_costs_no_time(piece: str) -> None:
    shown = {f"f{n}.py": "x = 1\n" * 5000 for n in range(6)}
    started = time.process_time()
    read(piece * (200_000 // len(piece)), shown)
    assert time.process_time() - started < 2


def test_the_format_of_the_answer_is_one_factor() -> None:
    whole, edits, localize = (
        factors.in_force(Budget(), ToolCallMode.NATIVE)
        for name in ("oneshot", "oneshot-search-replace", "localize")
        if (factors := find(name).factors)
    )
    assert difference(whole, edits) == ["answer: whole_files → search_replace"]
    assert difference(whole, localize) == ["agency: oneshot → localize"]
