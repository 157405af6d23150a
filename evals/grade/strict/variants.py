"""A test function → copies of it under names of equal form: some true, some false, and nothing in them that says which.

Each copy takes one option of each of the function's sites (`sites`). Functions of one file and class whose name occurs
twice stay as they are, and so does a file that this Python cannot read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from evals.grade.strict.sites import Drawing, Site, sites_of
from evals.grade.strict.source import Edit, Function, Source, outermost
from evals.grade.strict.values import Words


class Copy(NamedTuple):
    """One copy: its name, and for each row of its test (one, where it has none) whether it is true."""

    name: str
    true: tuple[bool, ...]


class Varied(NamedTuple):
    """A function and its copies; `choices`: among how many equal values each row's right one is, 1 = it does not change."""

    name: str
    copies: tuple[Copy, ...]
    choices: tuple[int, ...]
    relation: bool
    values: int
    """At most in one row."""


def vary_file(source: bytes, counts: Mapping[str, int], random: Random) -> tuple[bytes, list[Varied]]:
    """The file with copies in place of the functions named in `counts`, as many as that says where there are values.

    Functions that do not bear it stay, and so does a file that this Python cannot read.
    """
    try:
        text = Source(source.decode("utf-8"))
        tree = ast.parse(text.text)
    except (SyntaxError, ValueError, RecursionError):
        return source, []
    words, edits, varied = Words(tree), [], list[Varied]()
    for function in _once(tree, counts):
        sites = sites_of(function, Drawing(text, words.in_test(function), counts[function.name], random))
        made = _copies(function, text, sites, random) if any(sites) else None
        if made:
            edits.append(made[0])
            varied.append(made[1])
    changed = text.edited(edits)
    try:
        ast.parse(changed)
    except (SyntaxError, ValueError):
        return source, []
    return changed.encode("utf-8"), varied


def _once(tree: ast.Module, names: Mapping[str, int]) -> list[Function]:
    """Functions of these names in files and classes whose name occurs once."""
    found: dict[str, list[Function]] = {}
    for function in outermost(tree):
        found.setdefault(function.name, []).append(function)
    return [functions[0] for name, functions in found.items() if name in names and len(functions) == 1]


def _copies(
    function: Function, text: Source, sites: list[Site | None], random: Random
) -> tuple[Edit, Varied] | None:
    """One edit that puts a function's copies in its place, in a random order."""
    decorated = text.span(function.decorator_list[0])[0] - 1 if function.decorator_list else None
    head, end = text.span(function)
    start = head if decorated is None else decorated
    indent = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    name = re.compile(rf"def\s+({re.escape(function.name)})\b").search(text.text, head)
    if indent.strip() or name is None:
        return None
    number = max(len(site.options) for site in sites if site)
    columns = [_column(site, number, random) for site in sites]
    pieces, copies = [], []
    for place in range(number):
        fresh = f"{function.name}_{random.getrandbits(24):06x}"
        edits = [Edit(*name.span(1), fresh)]
        for site, column in zip(sites, columns, strict=True):
            edits += site.options[column[place]] if site else ()
        pieces.append(text.within(start, end, edits))
        true = tuple(
            not site or column[place] in site.true for site, column in zip(sites, columns, strict=True)
        )
        copies.append(Copy(fresh, true))
    choices = tuple(site.choices if site else 1 for site in sites)
    relation = any(site.relation for site in sites if site)
    values = max(site.values for site in sites if site)
    varied = Varied(function.name, tuple(copies), choices, relation, values)
    return Edit(start, end, f"\n\n{indent}".join(pieces)), varied


def _column(site: Site | None, number: int, random: Random) -> list[int]:
    """Which option each copy takes: every one at least once."""
    if site is None:
        return [0] * number
    count = len(site.options)
    column = [*range(count), *(random.randrange(count) for _ in range(number - count))]
    return random.sample(column, number)
