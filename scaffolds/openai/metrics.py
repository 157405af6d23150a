"""A server's own counters while a run goes on: its `/metrics` page, read by the names of `dialects.TABLE`.

Not covered: servers behind a router, whose page speaks of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, prod

from scaffolds.openai.config import ModelConfig
from scaffolds.openai.dialects import BY_NAME, UNKNOWN
from scaffolds.openai.probe import page_text

PAGE = "/metrics"
LINE = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
LABEL = re.compile(r'\b(\w+)="([^"]*)"')
PLACE = re.compile(r"^([\w:]+)(?:\{([\w*]+)\})?$")
SHARES = ("kv share",)
"""Of several engines behind one page the fullest counts; all else is added up."""


def server_counters(config: ModelConfig, dialect: str) -> dict[str, float]:
    """What the server tells now, by the keys of `Dialect.metrics`; nothing where it has no such page."""
    names = BY_NAME.get(dialect, UNKNOWN).metrics
    return counters(page_text(config, PAGE), names) if names else {}


def counters(page: str, names: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """The same from a page's text: of each key's places the first one that is there."""
    lines = [found.groups() for line in page.split("\n") if (found := LINE.match(line))]
    told = {}
    for key, places in names.items():
        values = next((v for v in (list(_at(place, lines)) for place in places) if v), [])
        if values:
            told[key] = max(values) if key in SHARES else sum(values)
    return told


def _at(place: str, lines: Sequence[tuple[str | None, ...]]) -> Iterator[float]:
    """The values at `name`, or of its labels at `name{label}` and, multiplied, at `name{one*other}`."""
    wanted = PLACE.match(place)
    assert wanted, place
    for name, labels, value in lines:
        if name == wanted[1]:
            held = dict(LABEL.findall(labels or ""))
            texts = [held.get(label, "") for label in wanted[2].split("*")] if wanted[2] else [value or ""]
            numbers = [number for number in map(_number, texts) if number is not None]
            if len(numbers) == len(texts):
                yield prod(numbers)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None
