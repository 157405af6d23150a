"""No pattern that reads a model's or a task's text can be made slow: each against hostile repetition, under a bound.

The patterns are found in the modules' own namespaces, so a new one is tested without being listed here. Patterns that
are written where they are used are not found; they are few, and linear by the look of them.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator

import pytest

ROOMS = ("scaffolds", "evals.run", "evals.grade", "evals.imports", "tasks.docker")
SIZE = 20_000
"""Characters. Quadratic work takes seconds at this size, linear work milliseconds."""
SECONDS = 1.5
BOUNDED = {"scaffolds.whole_files.PATH": 300}
"""Patterns that are given no more than so many characters: `LONGEST_HINT`."""
PIECES = (
    "a", "A1_", " ", "\t", "\n", "a ", "a\n", "=", ":", "/", "./", ".", "..a", "-", "_", '"', "'", "`", "```", "```a\n", "~~~\n", "<", ">", "<<",
    "<<-EOF ", "(", ")", "[", "[[a", "]", "{", "}", "<tool_call>", "<tools>{", "</tool_call>", "<function=a>", "<parameter=b>", "#", "# a", "//",
    "git log ", "diff --git a/", "diff --git a/a b/", " b/", "--- a/", "+++ ", "@@", "max 1", "0", "1.", "1 ", "429 ", "a (a.", "a::", "__a-1",
    "context ", "maximum length ", "no space left on device", "\\", "\r", "\u2028", "é", "\0",
)  # fmt: skip


def patterns() -> Iterator[tuple[str, re.Pattern[str] | re.Pattern[bytes]]]:
    seen = set()
    for room in ROOMS:
        package = importlib.import_module(room)
        for info in pkgutil.walk_packages(package.__path__, f"{room}."):
            if info.name.endswith(("__main__", "official_worker", ".mini")):
                continue
            for name, value in sorted(vars(importlib.import_module(info.name)).items()):
                if isinstance(value, re.Pattern) and value not in seen:
                    seen.add(value)
                    yield f"{info.name}.{name}", value


FOUND = dict(patterns())


def test_there_are_patterns_to_look_at() -> None:
    assert len(FOUND) > 10


@pytest.mark.parametrize("name", FOUND)
def test_hostile_repetition_costs_little(name: str) -> None:
    pattern = FOUND[name]
    for piece in PIECES:
        for before, after in (("", "\0!"), ("```\n", "!")):
            text = before + piece * (BOUNDED.get(name, SIZE) // len(piece)) + after
            subject = text.encode() if isinstance(pattern.pattern, bytes) else text
            began = time.process_time()
            for _ in zip(range(SIZE), pattern.finditer(subject), strict=False):  # type: ignore[arg-type]
                assert time.process_time() - began < SECONDS, (piece, before)
            pattern.fullmatch(subject)  # type: ignore[arg-type]
            assert time.process_time() - began < SECONDS, (piece, before)
