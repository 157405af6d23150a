"""The verdicts' calibration, in small: `make calibrate` runs it in full."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evals.calibrate import exclusions, nights, pairs, shares, strata, subsets, trials
from evals.calibrate.effort import effort
from evals.calibrate.intervals import independent_draws
from evals.calibrate.main import in_parallel
from evals.calibrate.section import Bench
from evals.calibrate.trials import real_noise
from evals.calibrate.verdicts import (
    LOOKS,
    as_planned,
    claim_of,
    counted,
    decided,
    known_answers,
    law_of_passes,
    published,
    quickly,
    run_of,
    stopped,
    world,
)
from evals.record import Decision, Outcome
from evals.stats import irt, leftout
from evals.stats.leftout import Public
from evals.stats.noise import CAUTIOUS_SHARE
from evals.stats.rebase import noise_share
from evals.stats.subset import parameters
from evals.verdict.verify import verify

SMALL = Bench(Public((), (), np.empty((0, 0))), (), draws=1, seed=1)


def test_worlds_are_as_far_apart_and_as_noisy_as_asked() -> None:
    vendor, ours = world(noise=0.4, difference=-0.1)
    assert vendor.mean() - ours.mean() == pytest.approx(0.1, abs=1e-6)
    assert np.mean(vendor * (1 - vendor)) == pytest.approx(0.4 * 0.7 * 0.3, rel=1e-4)
    assert np.all(ours <= vendor + 1e-9)


def test_the_law_of_passes_is_that_of_independent_tasks() -> None:
    law = law_of_passes(np.array([0.5, 0.5, 1.0]))
    assert law == pytest.approx([0.0, 0.25, 0.5, 0.25])


def test_wrong_statements_are_rare_and_right_ones_are_made() -> None:
    """Three of ours against five of the vendor's; three standard errors above 5 % of 300 are 8.8 %."""
    rng = np.random.default_rng(1)
    vendor, worse = world(0.37, -0.05)

    def verdict(ours: np.ndarray) -> Decision:
        claim = claim_of(published(int((rng.random((5, 500)) < vendor).sum()), 5), 5)
        return decided((rng.random((500, 3)) < ours[:, None]).astype(float), claim, 0.05, run_of(500, 500))

    at_the_margin = [verdict(worse) for _ in range(300)]
    assert at_the_margin.count(Decision.REPRODUCED) <= 26
    assert at_the_margin.count(Decision.NOT_REPRODUCED) <= 26
    assert [verdict(vendor) for _ in range(50)].count(Decision.REPRODUCED) > 45
    assert [verdict(world(0.37, -0.15).ours) for _ in range(50)].count(Decision.NOT_REPRODUCED) > 45


def test_counts_decide_as_the_outcomes_do() -> None:
    assert counted(350, 500, 70.0, 0.07) is Decision.REPRODUCED
    assert counted(250, 500, 70.0, 0.07) is Decision.NOT_REPRODUCED
    assert counted(35, 50, 70.0, 0.07) is Decision.UNDECIDED
    for passes in range(280, 421, 3):
        assert quickly(passes, 500, 70.0, 0.05) is counted(passes, 500, 70.0, 0.05)


def test_clear_cases_stop_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.calibrate.verdicts.DRAWS", 60)
    found = list(stopped(SMALL, -0.15, 0.05))
    assert np.mean([tasks for _, tasks in found]) < 0.7 * 500
    assert [decision for decision, _ in found].count(Decision.NOT_REPRODUCED) > 54


def test_looks_cost_the_power_that_plan_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.calibrate.verdicts.DRAWS", 300)
    shares = tuple(look / 500 for look in LOOKS[:-1])
    planned = as_planned(CAUTIOUS_SHARE, 0.05, 1, 1, shares)
    assert planned < as_planned(CAUTIOUS_SHARE, 0.05, 1, 1) - 0.02
    found = [decision for decision, _ in stopped(SMALL, 0.0, 0.05)]
    assert found.count(Decision.REPRODUCED) / len(found) == pytest.approx(planned, abs=0.1)


