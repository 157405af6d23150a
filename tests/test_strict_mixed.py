"""How many copies of tests a mixed run has: as few as make a guess rare, without any run."""

from __future__ import annotations

from random import Random

import pytest

from evals.grade.strict.delivery import Observed
from evals.grade.strict.mixed import GUESSES, VALUES, Copied, MixedContext, copied
from evals.grade.strict.result_file import Results
from evals.grade.strict.script import Parts
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task


def no_runs(request: RunRequest, /) -> RunResult:
    pytest.fail("nothing may be run")


def drawn(source: str, ids: tuple[str, ...], functions: set[str], seed: int) -> Copied | None:
    """The copies of a file's FAIL_TO_PASS tests, which pass on gold."""
    checks = Checks(fail_to_pass=ids, pass_to_pass=(), gold_patch="", test_patch="")
    brief = Brief(task_id="x__x-1", repo="x/x", problem_statement="")
    task = Task(id="x__x-1", benchmark="x", image=ImageSpec(reference="x"), checks=checks, brief=brief)
    gold = Observed(True, False, 0, Results(dict.fromkeys(ids, "passed"), True, 0), (), 1.0, 0.5)
    context = MixedContext(
        task, Parts((), (), ()), {"t.py": source.encode()}, {}, gold, no_runs, Random(seed)
    )
    return copied(context, functions, set(), VALUES)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10, 12])
@pytest.mark.parametrize("seed", range(3))
def test_tests_get_no_more_copies_than_a_rare_guess_takes(rows: int, seed: int) -> None:
    """One guess in 1,024: ten rows have that with two values each, one row with none of the numbers that it may have."""
    ids = tuple(f"t.py::test_sum[{n}]" for n in range(rows))
    table = ", ".join(f"({n}, {100 + 7 * n})" for n in range(rows))
    head = f'@pytest.mark.parametrize("n, sum", [{table}])\ndef test_sum(n, sum):\n    assert f(n) == sum\n'
    found = drawn(head, ids, {"test_sum"}, seed)
    assert found
    assert found.ways == found.values**rows
    assert [len(one.copies) for one in found.varied] == [found.values]
    fewer = [n for n in VALUES if n < found.values]
    if rows == 1:
        assert found.values == 32  # no row has more
    else:
        assert max((n**rows for n in fewer), default=0) < GUESSES <= found.ways


def test_where_there_is_room_for_few_values_the_best_drawing_is_taken() -> None:
    """A typical value is one of two, however many stand beside it: more copies than those say no more."""
    found = drawn("def test_none():\n    assert f() == 0\n", ("t.py::test_none",), {"test_none"}, 1)
    assert found
    assert (found.values, found.ways, [len(one.copies) for one in found.varied]) == (2, 2, [2])


def test_a_test_that_expects_no_value_is_drawn_once() -> None:
    found = drawn("def test_it():\n    assert f() is g()\n", ("t.py::test_it",), {"test_it"}, 1)
    assert found
    assert (found.values, found.ways, found.varied[0].relation) == (2, 1, True)


def test_without_anything_to_change_there_are_no_copies() -> None:
    assert drawn("def test_it():\n    f()\n", ("t.py::test_it",), {"test_it"}, 1) is None
