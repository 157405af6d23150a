"""What a model is shown of a text that may be long."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from tasks.untrusted import clean

LONGEST_OBSERVATION = 16_000
"""Characters; enough for a file of 400 lines, small enough for a window of 32k tokens."""


class Shape(StrEnum):
    """Which part of a long output is shown."""

    HEAD = "head"
    """Its beginning."""
    TAIL = "tail"
    """Its end."""
    ENDS = "ends"
    """Both, half of the room each: the middle is left out."""

    @property
    def words(self) -> str:
        return "head and tail" if self is Shape.ENDS else str(self)


class Clip(NamedTuple):
    """How much of an output is shown, and which part; where lines are counted, both limits hold."""

    characters: int = LONGEST_OBSERVATION
    lines: int | None = None
    shape: Shape = Shape.ENDS

    @property
    def words(self) -> str:
        lines = "" if self.lines is None else f", {self.lines} lines"
        shape = "" if self.shape is Shape.ENDS else f", {self.shape.words}"
        return f"{self.characters} characters{lines}{shape}"


def cap(text: str, limit: int | Clip = LONGEST_OBSERVATION) -> str:
    """The part of a long text that is shown, with how much is left out in the place of the rest."""
    clip = limit if isinstance(limit, Clip) else Clip(limit)
    text = clean(text)
    if clip.lines is not None:
        text = cut_lines(text, clip.lines, clip.shape)
    return cut(text, clip.characters, clip.shape)


def cut(text: str, most: int, shape: Shape) -> str:
    if len(text) <= most:
        return text
    head, tail = shares(most, shape)
    return joined(text[:head], f"{len(text) - head - tail} characters", text[len(text) - tail :])


def cut_lines(text: str, most: int, shape: Shape) -> str:
    """By lines as `wc -l` has them; a last line without an end is one, too."""
    pieces = text.removesuffix("\n").split("\n")
    if len(pieces) <= most:
        return text
    head, tail = shares(most, shape)
    left_out = f"{len(pieces) - head - tail} lines"
    return joined("\n".join(pieces[:head]), left_out, "\n".join(pieces[len(pieces) - tail :]))


def shares(most: int, shape: Shape) -> tuple[int, int]:
    """How many from the beginning, and how many from the end."""
    if shape is Shape.ENDS:
        return most // 2, most // 2
    return (most, 0) if shape is Shape.HEAD else (0, most)


def joined(head: str, left_out: str, tail: str) -> str:
    return "\n".join(part for part in (head, f"[… {left_out} left out …]", tail) if part)
