"""How many copies of tests a mixed run has: as few as make a guess rare, without any run."""

from __future__ import annotations

from itertools import product
from math import inf, prod
from random import Random

import pytest

from evals.grade.strict import drawing, sites
from evals.grade.strict.delivery import Observed
from evals.grade.strict.drawing import Copied, MixedContext, copied
from evals.grade.strict.result_file import Results
from evals.grade.strict.script import Parts
from evals.grade.strict.sizes import GUESSES, IN_SETS, MOST_COPIES, OWN, TEST_SECONDS, Room, Sizes, cheapest
from evals.grade.strict.variants import Copy, Varied
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task


def no_runs(request: RunRequest, /) -> RunResult:
    pytest.fail("nothing may be run")


def context_of(
    tests: dict[str, bytes | None],
    ids: tuple[str, ...] = ("t.py::test_it",),
    seed: int = 1,
    seconds: dict[str, float] | None = None,
    baseline: dict[str, str] | None = None,
) -> MixedContext:
    """FAIL_TO_PASS are these tests, which pass on gold in so many seconds."""
    checks = Checks(fail_to_pass=ids, pass_to_pass=(), gold_patch="", test_patch="")
    brief = Brief(task_id="x__x-1", repo="x/x", problem_statement="")
    task = Task(id="x__x-1", benchmark="x", image=ImageSpec(reference="x"), checks=checks, brief=brief)
    results = Results(dict.fromkeys(ids, "passed"), True, 0, seconds=seconds or {})
    gold = Observed(True, False, 0, results, (), 1.0, 0.5)
    return MixedContext(task, Parts((), (), ()), tests, baseline or {}, gold, no_runs, Random(seed))


def drawn(
    source: str,
    ids: tuple[str, ...],
    functions: set[str],
    seed: int,
    most: float = inf,
    seconds: dict[str, float] | None = None,
) -> Copied | None:
    """The copies of a file's tests; they may take `most` seconds."""
    context = context_of({"t.py": source.encode()}, ids, seed, seconds)
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
    first = one.values == 2  # nothing had to be weighed
    assert found.seconds == (0 if first else pytest.approx(one.values * rows * TEST_SECONDS))
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


def test_what_copies_cost() -> None:
    """Each value a copy, or sets of half of the values; a set of less than five values is not worth it."""
    alone, coded = Room("a", (32,), False, 2, 0.01), Room("a", (924,), True, 2, 0.01)
    assert [alone.copies(n) for n in (2, 4, 9, 32)] == [2, 4, 9, 32]
    assert [coded.copies(n) for n in (2, 4, 5, 6, 7, 10, 924)] == [2, 4, 4, 4, 5, 5, 12]
    assert alone.price(9) == pytest.approx(9 * 0.016)
    assert coded.price(4) == pytest.approx(4 * 0.016)
    assert coded.price(10) == pytest.approx(5 * (0.01 + 2 * (0.003 + 5 * 6e-6)))
    assert (OWN[0], OWN[-1]) == (2, sites.MOST_COPIES)
    assert IN_SETS == (2, 3, 4, 6, 10, 20, 35, 70, 126, 252, 462, 924)


def test_a_sampled_test_is_doubled_and_makes_no_guess_rarer() -> None:
    """Only what is FAIL_TO_PASS must be guessed."""
    source = b"def test_it():\n    assert f() == 0\n\n\ndef test_more():\n    assert f() == 137\n"
    found = copied(context_of({"t.py": source}), {"test_it"}, {"test_more"})
    assert found
    assert found.ways == 2
    assert {one.name: len(one.copies) for one in found.varied} == {"test_it": 2, "test_more": 2}


def test_only_what_passes_on_gold_may_have_copies() -> None:
    context = context_of({}, baseline={"t.py::test_it": "passed", "t.py::test_other": "failed"})
    assert context.functions([*context.baseline, "t.py::test_unknown"]) == {"test_it"}


def test_files_that_hold_no_tests_stay_as_they_are() -> None:
    source = b"def test_it():\n    assert f() == 137\n"
    found = copied(context_of({"t.py": source, "t.txt": source, "gone.py": None}), {"test_it"}, set())
    assert found
    assert found.files["t.py"] != source
    assert (found.files["t.txt"], found.files["gone.py"]) == (source, None)


@pytest.mark.parametrize(
    ("ways", "taken"),
    [([2, 100, 50, 1024, 5000], 1024), ([2, 100, 50, 7, 300, 6, 5, 4, 3], 300), ([4000], 4000)],
)
def test_the_first_drawing_with_enough_values_is_taken_or_the_best(
    ways: list[int], taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two drawings for each number of guesses that is aimed at, then for twice as many."""
    made, aims = iter(ways), list[int]()
    monkeypatch.setattr(drawing, "_drawn", lambda *_args: Copied({}, [], next(made)))
    monkeypatch.setattr(drawing, "_rooms", lambda *_args: ROOMS)

    def aimed(rooms: list[Room], guesses: int, most: float) -> Sizes:
        aims.append(guesses)
        return cheapest(rooms, guesses, most)

    monkeypatch.setattr(drawing, "cheapest", aimed)
    found = copied(context_of({}), {"a"}, set())
    assert found
    assert found.ways == taken
    assert aims == [1024, 1024, 2048, 2048, 4096, 4096, 8192, 8192][: 3 if taken == 1024 else len(ways) - 1]


def test_a_test_has_the_room_that_the_best_of_some_drawings_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = list[Room]()
    choices = iter([2, 5, 9, 7, 3, *[9] * 9])

    def found(
        _tests: object, counts: dict[str, int], _random: Random
    ) -> tuple[dict[str, bytes | None], list[Varied]]:
        copies = tuple(Copy(f"test_it_{n}", (n == 0,)) for n in range(2))
        return {}, [Varied("test_it", copies, (next(choices),), relation=False, values=2)]

    def weighed(all_rooms: list[Room], guesses: int, most: float) -> Sizes:
        rooms[:] = all_rooms
        return cheapest(all_rooms, guesses, most)

    monkeypatch.setattr(drawing, "_varied", found)
    monkeypatch.setattr(drawing, "cheapest", weighed)
    assert copied(context_of({}), {"test_it"}, set())
    assert rooms == [Room("test_it", (9,), coded=False, tests=1, seconds=0.0)]


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
    assert found.copies == sum(room.copies(n) for room, n in pairs)
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
