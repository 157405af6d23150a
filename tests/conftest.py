"""Shared fixtures. Docker tests fail, never skip, where CI promises a daemon."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # before numpy: its threads only wait for each other's processor
SLOWEST_FIRST = (
    "exploits",
    "grade_interrupted",
    "grade_patch",  # on a bare machine the first three build the images, which the next ones' time limits do not allow for
    "end_to_end",
    "grade_disturbed",
    "serve_real",
    "verify_subset",
)
"""Files that would keep one process busy when all others are done (`--dist loadfile` goes by the order of collection)."""
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {f"test_{name}": number for number, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded public data beside the checkout; skips, saying so, where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no recorded data at {SHARED_DATA}")
    return SHARED_DATA


def docker_is_up() -> bool:
    import docker
    from docker.errors import DockerException

    try:
        docker.from_env(timeout=5).close()
    except DockerException:
        return False
    return True


@pytest.fixture(scope="session")
def docker_daemon() -> None:
    """Every Docker test asks for this."""
    if docker_is_up():
        return
    if os.environ.get("CI") == "true":
        pytest.fail("no Docker daemon, and CI needs one: .ci/run must start it")
    pytest.skip("no Docker daemon: run `make setup`")
