"""How many values each FAIL_TO_PASS test is to have: the cheapest copies that make a guess rare.

A guess is right once in the product of all tests' values. A test of three rows has each of its copies three times, a slow
one takes its time for each; sets ask for many values in few copies, and must be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import comb, inf, prod
from typing import NamedTuple

from evals.grade.strict import codes

GUESSES = 1024
"""One guess in so many may get through, where the tests have room for that."""
MOST_COPIES = 96
"""Of all tests that expect values."""
OWN = range(2, 33)
"""Numbers of values, where each stands in a copy of its own."""
IN_SETS = (2, 3, 4, *(comb(length, length // 2) for length in range(4, 13)))
"""The same where copies ask for sets: as many as so many copies tell apart."""
LARGEST = IN_SETS[-1]
TEST_SECONDS, VALUE_SECONDS = 0.003, 6e-6
"""What pytest takes for a test that does nothing but fail, and for each value of a set that it has to read."""


class Room(NamedTuple):
    """What one test has room for; `rows`: among how many values each of its FAIL_TO_PASS rows stands at most."""

    name: str
    rows: tuple[int, ...]
    coded: bool
    """It may ask for sets."""
    tests: int
    """Of one copy, each row of parameters one."""
    seconds: float
    """Of one copy, but for what the runner takes for it."""

    def ways(self, values: int) -> int:
        return prod(min(values, row) for row in self.rows)

    def copies(self, values: int) -> int:
        return codes.copies_for(values) if self._in_sets(values) else values

    def price(self, values: int) -> float:
        """Seconds of all copies. A set holds half of the values."""
        read = VALUE_SECONDS * values / 2 if self._in_sets(values) else 0.0
        return self.copies(values) * (self.seconds + self.tests * (TEST_SECONDS + read))

    def _in_sets(self, values: int) -> bool:
        return self.coded and values >= codes.WORTH


class Sizes(NamedTuple):
    """Test → its number of values, and what that makes in all, if a drawing finds what the tests have room for."""

    values: Mapping[str, int]
    ways: int
    copies: int
    seconds: float

    def with_test(self, room: Room, values: int) -> Sizes:
        return Sizes(
            {**self.values, room.name: values},
            self.ways * room.ways(values),
            self.copies + room.copies(values),
            self.seconds + room.price(values),
        )


def cheapest(rooms: Iterable[Room], guesses: int = GUESSES, most: float = inf) -> Sizes:
    """For so many ways or, where there are fewer, as many as there are; in no more than `most` seconds.

    Two values of each, if even those take longer.
    """
    known = {1: Sizes({}, 1, 0, 0.0)}
    two = known[1]
    for room in rooms:
        two = two.with_test(room, 2)
        further: dict[int, Sizes] = {}
        for sizes in known.values():
            for values in IN_SETS if room.coded else OWN:
                more = sizes.with_test(room, values)
                ways = min(more.ways, guesses)
                allowed = more.seconds <= most and more.copies <= MOST_COPIES
                if allowed and (ways not in further or more.seconds < further[ways].seconds):
                    further[ways] = more
        known = further
    return known[max(known)] if known else two
