"""What a verifier left, read as data: its reward and its report of tests. Nothing is run, followed or believed beyond that.

`reward.json` goes before `reward.txt`, as in Harbor; of several named rewards, `reward` or else the only one counts. A
report is CTRF (https://ctrf.io). Both can be written by tested code: what that is worth is `verifier`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from evals.run.kept_verification import JSON, MISSING, TEXT
from tasks.backend import Left
from tasks.untrusted import clean, loads

LONGEST_REWARD = 64 << 10
MOST_TESTS = 20_000


class Reward(NamedTuple):
    """A number, or why there is none."""

    value: float | None
    problem: str = ""
    """One line of ours; quotes nothing."""


class Report(NamedTuple):
    """The tests of a CTRF report, or why there are none."""

    tests: dict[str, str]
    """Name → `passed`, `failed`, `skipped`, `pending`, `other`."""
    problem: str = ""


def read_reward(left: Mapping[str, Left]) -> Reward:
    for path, parse in ((JSON, from_json), (TEXT, from_text)):
        if path in left:
            name, found = path.rpartition("/")[2], left[path]
            if found.problem or len(found.data) > LONGEST_REWARD:
                return Reward(None, f"{name} {found.problem or 'is too long for a reward'}")
            try:
                return in_range(parse(found.data.decode("utf-8")), name)
            except (ValueError, TypeError, OverflowError):
                return Reward(None, f"{name} holds no number")
    return Reward(None, "the verifier wrote no reward")


def in_range(value: float, name: str) -> Reward:
    if not math.isfinite(value):
        return Reward(None, f"{name} holds no finite number")
    return (
        Reward(value)
        if 0 <= value <= 1
        else Reward(None, f"{name} holds a number that is not between 0 and 1")
    )


def from_text(text: str) -> float:
    return float(text)


def from_json(text: str) -> float:
    found: Any = loads(text)
    if isinstance(found, dict):
        found = found["reward"] if "reward" in found else only(found)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError
    return float(found)


def only(named: dict[str, Any]) -> Any:
    if len(named) != 1:
        raise ValueError
    return next(iter(named.values()))


def read_report(left: Mapping[str, Left], path: str) -> Report:
    """The report that a script promised at `path`."""
    found = left.get(path)
    if found is None:
        return Report({}, "the report of its tests is missing")
    if found.problem:
        return Report({}, f"the report of its tests {found.problem}")
    try:
        listed = loads(found.data.decode("utf-8"))["results"]["tests"]
        tests = {
            clean(str(test["name"]))[:500]: clean(str(test["status"]))[:20] for test in listed[:MOST_TESTS]
        }
    except (ValueError, TypeError, KeyError, IndexError):
        return Report({}, "the report of its tests is not CTRF")
    return Report(tests) if tests else Report({}, "the report of its tests names none")


def read_missing(left: Mapping[str, Left]) -> tuple[str, ...]:
    """What the kit's shims were asked for and did not have."""
    found = left.get(MISSING, Left())
    lines = found.data[:10_000].decode("utf-8", "replace").split("\n")
    names = ("".join(filter(str.isprintable, line)).strip()[:100] for line in lines)
    return tuple(dict.fromkeys(filter(None, names)))
