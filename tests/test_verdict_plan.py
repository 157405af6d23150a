"""A plan worked out by hand: what each way costs and can decide, which is chosen, what is rounded."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from evals.claims.catalog import find
from evals.claims.claim import Claim
from evals.stats.noise import prior
from evals.stats.power import Aim, Design, design
from evals.stats.subset import expected_error, parameters
from evals.verdict.cost import Cost, Pace
from evals.verdict.plan import (
    Choice,
    basics,
    cheaper,
    choice,
    narrowest,
    plan,
    repeated_in_part,
    scaffold_like,
)
from evals.verdict.ways import ways_of
from tasks.errors import UserError

CLAIM = find("qwen3.6-27b/swe-bench-verified")
"""77.2 % of 500, number of runs not stated."""
RATE = 0.772
OTHER = CLAIM.model_copy(update={"benchmark": "somebody's", "n_tasks": 200})
"""Of a benchmark that nobody knows anything about."""
FREE = Cost(1, None)


def with_runs(claim: Claim, runs: int) -> Claim:
    return claim.model_copy(update={"protocol": claim.protocol.model_copy(update={"runs": runs})})


def test_hours_are_those_of_the_tokens_or_of_the_server_that_was_looked_at() -> None:
    assert Cost(36_000, 10.0).hours(1) == 1.0
    assert Cost(36_000, 10.0).hours(2) == 2.0
    assert Cost(36_000, None).hours(1) is None
    pace = Pace(server="s", hit_share=0.5, hours=0.25, cached=0.1, thinking=0.4)
    more = Cost(1000, 10.0, pace, more=1.5)
    assert (more.used(10), more.hours(10)) == (15_000, 3.75)


def test_a_choice_is_told_in_rounded_numbers() -> None:
    found = choice(Design(7, 3, 0.0123456, 0.123456, 0.654321), Cost(1800, 10.0), subset=False)
    assert (found.error, found.power, found.least_power) == (1.235, 0.1235, 0.6543)
    assert (found.tasks, found.attempts, found.tokens, found.hours) == (7, 3, 37_800, 1.1)
    assert (found.repeated, found.subset) == (0, False)


def test_a_small_benchmark_has_parts_of_one_task_at_least() -> None:
    ways = ways_of(OTHER, RATE, 3, prior(RATE))
    assert [way.tasks for way in ways.plain if way.attempts == 1] == [1, 1, 1, 1, 1, 2, 2, 2, 3]


def test_a_single_attempt_is_reckoned_noisier_than_is_likely_and_repeated_ones_are_not() -> None:
    """Of the claim's own noise, too, which is shared by all attempts of ours: over its 500 tasks and its runs."""
    noise = prior(RATE, CLAIM.benchmark)
    for runs, claim in ((1, CLAIM), (4, with_runs(CLAIM, 4))):
        ways = ways_of(claim, RATE, 500, noise)
        (once,) = [way for way in ways.plain if (way.tasks, way.attempts) == (500, 1)]
        (twice,) = [way for way in ways.plain if (way.tasks, way.attempts) == (500, 2)]
        most, usual = noise.reckoned.variance, noise.variance
        assert once.parts.variance(500) == pytest.approx(most / 500 + most / (500 * runs))
        assert once.likely.variance(500) == pytest.approx(usual / 500 + usual / (500 * runs))
        assert twice.parts == twice.likely
        assert twice.parts.variance(500) == pytest.approx(usual / 1000 + usual / (500 * runs))


def test_subsets_err_by_what_was_not_drawn_a_third_wider_and_by_both_runs_noise() -> None:
    known, noise = parameters("swebench-verified"), prior(RATE, CLAIM.benchmark)
    assert known
    drawn = ways_of(CLAIM, RATE, 500, noise).drawn
    assert [(way.tasks, way.attempts) for way in drawn] == [(n, 1) for n in range(100, 500, 50)]
    way = drawn[0]
    sampled = (1.3 * expected_error(known, RATE, 100, near=RATE)) ** 2
    for parts, one in ((way.parts, noise.reckoned), (way.likely, noise)):
        assert parts.variance(100) == pytest.approx(sampled + 2 * one.variance / 500)
        assert parts.variance(500) == pytest.approx(2 * one.variance / 500), "nothing is left to draw"
    assert ways_of(CLAIM, RATE, 489, noise).drawn == (), "not the tasks whose difficulty is known"


def test_power_is_that_of_the_looks_that_are_recommended() -> None:
    found, noise = plan(OTHER, margin=0.08), prior(RATE)
    (once,) = [way for way in ways_of(OTHER, RATE, 200, noise).plain if (way.tasks, way.attempts) == (200, 1)]
    aim = Aim(0.08, 0.05, 0.0005, (0.0, 0.0), looks=(0.2, 0.4, 0.6, 0.8))
    by_hand = design(once.parts, 200, 1, aim, noise, once.likely)
    assert found.options[0].power == round(by_hand.power, 4)
    assert found.options[0].least_power == round(by_hand.least, 4)
    assert found.noise == noise.basis
    assert all(z == round(z, 3) for z in found.critical)


