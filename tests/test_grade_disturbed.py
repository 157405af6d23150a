"""A machine that fails while it grades never makes a verdict: the daemon killed, the container removed.

Here while the tests run; `make disturbances` goes through every call to the daemon, and through memory run out; test_sandbox_oom.py says whose it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disturbances.own_daemon import can_have_one

ROOT = Path(__file__).parents[1]


@pytest.mark.docker
def test_a_machine_that_fails_in_the_middle_of_a_test_run_makes_no_false_verdict(docker_daemon: None) -> None:
    if not can_have_one():
        pytest.skip("needs root and dockerd, for a daemon of its own")
    # memory is left to `make disturbances`: what the kernel refuses or kills then differs from time to time
    kinds = ["daemon", "removed"]
    command = [
        "-m",
        "tests.disturbances",
        "--official",
        "--when",
        "after",
        "--points",
        "7",
        "--kinds",
        *kinds,
    ]
    environment = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    undisturbed, *lines = map(json.loads, done.stdout.splitlines())
    assert undisturbed["columns"] == ["resolved", None]
    assert [line for line in lines if not line["ok"]] == []
    assert len(lines) == len(kinds)
    assert done.returncode == 0, done.stderr
