"""Subsets and estimates: known probabilities, no bias, honest intervals, clear refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from evals.stats import design, irt
from evals.stats.drawn import Subset
from evals.stats.estimate import bounded, fitted, interval, one_run, several_runs, stratified
from evals.stats.intervals import Interval
from evals.stats.results import estimates, read_results, read_subset
from evals.stats.subset import (
    draw_fitted,
    draw_stratified,
    estimated,
    expected_error,
    parameters,
)
from tasks.errors import UserError

VERIFIED = "swebench-verified"
TASKS, DIMS = 120, 2


@pytest.fixture(scope="module")
def world() -> tuple[irt.Items, irt.Abilities, irt.Array]:
    """A small benchmark that the model describes: fit, and answers of submissions that it has not seen."""
    rng = np.random.default_rng(4)
    ease, slope = rng.normal(0.3, 2, TASKS), rng.normal(1.2, 0.3, TASKS)
    level = rng.normal(0, 1, 100)
    answers = (rng.random((100, TASKS)) < expit(ease + level[:, None] * slope)).astype(float)
    return *irt.fit(answers[:60], DIMS, sweeps=40), answers[60:]


@pytest.fixture(scope="module")
def drawn() -> Subset:
    known = parameters(VERIFIED)
    assert known is not None
    return draw_fitted(VERIFIED, known, 100, 7)


def test_probabilities_sum_to_the_size_and_stay_below_one() -> None:
    chance = design.proportional(np.array([1.0, 1, 2, 50, 100]), 3)
    assert chance.sum() == pytest.approx(3)
    assert list(chance[3:]) == [1, 1]
    assert design.proportional(np.ones(4), 4).tolist() == [1, 1, 1, 1]


def test_draws_meet_their_probabilities_and_balance(world: Any) -> None:
    items, abilities, _ = world
    chance, variables = design.inclusion(items, abilities, 30), design.balance(items, abilities)
    rng = np.random.default_rng(0)
    count, gap = np.zeros(TASKS), []
    for _ in range(200):
        sample = design.draw(chance, variables, rng)
        assert len(set(sample.tolist())) == 30
        count[sample] += 1
        gap.append((variables[sample, 0] / chance[sample]).sum() - variables[:, 0].sum())
    z = (count / 200 - chance) / np.sqrt(chance * (1 - chance) / 200)
    assert np.abs(z).max() < 4.5
    poisson = np.sqrt((variables[:, 0] ** 2 * (1 / chance - 1)).sum())
    assert np.std(gap) < poisson / 3


def test_a_prefix_holds_each_task_in_proportion() -> None:
    sample, variables = np.arange(21), np.random.default_rng(1).random((21, 2))
    rng = np.random.default_rng(2)
    first = np.zeros(21)
    for _ in range(200):
        order = design.ordered(sample, variables, rng)
        assert sorted(order.tolist()) == sample.tolist()
        first[order[:7]] += 1
    assert np.abs(first / 200 - 1 / 3).max() < 4.5 * np.sqrt(2 / 9 / 200)


def test_estimate_has_no_bias_even_when_the_model_is_wrong(world: Any) -> None:
    """Difficulty upside down: the difference estimator's mean over samples still finds the truth."""
    items, abilities, answers = world
    chance, variables = design.inclusion(items, abilities, 40), design.balance(items, abilities)
    rng = np.random.default_rng(5)
    for truth, trusted in ((answers[0], True), (1 - answers[0], False)):
        rates = []
        for _ in range(80):
            sample = design.draw(chance, variables, rng)
            rates.append(fitted(items, sample, chance, one_run(truth[sample])))
        values = np.array([rate.value for rate in rates])
        assert abs(values.mean() - truth.mean()) < (0.015 if trusted else 0.03)
        assert np.mean([rate.error for rate in rates]) > 0.8 * values.std()
        assert bool(np.mean([rate.surprise for rate in rates]) < 1.5) is trusted


def test_intervals_cover_submissions_that_were_not_fitted(world: Any) -> None:
    items, abilities, answers = world
    chance, variables = design.inclusion(items, abilities, 40), design.balance(items, abilities)
    rng = np.random.default_rng(6)
    hits = []
    for truth in answers:
        for _ in range(4):
            sample = design.draw(chance, variables, rng)
            low, high = interval(fitted(items, sample, chance, one_run(truth[sample])), 1.96)
            hits.append(low <= truth.mean() <= high)
    assert np.mean(hits) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / len(hits)) - 0.02


