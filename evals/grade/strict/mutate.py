"""Make tests fail on purpose: their bodies give way to one line that cannot pass.

The edits are made in place (formatting stays) and are drawn at random. Python that our own `ast` cannot read is left
alone, and so is a file that is not UTF-8: the calibration then leaves its tests out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from evals.grade.strict.source import Edit, Function, Source, outermost

NAMES = ("total", "value", "left", "name", "size", "kind", "label", "state")


class Mutant(NamedTuple):
    """A changed file."""

    source: bytes
    functions: frozenset[str]
    """Names of the test functions in it that must fail now."""


def break_bodies(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """Replace the bodies of all functions of these names; docstrings stay, they may be the test's id."""
    text, found = _functions(source, functions)
    edits = [_broken_body(text, function, random) for function in found] if text else []
    return _finish(source, text, edits, {f.name for f in found})


def _functions(source: bytes, names: Iterable[str]) -> tuple[Source | None, list[Function]]:
    """The outermost functions of these names, in files and classes, in order."""
    try:
        text = Source(source.decode("utf-8"))
        tree = ast.parse(text.text)
    except (SyntaxError, ValueError, RecursionError):
        return None, []
    wanted = set(names)
    return text, [function for function in outermost(tree) if function.name in wanted]


def _finish(source: bytes, text: Source | None, edits: list[Edit], functions: set[str]) -> Mutant:
    """Apply the edits; a result that Python cannot read is thrown away with its claims."""
    if text is None or not edits:
        return Mutant(source, frozenset())
    changed = text.edited(edits)
    try:
        ast.parse(changed)
    except (SyntaxError, ValueError):
        return Mutant(source, frozenset())
    return Mutant(changed.encode("utf-8"), frozenset(functions))


def _broken_body(text: Source, function: Function, random: Random) -> Edit:
    """From the first statement behind the docstring to the end."""
    has_docstring = ast.get_docstring(function, clean=False) is not None
    body = function.body[has_docstring:]
    end = text.span(function.body[-1])[1]
    own = "self.assert" in text.part(*text.span(function))
    statement = _impossible(random, own and bool(function.args.args))
    if not body:
        return Edit(end, end, f"; {statement}")
    decorators = getattr(body[0], "decorator_list", [])
    start = text.span(decorators[0])[0] - 1 if decorators else text.span(body[0])[0]
    return Edit(start, end, statement)


def _impossible(random: Random, unittest: bool) -> str:
    """One line that cannot pass and that could stand in a test."""
    small, large = random.randint(2, 40), random.randint(41, 99)
    key = random.choice(NAMES)
    if unittest and random.random() < 0.5:
        return random.choice((f"self.assertEqual({small}, {large})", f"self.assertIn({key!r}, [{small}])"))
    lines = (
        f"assert {small} == {large}",
        f"assert {key!r} in ({small}, {large})",
        f"assert len({key!r}) > {large}",
        f"assert {{{key!r}: {small}}} == {{{key!r}: {large}}}",
    )
    return random.choice(lines)
