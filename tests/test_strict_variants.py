"""Copies of tests: the true ones pass for right programs, the false ones fail, and none shows which it is."""

from __future__ import annotations

import ast
import unittest
from collections import Counter
from random import Random
from statistics import mean
from typing import Any

import pytest

from evals.grade.strict.codes import copies_for
from evals.grade.strict.values import Words, alternatives, parts_of
from evals.grade.strict.variants import Varied, vary_file

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


WORDS = Words(ast.parse("x = 'cats and dogs sat on Mats'"))


def run(source: bytes | str, name: str) -> bool:
    """Whether the test passes."""
    space: dict[str, Any] = {}
    exec(compile(source, "test", "exec"), space)
    result = unittest.TestResult()
    space["T"](name).run(result)
    return result.wasSuccessful()


def varied(source: str, count: int = 4, seed: int = 0) -> tuple[str, list[Varied]]:
    changed, found = vary_file(source.encode(), {"test_it": count}, Random(seed))
    return changed.decode(), found


NO_COPIES = ("assert 1 != 2", "self.assertNotEqual(1, 2)", "self.assertRegex('abc', 'b')")
"""What a class may define for itself; text too short to be looked for."""


@pytest.mark.parametrize("assertion", NO_COPIES)
def test_some_assertions_bear_no_copies(assertion: str) -> None:
    assert varied(HEAD + assertion + "\n")[1] == []


@pytest.mark.parametrize("assertion", [one for one in TRUE_ASSERTIONS if one not in NO_COPIES])
def test_true_copies_pass_and_false_ones_fail(assertion: str) -> None:
    for seed in range(5):
        changed, [one] = varied(HEAD + assertion + "\n", seed=seed)
        assert {copy.true for copy in one.copies} == {(True,), (False,)}
        for copy in one.copies:
            assert run(changed, copy.name) is copy.true[0], changed


@pytest.mark.parametrize(
    "assertion", ["assert not ''", "self.assertIsNotNone(1)", "assert max([3]) == sum([1, 2])"]
)
def test_no_place_of_a_relation_tells_what_is_asked_for(assertion: str) -> None:
    """Flag, operator and side, each alone, are as often those of a true copy as of a false one."""
    seen = Counter[tuple[str, bool]]()
    for seed in range(300):
        changed, [one] = varied(HEAD + assertion + "\n", seed=seed)
        for copy, text in zip(one.copies, changed.split("def test_it")[1:], strict=True):
            for mark in ("= True", " is not " if "self." not in text else "assertIsNot"):
                seen[mark, copy.true[0]] += mark in text
    assert len(seen) == 4
    assert all(110 < count < 190 for count in seen.values()), seen


SEVERAL = HEAD + "assert 1 + 1 == 2\n        assert 20 + 1 == 21\n        assert 30 + 1 == 31\n"


def test_several_assertions_change_together() -> None:
    changed, [one] = varied(SEVERAL, count=4, seed=1)
    parts = changed.split("def test_it")[1:]
    for copy, text in zip(one.copies, parts, strict=True):
        if not copy.true[0]:
            assert sum(right not in text for right in ("== 2\n", "== 21", "== 31")) >= 1
    assert len({line for text in parts for line in text.split("\n") if "==" in line}) > 5


def asked(changed: str) -> list[set[int]]:
    """The set that each copy asks for."""
    lists = [node.elts for node in ast.walk(ast.parse(changed)) if isinstance(node, ast.List)]
    return [{ast.literal_eval(element) for element in elements} for elements in lists]


@pytest.mark.parametrize("assertion", ["assert 20 + 1 == 21", "self.assertEqual(20 + 1, 21, 'no')"])
def test_few_copies_ask_for_sets_of_many_values(assertion: str) -> None:
    """Who believes in any other value fails a true copy; all values come about equally often."""
    for seed in range(20):
        changed, [one] = varied(HEAD + assertion + "\n", count=30, seed=seed)
        assert one.values > len(one.copies)  # sets of values
        assert one.choices == (30,)
        assert len(one.copies) == copies_for(30) == 7
        sets, true = asked(changed), [copy.true[0] for copy in one.copies]
        assert true == [21 in members for members in sets]
        values = set[int]().union(*sets)
        assert len(values) == 30
        assert [
            v for v in values if all(v in members for members, t in zip(sets, true, strict=True) if t)
        ] == [21]
        assert len({sum(v in members for members in sets) for v in values}) == 1
        assert [run(changed, copy.name) for copy in one.copies] == true


@pytest.mark.parametrize(("expected", "choices"), [("0", 2), ("1", 2), ("[]", 2), ("5", 8), ("57", 30)])
def test_what_tests_expect_most_counts_as_little(expected: str, choices: int) -> None:
    """Whoever knows tests bets on it, among however many other values."""
    source = f"{HEAD}x = [[1, 2, 3], [4, 5]]\n        assert f() == {expected}\n"
    assert {varied(source, 30, seed)[1][0].choices for seed in range(5)} == {(choices,)}


