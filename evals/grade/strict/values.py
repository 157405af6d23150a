"""One literal → the values that could as well stand in its place, the true one among them, none marked.

Others are drawn as true ones are distributed: small numbers more often than large ones, numbers and words that stand
elsewhere in the same test more often than new ones, as many digits and trailing zeros, words and lists of the same shape
that occur in the same file. So a reader who does not know the answer sees a set.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import cycle, islice, product
from math import prod
from random import Random
from typing import TypeVar

BLOCK = 8
"""Neighbours that one number is drawn from."""
SMALL = 10
"""Below it, numbers are drawn by how often tests expect them; who bets on that has one of `BLOCK` before him at most."""
WHOLE = 0.5
"""How often a list changes as a whole: an empty one cannot but, and must not be known by that."""
NEAR = 30.0
"""How much more often a value is expected that stands elsewhere in its test."""
WORD = re.compile(r"[A-Za-z]+|\d+")
Value = int | float | str | bytes
T = TypeVar("T")


class Words:
    """The words of a test file by shape, of its strings and of its names, and what stands in one test of it."""

    def __init__(self, tree: ast.AST) -> None:
        """Of a whole file; a test's own words and numbers are not known yet."""
        self._by_shape: dict[str, dict[str, None]] = {}
        for text in _texts(tree):
            for word in WORD.findall(text)[:200]:
                if not word.isdigit():
                    self._by_shape.setdefault(shape(word), {})[word] = None
        self._displays = _displays(tree)
        self._near_displays, self._near, self.numbers = set[str](), set[str](), set[int]()

    def in_test(self, test: ast.AST) -> Words:
        """The same, and what stands in one test of the file."""
        words = copy(self)
        words._near_displays = _displays(test)
        words._near = set(WORD.findall(ast.unparse(test)))
        words.numbers = {
            node.value
            for node in ast.walk(test)
            if isinstance(node, ast.Constant) and type(node.value) is int
        }
        return words

    def displays(self, true: str, count: int, random: Random) -> list[str]:
        """At most `count` other displays of the same brackets, the empty one as likely as one that stands near.

        Where the file has too few, parts of those that it has.
        """
        empty = true[0] + true[-1]
        others = {one for one in self._displays | {empty} if one[0] == true[0] and one != true}
        if len(others) < count:
            others |= {one for whole in sorted(others | {true}) for one in parts_of(whole)} - {true}
        weights = {one: NEAR if one in self._near_displays or one == empty else 1.0 for one in sorted(others)}
        return drawn(weights, count, random)

    def like(self, word: str, count: int, random: Random) -> list[str]:
        """At most `count` others of the same shape."""
        others = [other for other in self._by_shape.get(shape(word), ()) if other != word]
        return drawn({other: NEAR if other in self._near else 1.0 for other in others}, count, random)


def mixtures(places: Sequence[Sequence[T]], count: int, random: Random) -> list[tuple[T, ...]]:
    """The firsts of all places, and at most `count` - 1 other mixtures.

    In each place one value comes about as often as another: who takes what most have learns nothing.
    """
    if prod(len(options) for options in places) <= count:
        return list(product(*places))
    tries = [list(dict.fromkeys(_balanced(places, count, random))) for _ in range(8)]
    return max(tries, key=len)


def _balanced(places: Sequence[Sequence[T]], count: int, random: Random) -> Iterator[tuple[T, ...]]:
    """Rows in which each place takes its values in turn; the first row is true."""
    columns: list[list[T]] = []
    for options in places:
        turns = cycle([options[0], *random.sample(options[1:], len(options) - 1)])
        first, *rest = islice(turns, count)
        columns.append([first, *random.sample(rest, count - 1)])
    return zip(*columns, strict=True)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.FunctionDef(name=name):
                yield name.removeprefix("test_").replace("_", " ")


def _displays(tree: ast.AST) -> set[str]:
    """The lists, tuples and dicts in it that hold nothing but literals, as text."""
    found = (node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple | ast.Dict))
    return {ast.unparse(node) for node in found if is_literal(node)}


def parts_of(display: str) -> Iterator[str]:
    """Its beginnings and ends, and its elements each alone, as displays; a dict has none."""
    node = ast.parse(display, mode="eval").body
    if isinstance(node, ast.List | ast.Tuple):
        elements = node.elts[:BLOCK]
        for number, element in enumerate(elements):
            for part in (elements[:number], elements[number:], [element]):
                yield ast.unparse(type(node)(elts=part, ctx=ast.Load()))


def drawn(weights: Mapping[T, float], count: int, random: Random) -> list[T]:
    """At most `count` keys without repetition, each as likely as it is heavy (Efraimidis and Spirakis 2006)."""
    keys = {key: random.random() ** (1 / weight) for key, weight in weights.items()}
    return sorted(keys, key=keys.__getitem__, reverse=True)[:count]


