"""Broken tests must fail for right programs, and look like tests."""

from __future__ import annotations

from random import Random

import pytest

from evals.grade.strict.mutate import Mutant, break_bodies
from tests.test_strict_variants import HEAD, TRUE_ASSERTIONS, run


@pytest.mark.parametrize("assertion", TRUE_ASSERTIONS)
def test_a_test_that_passes_fails_with_a_broken_body(assertion: str) -> None:
    source = HEAD + assertion + "\n"
    assert run(source, "test_it")
    for seed in range(5):
        mutant = break_bodies(source.encode(), ["test_it"], Random(seed))
        assert mutant.functions == {"test_it"}
        assert not run(mutant.source, "test_it"), mutant.source.decode()


def test_decorators_docstrings_and_layout_stay() -> None:
    source = (
        b"import pytest\n\n\n@pytest.mark.parametrize(  # why not\n    'a', [1,  2])\ndef test_it(a):\n"
        b'    """Says what."""\n    b = a   # odd\n    assert b == a\n\n\ndef test_other():\n    assert 1  # same\n'
    )
    broken = break_bodies(source, ["test_it"], Random(3)).source.decode()
    assert broken.startswith(source.decode().partition("    b = a")[0])
    assert broken.endswith("\n\n\ndef test_other():\n    assert 1  # same\n")


@pytest.mark.parametrize(
    "source", [b"def test_it(:\n", b"print 'two'\n", b"\xff\xfe", b"", b"def f():\n    pass\n"]
)
def test_what_cannot_be_read_or_found_is_left_alone(source: bytes) -> None:
    assert break_bodies(source, ["test_it"], Random(0)) == Mutant(source, frozenset())


def test_the_seed_decides() -> None:
    source = (HEAD + "self.assertEqual('some text', 'some text')\n").encode()
    assert len({break_bodies(source, ["test_it"], Random(seed)).source for seed in range(20)}) > 5
    assert break_bodies(source, ["test_it"], Random(7)) == break_bodies(source, ["test_it"], Random(7))
