"""Whose memory ran out: the container's own limit is the tested code's doing, the machine's is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.docker import images
from tasks.docker.daemon import client
from tasks.docker.oom import CGROUPS, OomWatch

MIB = 1 << 20


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
