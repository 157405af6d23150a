"""Making hostile text harmless, once, for every place that shows it.

A model's words, a task's ids and a server's answers may carry terminal escapes, markup or a megabyte of one line.
"""

from __future__ import annotations

import unicodedata

INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that draw nothing but may steer a terminal or reorder a line."""
INERT = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]|!#"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def plain(text: object, limit: int = 200) -> str:
    """One line without control, format or bidirectional characters, cut to `limit` characters."""
    start = str(text)[: limit * 4]
    line = " ".join((start if start.isprintable() else visible(start)).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def visible(text: str) -> str:
    """Without what `INVISIBLE` names; every kind of space is a plain one."""
    return "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in INVISIBLE
    )


def markdown(text: object, limit: int = 200) -> str:
    """`plain`, and inert inside a Markdown table cell."""
    return plain(text, limit).translate(INERT)


def counted(number: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {what}" + ("" if number == 1 else "s")