def test_means_of_several_runs_get_narrower_and_cover(world: Any) -> None:
    """Chances that the model predicts: three runs leave less to surprise than one, and the interval knows it."""
    items, abilities, _ = world
    chance, variables = design.inclusion(items, abilities, 40), design.balance(items, abilities)
    rng = np.random.default_rng(8)
    hits, shorter = [], []
    for truth in irt.predict_all(items, abilities)[::2]:
        for _ in range(4):
            sample = design.draw(chance, variables, rng)
            once = fitted(items, sample, chance, one_run((rng.random(40) < truth[sample]).astype(float)))
            means = rng.binomial(3, truth[sample]) / 3
            thrice = fitted(items, sample, chance, several_runs(means, np.full(40, 3.0)))
            hits.append(abs(thrice.value - truth.mean()) <= 1.96 * thrice.error)
            shorter.append(thrice.error / once.error)
    assert np.mean(hits) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / len(hits)) - 0.02
    assert np.mean(shorter) < 0.85


def test_the_whole_benchmark_leaves_no_error(world: Any) -> None:
    items, _, answers = world
    rate = fitted(items, np.arange(TASKS), np.ones(TASKS), one_run(answers[0]))
    assert rate.value == pytest.approx(answers[0].mean())
    assert rate.error == 0


def test_several_runs_widen_by_their_noise() -> None:
    means, attempts = np.array([0.5, 1.0, 0.0, 0.5]), np.array([2.0, 2, 2, 1])
    answers = several_runs(means, attempts)
    assert answers.noise.tolist() == pytest.approx([0.25, 0, 0, 1 / 6])
    strata = np.zeros(4, np.intp)
    assert stratified(strata, 8, answers).error > stratified(strata, 8, one_run(means)).error


def test_what_was_solved_is_a_fact() -> None:
    answers = one_run(np.array([1.0, 1, 0, 0]))
    assert bounded(Interval(0.0, 1.0), answers, 10) == Interval(0.2, 0.8)
    assert bounded(Interval(0.0, 0.1), answers, 10) == Interval(0.2, 0.2)


@pytest.mark.parametrize("solved", [0, 1])
def test_none_and_all_solved_keep_an_interval(drawn: Subset, solved: int) -> None:
    found = estimated(drawn, one_run(np.full(100, float(solved))))
    low, high = found.interval
    assert 0 <= low <= found.value <= high <= 1
    assert 0.003 < high - low < 0.1
    assert (high == 1) if solved else (low == 0)


def test_same_seed_same_subset_in_another_process() -> None:
    command = [str(Path(sys.executable).with_name("asclaimed")), "subset", VERIFIED, "--n", "50", "--json"]
    one, other = (
        subprocess.run([*command, "--seed", "11"], capture_output=True, check=True, text=True).stdout
        for _ in range(2)
    )
    assert one == other
    assert len({task["id"] for task in json.loads(one)["tasks"]}) == 50
    known = parameters(VERIFIED)
    assert known is not None
    assert set(draw_fitted(VERIFIED, known, 50, 12).ids) != {task["id"] for task in json.loads(one)["tasks"]}


def test_files_round_trip(drawn: Subset, tmp_path: Path) -> None:
    subset, results = tmp_path / "subset.json", tmp_path / "results.json"
    subset.write_text(drawn.model_dump_json())
    half = list(drawn.ids[::2])
    results.write_text(json.dumps({"ünï/\x1b[31m": half, "runs": {task: [1, 0] for task in drawn.ids}}))
    command = [str(Path(sys.executable).with_name("asclaimed")), "estimate", "--subset", str(subset)]
    done = subprocess.run([*command, "--results", str(results), "--json"], capture_output=True, check=True)
    first, second = json.loads(done.stdout).values()
    assert first["interval"][0] >= 100 * 50 / 500
    assert first["half_width"] == pytest.approx((first["interval"][1] - first["interval"][0]) / 2, abs=1e-3)
    assert second["interval"][0] < 50 < second["interval"][1]
    human = subprocess.run([*command, "--results", str(results)], capture_output=True, check=True, text=True)
    assert "\x1b" not in human.stdout
    assert "mean rate over runs" in human.stdout


