"""How many copies of tests a mixed run has: as few as make a guess rare, without any run."""

from __future__ import annotations

from itertools import product
from math import inf, prod
from random import Random

import pytest

from evals.grade.strict.delivery import Observed
from evals.grade.strict.drawing import Copied, MixedContext, copied
from evals.grade.strict.result_file import Results
from evals.grade.strict.script import Parts
from evals.grade.strict.sizes import GUESSES, MOST_COPIES, Room, cheapest
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task


def no_runs(request: RunRequest, /) -> RunResult:
    pytest.fail("nothing may be run")


def drawn(
    source: str,
    ids: tuple[str, ...],
    functions: set[str],
    seed: int,
    most: float = inf,
    seconds: dict[str, float] | None = None,
) -> Copied | None:
    """The copies of a file's FAIL_TO_PASS tests, which pass on gold; copies of theirs may take `most` seconds."""
    checks = Checks(fail_to_pass=ids, pass_to_pass=(), gold_patch="", test_patch="")
    brief = Brief(task_id="x__x-1", repo="x/x", problem_statement="")
    task = Task(id="x__x-1", benchmark="x", image=ImageSpec(reference="x"), checks=checks, brief=brief)
    results = Results(dict.fromkeys(ids, "passed"), True, 0, seconds=seconds or {})
    gold = Observed(True, False, 0, results, (), 1.0, 0.5)
    context = MixedContext(
        task, Parts((), (), ()), {"t.py": source.encode()}, {}, gold, no_runs, Random(seed)
    )
    return copied(context, functions, set(), most)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10, 12])
@pytest.mark.parametrize("seed", range(3))
def test_tests_get_no_more_copies_than_a_rare_guess_takes(rows: int, seed: int) -> None:
    """One guess in 1,024: ten rows have that with two values each, one row with none of the numbers that it may have."""
    ids = tuple(f"t.py::test_sum[{n}]" for n in range(rows))
    table = ", ".join(f"({n}, {100 + 7 * n})" for n in range(rows))
    head = f'@pytest.mark.parametrize("n, sum", [{table}])\ndef test_sum(n, sum):\n    assert f(n) == sum\n'
    found = drawn(head, ids, {"test_sum"}, seed)
    assert found
    (one,) = found.varied
    assert found.ways == one.values**rows
    assert len(one.copies) == one.values
    if rows == 1:
        assert one.values == 32  # no row has more
    else:
        assert (one.values - 1) ** rows < GUESSES <= found.ways or one.values == 2


def test_the_test_that_costs_least_has_the_many_values() -> None:
    """Of two tests with room, the slow one stays at two values."""
    source = "def test_slow():\n    assert f() == 137\n\n\ndef test_fast():\n    assert g() == 241\n"
    ids = ("t.py::test_slow", "t.py::test_fast")
    found = drawn(source, ids, {"test_slow", "test_fast"}, 3, seconds={ids[0]: 2.0, ids[1]: 0.001})
    assert found
    values = {one.name: one.values for one in found.varied}
    assert values["test_slow"] == 2
    assert values["test_fast"] >= GUESSES // 2
    assert found.seconds == pytest.approx(4.0, abs=0.2)


def test_no_more_copies_than_their_time_allows() -> None:
    """Two are had in any case."""
    source, ids = "def test_it():\n    assert f() == 137\n", ("t.py::test_it",)
    taken = {}
    for most in (0.1, 3.1, 6.1, inf):
        found = drawn(source, ids, {"test_it"}, 1, most, {ids[0]: 1.0})
        assert found
        taken[most] = len(found.varied[0].copies), found.ways
    assert taken[0.1] == (2, 2)
    assert taken[3.1] == (3, 3)
    assert taken[6.1][0] <= 6
    assert taken[6.1] < taken[inf]


ROOMS = [
    Room("a", (924,), True, 1, 0.002),
    Room("b", (9,), False, 3, 0.001),
    Room("c", (2,), True, 1, 0.02),
    Room("d", (40, 6), False, 2, 0.004),
]


@pytest.mark.parametrize("guesses", [2, 30, 1024, 5000])
@pytest.mark.parametrize("most", [0.05, 0.3, inf])
def test_no_other_sizes_do_as_much_for_less(guesses: int, most: float) -> None:
    """Against all of them: no combination has as many ways, up to those asked for, and takes less time."""
    sizes = [
        (2, 3, 4, 6, 10, 20, 35, 70, 126, 252, 462, 924) if room.coded else range(2, 33) for room in ROOMS
    ]
    every = [
        (min(guesses, prod(room.ways(n) for room, n in pairs)), -sum(room.price(n) for room, n in pairs))
        for chosen in product(*sizes)
        for pairs in [list(zip(ROOMS, chosen, strict=True))]
        if sum(room.copies(n) for room, n in pairs) <= MOST_COPIES
    ]
    within = [one for one in every if -one[1] <= most]
    found = cheapest(ROOMS, guesses, most)
    pairs = [(room, found.values[room.name]) for room in ROOMS]
    assert found.ways == prod(room.ways(n) for room, n in pairs)
    assert found.seconds == pytest.approx(sum(room.price(n) for room, n in pairs))
    if within:
        assert (min(guesses, found.ways), -found.seconds) == pytest.approx(max(within))
    else:
        assert set(found.values.values()) == {2}


def test_where_there_is_room_for_few_values_the_best_drawing_is_taken() -> None:
    """A typical value is one of two, however many stand beside it: more copies than those say no more."""
    found = drawn("def test_none():\n    assert f() == 0\n", ("t.py::test_none",), {"test_none"}, 1)
    assert found
    assert (found.ways, [len(one.copies) for one in found.varied]) == (2, [2])


def test_a_test_that_expects_no_value_is_drawn_once() -> None:
    found = drawn("def test_it():\n    assert f() is g()\n", ("t.py::test_it",), {"test_it"}, 1)
    assert found
    assert (found.ways, found.varied[0].relation) == (1, True)


def test_without_anything_to_change_there_are_no_copies() -> None:
    assert drawn("def test_it():\n    f()\n", ("t.py::test_it",), {"test_it"}, 1) is None
