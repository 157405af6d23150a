"""Evidence over nights: by brute force over every order in which outcomes can come."""

from __future__ import annotations

from functools import cache
from itertools import permutations, product

import numpy as np
import pytest

from evals.stats import eprocess

RNG = 20260401


def test_the_first_night_after_one_attempt_is_mcnemar() -> None:
    """Three tasks passed before and not tonight, one the other way, five alike: 16 ways to order them."""
    tonight, before = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0]), np.array([1, 1, 1, 0, 1, 1, 0, 0, 0])
    weight = eprocess.weights(9)
    found = eprocess.rank(tonight, tonight + before, np.full(9, 2), np.ones(9, int))
    ways = [np.dot(signs, weight[:4]) for signs in product((0, 1), repeat=4)]
    assert found == pytest.approx(np.mean(np.array(ways) <= weight[3]))
    assert 1 / 16 < found < 5 / 16 + 1e-9  # McNemar's one-sided p, ties taken apart


def test_several_attempts_a_night_are_drawn_from_all_that_were_made() -> None:
    """Two tasks by brute force: every order of the outcomes is as likely."""
    law = np.zeros(7 * 2 + 8 + 1)
    for first, second in product(permutations([1, 1, 0, 0, 0]), permutations([1, 0, 0])):
        law[7 * sum(first[:2]) + 8 * second[0]] += 1 / (120 * 6)
    found = eprocess.law_of_passes(np.array([2, 1]), np.array([5, 3]), np.array([2, 1]))
    assert found == pytest.approx(law, abs=1e-12)


def month_of(outcomes: np.ndarray) -> np.ndarray:
    """Evidence from outcomes (baseline and nights, tasks), one attempt each."""
    passes = np.cumsum(outcomes, axis=0)
    nights = [night_of(n + 1, tuple(outcomes[n]), tuple(passes[n])) for n in range(1, len(outcomes))]
    return evidence_of(tuple(nights))


@cache
def night_of(rounds: int, tonight: tuple[int, ...], passes: tuple[int, ...]) -> eprocess.Night:
    made = np.ones((rounds, len(tonight)), int)
    rank = eprocess.rank(np.array(tonight), np.array(passes), made.sum(0), made[-1])
    return eprocess.Night(rank, eprocess.shifts(made))


@cache
def evidence_of(nights: tuple[eprocess.Night, ...]) -> np.ndarray:
    return eprocess.evidence(nights)


def test_evidence_is_fair_whatever_the_tasks_are() -> None:
    """Exact, over all outcomes of 3 unlike tasks in a baseline and 3 nights: each night, and Ville's bound over all."""
    chances = np.array([0.2, 0.5, 0.9])
    each, bounds, crossed = np.zeros(3), np.array([1.02, 1.1, 1.2, 1.5]), np.zeros(4)
    for flat in product((0, 1), repeat=12):
        outcomes = np.array(flat).reshape(4, 3)
        chance = float(np.prod(np.where(outcomes, chances, 1 - chances)))
        path = np.exp(month_of(outcomes))
        each += chance * path
        crossed += chance * (path.max() >= bounds)
    assert np.all(each <= 1)
    assert np.all(crossed <= 1 / bounds)
    assert crossed[0] > 0.05


def test_evidence_grows_with_a_drop_now_or_later() -> None:
    rng = np.random.default_rng(RNG)
    steady = (rng.random((13, 100)) < 0.7).astype(int)
    now, later = steady.copy(), steady.copy()
    now[1:], later[10:] = rng.random((12, 100)) < 0.45, rng.random((3, 100)) < 0.4
    bound = eprocess.threshold(0.05)
    assert month_of(steady).max() < 1 < bound
    assert month_of(now)[2] > bound
    assert month_of(later)[:9].max() < bound < month_of(later)[-1]
    assert eprocess.evidence([]) == [0.0]


def test_what_a_set_up_can_see_gets_smaller_with_nights_tasks_and_baseline() -> None:
    tasks = np.ones(200, int)
    usual = eprocess.visible(3 * tasks, tasks, 5, 0.05)
    assert eprocess.visible(3 * tasks, tasks, 30, 0.05) < usual < eprocess.visible(tasks, tasks, 5, 0.05)
    assert eprocess.visible(3 * tasks[:50], tasks[:50], 5, 0.05) == pytest.approx(2 * usual, rel=0.01)
