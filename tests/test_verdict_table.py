"""The protocol table row by row, the ladder of a plan, and the parts of an error: each worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evals.claims.catalog import find
from evals.claims.claim import Claim, Protocol
from evals.record import Outcome
from evals.results.table import Drawn, Results, Row, System
from evals.stats.intervals import clustered_mean
from evals.stats.noise import AttemptNoise, prior
from evals.stats.sequential import Accrual, critical_values, simpson
from evals.verdict.difference import Question, compared, difference_of, look_bound
from evals.verdict.measure import Estimand
from evals.verdict.plan import Choice, plan, planned_looks, scaffold_like, tokens_per_attempt
from evals.verdict.protocol_match import Match, Point, match, same_model
from evals.verdict.rates import known_as_well, on_fixed
from evals.verdict.ways import ways_of

CLAIM = find("qwen3.6-27b/swe-bench-verified")
ONE, TWO = System("Qwen3.6-27B", "bash"), System("Qwen3.6-27B", "edit")


def two_systems(**facts: object) -> Results:
    """Three tasks twice under one scaffold, one task once under the other."""
    rows = [Row(ONE, f"t{t}", "r", n, Outcome.RESOLVED, tokens_out=100 * n) for t in range(3) for n in (1, 2)]
    rows.append(Row(TWO, "t0", "r", 1, Outcome.UNRESOLVED))
    return Results(source="s", benchmark="swe-bench-verified", rows=tuple(rows), **facts)  # type: ignore[arg-type]


def claim_of(n_tasks: int | None = None, **protocol: object) -> Claim:
    return CLAIM.model_copy(update={"n_tasks": n_tasks, "protocol": Protocol.model_validate(protocol)})


def row(name: str, claim: Claim, results: Results, system: System = ONE) -> Point:
    (found,) = [point for point in match(claim, results, system) if point.name == name]
    return found


def test_each_system_is_held_against_the_claim_by_its_own_attempts() -> None:
    claim = claim_of(3, runs=2)
    results = two_systems()
    for name, measured in (("tasks", "3"), ("runs", "2")):
        assert (row(name, claim, results).measured, row(name, claim, results).match) == (
            measured,
            Match.MATCH,
        )
        assert (row(name, claim, results, TWO).measured, row(name, claim, results, TWO).match) == (
            "1",
            Match.MISMATCH,
        )


def test_what_a_claim_does_not_state_is_no_match() -> None:
    found = {point.name: point for point in match(claim_of(), two_systems(), ONE)}
    assert found["runs"].claimed == "not stated, taken as 1"
    assert {point.match for name, point in found.items() if name != "model"} == {Match.UNKNOWN}
    assert (found["model"].match, found["excluded tasks"].measured) == (Match.MATCH, "none")
    left_out = two_systems(excluded={"t9": "gold fails"})
    stated = row("excluded tasks", claim_of(excluded="33 tasks"), left_out)
    assert (stated.claimed, stated.measured, stated.match) == ("33 tasks", "1 tasks", Match.MISMATCH)


def test_numbers_are_set_in_thousands_and_compared_as_numbers() -> None:
    asked = claim_of(context_window=262144, temperature=1.0)
    in_force = two_systems(protocol=Protocol(context_window=262144, temperature=0.7))
    window, temperature = row("context window (tokens)", asked, in_force), row("temperature", asked, in_force)
    assert (window.claimed, window.match) == ("262,144", Match.MATCH)
    assert (temperature.claimed, temperature.measured, temperature.match) == ("1", "0.7", Match.MISMATCH)


def test_the_ladder_of_a_plan() -> None:
    claim = CLAIM.model_copy(update={"benchmark": "somebody's", "n_tasks": 500})
    noise = prior(0.772, claim.benchmark)
    ways = ways_of(claim, 0.772, 500, noise)
    assert ways.drawn == (), "no subsets without fitted difficulties"
    whole = [tries for tasks, tries, *_ in ways.plain if tasks == 500]
    assert whole == [1, 2, 3, 4, 5, 8, 10, 15, 20]
    once = [tasks for tasks, tries, *_ in ways.plain if tries == 1]
    assert once == [100, 150, 200, 250, 300, 350, 400, 450, 500]
    looks, critical = planned_looks(ways, None, 500, 0.05)
    assert looks == (100, 200, 300, 400, 500)
    assert sorted(critical, reverse=True) == list(critical)
    assert 1.645 < critical[-1] < 1.8, "looking costs a little at the end"
    best = Choice(
        tasks=200, attempts=2, subset=False, error=1.0, power=0.8, least_power=0.8, tokens=1, hours=None
    )
    assert planned_looks(ways, best, 500, 0.05)[0] == (40, 80, 120, 160, 200)


def test_a_plan_says_what_it_was_asked_in_points() -> None:
    found = plan(CLAIM.model_copy(update={"benchmark": "somebody's", "n_tasks": 200}), margin=0.08)
    assert (found.claimed, found.margin, found.power, found.alpha, found.unjudged) == (
        77.2,
        8.0,
        0.8,
        0.05,
        0.0,
    )
    assert (found.tasks, found.tasks_name) == (200, "somebody's=FILE")
    assert [(one.tasks, one.attempts) for one in found.options] == [
        (200, tries) for tries in (1, 2, 3, 4, 5, 8, 10, 15, 20)
    ]
    assert found.options[0].tokens == 200 * 25_000
    powers = [one.power for one in found.options]
    assert powers == sorted(powers)


def test_tokens_are_of_attempts_that_used_some() -> None:
    assert tokens_per_attempt(None) == 25_000
    assert tokens_per_attempt(two_systems()) == 150
    silent = two_systems()
    silent = replace(silent, rows=tuple(one._replace(tokens_out=0) for one in silent.rows))
    assert tokens_per_attempt(silent) == 25_000


@pytest.mark.parametrize(
    ("stated", "ours"),
    [
        (None, "bash"),
        ("an internal scaffold (bash + str_replace editor)", "edit"),
        ("OpenHands", "edit"),
        ("SWE-agent", "edit"),
        ("Claude Code 2.1.14", "edit"),
        ("two tools: bash, and string replacement", "edit"),
        ("mini-SWE-agent v2 (tool calls), bash only", "bash"),
        ("OpenCode", "opencode"),
        ("one prompt, oneshot", "oneshot"),
        ("a shell", "bash"),
    ],
)
def test_the_scaffold_that_is_nearest_to_the_claims(stated: str | None, ours: str) -> None:
    assert scaffold_like(claim_of(scaffold=stated)) == ours


def test_an_estimate_is_as_sure_as_the_noises_it_is_made_of() -> None:
    noises = [AttemptNoise(0.1, "one", 30.0), AttemptNoise(0.1, "two", 60.0)]
    both = known_as_well(0.2, 0.04, [0.01, 0.02], noises)
    assert (both.value, both.error) == (0.2, pytest.approx(0.2))
    assert both.df == pytest.approx(1 / (1 / (30 * 16) + 1 / (60 * 4)))
    assert known_as_well(0.2, 0.04, [0.0, 0.02], noises).df == pytest.approx(60 * 4)
    assert known_as_well(0.2, 0.04, [0.0, 0.0], noises).df == float("inf")


def test_simpsons_rule_is_exact_for_cubics() -> None:
    points = np.linspace(0.0, 2.0, 5)
    assert float(points**3 @ simpson(points)) == pytest.approx(4.0)
    assert float(np.ones(5) @ simpson(points)) == pytest.approx(2.0)


def test_a_single_task_or_repository_leaves_everything_open() -> None:
    assert clustered_mean(np.array([1.0]), ["r"]) == (1.0, float("inf"), 1.0)
    assert clustered_mean(np.array([1.0, 0.0]), ["r", "r"]).error == float("inf")


def test_the_claims_noise_is_added_to_that_of_tasks_like_these() -> None:
    rows = tuple(
        Row(ONE, f"t{n}", f"r{n % 4}", 1, Outcome.RESOLVED if n % 3 else Outcome.UNRESOLVED)
        for n in range(12)
    )
    results = Results(source="s", benchmark="b", rows=rows)
    claim = CLAIM.model_copy(update={"benchmark": "b", "n_tasks": 12})
    question = Question(claim, 0.5, 0.1, Estimand.LIKE_THESE, 0.05)
    table = results.table()
    found = compared(question, results, table, AttemptNoise(0.1, "b", 20.0))
    ours, both = clustered_mean(table.means, table.repos), difference_of(question, table, found)
    shared = found.parts.shared
    assert shared > 0
    assert both.value == pytest.approx(8 / 12 - found.against.rate)
    assert both.error**2 == pytest.approx(ours.error**2 + shared)
    assert both.df == pytest.approx(ours.df * ((ours.error**2 + shared) / ours.error**2) ** 2)


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_a_difference_on_a_sample_errs_by_the_spread_of_its_tasks(tasks: int) -> None:
    def system(passes: int) -> Results:
        rows = [
            Row(ONE, f"t{n}", "r", 1, Outcome.RESOLVED if n < passes else Outcome.UNRESOLVED)
            for n in range(tasks)
        ]
        return Results(source="s", benchmark="swe-bench-verified", rows=tuple(rows), drawn=Drawn.SAMPLE)

    part, one, two = system(tasks), system(tasks).table(), system(1).table()
    gaps = one.means - two.means
    noise = AttemptNoise(0.01, "b", 20.0)
    found = on_fixed(part, one, two, [noise, noise])
    spread = float(gaps.var(ddof=1)) if tasks > 1 else 1.0
    spread = max(spread, 0.02)
    run = 0.02
    assert found.value == pytest.approx(gaps.mean())
    assert found.error**2 == pytest.approx(Accrual(500, spread, run, 0.0, fixed=True).variance(tasks))


def test_looks_at_tasks_like_these_know_by_their_share_of_the_tasks() -> None:
    rows = tuple(Row(ONE, f"t{n}", f"r{n % 4}", 1, Outcome.RESOLVED) for n in range(12))
    results = Results(source="s", benchmark="b", rows=rows, looks=(6, 12, 18), planned=24)
    parts = Accrual(24, 0.2, 0.1, 0.0, fixed=False)
    like, fixed = (
        look_bound(Question(CLAIM, 0.5, 0.1, estimand, 0.05), results, parts, float("inf"))
        for estimand in (Estimand.LIKE_THESE, Estimand.FIXED)
    )
    assert like == pytest.approx(critical_values([0.25, 0.5], 0.05)[-1])
    assert fixed == pytest.approx(critical_values(parts.fractions([6, 12], 24), 0.05)[-1])


@pytest.mark.parametrize(
    ("claimed", "measured", "same"),
    [
        ("Qwen3.6-27B", "unsloth/Qwen3.6-27B-GGUF:Q4_K_M", True),
        ("Qwen3.6-27B", "qwen3.6:27b", True),
        ("Qwen3.6-27B", "qwen3.6-27b.gguf", True),
        ("Qwen3.6-27B", "Qwen3.6-27B-4bit", True),
        ("Kimi K2 Instruct (0711)", "Kimi-K2", True),
        ("Qwen3-Coder-480B-A35B-Instruct", "Qwen3_Coder_480B", True),
        ("GLM-4.6", "GLM-4", False),
        ("GLM-4", "zai-org/GLM-4.6", False),
        ("Claude Opus 4", "claude-opus-4-7", False),
        ("Kimi K2.6", "kimi-k2", False),
        ("MiniMax M2.7", "MiniMax-M2", False),
        ("GPT-4o", "gpt-4", False),
        ("GLM-4.6", "GLM", False),
        ("GLM-4.6", "---", False),
    ],
)
def test_a_version_that_goes_on_is_another_model(claimed: str, measured: str, same: bool) -> None:
    assert same_model(claimed, measured) is same
