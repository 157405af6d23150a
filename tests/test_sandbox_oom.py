"""Whose memory ran out: the container's own limit is the tested code's doing, the machine's is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.backend import RunRequest, TestLimits
from tasks.docker import images
from tasks.docker.daemon import client
from tasks.docker.oom import CGROUPS, OomWatch
from tasks.docker.shortage import NO_LIMIT, Shortage, left, left_in
from tasks.docker.testing import TestContainers
from tasks.sandbox import SandboxError

MIB = 1 << 20
MEMINFO = "MemTotal: 8388608 kB\nMemAvailable: {} kB\nSwapFree: {} kB\nCommitLimit: 4194304 kB\nCommitted_AS: {} kB\n"


@pytest.fixture
def full_machine() -> Iterator[str]:
    """A control group with 100 MiB: to a container in it, a machine whose memory runs out."""
    group = CGROUPS / "memory" / "asclaimed-full-machine"
    if not group.parent.is_dir():
        pytest.skip("needs cgroup v1")
    group.mkdir(exist_ok=True)
    (group / "memory.limit_in_bytes").write_text(str(100 * MIB))
    yield f"/{group.name}"
    remove(group)


def remove(group: Path) -> None:
    for inner in group.iterdir():
        if inner.is_dir():
            inner.rmdir()
    group.rmdir()


def killed(limit: int, **where: str) -> tuple[int, bool]:
    """A container that holds 300 MB: how often the kernel killed in it, and whether for want of the host's memory."""
    image = images.sandbox_base().reference
    limits = {"mem_limit": limit, "memswap_limit": limit}
    container = client().containers.run(
        image,
        ["sh", "-c", "python3 -c 'x = bytearray(300 << 20)'; sleep 60"],
        detach=True,
        init=True,
        **limits,
        **where,
    )
    try:
        container.reload()
        watch = OomWatch(container)
        for _ in range(100):
            if watch.count():
                break
            container.exec_run(["sleep", "0.1"])
        return watch.count(), watch.by_the_host()
    finally:
        container.remove(force=True)


@pytest.mark.docker
def test_a_kill_far_from_the_containers_limit_is_the_machines(docker_daemon: None, full_machine: str) -> None:
    assert killed(512 * MIB, cgroup_parent=full_machine) == (1, True)


@pytest.mark.docker
def test_a_kill_at_the_containers_own_limit_is_its_own(docker_daemon: None) -> None:
    assert killed(100 * MIB) == (1, False)


@pytest.mark.docker
def test_a_machine_without_memory_is_seen_by_the_groups_above_a_container_not_by_its_own(
    docker_daemon: None, full_machine: str
) -> None:
    assert short_of_memory(512 * MIB, cgroup_parent=full_machine)
    assert not short_of_memory(100 * MIB)


def short_of_memory(limit: int, **where: str) -> bool:
    """Around a container that holds 80 MB."""
    command = ["python3", "-c", "x = b'x' * (80 << 20); print(flush=True); import time; time.sleep(60)"]
    image = images.sandbox_base().reference
    limits = {"mem_limit": limit, "memswap_limit": limit}
    container = client().containers.run(image, command, detach=True, init=True, **limits, **where)
    try:
        while not container.logs():
            time.sleep(0.05)
        container.reload()
        shortage = Shortage(container)
        time.sleep(1)
        shortage.check()
    except SandboxError:
        return True
    else:
        return False
    finally:
        container.remove(force=True)


@pytest.mark.docker
def test_no_result_is_believed_of_a_machine_without_memory(docker_daemon: None, tmp_path: Path) -> None:
    image = images.sandbox_base().id
    tests = TestContainers(image, "/", TestLimits(seconds=20), proc=tmp_path)
    request = RunRequest(b"", {}, "echo fork: Cannot allocate memory; sleep 1; exit 1")
    (tmp_path / "meminfo").write_text(MEMINFO.format(20 << 10, 0, 0))
    with pytest.raises(SandboxError, match="ran out of memory"):
        tests(request)
    (tmp_path / "meminfo").write_text(MEMINFO.format(1 << 20, 0, 0))
    assert tests(request).exit_code == 1


@pytest.mark.parametrize(
    ("available", "swap", "promised", "overcommit", "expected"),
    [
        (1000, 0, 9_999_999, "0", 1000),
        (1000, 500, 0, "1", 1500),
        (3 << 20, 0, 4194304 - 700, "2", 700),
        (600, 0, 4194304 - 700, "2", 600),
    ],
)
def test_what_is_left_is_the_nearest_of_the_kernels_bounds(
    tmp_path: Path, available: int, swap: int, promised: int, overcommit: str, expected: int
) -> None:
    (tmp_path / "meminfo").write_text(MEMINFO.format(available, swap, promised))
    (tmp_path / "sys/vm").mkdir(parents=True)
    (tmp_path / "sys/vm/overcommit_memory").write_text(f"{overcommit}\n")
    assert left(tmp_path, ()) == expected << 10


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        (
            {"memory.limit_in_bytes": "1000\n"},
            "memory.usage_in_bytes",
            "inactive_file 1\nactive_file 1\ntotal_inactive_file 30\ntotal_active_file 4\n",
            134,
        ),
        ({"memory.max": "1000\n"}, "memory.current", "anon 5\ninactive_file 30\nactive_file 4\n", 134),
        ({"memory.max": "max\n"}, "memory.current", "anon 5\n", NO_LIMIT),
        ({"memory.limit_in_bytes": f"{(1 << 63) - 4096}\n"}, "memory.usage_in_bytes", "", NO_LIMIT),
        ({}, "memory.current", "", NO_LIMIT),
    ],
)
def test_what_a_group_has_left_counts_files_that_it_can_drop(
    tmp_path: Path, limit: dict[str, str], used: str, stat: str, expected: int
) -> None:
    for name, text in {**limit, used: "900\n", "memory.stat": stat}.items():
        (tmp_path / name).write_text(text)
    assert left_in(tmp_path) == expected
