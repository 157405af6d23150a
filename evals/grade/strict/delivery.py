"""One strict run: what goes into the container, under names nobody can guess, and what is believed of what comes out.

Every run has a key and directories of its own. Delivered files are read back after the run, through the daemon.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import NamedTuple

from evals.grade.strict.language import Names, Runner
from evals.grade.strict.result_file import Results, read_results
from evals.grade.strict.runners import runner_of
from evals.grade.strict.script import Parts, put_together
from evals.grade.strict.suite import Files
from tasks.backend import RunRequest, RunTests


class Observed(NamedTuple):
    """One run, with everything checked that can be checked from outside."""

    applied: bool
    timed_out: bool
    exit_code: int | None
    results: Results
    tampered: tuple[str, ...]
    """Delivered files that were not the same any more when the tests had ended."""
    seconds: float
    startup_seconds: float


def observe(run_tests: RunTests, patch: bytes, parts: Parts, tests: Files, workdir: str) -> Observed:
    """Run the test commands once on `patch`, with `tests` as the test files. Raises `SandboxError`."""
    home, results = f"/opt/{secrets.token_hex(8)}", f"/tmp/{secrets.token_hex(8)}"  # noqa: S108 - in the container
    names = Names(f"{home}/site", f"m{secrets.token_hex(8)}", results, secrets.token_hex(32))
    runner = runner_of(parts.tests, tests)
    assert isinstance(runner, Runner), runner
    delivered = runner.delivered(names)
    copies = {path: f"{home}/tests/{number}" for number, path in enumerate(tests) if tests[path] is not None}
    delivered |= {copies[path]: content for path, content in tests.items() if content is not None}
    deleted = [path for path, content in tests.items() if content is None]
    script = put_together(parts, runner, names, copies=copies, deleted=deleted)
    expected = _afterwards(delivered, copies, tests, workdir)
    full = f"{results}.full"
    outcome = run_tests(RunRequest(patch, delivered, script, (results, full, *expected)))
    tampered = [path for path, content in expected.items() if outcome.collected.get(path) != content]
    return Observed(
        outcome.applied,
        outcome.timed_out,
        outcome.exit_code,
        read_results(outcome.collected.get(results), names.key)._replace(full=full in outcome.collected),
        tuple(path.removeprefix(f"{workdir}/").replace(home, "…") for path in tampered if outcome.applied),
        outcome.seconds,
        outcome.startup_seconds,
    )


def _afterwards(
    delivered: Mapping[str, bytes], copies: Mapping[str, str], tests: Files, workdir: str
) -> dict[str, bytes]:
    """What must be where when the tests have ended: the reporter and the test files in the repository."""
    reporter = {path: content for path, content in delivered.items() if path not in copies.values()}
    in_place = {f"{workdir}/{path}": content for path, content in tests.items() if content is not None}
    return reporter | in_place
