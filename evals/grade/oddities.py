"""What is odd about the bytes of a patch: said beside a grade, and with a patch that does not apply. Decides nothing."""

from __future__ import annotations

import re

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


def why_not_applied(patch: bytes) -> str:
    """One line for a patch that none of the four commands applied."""
    return "the patch does not apply" + "".join(f"; {fact}" for fact in oddities(patch)[:2])