def test_an_expected_rate_narrows_and_never_decides(tmp_path: Path) -> None:
    known = parameters(VERIFIED)
    assert known is not None
    blind, near, wrong = (expected_error(known, 0.7, 100, rate) for rate in (None, 0.7, 0.3))
    assert near < 0.92 * blind < blind < wrong
    command = [str(Path(sys.executable).with_name("asclaimed")), "subset", VERIFIED, "--n", "60", "--json"]
    done = subprocess.run([*command, "--near", "70"], capture_output=True, check=True)
    (tmp_path / "subset.json").write_bytes(done.stdout)
    subset = read_subset(tmp_path / "subset.json")
    assert subset.near == 0.7
    assert subset == draw_fitted(VERIFIED, known, 60, 0, near=0.7)
    assert subset.prefix(30).near == 0.7
    chance = design.inclusion(known.items, known.abilities, 60, 0.7)
    place = {name: index for index, name in enumerate(known.ids)}
    assert chance.sum() == pytest.approx(60)
    assert [task.inclusion_probability for task in subset.tasks] == [
        chance[place[name]] for name in subset.ids
    ]
    assert estimated(subset, one_run(np.zeros(60))).interval.high < 0.1
    with pytest.raises(UserError, match="between 0 and 1"):
        draw_fitted(VERIFIED, known, 60, 0, near=float("nan"))
    mine = subprocess.run(
        [*command[:2], "mine.jsonl", "--n", "9", "--near", "7"], capture_output=True, text=True
    )
    assert mine.returncode != 0
    assert "--near needs fitted difficulties" in mine.stderr


def test_ids_outside_the_subset_are_named_and_unknown_ones_refused(drawn: Subset) -> None:
    known = parameters(VERIFIED)
    assert known is not None
    other = next(name for name in known.ids if name not in drawn.ids)
    answer = estimates(drawn, {"a": [*drawn.ids[:10], other], "b": list(drawn.ids[:10])})
    assert "1 ids outside the subset are not used" in answer["a"].notes[0]
    assert answer["a"].estimate == answer["b"].estimate
    with pytest.raises(UserError, match="'nobody__nothing-1' is no task"):
        estimates(drawn, {"a": ["nobody__nothing-1"]})
    with pytest.raises(UserError, match="99 tasks of the subset are missing"):
        estimates(drawn, {"a": {drawn.ids[0]: [1]}})


def test_another_design_is_refused(drawn: Subset) -> None:
    with pytest.raises(UserError, match="draw it again"):
        estimates(drawn.model_copy(update={"design": "irt/0:00000000"}), {"a": []})


@pytest.mark.parametrize("n", [-1, 0, 19, 501])
def test_sizes_out_of_range_are_refused(n: int) -> None:
    known = parameters(VERIFIED)
    assert known is not None
    with pytest.raises(UserError, match="out of range"):
        draw_fitted(VERIFIED, known, n, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "is not JSON"),
        ("{}", "holds no results"),
        ('{"a": 3}', "must be a list"),
        ('{"a": {"x": [2]}}', "must be a list"),
        ('{"a": {"x": []}}', "must be a list"),
    ],
)
def test_bad_results_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(UserError, match=reason):
        read_results(path)


def test_a_broken_subset_file_is_refused(drawn: Subset, tmp_path: Path) -> None:
    path = tmp_path / "subset.json"
    twice = drawn.model_copy(update={"tasks": (*drawn.tasks[:2], drawn.tasks[0])})
    path.write_text(twice.model_dump_json())
    with pytest.raises(UserError, match="a task is listed twice"):
        read_subset(path)


def test_other_benchmarks_get_a_stratified_sample() -> None:
    repositories = {f"r{i % 3}-{i}": f"r{i % 3}" for i in range(90)}
    subset = draw_stratified("mine", repositories, 30, 1)
    assert [sum(task.stratum == f"r{k}" for task in subset.tasks) for k in range(3)] == [10, 10, 10]
    hits = []
    for seed in range(100):
        subset = draw_stratified("mine", repositories, 30, seed)
        solved = {name for name in repositories if int(name.split("-")[1]) % 4 == 0 or name.startswith("r0")}
        answers = one_run(np.array([task in solved for task in subset.ids], float))
        low, high = estimated(subset, answers).interval
        hits.append(low <= len(solved) / 90 <= high)
    assert np.mean(hits) > 0.93


def test_the_expected_error_shrinks_with_tasks_and_refuses_nonsense() -> None:
    known = parameters(VERIFIED)
    assert known is not None
    wide, narrow = (expected_error(known, 0.55, n) for n in (50, 200))
    assert 0 < 2 * narrow < wide < 0.05
    assert expected_error(known, 0.55, len(known.ids)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(UserError, match="out of range"):
        expected_error(known, 0.55, 501)
    with pytest.raises(UserError, match="between 0 and 1"):
        expected_error(known, 55, 100)