def test_nights_are_quiet_until_something_drops() -> None:
    rng = np.random.default_rng(1)
    same, lower = (world(0.37, change, 100, 0.6) for change in (0.0, -0.08))
    assert sum(nights.month(same, 2, 1, rng) <= nights.NIGHTS for _ in range(40)) <= 5
    found = [nights.month(lower, 2, 1, rng) for _ in range(40)]
    assert np.median(found) <= 5
    assert np.median([nights.month(lower, 2, 11, rng) for _ in range(20)]) > 11
    assert nights.best_possible(1) < nights.best_possible(2) < 1


def test_small_drops_are_bet_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five points at 200 tasks a night, three attempts in the baseline: 87 % of months, 69 % with a single bet."""
    monkeypatch.setattr(nights, "TASKS", 200)
    rng = np.random.default_rng(1)
    lower = world(0.37, -0.05, 200, 0.6)
    assert sum(nights.month(lower, 3, 1, rng) <= nights.NIGHTS for _ in range(20)) >= 16


def test_real_trials_or_a_line_that_they_are_missing(shared_data: Path, tmp_path: Path) -> None:
    """True by construction: hardly ever refused, though the noise is real."""
    systems = trials.read(shared_data / "terminal_bench2_trials.csv")
    assert len(systems) == 83
    rng = np.random.default_rng(1)
    found = np.mean([trials.shares(one, 2, 3, 0.1, 4, rng) for one in systems], axis=0)
    assert found[0] > 0.8
    assert found[1] < 0.01
    assert found[2] < 0.05 + 3 * 0.015
    assert real_noise(SMALL._replace(folder=tmp_path)).lines == [
        f"Skipped: {tmp_path / trials.TRIALS} is not there."
    ]


def test_known_answers_are_in_the_table(shared_data: Path) -> None:
    bench = SMALL._replace(public=leftout.read(shared_data / "verified_submissions.json"))
    text = "\n".join(known_answers(bench).lines)
    assert "21/92" in text
    assert "8.7e-12" in text
    assert "17/55" in text
    assert "8.1e-06" in text
    assert "| 100 | 95.0" in "\n".join(independent_draws(bench).lines)


def test_a_path_of_estimates_ends_where_it_is_decided() -> None:
    exact = [
        subsets.Seen(80, 0.0, 0.01),
        subsets.Seen(140, 0.0, 0.006),
        subsets.Seen(200, 0.0, 0.004),
    ]
    assert subsets.decided(exact, 0.0, 0.1, 200) == (Decision.REPRODUCED, 80)
    assert subsets.decided(exact, -0.3, 0.1, 200) == (Decision.NOT_REPRODUCED, 80)
    assert subsets.decided(exact, 0.1, 0.1, 200) == (Decision.UNDECIDED, 200)
    assert subsets.decided([subsets.Seen(80, 0.0, 0.05), *exact[1:]], 0.0, 0.1, 200)[1] == 140


def small_bench(shared_data: Path) -> Bench:
    """The public submissions with one fit, in which the first twelve are left out."""
    public = leftout.read(shared_data / "verified_submissions.json")
    known = parameters("swebench-verified")
    assert known is not None
    strong = np.argsort(public.solved.mean(1))[-12:]
    return Bench(public, (leftout.World(known.items, known.abilities, strong),), draws=1, seed=1)


@pytest.mark.parametrize("name", ["33 known as broken", "the 59 hardest"])
def test_counts_alone_give_the_verdict_of_verify(name: str, shared_data: Path) -> None:
    """`excluded_tasks` goes by counts; the same run, whole, through `verify` says the same at every count near the margin."""
    bench = small_bench(shared_data)
    gone = exclusions.groups(bench)[name]
    ruling = exclusions.Ruling(bench, gone)
    claim = claim_of(70.0, 1).model_copy(update={"benchmark": exclusions.BENCHMARK})
    for passed in (280, 298, 310, 330, 350, 372):
        rows = tuple(
            row._replace(
                outcome=Outcome.NOT_JUDGED
                if n < 3
                else Outcome.RESOLVED
                if n < passed + 3
                else Outcome.UNRESOLVED
            )
            for n, row in enumerate(ruling.results.rows)
        )
        verdict = verify(claim, replace(ruling.results, rows=rows), margin=exclusions.MARGIN)
        assert ruling.decided((passed, 3, 350)) is verdict.decision


def test_pairs_and_noise_shares_are_measured(shared_data: Path) -> None:
    bench = small_bench(shared_data)
    found = [covered for _, _, covered, _ in pairs.over_pairs(bench, 100)]
    assert np.mean(found) > 0.85
    half = [half for kind, _, _, half in pairs.over_pairs(bench, 100) if kind == "as they ran"]
    assert 0.04 < np.mean(half) < 0.12
    rows = list(shares.by_submission(bench, 0.48, shares.STRONG, shares.REPEATED))
    assert len(rows) == 12
    assert np.mean([row[0] for row in rows]) < 0.15
    assert np.mean([row[2] for row in rows]) > 0.5


@pytest.mark.parametrize("noise", exclusions.SHARES)
def test_the_simulated_runs_are_as_noisy_as_their_section_says(noise: float, shared_data: Path) -> None:
    """Also where the difficulty model is surer of every task than that: strong runs at 0.48 had 0.37."""
    bench = small_bench(shared_data)
    world = bench.fits[0]
    predicted = irt.predict_all(world.items, world.abilities)
    for row in bench.public.solved[world.out]:
        alike = predicted[np.abs(predicted.mean(1) - row.mean()).argmin()]
        chances = exclusions.with_noise(row, alike, noise)
        assert noise_share(chances) == pytest.approx(noise, abs=1e-6)
        assert chances.mean() == pytest.approx(row.mean(), abs=0.02)
        assert np.all(chances[np.argsort(alike)[:10]] < 0.2)


def test_power_is_what_plan_says_at_every_noise_share(shared_data: Path) -> None:
    """Twelve submissions, a few verdicts of each: within 10 points here, within 3 in the full calibration."""
    bench = small_bench(shared_data)._replace(draws=2)
    for noise in exclusions.SHARES:
        found = np.mean(list(shares.by_submission(bench, noise, shares.STRONG, 0)), axis=0)
        assert found[2] == pytest.approx(found[3], abs=0.1)
        assert max(found[:2]) < 0.12


def test_a_small_group_is_sampled_more_often() -> None:
    each = strata.draws_of({"few": {0, 1}, "many": set(range(2, 102)), "all": set(range(102))})
    assert each[0] == each[1] == strata.SAMPLES / 2
    assert each[2] == strata.LEAST


def test_sections_run_side_by_side_and_an_unknown_one_is_named(shared_data: Path) -> None:
    ((name, lines, seconds),) = in_parallel(small_bench(shared_data), ["known_answers"], 1)
    assert (name, seconds >= 0) == ("known_answers", True)
    assert "Known answers" in lines[1]
    submissions = shared_data / "verified_submissions.json"
    done = subprocess.run(
        [sys.executable, "-m", "evals.calibrate", "--submissions", submissions, "--only", "no_such"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode != 0
    assert "no section 'no_such'; there are: left_out" in done.stderr


def test_without_the_public_submissions_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evals.calibrate", "--submissions", tmp_path / "none.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "give --submissions" in done.stderr


def test_hours_before_and_after() -> None:
    text = "\n".join(effort(SMALL).lines)
    assert "| ± 4 | 500 × 15 | 868.1 | 500 × 2 | 115.7 |" in text
    assert "| ± 5 | 500 × 2 | 115.7 | 400 × 2 | 92.6 | 500 × 1 + 60 | 64.8 |" in text
    assert "| ± 8 | 150 × 1 (subset) | 17.4 | 150 × 1 (subset) | 17.4 |" in text
