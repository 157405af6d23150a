"""A fork bomb is ended by us, soon, and as the sandbox's own doing; small limits keep this machine out of it."""

from __future__ import annotations

import time

import pytest

from tasks.backend import RunRequest, TestLimits
from tasks.sandbox import Limits, SandboxGone

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]
SMALL = Limits(pids=48, cpus=0.25, memory=128 << 20)
CROWD = """exec python3 -c '
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
'
"""


def test_a_fork_bomb_ends_its_test_run() -> None:
    from tasks.docker.testing import TestContainers
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    run = TestContainers(image_of(PURL).id, "/testbed", TestLimits(seconds=90, container=SMALL))
    began = time.monotonic()
    result = run(RunRequest(b"", {}, CROWD))
    assert (result.crowded, result.timed_out, result.exit_code) == (True, True, None)
    assert time.monotonic() - began < 80


def test_a_fork_bomb_of_an_agents_is_the_agents_doing() -> None:
    from tasks.docker.sandbox import open_sandbox
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    with (
        open_sandbox(image_of(PURL).id, limits=SMALL) as sandbox,
        pytest.raises(SandboxGone, match="crowded the machine"),
    ):
        sandbox.exec(CROWD, timeout=90)


def test_no_container_gets_the_whole_machine_and_tests_get_fewer_processes() -> None:
    from tasks.docker.daemon import cores
    from tasks.docker.sandbox import container_options

    options = container_options(Limits(), {}, "", False, {})
    assert 0 < options["nano_cpus"] < cores() * 1e9
    assert options["cpu_shares"] < 1024
    assert TestLimits().pids < Limits().pids
