"""`python -m evals.stats.fit SUBMISSIONS.json`: makes the parameters in `data/` again.

Fits the tasks to all public submissions and takes the intervals' multipliers from fits that leave each team out.
Deterministic up to the rounding of the linear algebra library: another number of its threads draws other samples, which
moves a multiplier by up to 0.03.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from pathlib import Path

import numpy as np

from evals.stats import irt, leftout
from evals.stats.estimate import Multiplier
from evals.stats.subset import FITTED_FILES, packed

BENCHMARK = "swebench-verified"
SIZES = (25, 50, 100, 200, 350)
FOLDS, DRAWS, SEED = 12, 12, 77
SOURCE = (
    "public SWE-bench Verified submissions: SWE-bench/experiments by way of agent-psychometrics (MIT), "
    "and swe-bench.github.io's leaderboard data of 2025-12-10"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("submissions", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    given = parser.parse_args()
    public = leftout.read(given.submissions)
    fold = leftout.folds([one.team for one in public.submissions], FOLDS)
    fits = leftout.worlds(public, fold)
    multipliers = {
        n: leftout.multiplier(list(leftout.errors_of_both(public, fits, n, DRAWS, SEED))) for n in SIZES
    }
    save(given.out, public, multipliers, hashlib.sha256(given.submissions.read_bytes()).hexdigest())


def save(folder: Path, public: leftout.Public, multipliers: dict[int, Multiplier], digest: str) -> None:
    """Item and ability parameters as single-precision arrays, everything a reader asks about as JSON."""
    items, abilities = irt.fit(public.solved)
    stem = FITTED_FILES[BENCHMARK]
    np.savez_compressed(
        folder / f"{stem}.npz",
        item_mean=items.mean.astype("f4"),
        item_cov=packed(items.cov).astype("f4"),
        ability_mean=abilities.mean.astype("f4"),
        ability_cov=packed(abilities.cov).astype("f4"),
    )
    meta = {
        "benchmark": BENCHMARK,
        "command": "python -m evals.stats.fit verified_submissions.json",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "source": SOURCE,
        "source_sha256": digest,
        "submissions": len(public.submissions),
        "dimensions": items.mean.shape[1] - 1,
        "multipliers": {str(n): [round(value, 4) for value in both] for n, both in multipliers.items()},
        "multipliers_from": f"{FOLDS} fits that leave whole teams out, {DRAWS} samples of either kind a submission and size",
        "ids": public.ids,
    }
    (folder / f"{stem}.json").write_text(json.dumps(meta, indent=1) + "\n")


if __name__ == "__main__":
    main()
