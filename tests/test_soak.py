"""A sample of the soak (`make soak` is all of it): the same report, whatever happened in between."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openai_server import FakeServer
from tests.soak import flat, killed, weather


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> str:
    return weather.undisturbed(tmp_path_factory.mktemp("good") / "run")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with weather.good_server() as server:
        yield server


def test_the_undisturbed_report_tells_solved_from_not(good: str) -> None:
    assert '"resolved": 3' in good
    assert '"attempts": 6' in good


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_cut_off_at_any_byte_runs_no_command_twice_and_none_by_half(
    tmp_path: Path, good: str, stream: bool
) -> None:
    offsets = iter(range(0, weather.size(stream=stream), 37))
    assert weather.under(tmp_path / "run", weather.resets(offsets), stream=stream) == good
    assert next(offsets, None) is None, "each was met"


def test_refusals_and_stalls_leave_no_trace(tmp_path: Path, good: str) -> None:
    assert weather.under(tmp_path / "run", weather.storm) == good


def test_a_server_that_restarts_leaves_no_trace(tmp_path: Path, good: str) -> None:
    assert weather.with_restart(tmp_path / "run") == good


@pytest.mark.parametrize("pages", [True, False])
def test_twenty_minutes_of_503_leave_no_trace(tmp_path: Path, good: str, pages: bool) -> None:
    assert weather.twenty_minutes(tmp_path / "run", pages=pages) == good


def test_a_docker_daemon_that_restarts_leaves_no_trace(tmp_path: Path, good: str) -> None:
    assert weather.with_daemon_restart(tmp_path / "run") == good


def test_nothing_grows_with_the_number_of_attempts_and_recording_is_cheap() -> None:
    assert flat.is_flat(seen := flat.crowd(160, 16), 16), seen
    assert flat.recording() <= 3 * flat.RECORDING  # other tests run beside it; `make soak` has the aim itself


@pytest.mark.parametrize("action", ["kill", "disk full"])
@pytest.mark.parametrize("at", [1, 5, 17, 40])
def test_a_fault_at_a_write_is_made_good_by_a_resume(
    tmp_path: Path, server: FakeServer, good: str, at: int, action: str
) -> None:
    found, struck = killed.struck_at(tmp_path / "run", server.url, at, action)
    assert struck
    assert found == good


@pytest.mark.parametrize("seconds", [0.1, 0.4])
def test_a_kill_at_any_moment_is_made_good_by_a_resume(
    tmp_path: Path, server: FakeServer, good: str, seconds: float
) -> None:
    found, _under_way = killed.killed_after(tmp_path / "run", server.url, seconds)
    assert found == good


@pytest.mark.parametrize("pages", [2, 11, 28])
def test_a_disk_that_is_full_at_a_page_is_made_good_by_a_resume(
    tmp_path: Path, server: FakeServer, good: str, pages: int
) -> None:
    try:
        found, was_full = killed.on_a_disk_of(pages, tmp_path / "disk", server.url)
    except (PermissionError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    assert was_full
    assert found == good
