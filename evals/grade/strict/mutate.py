"""Make tests fail on purpose, in their own source text, so that what then still passes is no pass.

Two ways: a test's body gives way to one that cannot pass, or what an assertion expects becomes something else. The
edits are made in place (formatting stays) and are drawn at random; where an assertion holds a literal, the literal
changes, so that someone who has not seen the test cannot tell it from the original. Python that our own `ast` cannot
read is left alone, and so is a file that is not UTF-8: the calibration then leaves its tests out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from evals.grade.strict import assertions
from evals.grade.strict.assertions import Edit, Source

COPY_LIMIT = 4
"""At most so many assertions of one test are checked, each in a copy of its own."""
COPY_WORDS = (
    "again",
    "also",
    "both",
    "case",
    "first",
    "inner",
    "late",
    "more",
    "other",
    "plain",
    "simple",
    "twice",
)
NAMES = ("total", "value", "left", "name", "size", "kind", "label", "state")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Mutant(NamedTuple):
    """A changed file."""

    source: bytes
    functions: frozenset[str]
    """Names of the test functions in it that must fail now: changed ones and changed copies."""


def break_bodies(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """Replace the bodies of all functions of these names; docstrings stay, they may be the test's id."""
    text, found = _functions(source, functions)
    edits = [_broken_body(text, function, random) for function in found] if text else []
    return _finish(source, text, edits, {f.name for f in found})


def break_asserts(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """Change every assertion of these functions."""
    text, found = _functions(source, functions)
    edits, changed = [], set()
    for function in found:
        here = list(_assertions(text, function, random)) if text else []
        edits += here
        changed |= {function.name} if here else set()
    return _finish(source, text, edits, changed)


def break_one_assert(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """Change one assertion of each function."""
    return copy_with_broken_asserts(source, functions, random, limit=1)


def copy_with_broken_asserts(
    source: bytes, functions: Iterable[str], random: Random, limit: int = COPY_LIMIT
) -> Mutant:
    """Change one assertion of each function, and others (`limit` in all) in copies beside it."""
    text, found = _functions(source, functions)
    edits, changed = [], set()
    for function in found:
        here = list(_assertions(text, function, random)) if text else []
        if text and here:
            chosen = _some(here, limit, random)
            names = [function.name, *_copy_names(text, function.name, random)][: len(chosen)]
            edits.append(_copies(text, function, chosen, names))
            changed |= set(names)
    return _finish(source, text, edits, changed)


def _functions(source: bytes, names: Iterable[str]) -> tuple[Source | None, list[Function]]:
    """The outermost functions of these names, in files and classes, in order."""
    try:
        text = Source(source.decode("utf-8"))
        tree = ast.parse(text.text)
    except (SyntaxError, ValueError, RecursionError):
        return None, []
    wanted = set(names)
    return text, [function for function in _outermost(tree) if function.name in wanted]


def _outermost(node: ast.AST) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child
        elif not isinstance(child, ast.expr):
            yield from _outermost(child)


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


def _assertions(text: Source, function: Function, random: Random) -> Iterator[Edit]:
    for node in ast.walk(ast.Module(body=function.body, type_ignores=[])):
        edit = assertions.contradict(node, text, random)
        if edit is not None:
            yield edit


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


def _some(edits: list[Edit], limit: int, random: Random) -> list[Edit]:
    """At most `limit`, in a random order; first and last are among them when there is room."""
    edits = sorted(edits)
    if len(edits) > limit > 2:
        edits = [edits[0], *random.sample(edits[1:-1], limit - 2), edits[-1]]
    return random.sample(edits, min(limit, len(edits)))


def _copy_names(text: Source, name: str, random: Random) -> list[str]:
    words = random.sample(COPY_WORDS, len(COPY_WORDS))
    free = [f"{name}_{word}" for word in words if f"{name}_{word}" not in text.text]
    return free[: COPY_LIMIT - 1]


def _copies(text: Source, function: Function, edits: list[Edit], names: list[str]) -> Edit:
    """One edit that puts in place of a function its copies, one for each assertion edit."""
    decorated = text.span(function.decorator_list[0])[0] - 1 if function.decorator_list else None
    start, end = text.span(function)
    start = start if decorated is None else decorated
    indent = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    if indent.strip():
        return Edit(*edits[0])
    copies = [
        _copy(text.part(start, end), edit, start, names[0], new)
        for edit, new in zip(edits, names, strict=False)
    ]
    return Edit(start, end, f"\n\n{indent}".join(copies))


def _copy(body: str, edit: Edit, start: int, old: str, new: str) -> str:
    changed = body[: edit.start - start] + edit.text + body[edit.end - start :]
    return re.sub(rf"\bdef(\s+){re.escape(old)}\b", rf"def\g<1>{new}", changed, count=1)
