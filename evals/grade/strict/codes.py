"""`assert f(x) == 7` → `assert f(x) in (9, 7, 4)`: few copies, and only one of many values fits all of them.

Each of n values is in the sets of some copies and not in those of others: its code word. All words have the same weight
and none is another's, so a copy is true where its set holds the true value, every value is seen as often as any other, and
who believes in a wrong one passes a false copy or fails a true one. log2(n) copies, and some, do what n would otherwise.
Not covered: expected values in rows of parameters, and assertions that are no equality.
"""

from __future__ import annotations

import ast
from itertools import combinations
from math import comb
from random import Random
from typing import NamedTuple

from evals.grade.strict.source import Edit, Source
from evals.grade.strict.values import is_literal

WORTH = 5
"""So many values at least: fewer stand each in a copy of its own."""
LONG = 4000
"""Characters of all values together that one copy may hold."""


class Equality(NamedTuple):
    """An assertion that something computed equals a literal."""

    spans: tuple[tuple[int, int], ...]
    """Characters that give way: an `assert`'s condition; a method's name and its arguments."""
    forms: tuple[str, ...]
    """What takes their place, `{}` standing for the set."""
    expected: ast.expr


def equality_of(node: ast.AST, text: Source) -> Equality | None:
    """None when `node` is no such assertion, or written so that we cannot edit it."""
    match node:
        case ast.Assert(test=ast.Compare(ops=[ast.Eq()], left=left, comparators=[right]) as test):
            if sides := _sides(left, right):
                return Equality((text.span(test),), (f"({_plain(text.of(sides[0]))}) in {{}}",), sides[1])
        case ast.Call(func=ast.Attribute(attr="assertEqual") as method, args=[left, right, *_]):
            name, first, second = text.span(method), text.span(left), text.span(right)
            between = text.part(name[1], first[0]).strip() + text.part(first[1], second[0]).strip()
            if between == "(," and (sides := _sides(left, right)):
                spans = ((name[1] - len("assertEqual"), name[1]), (first[0], second[1]))
                return Equality(spans, ("assertIn", f"({_plain(text.of(sides[0]))}), {{}}"), sides[1])
    return None


def _sides(left: ast.expr, right: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """What is computed, and the literal that it must equal."""
    if (
        isinstance(left, ast.Starred)
        or isinstance(right, ast.Starred)
        or is_literal(left) is is_literal(right)
    ):
        return None
    return (left, right) if is_literal(right) else (right, left)


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def copies_for(values: int) -> int:
    """How many copies tell so many values apart."""
    return next(length for length in range(2, values + 2) if comb(length, length // 2) >= values)


def words(values: int, random: Random) -> list[frozenset[int]]:
    """Value → the copies whose sets hold it: words of one weight, all different."""
    length = copies_for(values)
    weight = random.choice((length // 2, (length + 1) // 2))
    return [frozenset(word) for word in random.sample(list(combinations(range(length), weight)), values)]


def edited(
    equality: Equality, texts: list[str], random: Random
) -> tuple[list[tuple[Edit, ...]], frozenset[int]]:
    """The edits of each copy, and which copies are true; the true value's text is the first."""
    of = words(len(texts), random)
    copies = []
    for copy in range(copies_for(len(texts))):
        members = [text for text, word in zip(texts, of, strict=True) if copy in word]
        listed = "[" + ", ".join(random.sample(members, len(members))) + "]"
        copies.append(
            tuple(
                Edit(*span, form.format(listed))
                for span, form in zip(equality.spans, equality.forms, strict=True)
            )
        )
    return copies, of[0]
