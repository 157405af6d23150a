"""Run-to-run noise, worked out by hand: what is expected, how sure that is, and what repeated attempts make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evals.stats.noise import AttemptNoise, attempt_noise, drawn_inwards, line, prior, within_tasks

VERIFIED = "swe-bench-verified"
NAN = math.nan
RAGGED = np.array([[1.0, 0.0, NAN], [1.0, 1.0, 0.0], [1.0, NAN, NAN], [NAN, NAN, NAN]])
"""Two tasks tried again, of variance 1/2 and 1/3; one tried once, one never."""
EXPECTED = AttemptNoise(0.1, "expected")


def test_beyond_the_rates_of_the_public_pairs_the_nearest_counts() -> None:
    fitted = line(VERIFIED)
    assert fitted
    assert fitted.share(0.5) == pytest.approx(0.657 - 0.5086 * 0.5)
    assert fitted.share(0.1) == pytest.approx(0.657 - 0.5086 * 0.236)
    assert fitted.share(0.9) == pytest.approx(0.657 - 0.5086 * 0.758)


@pytest.mark.parametrize(
    ("name", "known"),
    [("princeton-nlp/SWE-bench_Verified", True), ("hub/x/swebench-verified@2", True), ("somebody's", False)],
)
def test_a_benchmark_has_its_line_in_any_spelling(name: str, known: bool) -> None:
    assert (line(name) == line(VERIFIED)) is known
    assert (line(name) is None) is not known


def test_how_sure_the_expected_noise_is() -> None:
    """A share of 0.4027 with a spread of 0.0556: 2 (share / spread)² degrees of freedom; elsewhere the noise is taken as known."""
    assert prior(0.5, VERIFIED).df == pytest.approx(2 * (0.4027 / 0.0556) ** 2)
    assert prior(0.5).df == math.inf


def test_without_public_pairs_the_noise_is_cautious_at_once() -> None:
    found = prior(0.5)
    assert found.reckoned.variance == pytest.approx(found.variance) == pytest.approx(0.12)
    assert found.reckoned.basis == found.basis
    assert "times that" in prior(0.5, VERIFIED).reckoned.basis
    assert found.as_expected.most is None


def test_noise_is_scaled_with_the_most_of_it() -> None:
    twice = AttemptNoise(0.1, "x", most=0.3).times(2)
    assert (twice.variance, twice.most) == pytest.approx((0.2, 0.6))
    assert EXPECTED.times(3).variance == pytest.approx(0.3)
    assert EXPECTED.times(3).most is None


def test_a_task_that_was_never_tried_is_no_failure() -> None:
    """Three tasks with rates 1/2, 2/3 and 1, and two of four that Agresti and Coull add."""
    assert drawn_inwards(RAGGED) == pytest.approx((1 / 2 + 2 / 3 + 1 + 2) / 7)
    assert drawn_inwards(np.ones((2, 1))) == pytest.approx(4 / 6)


def test_noise_of_tasks_that_were_tried_again_and_how_sure_it_is() -> None:
    """Two tasks beside a prior worth ten; its squares are those of pairs that agree or differ by a half."""
    assert within_tasks(RAGGED) == pytest.approx(5 / 12)
    assert within_tasks(RAGGED[2:]) is None
    mixed = (1 / 2 + 1 / 3 + 10 * 0.1) / 12
    squares = (1 / 4 + 1 / 9 + 10 * 0.1 / 2) / 12
    found = attempt_noise(RAGGED, expected=EXPECTED)
    assert found.variance == pytest.approx(mixed)
    assert found.df == pytest.approx(2 * mixed**2 / ((squares - mixed**2) / 12))
    assert found.basis == "measured on 2 tasks with repeated attempts, and a prior worth 10"
    assert found.most is None


def test_one_attempt_at_each_task_leaves_what_was_expected() -> None:
    found = attempt_noise(RAGGED[2:3], expected=EXPECTED)
    assert found == EXPECTED._replace(basis="one attempt: expected")


def test_the_noise_is_never_known_worse_than_from_one_pair_nor_better_than_exactly() -> None:
    agreeing, opposed = np.ones((200, 2)), np.array([[1.0, 0.0]] * 12)
    assert attempt_noise(agreeing, expected=AttemptNoise(0.001, "x")).df == 1.0
    assert attempt_noise(opposed, expected=AttemptNoise(0.5, "x")).df > 1e9
