"""Which number at once is tried next, by what was measured: each step of the search, and for how many calls it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.run.climber import Climber

Measured = Callable[[int, int], tuple[float, float | None]]
"""Tokens a second and time to the first token, by level and number of the stay at one level, from 1."""


def stays(climber: Climber, measured: Measured, calls: int = 1500) -> list[tuple[int, int]]:
    """Each level that was stayed at, with how many calls ended there."""
    found, now = [(climber.level, 0)], 0.0
    for _ in range(calls):
        level, before = found[-1]
        rate, slowness = measured(level, len(found))
        now += 10 / rate
        climber.ended(now, 10, slowness)
        found[-1] = level, before + 1
        found += [(climber.level, 0)] if climber.level != level else []
    return found


def levels(climber: Climber, measured: Measured) -> list[int]:
    return [level for level, _calls in stays(climber, measured)]


@pytest.mark.parametrize(("first", "most", "begins"), [(4, 64, 4), (9, 5, 5), (1, 8, 1), (0, 5, 1)])
def test_the_first_level_is_one_at_least_and_no_more_than_may_be(first: int, most: int, begins: int) -> None:
    assert Climber(first, most).level == begins


@pytest.mark.parametrize(("rate", "then"), [(115.1, 16), (114.9, 4)])
def test_twice_as_many_must_bring_fifteen_in_a_hundred_more(rate: float, then: int) -> None:
    """To a tenth of a token: nothing that ended before a window is in what was measured."""
    rates = {4: 100.0, 8: rate}
    assert levels(Climber(4, 64), lambda level, _stay: (rates.get(level, 90), None))[:3] == [4, 8, then]


@pytest.mark.parametrize(("rate", "then"), [(105.1, 8), (104.9, 4)])
def test_later_half_as_many_again_must_bring_five_in_a_hundred_more(rate: float, then: int) -> None:
    rates = {4: 100.0, 6: rate}
    found = levels(Climber(4, 8), lambda level, _stay: (rates.get(level, 90), None))
    assert found[:7] == [4, 8, 4, 3, 4, 6, then]


def test_from_one_it_doubles() -> None:
    found = stays(Climber(1, 64), lambda level, _stay: (100 * level, 1.0))
    assert found[:5] == [(1, 1 + 12), (2, 2 + 12), (4, 4 + 12), (8, 8 + 16), (16, 16 + 32)]


def test_from_two_it_falls_to_one_and_no_lower() -> None:
    rates = {2: 100, 4: 50, 1: 99}
    assert levels(Climber(2, 64), lambda level, _stay: (rates[level], 1.0))[:6] == [2, 4, 2, 1, 2, 1]


def test_where_one_is_the_most_it_stays() -> None:
    assert levels(Climber(1, 1), lambda _level, _stay: (100, 1.0)) == [1]


def test_a_step_that_brought_something_makes_the_next_failure_a_first_one() -> None:
    rates = {4: 100, 8: 120}
    found = stays(Climber(4, 64), lambda level, _stay: (rates.get(level, 90), 1.0))
    assert found[:4] == [(4, 16), (8, 24), (16, 48), (8, 2 * (8 + 48))], (
        "one window of rest, and the next trial"
    )


def test_a_first_token_that_is_always_late_calls_for_nothing() -> None:
    assert set(levels(Climber(8, 8), lambda level, _stay: (100 * level, 10.0))) == {8, 5}


def test_calls_without_a_first_token_tell_of_no_queue() -> None:
    def measured(level: int, stay: int) -> tuple[float, float | None]:
        return 100 * level, 0.3 if stay < 3 else None

    assert set(levels(Climber(8, 8), measured)) == {8, 5}


def test_a_queue_that_grows_in_two_steps_is_compared_with_its_shortest() -> None:
    def measured(level: int, stay: int) -> tuple[float, float]:
        return 100 * level, {1: 1.0, 3: 1.6, 5: 2.5}.get(stay, 1.0)

    assert levels(Climber(8, 8), measured)[:6] == [8, 5, 8, 5, 8, 6]


def test_after_backing_off_it_rests_for_nine_windows_and_looks_below_first() -> None:
    climber = Climber(8, 8)
    climber.back_off(8)
    found = stays(climber, lambda level, _stay: (100 * level, 10.0))
    assert found[0] == (6, 9 * (6 + 36)), "however late its first tokens are: they are the new measure"
    assert [level for level, _calls in found[:4]] == [6, 4, 6, 8]
    one = Climber(1, 8)
    one.back_off(1)
    assert one.level == 1


def test_a_queue_calls_for_one_in_the_place_of_two_and_for_nothing_less() -> None:
    """From the third stay on the first token takes three times as long."""

    def measured(level: int, stay: int) -> tuple[float, float]:
        return best[level], 0.3 if stay >= 3 else 0.1

    best = {2: 100, 1: 50}
    assert stays(Climber(2, 2), measured)[:4] == [(2, 14), (1, 13), (2, 14), (1, 9 * 13)]
    best = {1: 100, 2: 50}
    assert stays(Climber(1, 2), measured)[:3] == [(1, 13), (2, 14), (1, 2 * 13)]
