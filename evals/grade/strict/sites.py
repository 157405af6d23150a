"""Where a test function may change, and what may stand there: options, one of which keeps the meaning.

An expected value gives way to sets of values that could as well stand there (`values`, `codes`), or to one of them,
in several assertions at once where there are several; where no value is expected, a condition must hold or must not
(`relations`). Rows of a `parametrize` that hold expected values change each for itself. Not covered: assertions that
are not known here.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from itertools import product
from math import prod
from random import Random
from typing import NamedTuple

from evals.grade.strict import codes
from evals.grade.strict.relations import Claim, claim_of
from evals.grade.strict.source import Edit, Function, Source
from evals.grade.strict.values import WHOLE, Words, alternatives, drawn, is_literal, literals, mixtures

TYPICAL, TYPICAL_CHOICES = {"[]", "()", "{}", "0", "1"}, 2
"""What whoever knows tests bets on first: no better hidden than that among any number of values."""
SHARP = 6
"""Characters of a string that is looked for: a shorter one is found by chance."""
MOST_CLAIMS, MOST_EQUALITIES = 2, 8
MOST_COPIES = 32
"""Of one test, where each value stands in a copy of its own."""
EXCEPTIONS = {
    "ValueError": 16.0, "TypeError": 5.0, "KeyError": 3.0, "AttributeError": 2.0, "RuntimeError": 2.0, "IndexError": 1.5,
    "OSError": 1.0, "SyntaxError": 1.0, "ZeroDivisionError": 0.7,
}  # fmt: skip
"""Exceptions, by how often tests expect them."""
RAISES = {"raises", "assertRaises", "assertRaisesMessage", "assertRaisesRegex", "assertRaisesRegexp"}
ONLY_CONDITIONS = {
    "assertTrue", "assertFalse", "assertIsNone", "assertIsNotNone", "assertGreater", "assertLessEqual", "assertLess",
    "assertGreaterEqual", "assertIsInstance",
}  # fmt: skip
"""They expect no value: what they say is a condition."""
SOUGHT = {"assertIn", "assertContains", "assertTemplateUsed", "assertRegex"}
"""Their literal is looked for in something larger."""


class Site(NamedTuple):
    """Places that change together: each copy takes one of these options, and some of them keep the meaning."""

    options: tuple[tuple[Edit, ...], ...]
    true: frozenset[int]
    values: int
    """Values, or mixtures of values, that stand in the copies."""
    choices: int
    """As many equal ones a reader has to choose from: fewer where tests expect the true one often."""
    relation: bool = False


class Leaf(NamedTuple):
    """One expected value's place, and what may stand there, the true text first."""

    start: int
    end: int
    texts: tuple[str, ...]

    @property
    def choices(self) -> int:
        return min(len(self.texts), TYPICAL_CHOICES) if self.texts[0] in TYPICAL else len(self.texts)


class Drawing(NamedTuple):
    """What options are drawn from; `copies`: how many of them are wanted."""

    text: Source
    words: Words
    copies: int
    random: Random


def sites_of(function: Function, drawing: Drawing) -> list[Site | None]:
    """A site for each row of the test's parameters, or one for all; expected values before relations."""
    rows = _row_sites(function, drawing)
    if any(rows):
        return rows
    nodes = list(ast.walk(ast.Module(body=function.body, type_ignores=[])))
    leaves = [leaf for node in nodes for leaf in _leaves(node, drawing)]
    if leaves:
        coded, one_each = _coded(nodes, drawing), _site(leaves, drawing)
        return [coded if coded and (not one_each or 2 * coded.choices >= one_each.choices) else one_each]
    found = [claim for node in nodes if (claim := claim_of(node, drawing.text))]
    return [_claim_site(found, drawing)] if found else []


def _coded(nodes: list[ast.AST], drawing: Drawing) -> Site | None:
    """One equality asks for sets of values: any of those that have room for as many as wanted, else that with most."""
    found = [equality for node in nodes if (equality := codes.equality_of(node, drawing.text))]
    best, room, chosen = list[str](), 0, None
    for equality in drawing.random.sample(found, min(MOST_EQUALITIES, len(found))):
        texts, choices = _texts(equality.expected, drawing)
        if choices > room:
            best, room, chosen = texts, choices, equality
        if room == drawing.copies:
            break
    if chosen is None or len(best) < codes.WORTH:
        return None
    options, true = codes.edited(chosen, best, drawing.random)
    return Site(tuple(options), true, len(best), room)


