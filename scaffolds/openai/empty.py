"""Whose doing it is that an answer holds nothing to act on: read from the wire, before anything is made of it.

Not covered: calls that a server left in the text (`scaffolds.calls` counts those), and thoughts in the place of text.
"""

from __future__ import annotations

from collections.abc import Sequence

from scaffolds.calls import LONGEST_READ, UNPARSED
from scaffolds.model import CUT_OFF, EmptyTurn, ToolCall

CALLS = "tool_calls"
"""`finish_reason` of an answer that is said to hold a call."""


def empty_turn(content: str, calls: Sequence[ToolCall], finish: str, reasoning: str) -> EmptyTurn | None:
    """None for an answer with text or a call. At the cap it is cut, whatever the thoughts held until then."""
    if calls or content.strip():
        return None
    if finish == CUT_OFF:
        return EmptyTurn.CUT
    if finish == CALLS or UNPARSED.search(reasoning[-LONGEST_READ:]):
        return EmptyTurn.SWALLOWED_CALL
    return EmptyTurn.THOUGHT_ONLY if reasoning.strip() else EmptyTurn.NOTHING
