"""Comparisons: known public answers, where a difference comes from, and tables that cannot be compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.record import Outcome
from evals.results.table import Results, Row, System, merge
from evals.stats.design import inclusion
from evals.stats.estimate import fitted_difference, one_run
from evals.stats.subset import draw_fitted, draw_stratified, estimated_difference, parameters
from evals.verdict.compare import By, compare
from evals.verdict.measure import Estimand
from tasks.errors import UserError
from tests.published_lists import from_resolved_lists


def listed(resolved: dict[System, list[str]], tasks: list[str]) -> Results:
    return from_resolved_lists(resolved, dict.fromkeys(tasks, "r"), benchmark="b", source="lists")


def test_scaffolds_of_one_model(shared_data: Path) -> None:
    collection = json.loads((shared_data / "verified_submissions.json").read_text())
    ids = {
        System("Qwen3-Coder-480B", "mini"): "20250802_mini-v1.0.0_qwen3-coder-480b-a35b-instruct",
        System("Qwen3-Coder-480B", "OpenHands"): "20250805_openhands-Qwen3-Coder-480B-A35B-Instruct",
        System("Claude Sonnet 4", "mini"): "20250726_mini-v1.0.0_claude-sonnet-4-20250514",
        System("Claude Sonnet 4", "tools"): "20250522_tools_claude-4-sonnet",
    }
    resolved = {entry["id"]: entry["resolved_ids"] for entry in collection["submissions"]}
    found = compare(listed({system: resolved[name] for system, name in ids.items()}, collection["instances"]))
    qwen, claude = found.pairs
    assert (qwen.only_first, qwen.only_second, claude.only_first, claude.only_second) == (21, 92, 17, 55)
    assert qwen.p is not None
    assert qwen.p < 1e-9
    assert qwen.p_holm == pytest.approx(2 * qwen.p)
    assert claude.p_holm == claude.p
    assert [round(one.rate, 1) for one in found.systems] == [55.4, 69.6, 64.8, 72.4]
    assert found.crossed is None


def attempt(system: System, task: int, outcome: Outcome, stop: str = "submitted", number: int = 1) -> Row:
    return Row(system, f"t{task}", "r", number, outcome, stop=stop)


def test_where_a_difference_comes_from() -> None:
    bash, edit = System("m", "bash"), System("m", "edit")
    solved = [attempt(bash, task, Outcome.RESOLVED) for task in range(20)]
    lost = [attempt(edit, task, Outcome.RESOLVED) for task in range(10)]
    lost += [attempt(edit, task, Outcome.NO_PATCH, "malformed") for task in range(10, 14)]
    lost += [attempt(edit, task, Outcome.UNRESOLVED, "step_limit") for task in range(14, 17)]
    lost += [attempt(edit, 17, Outcome.NO_PATCH), attempt(edit, 18, Outcome.UNRESOLVED)]
    lost += [attempt(edit, 19, Outcome.UNRESOLVED, "context_overflow")]
    found = compare(Results(source="x", benchmark="b", rows=(*solved, *lost)))
    (pair,) = found.pairs
    assert pair.second_failed_by == {
        "format errors": 4,
        "turn cap": 3,
        "no patch": 1,
        "wrong patch": 1,
        "context overflow": 1,
    }
    assert pair.first_failed_by == {}
    assert (pair.difference, pair.only_first) == (50.0, 10)
    assert pair.low > 0
    assert found.systems[1].stops["malformed"] == 4


def test_bounds_of_a_difference() -> None:
    one, two = System("m", "a"), System("m", "b")
    rows = [attempt(one, t, Outcome.RESOLVED if t < 6 else Outcome.NOT_JUDGED) for t in range(10)]
    rows += [attempt(two, t, Outcome.UNRESOLVED) for t in range(10)]
    (pair,) = compare(Results(source="x", benchmark="b", rows=tuple(rows))).pairs
    assert (pair.tasks, pair.worst, pair.best) == (6, 60.0, 100.0)


def simulated(interaction: float, attempts: int, seed: int = 5) -> Results:
    """Four models under three scaffolds on 150 tasks."""
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 0.1, 150)
    rows = []
    for model in range(4):
        for scaffold in range(3):
            level = 0.35 + 0.1 * model + 0.05 * scaffold + rng.normal(0, interaction)
            for number in range(1, attempts + 1):
                passed = rng.random(150) < level + difficulty
                rows += [
                    attempt(
                        System(f"m{model}", f"s{scaffold}"),
                        task,
                        Outcome.RESOLVED if passed[task] else Outcome.UNRESOLVED,
                        number=number,
                    )
                    for task in range(150)
                ]
    return Results(source="x", benchmark="b", rows=tuple(rows))


def test_interaction_is_seen_where_it_is_and_not_where_it_is_not() -> None:
    without = compare(simulated(0.0, attempts=3)).crossed
    with_it = compare(simulated(0.12, attempts=3)).crossed
    assert without is not None
    assert with_it is not None
    assert without.gap_moves is not None
    assert with_it.gap_moves is not None
    assert without.gap_moves.low == 0.0
    assert with_it.gap_moves.low > 10
    assert len(with_it.over_scaffolds) == 4
    assert sum(with_it.variance.values()) == pytest.approx(1)
    assert "run-to-run noise" in with_it.variance
    assert with_it.noise.startswith("measured")


def test_one_attempt_does_not_tell_noise_from_task_by_system() -> None:
    found = compare(simulated(0.0, attempts=1)).crossed
    assert found is not None
    assert set(found.variance) == {
        "model",
        "scaffold",
        "model × scaffold",
        "task",
        "task × system and run-to-run noise",
    }


def test_by_decides_the_pairs_and_cochran_the_groups() -> None:
    found = simulated(0.0, attempts=1)
    assert len(compare(found, By.SCAFFOLD).pairs) == 4 * 3
    by_model = compare(found, By.MODEL)
    assert len(by_model.pairs) == 3 * 6
    assert set(by_model.cochran) == {"s0", "s1", "s2"}
    assert max(by_model.cochran.values()) < 0.01
    assert all(
        pair.p_holm >= pair.p for pair in by_model.pairs if pair.p is not None and pair.p_holm is not None
    )


def test_nothing_in_common_is_refused() -> None:
    rows = (attempt(System("m", "a"), 1, Outcome.RESOLVED), attempt(System("m", "b"), 2, Outcome.RESOLVED))
    with pytest.raises(UserError, match="no judged task in common"):
        compare(Results(source="x", benchmark="b", rows=rows))
    with pytest.raises(UserError, match="differ by model"):
        compare(Results(source="x", benchmark="b", rows=rows), By.MODEL)


def test_partial_overlap_and_two_graders_are_said() -> None:
    one = [attempt(System("m", "a"), t, Outcome.RESOLVED)._replace(grader="g1") for t in range(12)]
    two = [attempt(System("m", "b"), t, Outcome.RESOLVED)._replace(grader="g2") for t in range(8)]
    found = compare(
        merge([Results(source="x", benchmark="b", rows=tuple(one)), Results("y", "b", tuple(two))])
    )
    said = " ".join(found.limits)
    assert found.pairs[0].tasks == 8
    assert "judged tasks differ" in said
    assert "different graders" in said
    assert "one attempt" in said


def test_a_system_without_a_judged_attempt_is_refused() -> None:
    rows = [attempt(System("m", s), t, Outcome.NOT_JUDGED) for s in "ab" for t in range(3)]
    with pytest.raises(UserError, match="no judged task"):
        compare(replace(Results(source="x", benchmark="b", rows=tuple(rows))))


def test_tasks_like_these_are_fewer_than_they_look() -> None:
    """The first system is better in two repositories of five, by all of their tasks."""
    rows = [
        Row(System("m", name), f"{repo}-{task}", f"r{repo}", 1, outcome)
        for repo in range(5)
        for task in range(8)
        for name, outcome in (
            ("a", Outcome.RESOLVED),
            ("b", Outcome.UNRESOLVED if repo < 2 else Outcome.RESOLVED),
        )
    ]
    results = Results(source="x", benchmark="b", rows=tuple(rows))
    fixed, alike = compare(results), compare(results, estimand=Estimand.LIKE_THESE)
    assert fixed.pairs[0].difference == alike.pairs[0].difference == 40
    assert fixed.pairs[0].low > 0 > alike.pairs[0].low
    assert "5 repositories" in alike.pairs[0].method
    assert alike.systems[1].low < fixed.systems[1].low
    with pytest.raises(UserError, match="one repository"):
        compare(replace(results, rows=tuple(rows[:16])), estimand=Estimand.LIKE_THESE)


def test_two_opposite_scaffolds_spread_no_wider_than_rates_can() -> None:
    rows = [
        attempt(System("m", name), task, outcome)
        for task in range(9)
        for name, outcome in (("a", Outcome.RESOLVED), ("b", Outcome.UNRESOLVED))
    ]
    found = compare(Results(source="x", benchmark="b", rows=tuple(rows)))
    assert found.crossed is not None
    (only,) = found.crossed.over_scaffolds
    assert only.value == 100
    assert 0 < only.low < 100


def test_a_subset_says_what_its_differences_are_about() -> None:
    rows = [attempt(System("m", s), t, Outcome.RESOLVED) for s in "ab" for t in range(6)]
    ids = {row.task: "r" for row in rows}
    subset = draw_stratified("b", ids | {f"more-{n}": "r" for n in range(9)}, 15, 0).keeping(ids)
    found = compare(Results(source="x", benchmark="b", rows=tuple(rows), subset=subset))
    assert "estimates for all 15" in " ".join(found.limits)


def test_a_difference_on_a_subset_takes_its_error_a_tenth_wider() -> None:
    """At 1, only 92 % of the 95 % intervals of some pairs cover (`calibrate`)."""
    known = parameters("swebench-verified")
    assert known is not None
    subset = draw_fitted("swebench-verified", known, 100, 0)
    place = {task: index for index, task in enumerate(known.ids)}
    sample = np.array([place[task] for task in subset.ids])
    chance = inclusion(known.items, known.abilities, 100)
    rng = np.random.default_rng(0)
    one, two = (one_run((rng.random(100) < rate).astype(float)) for rate in (0.7, 0.6))
    value, error = fitted_difference(known.items, sample, chance, one, two)
    found = estimated_difference(subset, one, two)
    assert found == pytest.approx((value, 1.1 * error * known.multiplier(100).weak / 1.96))
