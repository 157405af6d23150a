"""`python -m evals.stats.fit_noise SUBMISSIONS.json`: makes `data/run_noise.json` again.

Nobody publishes two runs of one system on SWE-bench Verified, but many publish one model under two scaffolds. Half the
share of tasks on which such a pair disagrees is never less, on average, than the run noise of the two: a disagreement
is luck or a real difference. Pairs whose rates are close are nearly two runs of one system. Their shares of
P(1 − P) fall as the rate rises; a line through them, and the spread around it, is what a verdict takes.
Not covered: noise that attempts of one run share.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evals.stats import leftout
from evals.stats.leftout import Public, Submission

NEARLY = 0.04
"""Rates of a pair that are farther apart differ by more than luck."""
LEAST_RATE = 0.2
"""Below it hardly a task is solved, and a pair says little."""
BENCHMARK = "swebenchverified"


class Bound(NamedTuple):
    """What one pair says: the noise of its systems is at most this share of P(1 − P)."""

    first: str
    second: str
    rate: float
    share: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("submissions", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data" / "run_noise.json")
    given = parser.parse_args()
    found = list(bounds(leftout.read(given.submissions)))
    digest = hashlib.sha256(given.submissions.read_bytes()).hexdigest()
    given.out.write_text(json.dumps({BENCHMARK: line(found) | {"source_sha256": digest}}, indent=1) + "\n")


def bounds(public: Public) -> Iterator[Bound]:
    """Every pair of submissions of one model, by different teams, whose rates are close."""
    rates = public.solved.mean(1)
    for one, two in combinations(range(len(rates)), 2):
        first, second = public.submissions[one], public.submissions[two]
        rate = float(rates[[one, two]].mean())
        alike = model(first) == model(second) != () and first.team != second.team
        if alike and abs(rates[one] - rates[two]) <= NEARLY and rate >= LEAST_RATE:
            disagree = float(np.mean(public.solved[one] != public.solved[two]))
            yield Bound(first.id, second.id, rate, disagree / 2 / (rate * (1 - rate)))


def model(submission: Submission) -> tuple[str, ...]:
    """The words of a single model's name in any order, without owner and date; () where there are several."""
    if len(submission.models) != 1:
        return ()
    name = submission.models[0].lower().rsplit("/", 1)[-1]
    words = re.split(r"[-_. ]+", re.sub(r"20\d\d-?\d\d-?\d\d", "", name))
    return tuple(sorted(word for word in words if word not in ("", "instruct", "preview")))


def line(found: list[Bound]) -> dict[str, object]:
    """Least squares of the share on the rate, with the spread of a single pair around it."""
    rates, shares = np.array([one.rate for one in found]), np.array([one.share for one in found])
    design = np.column_stack([np.ones(len(found)), rates])
    (intercept, slope), *_ = np.linalg.lstsq(design, shares, rcond=None)
    left = shares - design @ [intercept, slope]
    return {
        "command": "python -m evals.stats.fit_noise verified_submissions.json",
        "pairs": len(found),
        "rates": [round(float(rates.min()), 4), round(float(rates.max()), 4)],
        "intercept": round(float(intercept), 4),
        "slope": round(float(slope), 4),
        "sd": round(float(np.sqrt(left @ left / (len(found) - 2))), 4),
    }


if __name__ == "__main__":
    main()
