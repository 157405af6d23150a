"""Tables on a terminal of any width: no word is broken; where the words do not fit side by side, each row is a few lines.

Not here: what the tables say, and files, which have all the width that they need.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

ANY_WIDTH = 100_000
"""Columns that every table of ours fits in."""


def fitting(table: Table, console: Console) -> RenderableType:
    """The table with widths set for this terminal, or its rows as lines; its cells are strings or `Text` of one line."""
    names = [cells(column) for column in table.columns]
    least = [max(cell_len(word) for cell in column for word in (cell.split() or [""])) for column in names]
    most = [max(cell_len(cell) for cell in column) for column in names]
    natural = Measurement.get(console, console.options.update_width(ANY_WIDTH), table).maximum
    spare = console.width - (natural - sum(most)) - sum(least)
    if console.width >= natural:
        return table
    if spare < 0:
        return Group(*as_lines(table, names))
    for column, width in zip(table.columns, shared(least, most, spare), strict=True):
        column.width = width
    return table


def cells(column: Column) -> list[str]:
    """Its head, and below it what stands in it."""
    return [cell.plain if isinstance(cell, Text) else str(cell) for cell in (column.header, *column.cells)]


def shared(least: list[int], most: list[int], spare: int) -> list[int]:
    """Widths from `least` up, `spare` more altogether: to whoever lacks most."""
    widths = list(least)
    for _ in range(spare):
        lacking = max(range(len(widths)), key=lambda n: most[n] - widths[n])
        widths[lacking] += 1
    return widths


def as_lines(table: Table, columns: list[list[str]]) -> Iterator[Text]:
    """The title, and each row as `head: cell`, all but its first line indented."""
    if table.title:
        yield Text(str(table.title), style="bold")
    heads, *rows = zip(*columns, strict=True)
    for name, *others in rows:
        yield Text(f"{heads[0]}: {name}")
        yield from (Text(f"  {head}: {cell}") for head, cell in zip(heads[1:], others, strict=True) if cell)
