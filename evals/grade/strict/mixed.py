"""The mixed run: graded tests stand in it several times, true and false, and only this host knows which is which.

A pass needs every true copy to pass and every false one to fail, in one process. Which copy does what is learnt from
gold, once a task: a function whose copies do not behave there as they were meant to stands as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf, prod
from typing import NamedTuple

from evals.grade.strict import suite
from evals.grade.strict.delivery import Observed, observe
from evals.grade.strict.drawing import MixedContext, copied, hidden_rows, named_as
from evals.grade.strict.negative_controls import Contents, packed
from evals.grade.strict.variants import Varied
from tasks.task import Frozen

SAMPLE, SMALL_SAMPLE, SHARE = 24, 4, 0.1
"""PASS_TO_PASS functions that are doubled as well: this share of them, no more and no fewer than so many."""
MAY_COST, FREE_SECONDS = 1.2, 1.0
"""A mixed run may take so many times the plain one's seconds, and so many seconds more than that."""


class Mixed(Frozen):
    """One task's mixed run."""

    tests: Contents
    true: frozenset[str]
    false: frozenset[str]
    """Reported ids of copies, by what they do on gold."""
    stands_for: dict[str, tuple[str, ...]]
    """Graded id → the copies that stand for it."""
    replaced: frozenset[str]
    """Reported ids that cannot occur: the tests are not in the files."""
    functions: frozenset[str]
    """FAIL_TO_PASS functions that have copies."""
    guess: float
    """Chance of a cheat that knows all but the expected values: it picks one of equal copies of each test."""
    exit_code: int | None

    @property
    def said(self) -> str:
        chance = f"a guess is right once in {1 / self.guess:.3g}"
        if self.guess == 1:
            chance = "only relations are to be guessed"
        return f"of {len(self.true) + len(self.false)} copies {len(self.false)} are false; {chance}"


def make_mixed(context: MixedContext) -> Mixed | None:
    """Calibrated on gold in one run, or two; None where no test bears copies. Raises `SandboxError`."""
    hidden = context.functions(context.task.patch_checks.fail_to_pass)
    known = sorted(context.functions(context.task.patch_checks.pass_to_pass) - hidden)
    size = min(SAMPLE, max(SMALL_SAMPLE, int(SHARE * len(known))))
    sample = context.random.sample(known, min(size, len(known)))
    tried = _attempt(context, hidden, set(sample))
    if tried.mixed or not tried.good:
        return tried.mixed
    kept = [name for name in sample if name in tried.good]
    kept = kept[: max(SMALL_SAMPLE, int(len(kept) * tried.share))]
    return _attempt(context, hidden & tried.good, set(kept), tried.share * tried.seconds, last=True).mixed


class Tried(NamedTuple):
    """What gold's run of a mixture showed."""

    good: set[str]
    """Functions that bear copies."""
    mixed: Mixed | None
    seconds: float = 0.0
    """Of its copies of FAIL_TO_PASS tests, estimated."""
    share: float = 1.0
    """Of its copies, so many may be had for what they may cost."""


def _attempt(
    context: MixedContext, hidden: set[str], sample: set[str], most: float = inf, *, last: bool = False
) -> Tried:
    """Usable when all functions bear their copies and it costs little enough, or is the last."""
    tests = copied(context, hidden, sample, most)
    if tests is None:
        return Tried(set(), None)
    files, varied, _, seconds = tests
    gold = context.task.patch_checks.gold_patch.encode()
    run = observe(context.run_tests, gold, context.parts, files, context.task.brief.workdir)
    pairs = {one.name: expected_of(one, context.plain, run) for one in varied}
    good = {name for name, expected in pairs.items() if expected is not None}
    share = 0.0 if run.timed_out else affordable(*durations(varied, run))
    usable = run.applied and run.results.ended and not run.timed_out and len(good) == len(varied)
    if not usable or (share < 1 and not last):
        return Tried(good, None, seconds, share)
    expected = {i: found for one in pairs.values() if one for i, found in one.items()}
    return Tried(good, _finished(context, files, varied, hidden, run, expected), seconds)


