"""Whether the server loses answers: judged from the first calls of a session, for each that it loses counts against the model.

Only answers with neither text nor a call (`EmptyTurn`). Not covered: a server that begins to lose them later; the report
counts all of them, and warns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evals.record import AttemptKey
from evals.run.set_aside import set_aside
from scaffolds.base import Step
from scaffolds.model import EmptyTurn
from tasks.errors import UserError

FIRST_CALLS, TOO_MANY = 50, 10
"""Model calls of a session that are looked at, and how many of them may not be empty."""
WHOSE = {
    EmptyTurn.SWALLOWED_CALL: "tool calls that it took for thoughts",
    EmptyTurn.THOUGHT_ONLY: "thoughts without an answer",
    EmptyTurn.CUT: "cut at the cap of tokens (max_tokens)",
    EmptyTurn.NOTHING: "nothing at all",
}


@dataclass
class EmptyTurnGuard:
    """One session's. Not thread-safe: its run holds a lock."""

    calls: int = 0
    empty: Counter[EmptyTurn] = field(default_factory=Counter)
    made: list[AttemptKey] = field(default_factory=list)
    """Attempts recorded in this session, until the first calls are judged."""
    complaint: str = ""

    @property
    def judged(self) -> bool:
        return self.calls >= FIRST_CALLS and not self.complaint

    def see(self, step: Step) -> None:
        """Raises `UserError` for every attempt that goes on once too many of the first calls were empty."""
        if step.metrics is None or self.judged:
            return
        self.calls += 1
        self.empty.update([step.empty] if step.empty else [])
        if not self.complaint and self.empty.total() >= TOO_MANY:
            self.complaint = self._words()
        if self.complaint:
            raise UserError(self.complaint)

    def recorded(self, key: AttemptKey) -> None:
        if not self.judged:
            self.made.append(key)

    def set_aside(self, run: Path) -> None:
        """Keep what this server spoiled out of the count: all of it, whatever came of each attempt."""
        for key in self.made:
            set_aside(key.directory(run), "failed")
        self.made.clear()

    def _words(self) -> str:
        kinds = ", ".join(f"{WHOSE[kind]} {count}" for kind, count in self.empty.most_common())
        return (
            f"{self.empty.total()} of the first {self.calls} model calls brought neither text nor a tool call ({kinds}): "
            "each would count against the model. `asclaimed doctor --base-url URL` names the setting of the server that "
            "mends it; then run the same command again. The attempts so far are set aside and count for nothing. "
            "To measure this server as it is: --accept-empty-turns"
        )
