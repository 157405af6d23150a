"""What the reporter wrote, read on the host: every line checked, nothing believed beyond its code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from tasks.untrusted import loads

WORST_FIRST = ("failed", "skipped", "xfailed", "passed")


class Results(NamedTuple):
    """One run's results."""

    states: dict[str, str]
    """Reported id (or alias) → `failed`, `skipped`, `xfailed`, `passed`; the worst one if it came twice."""
    ended: bool
    """The runner said that it had come to its end."""
    forged: int
    """Lines that do not carry the right code."""
    full: bool = False
    """The reporter could not write all its lines: tested code had limited the size of files."""
    seconds: Mapping[str, float] = MappingProxyType({})
    """Reported id → how long it took, by the clock in the container, 0 where its runner's reporter does not say; only on
    gold does anybody ask."""


def read_results(raw: bytes | None, key: str) -> Results:
    """Check and read the result file; None = there was none."""
    states: dict[str, str] = {}
    spent: dict[str, float] = {}
    codes: dict[str, str] = {}
    ended, forged = False, 0
    for line in (raw or b"").split(b"\n")[:-1]:
        body = _checked(line, key, codes)
        if body is None:
            forged += 1
            continue
        _, kind, names, state, seconds = body
        ended = ended or kind == "end"
        if kind == "test":
            for name in names:
                states[name] = worst((states.get(name, "passed"), state))
                spent[name] = spent.get(name, 0.0) + seconds
    torn = bool(raw) and not (raw or b"").endswith(b"\n")
    return Results(states, ended, forged + torn, seconds=spent)


def worst(states: Iterable[str]) -> str:
    """The least favourable of some states; an unknown one counts as failed."""
    return min((s if s in WORST_FIRST else "failed" for s in states), key=WORST_FIRST.index)


def _checked(line: bytes, key: str, codes: dict[str, str]) -> tuple[str, str, list[str], str, float] | None:
    """The line's content if its code is right and follows the one before; moves its stream on."""
    code, _, body = line.decode("ascii", "replace").partition(" ")
    try:
        stream, kind, names, state, *spent = loads(body)
    except (ValueError, TypeError):  # no JSON, or no list of so many
        return None
    if not isinstance(stream, str) or not isinstance(names, list):
        return None
    before = codes.get(stream, "")
    if hashlib.sha256((key + before + body).encode("ascii", "replace")).hexdigest() != code:
        return None
    codes[stream] = code
    took = next((one for one in spent if isinstance(one, float) and 0 < one < inf), 0.0)
    return stream, kind, [str(name) for name in names], str(state), took