def test_the_narrowest_margin_is_the_claims_own_noise() -> None:
    """1.6449 + 1.2816 of its standard errors, and its rounding; ours is nothing after attempts without end."""
    for runs, claim in ((1, OTHER), (4, with_runs(OTHER, 4))):
        error = math.sqrt(prior(RATE).variance / (200 * runs))
        least = 100 * (error * (1.644854 + 1.281552) + 0.0005)
        found = narrowest(claim, RATE, 200, prior(RATE), 0.8, 0.05)
        assert found == pytest.approx(least, abs=0.006)
        assert found == round(found, 2)


def test_what_was_asked_is_told_in_points_with_four_places() -> None:
    found = plan(OTHER, margin=0.081234567, unjudged=0.012345678)
    assert (found.margin, found.unjudged) == (8.1235, 1.2346)
    nothing = OTHER.model_copy(update={"score": Decimal("0.0")})
    assert plan(nothing, margin=0.2).claimed == 0.0


def test_a_subset_is_chosen_where_it_takes_fewer_attempts_and_can_be_drawn() -> None:
    fitted, unknown = plan(CLAIM, margin=0.08), plan(OTHER, margin=0.12)
    assert fitted.chosen
    assert unknown.chosen
    assert (fitted.chosen.subset, unknown.chosen.subset) == (True, False)
    assert fitted.looks[-1] == fitted.chosen.tasks
    assert fitted.at_least
    assert fitted.at_least.tasks < fitted.chosen.tasks, "half a question takes less"
    assert [one.subset for one in fitted.options] == [True] * 8 + [False] * 9


def some(tasks: int, attempts: int, repeated: int = 0) -> Choice:
    made = choice(Design(tasks, attempts, 0.01, 0.8, 0.8), FREE, subset=False)
    return made.model_copy(update={"repeated": repeated})


@pytest.mark.parametrize(
    ("one", "other", "less"),
    [(some(500, 1, 60), some(281, 2), True), (some(500, 1, 60), some(280, 2), False),
     (some(500, 1, 60), some(279, 2), False), (some(500, 1, 60), None, True), (some(2, 3), some(7, 1), True),
     (some(2, 3), some(5, 1), False), (some(5, 1), some(2, 3), True)],
)  # fmt: skip
def test_what_takes_fewer_attempts_is_cheaper(one: Choice, other: Choice | None, *, less: bool) -> None:
    assert cheaper(one, other) is less


def test_some_tasks_are_tried_twice_where_that_can_show_less_noise() -> None:
    """Not of a weak system whose noise nobody knows, and not where there are no more tasks than would be tried twice."""
    aim = Aim(0.08, 0.05, 0.0005)
    assert repeated_in_part(OTHER, 0.2999, 200, aim, FREE) is None
    assert repeated_in_part(OTHER, 0.3, 200, aim, FREE)
    assert repeated_in_part(CLAIM, 0.25, 500, aim, FREE), "public pairs show its noise"
    assert repeated_in_part(OTHER, RATE, 60, aim, FREE) is None
    found = repeated_in_part(OTHER, RATE, 61, aim, FREE)
    assert found
    assert (found.tasks, found.repeated, found.tokens) == (61, 60, 121)
    usual = 0.37 * RATE * (1 - RATE)
    assert found.error == pytest.approx(100 * math.sqrt(2 * usual / 61), abs=6e-4)


def test_some_tasks_twice_are_proposed_only_where_that_is_enough_and_less() -> None:
    """Of 500 tasks at 5 points margin it is; at 8 points a subset takes less, at 1 nothing is enough."""
    found = plan(CLAIM, margin=0.05)
    assert found.partly
    assert found.partly.power >= 0.8
    assert cheaper(found.partly, found.chosen)
    assert plan(CLAIM, margin=0.08).partly is None
    assert plan(CLAIM, margin=0.01).partly is None


def test_limits_of_what_can_be_asked() -> None:
    assert basics(CLAIM, 0.0001, 0.01, 0.99) == (pytest.approx(RATE), 500)
    with pytest.raises(UserError, match=r"between 0\.01 and 100 points"):
        basics(CLAIM, 0.00009, 0.8, 0.0)


def test_a_claim_without_an_agent_is_asked_in_one_prompt_and_the_first_word_decides() -> None:
    def like(text: str | None, *, agentic: bool = True) -> str:
        protocol = CLAIM.protocol.model_copy(update={"scaffold": text})
        return scaffold_like(CLAIM.model_copy(update={"agentic": agentic, "protocol": protocol}))

    assert like("bash", agentic=False) == "oneshot"
    assert like("Agentless, and mini-SWE-agent beside it") == "localize"