@pytest.mark.parametrize(
    "assertion",
    [
        "assert (1 or\n  0) == 21",
        "self.assertEqual((1 or 0), 21)",
        "assert 21 == {'{': 21}['{']",
        "assert len(f'{5}') == 21",
    ],
)
def test_odd_writing_stays_python(assertion: str) -> None:
    changed, [one] = varied(HEAD + assertion + "\n", count=30)
    assert len(one.copies) >= 5
    compile(changed, "test", "exec")


def test_a_large_literal_is_not_repeated_without_end() -> None:
    words = " ".join(f"word{chr(97 + n % 26)}" for n in range(600))
    changed, [one] = varied(f"{HEAD}assert str() == '{words}'\n", count=64)
    assert len(changed) < 40 * len(words)
    assert one.values == len(one.copies)


def test_parts_of_a_display_are_displays_of_its_kind() -> None:
    assert set(parts_of("[1, 2, 3]")) == {"[]", "[1, 2, 3]", "[1]", "[2, 3]", "[2]", "[1, 2]", "[3]"}
    assert set(parts_of("(1, 'a')")) == {"()", "(1, 'a')", "(1,)", "('a',)"}
    assert list(parts_of("{1: 2}")) == []


ROWS = """
import pytest

@pytest.mark.parametrize(("a", "b"), [(1, 2), pytest.param(5, 6, id="five"), (3, None)])
def test_it(a, b):
    assert b is None or a + 1 == b
"""


def test_rows_change_each_for_itself() -> None:
    source = ROWS.replace("b is None or a + 1 == b", "a + 1 == b")
    changed, [one] = varied(source)
    assert one.choices == (4, 4, 1)
    assert len({copy.true for copy in one.copies}) > 1
    assert all(sum(copy.true[row] for copy in one.copies) == 1 for row in (0, 1))
    for function, copy in zip(ast.parse(changed).body[1:], one.copies, strict=True):
        assert isinstance(function, ast.FunctionDef)
        rows = function.decorator_list[0].args[1].elts  # type: ignore[attr-defined]
        cells = [getattr(row, "elts", getattr(row, "args", None)) for row in rows]
        assert tuple(b.value == a.value + 1 for a, b in cells[:2]) == copy.true[:2]


def test_a_parameter_that_is_also_an_input_is_left_alone() -> None:
    source = ROWS.replace("b is None or a + 1 == b", "f(b) == b")
    assert varied(source)[1][0].relation


def test_the_true_value_stands_anywhere_among_the_others() -> None:
    places = Counter(sorted(alternatives(50, WORDS, 4, Random(seed))).index(50) for seed in range(400))
    assert set(places) == {0, 1, 2, 3}
    assert max(places.values()) < 200


def test_values_are_of_the_same_kind() -> None:
    for value in (7200, 0, -30, 1.25, "12 cats", b"dogs"):
        found = alternatives(value, WORDS, 4, Random(1))
        assert value in found
        assert len(set(found)) == len(found) == 4
        assert {type(one) for one in found} == {type(value)}
    assert all(number % 100 == 0 for number in alternatives(7200, WORDS, 8, Random(1)))


def test_no_word_of_the_true_text_is_the_one_that_all_share() -> None:
    """Each word of the true text is as frequent as any other: nobody finds it in the middle of the others."""
    middle = 0
    for seed in range(200):
        found = [str(one).split() for one in alternatives("cats sat", WORDS, 4, Random(seed))]
        votes = [Counter(text[place] for text in found) for place in range(2)]
        middle += [vote.most_common(1)[0][0] for vote in votes] == ["cats", "sat"]
    assert middle < 75


@pytest.mark.parametrize(
    "source",
    [
        "def test_it(:\n",
        "",
        "def test_it():\n    pass\n",
        "class A:\n    def test_it(self): assert 1\nclass B:\n    def test_it(self): assert 1\n",
    ],
)
def test_what_bears_no_copies_is_left_alone(source: str) -> None:
    assert varied(source) == (source, [])


def test_layout_and_decorators_are_those_of_the_original() -> None:
    source = 'import x\n\n\n@x.slow  # why not\ndef test_it(a):\n    """Says what."""\n    assert a == 3   # odd\n\n\ny = 1\n'
    changed, [one] = varied(source)
    assert changed.count("@x.slow  # why not") == changed.count("Says what.") == len(one.copies) == 4
    assert changed.startswith("import x\n\n\n@x.slow")
    assert changed.endswith("# odd\n\n\ny = 1\n")


def test_a_classifier_cannot_tell_them_apart() -> None:
    """Of about 500 pairs: one drawing with the recorded rows, several without; `make exploits` prints it more exactly."""
    from tests.exploits.handwriting import accuracy

    found = [accuracy(folds=2)]
    while sum(found[0].pairs) * len(found) < 450:
        found.append(accuracy(seed=len(found), folds=2))
    assert mean(one.values for one in found) < 0.63
    assert mean(one.relations for one in found) < 0.6
