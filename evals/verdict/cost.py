"""What an attempt takes of a server: tokens, and hours by its tokens a second or by what `asclaimed doctor` measured there.

Not covered: the hours of sandboxes and tests, which go on beside the model's.
"""

from __future__ import annotations

from typing import NamedTuple

from tasks.task import Frozen

THINKING = 1000
"""Tokens a step of a model that thinks; others write 400."""


class Pace(Frozen):
    """Hours of the model's work for one attempt, by public trajectories: 60 steps, 25,000 tokens of history in the mean."""

    server: str
    hit_share: float
    """Of a conversation that grows, what the server need not read again."""
    hours: float
    cached: float
    """The same with a prefix cache that hits 95 %."""
    thinking: float
    """The same as `hours` for a model that writes `THINKING` tokens a step."""


class Cost(NamedTuple):
    """What an attempt takes of this server."""

    tokens: int
    """That it writes."""
    tokens_per_second: float | None
    """None where the server's speed is not known."""
    pace: Pace | None = None
    """Goes before `tokens_per_second`."""
    more: float = 1.0
    """Attempts for each that is counted."""

    def used(self, attempts: int) -> int:
        """Tokens."""
        return round(attempts * self.more * self.tokens)

    def hours(self, attempts: int) -> float | None:
        if self.pace:
            return attempts * self.more * self.pace.hours
        return self.used(attempts) / self.tokens_per_second / 3600 if self.tokens_per_second else None
