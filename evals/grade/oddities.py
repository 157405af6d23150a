"""What is odd about a patch and the tests' run on it: said beside a grade, and with a patch that does not apply. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evals.grade.store import TestFacts
from tasks.backend import APPLY_COMMANDS

LARGE_BYTES = 10_000_000
HEADER = re.compile(rb"^(diff --git |--- |\+\+\+ )", re.MULTILINE)


def oddities(patch: bytes) -> tuple[str, ...]:
    """Facts about the bytes of a patch that is not empty, most telling first."""
    found = []
    if not HEADER.search(patch):
        found.append("it is not a unified diff")
    if b"\nBinary files " in patch and b"\nGIT binary patch" not in patch:
        found.append("it changes a binary file without carrying its content")
    if patch.count(b"\r\n") * 2 > patch.count(b"\n"):
        found.append("its lines end in CRLF")
    if not patch.endswith(b"\n"):
        found.append("it does not end in a newline")
    if len(patch) >= LARGE_BYTES:
        found.append(f"it is {len(patch) / 1e6:.1f} MB large")
    return tuple(found)


def oddities_of_run(facts: TestFacts, patch: bytes) -> Iterator[str]:
    """The same of the tests' run on a patch."""
    if facts.applied_by and facts.applied_by != APPLY_COMMANDS[0]:
        yield f"the patch was applied by `{facts.applied_by}` after `git apply` refused it"
    if facts.applied_by:
        yield from (f"the patch: {fact}" for fact in oddities(patch))
    if facts.applied_by and not facts.timed_out and (facts.exit_code is None or facts.exit_code > 128):
        yield "the eval script was killed, or its container was"
    if facts.oom_kills:
        yield f"{facts.oom_kills} processes of the tests were killed at the limit on memory (sandbox.memory)"


def why_not_applied(patch: bytes) -> str:
    """One line for a patch that none of the four commands applied."""
    return "the patch does not apply" + "".join(f"; {fact}" for fact in oddities(patch)[:2])
