"""Text and JSON that others wrote (models, servers, tested code): made fit to be kept, sent and shown, or refused.

The one door for such JSON. What comes through it can be written by `json` and by pydantic and read back by both,
so that nothing which a model says can break a record. Not covered: control characters, which printers deal with.
"""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 64
"""Levels of nesting; pydantic reads back no more than 200, and no tool, server or report needs ten."""


def clean(text: str) -> str:
    """Without lone surrogates, which no JSON parser of a server takes and no file can hold; halves that fit are joined."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def loads(text: str | bytes) -> Any:
    """A JSON text as a value that is `fit`. Raises `ValueError`, and nothing else, for what is none."""
    whole = clean(text) if isinstance(text, str) else text.decode("utf-8", "replace")
    try:
        value = json.loads(whole.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if "\\u" not in whole and whole.count("[") + whole.count("{") <= DEEPEST:
        return value  # cannot be unfit; a stream has thousands of such pieces
    return fit(value)


def fit(value: Any) -> Any:
    """A parsed JSON value without lone surrogates, keys included. Raises `ValueError` for one that is nested too deeply."""
    if _deeper_than(DEEPEST, value):
        raise ValueError("it is nested too deeply")
    text = json.dumps(value, ensure_ascii=False)
    cleaned = clean(text)
    return value if cleaned == text else json.loads(cleaned)


def _deeper_than(limit: int, value: Any) -> bool:
    """Level by level and not by recursion, which is what such a value is made to break."""
    level = [value]
    for _ in range(limit):
        level = [inner for outer in level for inner in _children(outer)]
        if not level:
            return False
    return True


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
