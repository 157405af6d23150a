"""Reads edits out of a model's answer: blocks of lines to look for, and of lines to put in their place.

The markers are those that aider made common. Which file is meant stands on the last line with words before a block; where
none does, it is the one shown file that holds the lines. Not covered: lines that are nearly those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from scaffolds.whole_files import LARGEST_FILE, LONGEST_HINT, Place, ending_like, named_path

SEARCH, DIVIDER, REPLACE = (
    re.compile(pattern) for pattern in (r"<{5,9} *SEARCH\s*$", r"={5,9}\s*$", r">{5,9} *REPLACE\s*$")
)
FENCE = ("```", "~~~")
MOST_EDITS = 500
"""Of one answer: each may be looked for in every file that was shown."""


class Edit(NamedTuple):
    """Whole lines, each with its line feed."""

    hint: str
    """The line on which a path may stand."""
    old: str
    """Empty for a file that is not there yet."""
    new: str


def parse_edits(answer: str, shown: Mapping[str, str], place: Place) -> tuple[dict[str, str], list[str]]:
    """Path relative to the repository → its whole new content, edits applied in order; and why others are not."""
    texts = {path: _plain(text) for path, text in shown.items()}
    changed, refused = set[str](), list[str]()
    for count, edit in enumerate(_edits(answer)):
        if count == MOST_EDITS:
            refused.append(f"the edits after the first {MOST_EDITS} are not read")
            break
        path = named_path([edit.hint], shown, place) or _holder(edit.old, texts)
        if path is None:
            refused.append("an edit names no file, and its lines are not those of one file")
        elif wrong := _unfit(edit, texts.get(path, "")):
            refused.append(f"{path}: not changed: {wrong}")
        else:
            texts[path] = texts[path].replace(edit.old, edit.new, 1) if edit.old else edit.new
            changed.add(path)
    return {path: ending_like(texts[path], shown.get(path)) for path in sorted(changed)}, refused


def _plain(text: str) -> str:
    """With line feeds alone, one at the end included: as the lines of an edit are."""
    text = text.replace("\r\n", "\n")
    return text if text.endswith("\n") or not text else text + "\n"


def _unfit(edit: Edit, text: str) -> str:
    """Why an edit of this text would be a guess; empty where it is none."""
    if len(text) + len(edit.new) > LARGEST_FILE:
        return "it would become too large"
    if not edit.old:
        return "it has lines already, and none to look for are given" if text else ""
    count = text.count(edit.old)
    return "" if count == 1 else f"the lines to look for are there {count} times"


def _holder(old: str, texts: Mapping[str, str]) -> str | None:
    """The only file with these lines."""
    holders = [path for path, text in texts.items() if old and old in text]
    return holders[0] if len(holders) == 1 else None


def _edits(answer: str) -> Iterator[Edit]:
    """In one pass; a block without its end is none."""
    hint, old, new = "", list[str](), list[str]()
    into: list[str] | None = None
    for line in re.findall(r"[^\n]*\n|[^\n]+", answer):
        if SEARCH.match(line):
            old, new = [], []
            into = old
        elif into is old and DIVIDER.match(line) and into is not None:
            into = new
        elif into is new and REPLACE.match(line):
            yield Edit(hint, "".join(old), "".join(new))
            into = None
        elif into is not None:
            into.append(line)
        elif line.strip() and not line.startswith(FENCE):
            hint = line.strip()[-LONGEST_HINT:]
