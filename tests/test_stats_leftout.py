"""Subsets against public submissions that were left out of the fit, and the bench that does so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from evals.calibrate import main as calibrate
from evals.stats import fit, leftout
from evals.stats.estimate import Multiplier, one_run
from evals.stats.subset import Parameters, draw_fitted, estimated, expected_error, parameters

VERIFIED = "swebench-verified"


@pytest.fixture(scope="module")
def known() -> Parameters:
    found = parameters(VERIFIED)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def public(shared_data: Path) -> leftout.Public:
    return leftout.read(shared_data / "verified_submissions.json")


@pytest.fixture(scope="module")
def fits(public: leftout.Public) -> list[leftout.World]:
    """Four fits without whole teams."""
    return leftout.worlds(public, leftout.folds([one.team for one in public.submissions], 4))


@pytest.mark.parametrize("n", [50, 200])
def test_the_expected_error_is_what_public_submissions_get(
    known: Parameters, public: leftout.Public, n: int
) -> None:
    subsets = [draw_fitted(VERIFIED, known, n, seed) for seed in range(3)]
    rates = public.solved.mean(1)
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.65), (0.65, 0.8)):
        rows = [k for k, rate in enumerate(rates) if low <= rate < high][::3]
        reached = []
        for k in rows:
            solved = dict(zip(public.ids, public.solved[k], strict=True))
            for subset in subsets:
                found = estimated(subset, one_run(np.array([solved[name] for name in subset.ids])))
                reached.append((found.interval.high - found.interval.low) / 2)
        expected = np.mean([1.96 * expected_error(known, rates[k], n) for k in rows])
        assert expected == pytest.approx(np.mean(reached), rel=0.15)


def test_coverage_on_public_submissions_left_out(
    known: Parameters, public: leftout.Public, fits: list[leftout.World]
) -> None:
    """A reduced bench: four folds of whole teams, the shipped multiplier."""
    found = list(leftout.errors(public, fits, 100, 4, seed=3))
    reach = [known.multiplier(100).at(one.value) * one.stated for one in found]
    covered = np.mean([abs(one.error) <= by for one, by in zip(found, reach, strict=True)])
    assert len(found) == 4 * len(public.submissions)
    assert covered > 0.92
    assert 100 * np.mean(reach) < 5.3


def test_prefixes_and_expected_rates_cover_too(
    known: Parameters, public: leftout.Public, fits: list[leftout.World]
) -> None:
    """5 % may miss, the noise of 113 at most 6 more; above 60 %, the half-width near the claim is below 4 points."""
    prefixes = list(leftout.errors(public, fits, 200, 3, seed=4, first=100))
    near = list(leftout.errors_near(public, fits, 100, 0.05, seed=4))
    reach = known.multiplier(100)
    for found in (prefixes, near):
        assert np.mean([abs(one.error) <= reach.at(one.value) * one.stated for one in found]) > 0.89
    assert np.mean([one.stated for one in near]) < 0.95 * np.mean([one.stated for one in prefixes])
    rates = public.solved.mean(1)
    foreseen = np.mean([1.96 * expected_error(known, rate, 100, min(1, rate + 0.05)) for rate in rates])
    reached = [reach.at(one.value) * one.stated for one in near]
    assert foreseen == pytest.approx(np.mean(reached), rel=0.15)
    assert np.mean([by for one, by in zip(near, reached, strict=True) if rates[one.submission] > 0.6]) < 0.04


def test_weak_and_strong_submissions_have_multipliers_of_their_own() -> None:
    """95 % of each side are covered, and in between nothing jumps."""
    errors = [
        leftout.Error(k, 0, 0.01 * (k % 20 + 1) * (2 if weak else 1), 0.1, -1, 1, 0.4 if weak else 0.8)
        for weak in (True, False)
        for k in range(100)
    ]
    found = leftout.multiplier(errors)
    assert found == pytest.approx((3.81, 1.905), abs=0.1)
    assert (found.at(0.3), found.at(0.9)) == found
    assert found.at(0.6) == pytest.approx(sum(found) / 2)
    alone = leftout.multiplier(errors[:100])
    assert alone.weak == alone.strong
    few = [one._replace(submission=one.submission % 19) if one.value > 0.6 else one for one in errors]
    pooled = leftout.multiplier(few)
    assert pooled.strong == pytest.approx(np.quantile([abs(one.error) / 0.1 for one in few], 0.95))
    assert pooled.weak == found.weak


def test_related_submissions_leave_together() -> None:
    labels = [name for name in "aaaaabbbccd" for _ in range(2)]
    fold = leftout.folds(labels, 3)
    assert {len({f for f, label in zip(fold, labels, strict=True) if label == one}) for one in "abcd"} == {1}
    assert sorted(np.bincount(fold).tolist()) == [6, 6, 10]
    row = {"date": "2025-01-01", "resolved_ids": []}
    one = leftout.Submission(id="x_tools", scaffold="Solver (2024-09-12)", models=("gpt-4o",), **row)
    assert (one.team, one.family) == ("solver", "gpt-4")


def test_the_bench_notices_intervals_that_are_too_narrow() -> None:
    wide = [leftout.Error(k % 6, k % 3, 0.02 * (k % 7 - 3), 0.03, -1, 1, 0.5) for k in range(60)]
    honest = calibrate.summary(calibrate.crosswise(wide))
    narrow = calibrate.summary([calibrate.told(one, Multiplier(0.5, 0.5)) for one in wide])
    assert honest == ("100.00 %", "6.00")
    assert float(narrow[0].split()[0]) < 50


def test_the_shipped_parameters_are_what_their_command_fits(
    known: Parameters, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks and abilities to the last digit that is kept; multipliers, here of one size and two draws, as samples allow."""
    monkeypatch.setattr(fit, "SIZES", (100,))
    monkeypatch.setattr(fit, "DRAWS", 2)
    submissions = shared_data / "verified_submissions.json"
    monkeypatch.setattr(sys, "argv", ["fit", str(submissions), "--out", str(tmp_path)])
    fit.main()
    shipped = Path(fit.__file__).parent / "data"
    with (
        np.load(tmp_path / "swebench_verified.npz") as again,
        np.load(shipped / "swebench_verified.npz") as ours,
    ):
        assert again.files == ours.files
        for name in ours.files:
            assert again[name] == pytest.approx(ours[name], rel=1e-3, abs=1e-5)
    said, stands = (
        json.loads((folder / "swebench_verified.json").read_text()) for folder in (tmp_path, shipped)
    )
    found = said.pop("multipliers")["100"]
    assert found == pytest.approx(stands.pop("multipliers")["100"], abs=0.25)
    for unlike in ("date", "multipliers_from"):
        del said[unlike], stands[unlike]
    assert said == stands
    assert known.multiplier(100).weak == pytest.approx(found[0], abs=0.25)