def _texts(expected: ast.expr, drawing: Drawing) -> tuple[list[str], int]:
    """What may stand in a literal's place, the true text first, and how many choices that is."""
    start, end = drawing.text.span(expected)
    most = min(drawing.copies, 2 * codes.LONG // (end - start))
    leaves = _leaves_in(expected, drawing)
    if not leaves or most < codes.WORTH:
        return [], 0
    mixed = mixtures([leaf.texts for leaf in leaves], most, drawing.random)
    changed = [
        drawing.text.within(
            start, end, [Edit(*leaf[:2], text) for leaf, text in zip(leaves, mix, strict=True)]
        )
        for mix in mixed
    ]
    texts = list(dict.fromkeys(changed))
    return texts, min(len(texts), prod(leaf.choices for leaf in leaves))


def _site(leaves: list[Leaf], drawing: Drawing) -> Site | None:
    """Some of the leaves change together; every mixture of them is as likely as the true one."""
    drawing = drawing._replace(copies=min(drawing.copies, MOST_COPIES))
    chosen, size = list[Leaf](), 1
    for leaf in drawing.random.sample(leaves, len(leaves)):
        apart = all(leaf.end <= other.start or other.end <= leaf.start for other in chosen)
        if size < 2 * drawing.copies and apart:
            chosen.append(leaf)
            size *= len(leaf.texts)
    if not chosen:
        return None
    options = mixtures([leaf.texts for leaf in chosen], drawing.copies, drawing.random)
    true = options[0]
    drawing.random.shuffle(options)
    edits = [
        tuple(Edit(leaf.start, leaf.end, text) for leaf, text in zip(chosen, mix, strict=True))
        for mix in options
    ]
    choices = min(len(options), prod(leaf.choices for leaf in chosen))
    return Site(tuple(edits), frozenset({options.index(true)}), len(options), choices)


def _claim_site(found: list[Claim], drawing: Drawing) -> Site:
    """In the true copy all claims hold, in the others one at least must not; all are written in one way."""
    chosen = drawing.random.sample(found, min(MOST_CLAIMS, len(found)))
    mixtures = [*product((True, False), repeat=len(chosen))]
    options = [mixtures[0], *drawing.random.sample(mixtures[1:], 1)]
    drawing.random.shuffle(options)
    edits = [
        tuple(
            edit
            for claim, holds in zip(chosen, mix, strict=True)
            for edit in claim.written(holds, drawing.random)
        )
        for mix in options
    ]
    return Site(tuple(edits), frozenset({options.index(mixtures[0])}), len(options), 1, relation=True)


def _row_sites(function: Function, drawing: Drawing) -> list[Site | None]:
    tables = [found for decorator in function.decorator_list if (found := _table(decorator))]
    if len(tables) != 1:
        return []
    names, rows = tables[0]
    expected = [number for number, name in enumerate(names) if _only_expected(function, name)]
    if not expected:
        return []
    cells = [_cell(row, expected[0], len(names)) for row in rows]
    return [_row_site(cell, drawing) if cell else None for cell in cells]


def _row_site(cell: ast.expr, drawing: Drawing) -> Site | None:
    return _site(_leaves_in(cell, drawing) or _whole(cell, drawing), drawing)


def _table(decorator: ast.expr) -> tuple[list[str], list[ast.expr]] | None:
    """Names and rows of `@….parametrize("a, b", [(1, 2), …])`."""
    if not isinstance(decorator, ast.Call) or getattr(decorator.func, "attr", "") != "parametrize":
        return None
    match decorator.args:
        case [ast.Constant(value=str(names)), ast.List(elts=rows) | ast.Tuple(elts=rows), *_]:
            return [name.strip() for name in names.split(",") if name.strip()], rows
        case [ast.List(elts=parts) | ast.Tuple(elts=parts), ast.List(elts=rows) | ast.Tuple(elts=rows), *_]:
            return [str(part.value) for part in parts if isinstance(part, ast.Constant)], rows
    return None


def _cell(row: ast.expr, number: int, width: int) -> ast.expr | None:
    match row:
        case ast.Call(func=ast.Attribute(attr="param"), args=cells) if len(cells) == width:
            return cells[number]
        case ast.Tuple(elts=cells) | ast.List(elts=cells) if width > 1 and len(cells) == width:
            return cells[number]
    return row if width == 1 and not isinstance(row, ast.Call) else None


def _only_expected(function: Function, name: str) -> bool:
    """Whether a parameter is nothing but the expected side of one equality (and may be compared with None)."""
    sides = set()
    for node in ast.walk(function):
        match node:
            case ast.Assert(test=ast.Compare(ops=[ast.Eq()], left=left, comparators=[right])):
                sides |= {id(left), id(right)}
            case ast.Call(func=ast.Attribute(attr="assertEqual"), args=[left, right, *_]):
                sides |= {id(left), id(right)}
            case ast.Compare(ops=[ast.Is() | ast.IsNot()], left=left, comparators=[ast.Constant(value=None)]):
                sides.add(-id(left))
    uses = [id(node) for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == name]
    return sum(use in sides for use in uses) == 1 and all(use in sides or -use in sides for use in uses)


def _leaves(node: ast.AST, drawing: Drawing) -> list[Leaf]:
    """The expected values of an assertion; none when `node` is none that we know."""
    match node:
        case ast.Assert(test=ast.Compare(ops=[ast.Eq()], left=left, comparators=[right])):
            return _leaves_in(right if is_literal(right) else left, drawing)
        case ast.Assert(test=ast.Compare(ops=[ast.In()], left=left)):
            return _sought(left, drawing)
        case ast.Call(args=[first, *rest]) if not any(isinstance(arg, ast.Starred) for arg in rest):
            return _of_call(node, first, rest, drawing)
    return []


def _of_call(call: ast.Call, first: ast.expr, rest: list[ast.expr], drawing: Drawing) -> list[Leaf]:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in RAISES:
        return list(_raised(first, drawing))
    if not name.lower().startswith("assert") or not rest:
        return []
    if name in SOUGHT:
        return _sought(first if name == "assertIn" else rest[0], drawing)
    if name in ONLY_CONDITIONS or name.startswith("assertNot"):
        return []
    return _leaves_in(rest[0] if is_literal(rest[0]) else first, drawing)


def _sought(expected: ast.expr, drawing: Drawing) -> list[Leaf]:
    match expected:
        case ast.Constant(value=str(text)) if len(text) >= SHARP:
            return _leaves_in(expected, drawing)
    return []


def _leaves_in(expected: ast.expr, drawing: Drawing) -> list[Leaf]:
    """The constants of a literal that have alternatives; the literal as a whole where it holds none, and now and then."""
    if not is_literal(expected):
        return []
    text, words, count, random = drawing
    if isinstance(expected, ast.List | ast.Tuple | ast.Dict):
        whole = _whole(expected, drawing)
        empty = len(ast.unparse(expected)) == len("[]")
        if empty or (random.random() < WHOLE and whole and len(whole[0].texts) == count):
            return whole
    leaves = []
    for constant in literals(expected):
        values = alternatives(constant.value, words, count, random)
        if values:
            texts = [repr(value) for value in values if value != constant.value]
            leaves.append(Leaf(*text.span(constant), (repr(constant.value), *texts)))
    return leaves


def _whole(expected: ast.expr, drawing: Drawing) -> list[Leaf]:
    """A list, tuple or dict of literals, which gives way to others of the same file."""
    if not isinstance(expected, ast.List | ast.Tuple | ast.Dict) or not is_literal(expected):
        return []
    written = ast.unparse(expected)
    others = drawing.words.displays(written, drawing.copies - 1, drawing.random)
    return [Leaf(*drawing.text.span(expected), (written, *others))] if others else []


def _raised(expected: ast.expr, drawing: Drawing) -> Iterator[Leaf]:
    """One of Python's exceptions gives way to others that are neither above nor below it."""
    true = expected.id if isinstance(expected, ast.Name) else ""
    if true in EXCEPTIONS:
        kind = getattr(builtins, true)
        others = {
            name: often for name, often in EXCEPTIONS.items() if not _related(kind, getattr(builtins, name))
        }
        chosen = drawn(others, drawing.copies - 1, drawing.random)
        yield Leaf(*drawing.text.span(expected), (true, *chosen))


def _related(one: type, other: type) -> bool:
    return issubclass(one, other) or issubclass(other, one)