def durations(varied: Iterable[Varied], run: Observed) -> tuple[float, float]:
    """Seconds of a mixed run as it would be without copies, and as it was.

    All of them from one run: what else the machine has to do slows both. Tests side by side count as one by one.
    """
    seconds, whole = run.results.seconds, run.seconds
    copies = [
        [sum(seconds.get(i, 0.0) for i in named_as(copy.name, run)) for copy in one.copies] for one in varied
    ]
    extra = sum(sum(spent) - sum(spent) / len(spent) for spent in copies)
    extra *= min(1.0, whole / max(whole, sum(seconds.values()), 1e-9))
    return whole - extra, whole


def affordable(plain: float, mixed: float) -> float:
    """The share of a mixed run's copies that may be had for what they may cost; seconds of both runs."""
    extra = mixed - plain
    return min(1.0, ((MAY_COST - 1) * plain + FREE_SECONDS) / extra) if extra > 0 else 1.0


Expected = dict[str, tuple[str, bool]]
"""Reported id of a copy → the test that it stands for, and whether it is true."""


def expected_of(varied: Varied, plain: Observed, run: Observed) -> Expected | None:
    """None when the copies do not stand for the same tests in the same order, a true one fails or no false one does.

    A false copy that passes on gold all the same says nothing, and is left out.
    """
    originals = named_as(varied.name, plain)
    found: Expected = {}
    for copy in varied.copies:
        ids = named_as(copy.name, run)
        if len(ids) != len(originals) or len(ids) % len(copy.true):
            return None
        for number, (test_id, original) in enumerate(zip(ids, originals, strict=True)):
            true, state = copy.true[number % len(copy.true)], run.results.states[test_id]
            if plain.results.states[original] != "passed":
                continue
            if true and state != "passed":
                return None
            if true or state == "failed":
                found[test_id] = (original, true)
    return found if {true for _, true in found.values()} == {True, False} else None


def _finished(
    context: MixedContext,
    files: suite.Files,
    varied: list[Varied],
    hidden: set[str],
    run: Observed,
    expected: Expected,
) -> Mixed:
    originals = suite.Reported(context.plain.results.states)
    by_docstring = suite.by_docstring(context.tests)
    copies: dict[str, list[str]] = {}
    for test_id, (original, _) in expected.items():
        copies.setdefault(original, []).append(test_id)
    stands_for: dict[str, tuple[str, ...]] = {}
    for graded in context.baseline:
        name = by_docstring.get(graded)
        behind = named_as(name, context.plain) if name else originals.names(graded)
        if behind and all(one in copies for one in behind):
            stands_for[graded] = tuple(i for one in behind for i in copies[one])
    return Mixed(
        tests=packed(files),
        true=frozenset(i for i, (_, true) in expected.items() if true),
        false=frozenset(i for i, (_, true) in expected.items() if not true),
        stands_for=stands_for,
        replaced=frozenset({original for original, _ in expected.values()} - run.results.states.keys()),
        functions=frozenset(one.name for one in varied if one.name in hidden),
        guess=1 / _ways(context, varied, hidden, expected),
        exit_code=run.exit_code,
    )


def _ways(context: MixedContext, varied: list[Varied], hidden: set[str], expected: Expected) -> int:
    """Ways to choose one of the values of each FAIL_TO_PASS row, the right one among them.

    Relations count as one way: a reader may bet on what tests assert.
    """
    false = Counter(original for original, true in expected.values() if not true)
    return prod(
        _ways_of(one, row, false[original])
        for one in varied
        if one.name in hidden and not one.relation
        for row, original in hidden_rows(context, one).items()
    )


def _ways_of(one: Varied, row: int, false: int) -> int:
    """`false`: how many of a row's false copies fail on gold; where one does not, only those tell anything."""
    drawn = sum(not copy.true[row] for copy in one.copies)
    return one.choices[row] if false == drawn else min(one.choices[row], 1 + false)
