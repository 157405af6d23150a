"""Reads whole files out of a model's answer, liberally: what counts is which file a fenced block is meant to be.

The path may stand in the fence's info line, in the line before the fence, or in a comment on the first line; where
the block resembles one shown file most, no path is needed. Not covered: diffs, and files without a fence.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*([^\n`]*)\n(.*?)(?:^\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"[\w@+\-./]*[\w@+\-]\.\w+|[\w@+\-.]+/[\w@+\-./]+")
FIRST_LINE_COMMENT = re.compile(
    r"^\s*(?:#|//|--|;|/\*|<!--)\s*(?:file(?:name)?:?|path:?)?\s*(\S+)", re.IGNORECASE
)
LARGEST_FILE = 1_000_000
LONGEST_HINT = 300
"""Characters of a line in which a path is looked for: the patterns' time grows with its square."""
RESEMBLES = 0.3
"""Share of a file's lines that a block without a path repeats when it is meant to replace that file."""


class Place(NamedTuple):
    """Where an answer may write."""

    workdir: str
    anywhere: bool = False
    """Also outside of it, by absolute paths: the whole machine is the agent's."""

    def inside(self, path: str) -> str | None:
        """`path` from the working directory, absolute where it lies outside; None where nothing may be written."""
        absolute = posixpath.normpath(posixpath.join(self.workdir, path))
        relative = posixpath.relpath(absolute, self.workdir)
        first = relative.split("/")[0]
        if first == ".." and self.anywhere and posixpath.isabs(path):
            return absolute
        return None if first in ("..", ".", ".git") else relative


class Block(NamedTuple):
    """One fenced block with the places where its path may stand, most trusted first."""

    hints: tuple[str, str, str]
    text: str


def parse_files(answer: str, shown: Mapping[str, str], place: Place) -> dict[str, str]:
    """Path relative to the repository → new content; a later block of the same file wins."""
    files: dict[str, str] = {}
    for block in _blocks(answer):
        if block.text.strip() and len(block.text) <= LARGEST_FILE:
            path = named_path(block.hints, shown, place) or _most_alike(block, shown)
            if path is not None:
                files[path] = ending_like(block.text, shown.get(path))
    return files


def _most_alike(block: Block, shown: Mapping[str, str]) -> str | None:
    """The shown file that a block without a path must be: the one it shares most lines with."""
    if any("/" in path for hint in block.hints for path in PATH.findall(hint)):
        return None  # it names a place where nothing may be written
    lines = _lines(block.text)
    common = {path: len(lines & _lines(old)) for path, old in shown.items()}
    best, second = [*sorted(common, key=lambda path: -common[path]), None, None][:2]
    if best is None or common[best] == common.get(second or "", 0):
        return None
    return best if common[best] >= RESEMBLES * len(_lines(shown[best])) else None


def _lines(text: str) -> set[str]:
    """The distinct lines that say something."""
    return {line.strip() for line in text.split("\n")} - {""}


def _blocks(answer: str) -> Iterator[Block]:
    end = 0
    for match in FENCE.finditer(answer):
        before = answer[end : match.start()].strip().rpartition("\n")[2]
        text = match.group(3)
        comment = FIRST_LINE_COMMENT.match(text[:LONGEST_HINT])
        hints = (match.group(2), before, comment.group(1) if comment else "")
        yield Block((hints[0][:LONGEST_HINT], hints[1][-LONGEST_HINT:], hints[2]), text)
        end = match.end()


def named_path(hints: Sequence[str], shown: Mapping[str, str], place: Place) -> str | None:
    """A file that was shown where any hint names one, else a new path that the model spelled out."""
    named = [place.inside(path) for hint in hints for path in PATH.findall(hint)]
    paths = [path for path in named if path]
    for path in paths:
        if path in shown:
            return path
    for path in paths:
        same_name = [known for known in shown if posixpath.basename(known) == posixpath.basename(path)]
        if len(same_name) == 1:
            return same_name[0]
    spelled = next((path for path in paths if "/" in path), None)
    return spelled or (paths[0] if paths and place.anywhere else None)


def ending_like(text: str, old: str | None) -> str:
    """With the line ending and the final newline of the file it replaces."""
    if old and "\r\n" in old:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    return text if old is None or old.endswith("\n") or not old else text.rstrip("\r\n")
