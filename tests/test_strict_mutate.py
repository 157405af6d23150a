"""Broken tests must fail for right programs, pass for objects that lie, and look like tests."""

from __future__ import annotations

import ast
import unittest
from random import Random
from typing import Any

import pytest

from evals.grade.strict import mutate

HEAD = "import unittest, pytest\n\nclass T(unittest.TestCase):\n    def test_it(self, x=None):\n        "
TRUE_ASSERTIONS = [
    "assert 1 + 1 == 2",
    "assert 2 == 1 + 1",
    "assert 'ä' + 'b' == 'äb', 'ümlaut'",
    "assert sorted([2, 1]) == [1, 2]",
    "assert dict(a=1) == {'a': 1}",
    "assert max([3]) == sum([1, 2])",
    "assert {}.get('a') is None",
    "assert x is None",
    "assert 'a' in 'cat'",
    "assert 3 in {1, 3}",
    "assert 4 not in {1, 3}",
    "assert 1 != 2",
    "assert not ''",
    "assert 1 < 2 <= 3",
    "assert isinstance(1, int)",
    "assert (1\n            == 1)",
    "assert '' == str()",
    "assert -1 == int('-1')",
    "assert 0.5 == 1 / 2",
    "assert b'x' == bytes([120])",
    "self.assertEqual(1 + 1, 2)",
    "self.assertEqual(max([3]), sum([1, 2]))",
    "self.assertTrue(1)",
    "self.assertIsNone(x)",
    "self.assertIn('a', ['a'])",
    "self.assertNotIn('b', ['a'])",
    "self.assertNotEqual(1, 2)",
    "self.assertGreater(2, 1)",
    "self.assertAlmostEqual(1.0, 1.0)",
    "self.assertRegex('abc', 'b')",
    "with self.assertRaises(KeyError): {}['a']",
    "with pytest.raises(KeyError): {}['a']",
]


def run(source: bytes | str, name: str) -> bool:
    """Whether the test passes."""
    space: dict[str, Any] = {}
    exec(compile(source, "test", "exec"), space)
    result = unittest.TestResult()
    space["T"](name).run(result)
    return result.wasSuccessful()


@pytest.mark.parametrize("assertion", TRUE_ASSERTIONS)
@pytest.mark.parametrize(
    "mutation", [mutate.break_asserts, mutate.copy_with_broken_asserts, mutate.break_bodies]
)
def test_a_true_assertion_becomes_false(assertion: str, mutation: Any) -> None:
    source = HEAD + assertion + "\n"
    assert run(source, "test_it")
    for seed in range(5):
        mutant = mutation(source.encode(), ["test_it"], Random(seed))
        assert mutant.functions == {"test_it"}
        assert not run(mutant.source, "test_it"), mutant.source.decode()


LIAR = "class L:\n    __hash__ = None\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n"


@pytest.mark.parametrize(
    "assertion",
    ["assert L() == 3", "assert L() == max([1, 2])", "assert 3 in [L()]", "self.assertEqual(L(), 'a')"],
)
def test_a_lying_object_still_passes_and_so_gives_itself_away(assertion: str) -> None:
    source = (LIAR + HEAD + assertion + "\n").encode()
    for seed in range(5):
        assert run(mutate.break_asserts(source, ["test_it"], Random(seed)).source, "test_it")


def test_each_assertion_is_checked_in_a_copy_of_its_own() -> None:
    source = HEAD + "assert 1 == 1\n        assert 2 == 2\n        assert 3 == 3\n"
    mutant = mutate.copy_with_broken_asserts(source.encode(), ["test_it"], Random(1))
    assert len(mutant.functions) == 3
    assert not any(run(mutant.source, name) for name in mutant.functions)
    bodies = [
        ast.unparse(node) for node in ast.walk(ast.parse(mutant.source)) if isinstance(node, ast.Assert)
    ]
    assert (
        sorted(body in ("assert 1 == 1", "assert 2 == 2", "assert 3 == 3") for body in bodies)
        == [False] * 3 + [True] * 6
    )


def test_decorators_docstrings_and_layout_stay() -> None:
    source = (
        b"import pytest\n\n\n@pytest.mark.parametrize(  # why not\n    'a', [1,  2])\ndef test_it(a):\n"
        b'    """Says what."""\n    b = a   # odd\n    assert b == a\n\n\ndef test_other():\n    assert 1  # same\n'
    )
    broken = mutate.break_bodies(source, ["test_it"], Random(3)).source.decode()
    assert broken.startswith(source.decode().partition("    b = a")[0])
    assert broken.endswith("\n\n\ndef test_other():\n    assert 1  # same\n")
    copies = mutate.copy_with_broken_asserts(source, ["test_it"], Random(3)).source.decode()
    assert "b = a   # odd" in copies


@pytest.mark.parametrize(
    "source", [b"def test_it(:\n", b"print 'two'\n", b"\xff\xfe", b"", b"def f():\n    pass\n"]
)
def test_what_cannot_be_read_or_found_is_left_alone(source: bytes) -> None:
    for mutation in (mutate.break_bodies, mutate.break_asserts, mutate.copy_with_broken_asserts):
        assert mutation(source, ["test_it"], Random(0)) == mutate.Mutant(source, frozenset())


def test_the_seed_decides() -> None:
    source = (HEAD + "self.assertEqual('some text', 'some text')\n").encode()
    changed = {mutate.break_asserts(source, ["test_it"], Random(seed)).source for seed in range(20)}
    assert len(changed) > 5
    assert mutate.break_asserts(source, ["test_it"], Random(7)) == mutate.break_asserts(
        source, ["test_it"], Random(7)
    )
