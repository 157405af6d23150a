"""Grading on machines of every kind, without one: what the machine did decides whether there is a verdict at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evals.grade.grader import Grader
from evals.grade.store import RunStore
from evals.record import Outcome, Party
from tasks import catalog
from tasks.backend import RunRequest, RunResult
from tasks.sandbox import SandboxError
from tests.fakes.plain_backend import PlainBackend

PATCH = b"diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.fixture
def grade_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Grades a patch of a bundled task on a machine that does what a function says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (task,) = catalog.load("bundled", limit=1)

    def grade(machine: Callable[[RunRequest], RunResult] | None) -> object:
        backend = PlainBackend(tests=machine)
        with Grader(store=RunStore(tmp_path / "runs"), strict=False, backend=backend) as grader:
            return grader.grade_patch(task, PATCH)

    return grade


def test_a_machine_that_fails_every_time_gives_no_verdict(grade_on: Callable[..., object]) -> None:
    tries = []

    def broken(request: RunRequest) -> RunResult:
        tries.append(request)
        raise SandboxError("the daemon went away")

    grade = grade_on(broken)
    assert (grade.outcome, grade.party, len(tries)) == (Outcome.NOT_JUDGED, Party.SANDBOX, 3)
    assert "the daemon went away" in grade.official.reason


def test_a_patch_that_does_not_apply_is_the_agents(grade_on: Callable[..., object]) -> None:
    grade = grade_on(lambda _request: RunResult(False, None, False, b"", {}, 0.0))
    assert (grade.outcome, grade.party) == (Outcome.UNRESOLVED, None)
    assert grade.official.reason.startswith("the patch does not apply")


def test_a_machine_without_the_image_gives_no_verdict(grade_on: Callable[..., object]) -> None:
    grade = grade_on(None)
    assert (grade.outcome, grade.party) == (Outcome.NOT_JUDGED, Party.SANDBOX)
