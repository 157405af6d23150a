"""The text of a Python file and edits to it: where its syntax nodes lie, in characters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Edit(NamedTuple):
    """Put `text` in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


class Source:
    """A file's text and where its syntax nodes lie in it, in characters."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]

    def span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _at(self, line: int, column: int) -> int:
        """Character offset of `ast`'s place: its columns count UTF-8 bytes."""
        start = self._starts[line - 1]
        head = self.text[start : start + column]
        return start + (column if head.isascii() else len(head.encode()[:column].decode()))

    def part(self, start: int, end: int) -> str:
        return self.text[start:end]

    def of(self, node: ast.expr) -> str:
        return self.part(*self.span(node))

    def within(self, start: int, end: int, edits: Iterable[Edit]) -> str:
        """A part of the text with edits inside it made."""
        pieces, reached = [], start
        for edit in sorted(edits):
            pieces += [self.part(reached, edit.start), edit.text]
            reached = edit.end
        return "".join([*pieces, self.part(reached, end)])

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with all edits made; of two that overlap the first in order counts."""
        pieces, reached = [], 0
        for edit in sorted(edits):
            if edit.start >= reached:
                pieces += [self.text[reached : edit.start], edit.text]
                reached = edit.end
        return "".join([*pieces, self.text[reached:]])


def outermost(node: ast.AST) -> Iterator[Function]:
    """The functions of a file and of its classes, in order; none that is inside another."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child
        elif not isinstance(child, ast.expr):
            yield from outermost(child)
