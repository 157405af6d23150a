"""What takes too much of the machine is ended by us, soon, and as its own doing; small limits keep this machine out of it."""

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
    assert ("crowded" in result.ended, result.timed_out, result.exit_code) == (True, True, None)
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
    from tasks.docker.create import container_options
    from tasks.docker.daemon import cores

    options = container_options(Limits(), {}, "", False, {})
    assert 0 < options["nano_cpus"] < cores() * 1e9
    assert options["cpu_shares"] < 1024
    assert TestLimits().pids < Limits().pids


def test_an_agent_that_fills_the_disk_is_ended_and_keeps_its_work() -> None:
    from tasks.docker.sandbox import open_sandbox
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    limits = Limits(memory=512 << 20, disk=64 << 20)
    with open_sandbox(image_of(PURL).id, limits=limits) as sandbox:
        sandbox.exec("truncate -s 1G holes; echo work >work", timeout=20)
        time.sleep(2.5)  # holes are no bytes, and a look has been
        with pytest.raises(SandboxGone, match=r"GB to the disk, more than 0\.1 GB"):
            sandbox.exec(
                "i=0; while head -c 16M /dev/urandom >big$i; do i=$((i+1)); sleep 0.2; done", timeout=90
            )
        diff = sandbox.diff()
    assert b"+work" in diff.patch
    assert any(line.startswith("holes: 1073741824 bytes") for line in diff.skipped)


def test_tests_that_fill_the_disk_are_ended_as_by_a_timeout() -> None:
    from tasks.docker.testing import TestContainers
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    limits = TestLimits(seconds=90, container=Limits(memory=512 << 20, disk=64 << 20))
    script = "i=0; while head -c 16M /dev/urandom >/var/big$i; do i=$((i+1)); sleep 0.2; done"
    result = TestContainers(image_of(PURL).id, "/testbed", limits)(RunRequest(b"", {}, script))
    assert ("to the disk" in result.ended, result.timed_out, result.exit_code) == (True, True, None)


def test_what_a_container_wrote_is_measured_on_the_host_and_by_its_daemon() -> None:
    from tasks.docker.daemon import client
    from tasks.docker.sandbox import open_sandbox
    from tasks.docker.written import measured, own_paths, said
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    with open_sandbox(image_of(PURL).id) as sandbox:
        sandbox.exec("head -c 8M /dev/urandom >/var/big; ln /var/big /var/same; sync", timeout=20)
        container = client().containers.get(sandbox.container_id)
        sizes = [said(container), *map(measured, filter(None, [own_paths(container)]))]
    assert all(8 << 20 <= size < 10 << 20 for size in sizes), sizes


def test_memory_file_systems_count_as_memory() -> None:
    from tasks.docker.sandbox import open_sandbox
    from tests.exploits.case import PURL
    from tests.exploits.engine import image_of

    with open_sandbox(image_of(PURL).id, limits=Limits(memory=64 << 20)) as sandbox:
        sandbox.exec("for d in /dev /dev/shm; do head -c 60M /dev/zero >$d/x; done; echo on", timeout=60)
        assert sandbox.facts().oom_kills > 0
