"""Which tasks are known to need a network while they are graded, as it ships in `_network_dependent.yaml`.

Not covered: tasks that nobody has named yet; `asclaimed tasks check` finds them where their gold patch fails.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

ADVICE = "give the official grader a network with --set grading.network=true"


@cache
def network_dependent() -> dict[str, str]:
    """Task id → what its graded tests want of the network."""
    text = files("evals.claims").joinpath("_network_dependent.yaml").read_text("utf-8")
    return {name: entry["what"] for entry in yaml.safe_load(text)["lists"] for name in entry["ids"]}