def shape(word: str) -> str:
    """A single letter or more; lower case, title case, all capitals, anything else."""
    return f"{len(word) == 1:d}" + (
        "l" if word.islower() else "u" if word.isupper() else "t" if word.istitle() else "m"
    )


def literals(expression: ast.expr) -> Iterator[ast.Constant]:
    """The constants that decide an expected value: in displays, signs and arguments of calls, not in f-strings."""
    match expression:
        case ast.Constant():
            yield expression
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            yield from (leaf for part in parts for leaf in literals(part))
        case ast.Dict(values=parts):
            yield from (leaf for part in parts for leaf in literals(part))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield from literals(operand)
        case ast.Call(args=parts, keywords=keywords):
            named = [keyword.value for keyword in keywords]
            yield from (leaf for part in (*parts, *named) for leaf in literals(part))


def is_literal(expression: ast.expr) -> bool:
    """Whether nothing in it is computed, but for calls by a capitalised name (`Decimal("1")`, `Limit(10, 2)`)."""
    match expression:
        case ast.Constant():
            return True
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts):
            return all(is_literal(part) for part in parts)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return is_literal(operand)
        case ast.Call(func=function, args=parts):
            name = getattr(function, "attr", getattr(function, "id", ""))
            return (name[:1].isupper() or name in ("array", "set", "dict")) and all(map(is_literal, parts))
        case _:
            return False


def alternatives(value: object, words: Words, count: int, random: Random) -> list[Value]:
    """The true value and up to `count` - 1 others, in a random order; empty where there are none."""
    match value:
        case bool() | None:
            return []
        case int():
            found: list[Value] = list(neighbours(value, words, count, random))
        case float():
            found = list(decimals(value, words, count, random))
        case str():
            found = list(texts(value, words, count, random))
        case bytes() if value.isascii():
            found = [text.encode() for text in texts(value.decode(), words, count, random)]
        case _:
            return []
    return random.sample(found, len(found)) if len(found) > 1 else []


def neighbours(value: int, words: Words, count: int, random: Random) -> list[int]:
    """A number and `count` - 1 others of its kind: it stands at any place among them."""
    size, unit = abs(value), 1
    sign = -1 if value < 0 else 1
    if size < SMALL:
        count = min(count, BLOCK)
        weights = {n: (NEAR if n in words.numbers else 1.0) / (n + 0.15) for n in range(2 * BLOCK)}
        weights.pop(size)
        return [value, *(sign * n for n in drawn(weights, count - 1, random) if n or value >= 0)]
    while size % 10 == 0:
        size, unit = size // 10, unit * 10
    if size > 10**15:
        return []
    width = max(count, BLOCK)
    start = max(1, size - random.randrange(width))
    near = {n // unit for n in words.numbers if n % unit == 0 and len(str(n)) == len(str(abs(value)))}
    weights = {
        n: NEAR if n in near else 1.0 for n in sorted({*range(start, start + width), *near}) if n != size
    }
    return [value, *(sign * unit * n for n in drawn(weights, count - 1, random))]


def decimals(value: float, words: Words, count: int, random: Random) -> list[float]:
    """The same for a number with a point, in its last decimal."""
    written = repr(value)
    if "e" in written or "n" in written or value < 0:
        return []
    places = len(written.partition(".")[2])
    unit = 10**places
    return [n / unit for n in neighbours(round(value * unit), words, count, random)]


def texts(value: str, words: Words, count: int, random: Random) -> list[str]:
    """Mixtures of some words of a string and others in their places."""
    places = list(WORD.finditer(value))
    if len(value) > 4000 or not places:
        return []
    options = [(match, others) for match in places if (others := _others(match[0], words, count, random))]
    chosen: list[tuple[re.Match[str], list[str]]] = []
    for match, others in random.sample(options, len(options)):
        chosen.append((match, [match[0], *others]))
        size = 1
        for _, choice in chosen:
            size *= len(choice)
        if size >= 2 * count:
            break
    mixed = mixtures([choice for _, choice in chosen], count, random)
    return [_mixed(value, [match for match, _ in chosen], mix) for mix in mixed]


def _others(word: str, words: Words, count: int, random: Random) -> list[str]:
    if word.isdigit():
        if word != "0" and word.startswith("0"):
            return []
        return [str(n) for n in neighbours(int(word), words, min(count, 4), random)[1:]]
    return words.like(word, min(count, 4), random)


def _mixed(value: str, places: list[re.Match[str]], words: tuple[str, ...]) -> str:
    for match, word in sorted(zip(places, words, strict=True), key=lambda pair: -pair[0].start()):
        value = value[: match.start()] + word + value[match.end() :]
    return value
