"""What of a conversation a model is shown again. Each policy keeps the front of the request the same for many steps, so
that the server's prefix cache hits. Not covered: summaries that a model writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from scaffolds.model import Message

KEEP, EVERY = 5, 10
"""Under `condensed`: the latest observations are whole, and older ones are taken out so many at a time."""
LEFT_OUT = "[an older output, {count} characters, is left out]"
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Keys under which servers hand out what a model thought."""
THINK = re.compile(r"<think>.*?(</think>\s*|\Z)", re.DOTALL)


class History(StrEnum):
    """What the model sees of earlier steps."""

    ALL = "all"
    """Everything, thoughts included where the server hands them out."""
    NO_THINKING = "no_thinking"
    """Everything but its thoughts."""
    CONDENSED = "condensed"
    """Everything but what older commands printed."""


def kept(policy: History, message: Message) -> Message:
    """A model's answer as it goes into the history."""
    if policy is not History.NO_THINKING:
        return message
    rest = {key: value for key, value in message.items() if key not in THOUGHTS}
    return {**rest, "content": THINK.sub("", str(rest.get("content", "")))}


def shown(policy: History, history: Sequence[Message]) -> Sequence[Message]:
    """The request's messages."""
    if policy is not History.CONDENSED:
        return history
    told = [n for n, message in enumerate(history) if n > 1 and message["role"] in ("tool", "user")]
    old = set(told[: max(0, (len(told) - KEEP) // EVERY * EVERY)])
    return [shortened(message) if n in old else message for n, message in enumerate(history)]


def shortened(message: Message) -> Message:
    left_out = LEFT_OUT.format(count=len(message["content"]))
    return message if len(message["content"]) <= len(left_out) else {**message, "content": left_out}
