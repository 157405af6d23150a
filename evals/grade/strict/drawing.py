"""Test files with copies in them: how many values each test has is weighed (`sizes`), which ones is drawn (`variants`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, prod
from random import Random
from secrets import randbits
from typing import NamedTuple

from evals.grade.strict import suite, variants
from evals.grade.strict.delivery import Observed
from evals.grade.strict.script import Parts
from evals.grade.strict.sizes import GUESSES, LARGEST, Room, cheapest
from evals.grade.strict.variants import Varied
from tasks.backend import RunTests
from tasks.task import Task

DRAWINGS = 8
"""So many are tried: one may find fewer values than there is room for."""


@dataclass(frozen=True)
class MixedContext:
    """What a mixed run is made from. `plain`: gold's run of the tests as they are."""

    task: Task
    parts: Parts
    tests: suite.Files
    baseline: Mapping[str, str]
    plain: Observed
    run_tests: RunTests
    random: Random = field(default_factory=lambda: Random(randbits(64)))  # noqa: S311 - it never leaves this host

    def functions(self, test_ids: Iterable[str]) -> set[str]:
        by_docstring = suite.by_docstring(self.tests)
        passing = [i for i in test_ids if self.baseline.get(i) == "passed"]
        return {suite.function_of(i, by_docstring) for i in passing}


class Copied(NamedTuple):
    """Test files with copies. `ways`: how many guesses there are."""

    files: dict[str, bytes | None]
    varied: list[Varied]
    ways: int
    seconds: float = 0.0
    """Of the copies of tests that have more than two, estimated."""


def copied(context: MixedContext, hidden: set[str], sample: set[str], most: float = inf) -> Copied | None:
    """The first drawing in which a guess is rare enough, or the best; None where no test bears copies.

    `most`: seconds that copies of FAIL_TO_PASS tests may take, unless two of each take more.
    """
    best = _drawn(context, sample, dict.fromkeys(hidden, 2))
    if best is None or best.ways >= GUESSES:
        return best
    rooms = _rooms(context, hidden)
    for tried in range(DRAWINGS):
        sizes = cheapest(rooms, GUESSES << tried // 2, most)
        made = _drawn(context, sample, {**dict.fromkeys(hidden, 2), **sizes.values})
        if made and made.ways > best.ways:
            best = made._replace(seconds=sizes.seconds)
        if best.ways >= GUESSES:
            break
    return best


def _drawn(context: MixedContext, sample: set[str], values: Mapping[str, int]) -> Copied | None:
    """One drawing; `values`: how many each FAIL_TO_PASS test is to have."""
    files, varied = _varied(context.tests, dict.fromkeys(sample, 2) | dict(values), context.random)
    asked = [one for one in varied if one.name in values and not one.relation]
    ways = prod(one.choices[row] for one in asked for row in hidden_rows(context, one))
    return Copied(files, varied, ways) if varied else None


def _rooms(context: MixedContext, hidden: set[str]) -> list[Room]:
    """What each FAIL_TO_PASS test that expects values has room for, found by drawing as many as there are."""
    best: dict[str, Room] = {}
    for _ in range(DRAWINGS // 2):
        _, varied = _varied(context.tests, dict.fromkeys(hidden, LARGEST), context.random)
        rooms = [_room(context, one) for one in varied if not one.relation]
        best |= {
            room.name: room
            for room in rooms
            if room.name not in best or room.ways(LARGEST) > best[room.name].ways(LARGEST)
        }
    return list(best.values())


def _room(context: MixedContext, varied: Varied) -> Room:
    ids = named_as(varied.name, context.plain)
    rows = tuple(varied.choices[row] for row in hidden_rows(context, varied))
    seconds = sum(context.plain.results.seconds.get(i, 0.0) for i in ids)
    return Room(varied.name, rows, varied.values > len(varied.copies), len(ids), seconds)


def hidden_rows(context: MixedContext, varied: Varied) -> dict[int, str]:
    """Rows of a function that are FAIL_TO_PASS, each with the reported id of one test in it."""
    graded, by_docstring = suite.Reported(context.plain.results.states), suite.by_docstring(context.tests)
    failing = {
        i
        for test_id in context.task.patch_checks.fail_to_pass
        for i in graded.names(test_id) or named_as(by_docstring.get(test_id, ""), context.plain)
    }
    tests = enumerate(named_as(varied.name, context.plain))
    return {number % len(varied.choices): i for number, i in tests if i in failing}


def _varied(
    tests: suite.Files, counts: Mapping[str, int], random: Random
) -> tuple[dict[str, bytes | None], list[Varied]]:
    changed, varied = dict(tests), list[Varied]()
    for path, content in tests.items():
        if content is not None and path.endswith(".py"):
            changed[path], found = variants.vary_file(content, counts, random)
            varied += found
    return changed, varied


def named_as(function: str, run: Observed) -> list[str]:
    return [i for i in run.results.states if suite.named(i).function == function]
