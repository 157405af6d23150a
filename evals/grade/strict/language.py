"""What the strict grader does differently for one language; the languages themselves: `runners`, `rust`, `java`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files
from random import Random
from typing import NamedTuple

from evals.grade.strict.mutate import Mutant


class Names(NamedTuple):
    """Of one run, none of which can be guessed."""

    site: str
    """Directory of our own files."""
    module: str
    results: str
    key: str


class Runner(NamedTuple):
    """One language's tests: how their results get into the authenticated file, and how a test is broken."""

    language: str
    suffixes: tuple[str, ...]
    delivered: Callable[[Names], dict[str, bytes]]
    before: Callable[[Names], Sequence[str]]
    """Shell lines before the test commands."""
    command: Callable[[Names, str], str]
    """A line of test commands, with our reporter."""
    function_of: Callable[[str], str]
    """The name of the function behind an id; docstrings that stand for one in Python are not its business."""
    broken: Callable[[bytes, Iterable[str], Random], Mutant]
    """A test file with the tests of these names made to fail."""


def filled(name: str, names: Names) -> bytes:
    """A reporter's source with this run's key and result file in it."""
    text = (files("evals.grade.strict") / "reporters" / name).read_text("utf-8")
    return text.replace("@KEY@", names.key).replace("@RESULTS@", names.results).encode()


def with_heads(
    source: bytes, pattern: str, functions: Iterable[str], head: Callable[[re.Match[str]], str]
) -> Mutant:
    """A statement more behind each match of `pattern`, in which `{names}` stands for the functions' names and whose group
    `name` is the one found; a test whose `head` is empty stays as it is."""
    wanted = "|".join(sorted(map(re.escape, functions)))
    text, found = source.decode("utf-8", "surrogateescape"), set[str]()

    def failing(match: re.Match[str]) -> str:
        statement = head(match)
        if statement:
            found.add(match["name"])
        return match[0] + statement

    changed = re.sub(pattern.format(names=wanted), failing, text, flags=re.MULTILINE) if wanted else text
    return Mutant(changed.encode("utf-8", "surrogateescape"), frozenset(found))
