"""Every mutant of a source file: comparisons turned round, limits moved by one, numbers and truths changed, calls left out."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

INVERTED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip
MOVED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change: the bytes from `start` to `end` of a file become `text`."""

    file: str
    line: int
    lines: range
    """From the beginning of the statement to the end of the expression: who runs one of them runs the mutant."""
    start: int
    end: int
    before: str
    text: str

    def of(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def key(self, source: bytes) -> str:
        """Equal for the same change of the same file."""
        return hashlib.sha256(f"{self.start} {self.text}\0".encode() + source).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before}  →  {self.text}"


def mutants(file: str, source: bytes) -> Iterator[Mutant]:
    """All mutants of one file, in its order."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for statement, node in reached(ast.parse(source), 0):
        for new in changes(node):
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            before = " ".join(source[start:end].decode().split())
            lines = range(statement, (node.end_lineno or node.lineno) + 1)
            yield Mutant(file, node.lineno, lines, start, end, before, f"({ast.unparse(new)})")


def reached(node: ast.AST, statement: int) -> Iterator[tuple[int, ast.expr]]:
    """Expressions that decide something when the code runs, each with the first line of its statement.

    No annotations, no f-strings, no imports for types.
    """
    if isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ):
        return
    if isinstance(node, ast.stmt):
        statement = node.lineno
    if isinstance(node, ast.expr):
        yield statement, node
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield statement, LeftOut(**vars(node.value))
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from reached(child, statement)


class LeftOut(ast.Call):
    """A call whose result nobody uses."""


def changes(node: ast.expr) -> Iterator[ast.expr]:  # noqa: C901 - a table of cases
    """What may stand in a node's place."""
    match node:
        case LeftOut():
            yield ast.Constant(None)
        case ast.Compare(left, [operator], [right]):
            yield ast.Compare(left, [INVERTED[type(operator)]()], [right])
            if type(operator) in MOVED and (whole(left) or whole(right)):
                yield ast.Compare(left, [MOVED[type(operator)]()], [right])
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.BinOp(left, operator, right) if type(operator) in ARITHMETIC and not texts(left, right):
            yield ast.BinOp(left, ARITHMETIC[type(operator)](), right)
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Call(ast.Name(name), arguments, keywords) if name in EXCHANGED:
            yield ast.Call(ast.Name(EXCHANGED[name]), arguments, keywords)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(float() as value):
            yield ast.Constant(1 - value if 0 < value < 1 and value != 0.5 else value * 2 + 1)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)


def whole(node: ast.expr) -> bool:
    """A whole number, so that one more or less is another answer; a limit among real numbers is hit by nobody."""
    match node:
        case ast.Constant(int()) | ast.Call(ast.Name("len")):
            return True
    return False


def texts(*nodes: ast.expr) -> bool:
    """Whether one is a string: what adds or divides them is no arithmetic (`/` joins paths)."""
    return any(
        isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Constant) and isinstance(n.value, str))
        for n in nodes
    )
