"""A condition that a test asserts → the same condition, said to hold or not to hold, in words that do not tell which.

`assert not f(x)` becomes `wanted = False` and `assert bool(f(x)) is wanted`, or `wanted = True` and `is not`: the
condition is the same in every copy and denies nothing, and what is asked for follows from two places far from each
other. No secret: whoever works that out knows that tests assert more often than they deny. Not covered: `!=`, which a
class may define for itself.
"""

from __future__ import annotations

import ast
from random import Random
from typing import NamedTuple

from evals.grade.strict.source import Edit, Source

CLAIMS = {
    "assertTrue": ("{0}", True), "assertFalse": ("{0}", False), "assertEqual": ("{0} == {1}", True),
    "assertIn": ("{0} in {1}", True), "assertNotIn": ("{0} in {1}", False), "assertIs": ("{0} is {1}", True),
    "assertIsNot": ("{0} is {1}", False), "assertIsNone": ("{0} is None", True), "assertIsNotNone": ("{0} is None", False),
    "assertGreater": ("{0} > {1}", True), "assertGreaterEqual": ("{0} >= {1}", True), "assertLess": ("{0} < {1}", True),
    "assertLessEqual": ("{0} <= {1}", True), "assertIsInstance": ("isinstance({0}, {1})", True),
    "assertNotIsInstance": ("isinstance({0}, {1})", False),
}  # fmt: skip
"""unittest's method → a condition of its arguments, and whether it asserts or denies that."""
POSITIVE: dict[type[ast.cmpop], str] = {ast.NotIn: "in", ast.IsNot: "is"}
NAMES = ("wanted", "outcome", "answer", "verdict", "holds")


class Claim(NamedTuple):
    """A condition of a statement that stands alone on its line."""

    line: int
    """Where the statement begins."""
    indent: str
    start: int
    end: int
    condition: str
    asserted: bool
    """Whether the condition holds where the test is right."""
    owner: str
    """`self` of a unittest method; "" for an `assert`."""
    names: tuple[str, ...]
    """Names that the file does not use."""

    def written(self, right: bool, random: Random) -> tuple[Edit, ...]:
        holds = self.asserted is right
        flag, name = random.random() < 0.5, random.choice(self.names)
        sides = random.sample((f"bool({self.condition})", name), 2)
        if self.owner:
            method = "assertIs" if flag is holds else "assertIsNot"
            said = f"{self.owner}.{method}({', '.join(sides)})"
        else:
            said = f"{sides[0]} {'is' if flag is holds else 'is not'} {sides[1]}"
        return (
            Edit(self.line, self.line, f"{name} = {flag}\n{self.indent}"),
            Edit(self.start, self.end, said),
        )


def claim_of(node: ast.AST, text: Source) -> Claim | None:
    """The claim of a statement; None when it is none that we know."""
    match node:
        case ast.Assert(test=test):
            condition, asserted = positive(test, text)
            return _claim(node, text.span(test), condition, asserted, "", text)
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name, value=owner), args=args) as call):
            form, asserted = CLAIMS.get(name, ("", True))
            if form and len(args) > ("{1}" in form) and not any(isinstance(arg, ast.Starred) for arg in args):
                condition = form.format(*(f"({text.of(arg)})" for arg in args))
                return _claim(node, text.span(call), condition, asserted, text.of(owner), text)
    return None


def positive(test: ast.expr, text: Source) -> tuple[str, bool]:
    """A condition that denies nothing, and whether `test` asserts or denies it; "" where there is none."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            condition, asserted = positive(operand, text)
            return condition, not asserted
        case ast.Compare(ops=[ast.NotEq()]):
            return "", True
        case ast.Compare(ops=[ast.NotIn() | ast.IsNot() as operator], left=left, comparators=[right]):
            return f"({text.of(left)}) {POSITIVE[type(operator)]} ({text.of(right)})", False
    return text.of(test), True


def _claim(
    node: ast.stmt, span: tuple[int, int], condition: str, asserted: bool, owner: str, text: Source
) -> Claim | None:
    line = text.span(node)[0]
    indent = text.text[text.text.rfind("\n", 0, line) + 1 : line]
    names = tuple(name for name in NAMES if name not in text.text)
    if indent.strip() or not names or not condition:
        return None
    return Claim(line, indent, *span, condition, asserted, owner, names)
