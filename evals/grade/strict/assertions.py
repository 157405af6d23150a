"""One assertion → the same assertion, made false for every correct program.

Knows `assert`, unittest's and Django's `self.assert…`, `assert_…` helpers and `raises`. What is expected is changed,
never what is computed, so that an object that claims to equal everything passes still, and gives itself away.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

OPPOSITES = {
    "assertTrue": "assertFalse",
    "assertIsNone": "assertIsNotNone",
    "assertGreater": "assertLessEqual",
    "assertLess": "assertGreaterEqual",
    "assertIsInstance": "assertNotIsInstance",
    "assertRegex": "assertNotRegex",
    "assertContains": "assertNotContains",
    "assertTemplateUsed": "assertTemplateNotUsed",
}
OPPOSITES |= {right: left for left, right in OPPOSITES.items()}
RAISES = {"raises", "assertRaises", "assertRaisesMessage", "assertRaisesRegex", "assertRaisesRegexp"}
UNLIKELY = ("BufferError", "EOFError", "FloatingPointError", "UnicodeTranslateError", "ZeroDivisionError")
UNEQUAL = {"assertNotEqual", "assertNotEquals", "assertIsNot"}


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

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with all edits made; of two that overlap the first in order counts."""
        pieces, reached = [], 0
        for edit in sorted(edits):
            if edit.start >= reached:
                pieces += [self.text[reached : edit.start], edit.text]
                reached = edit.end
        return "".join([*pieces, self.text[reached:]])


def contradict(node: ast.AST, text: Source, random: Random) -> Edit | None:
    """The edit that makes an assertion false; None when `node` is none, or none that we know."""
    if isinstance(node, ast.Assert):
        return _assert(node.test, text, random)
    if isinstance(node, ast.Call) and not any(isinstance(arg, ast.Starred) for arg in node.args):
        return _call(node, text, random)
    return None


def _assert(test: ast.expr, text: Source, random: Random) -> Edit | None:
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _compare(test, text, random)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return Edit(*text.span(test), f"({text.of(test.operand)})")
    return Edit(*text.span(test), f"not ({text.of(test)})")


def _compare(test: ast.Compare, text: Source, random: Random) -> Edit | None:
    left, operator, right = test.left, test.ops[0], test.comparators[0]
    match operator:
        case ast.Eq() | ast.Is():
            return _other(right, text, random) or _other(left, text, random) or _wrapped(right, text)
        case ast.In():
            return _absent(left, right, text, random)
        case ast.NotEq() | ast.IsNot():
            return Edit(*text.span(right), f"({text.of(left)})")
        case ast.NotIn():
            return Edit(*text.span(right), f"[{text.of(left)}]")
        case _:
            return Edit(*text.span(test), f"not ({text.of(test)})")


def _call(call: ast.Call, text: Source, random: Random) -> Edit | None:
    """A call of an assertion method or helper."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in OPPOSITES and isinstance(call.func, ast.Attribute):
        end = text.span(call.func)[1]
        return Edit(end - len(name), end, OPPOSITES[name])
    if name in RAISES and call.args:
        others = [error for error in UNLIKELY if error not in text.of(call.args[0])]
        return Edit(*text.span(call.args[0]), random.choice(others))
    if not name.lower().startswith("assert") or len(call.args) < 2:
        return None
    first, second = call.args[:2]
    if name in UNEQUAL:
        return Edit(*text.span(second), f"({text.of(first)})")
    if name == "assertNotIn":
        return Edit(*text.span(second), f"[{text.of(first)}]")
    if name == "assertIn":
        return _absent(first, second, text, random)
    fresh = Edit(*text.span(second), "object()")
    return _other(second, text, random) or (_wrapped(second, text) if name == "assertEqual" else fresh)


def _absent(member: ast.expr, container: ast.expr, text: Source, random: Random) -> Edit | None:
    """A literal becomes what cannot be there by chance; a computed member is looked for in another place."""
    if not isinstance(member, ast.Constant):
        return Edit(*text.span(container), "[object()]")
    if isinstance(member.value, str) and len(member.value) > 3:
        return _other(member, text, random)
    return Edit(*text.span(member), "object()")


def _wrapped(expression: ast.expr, text: Source) -> Edit:
    return Edit(*text.span(expression), f"[{text.of(expression)}]")


def _other(expression: ast.expr, text: Source, random: Random) -> Edit | None:
    """Another value for the first literal that decides the expression's value."""
    for literal in _literals(expression):
        changed = _changed(literal.value, text.of(literal), random)
        if changed is not None and _differs(changed, literal.value):
            return Edit(*text.span(literal), changed)
    return None


def _literals(expression: ast.expr) -> Iterator[ast.Constant]:
    match expression:
        case ast.Constant():
            yield expression
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Dict(values=parts):
            for part in parts:
                yield from _literals(part)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield from _literals(operand)


def _changed(value: object, written: str, random: Random) -> str | None:
    match value:
        case bool():
            return str(not value)
        case int():
            return str(value + random.randint(1, 9))
        case float():
            return repr(value + random.choice((0.5, 1.5, 2.0)))
        case None:
            return "True"
        case str() | bytes():
            return _changed_string(written, random)
        case _:
            return None


def _changed_string(written: str, random: Random) -> str | None:
    """One letter or digit of a string literal becomes another; an empty string gets a letter."""
    opening = re.match(r"[A-Za-z]*('''|\"\"\"|'|\")", written)
    if opening is None:
        return None
    inside = written[opening.end() : -len(opening[1])]
    letter = random.choice("abdeghklmoprsvw")
    if not inside:
        return f"{opening[0]}{letter}{opening[1]}"
    places = [m.start() for m in re.finditer(r"(?<![\\{%])[A-Za-z0-9]", inside)]
    if not places:
        return f"{opening[0]}{letter}{written[opening.end() :]}"
    place = random.choice(places)
    new = random.choice(
        [c for c in ("0123456789" if inside[place].isdigit() else letter + "tn") if c != inside[place]]
    )
    return written[: opening.end() + place] + new + written[opening.end() + place + 1 :]


def _differs(written: str, value: object) -> bool:
    try:
        return bool(ast.literal_eval(written) != value)
    except (SyntaxError, ValueError):
        return False
