"""Whether the server parses tool calls at all: judged from the first attempts, for without it each would be a zero.

Only where calls must come natively and a scaffold gives tools. Everything is read from records, so that a resume knows
what the session before it saw. Not covered: a server that stops parsing in the middle of a run; reports count its calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evals.record import AttemptKey, Record, kept
from evals.run.set_aside import set_aside
from evals.run.trajectory import STREAM, read_steps
from scaffolds.base import Stop, ToolCallMode

MOST_WRITTEN, MOST_SILENT = 2, 3
"""Attempts without one native call after which it is the server's doing: with calls in the text, and without any."""
SAYS_NOTHING = (Stop.CONTEXT_OVERFLOW, Stop.SANDBOX_BROKEN)
"""Ends that an attempt can come to before the model had its say."""
REMEDY = (
    "Start it so that it does (llama-server: --jinja; vLLM: --enable-auto-tool-choice --tool-call-parser NAME; SGLang: "
    "--tool-call-parser NAME) and run the same command again, or start a new run that reads calls from the text: "
    "--tool-calls lenient. These attempts are set aside and count for nothing"
)


@dataclass
class ToolCallEvidence:
    """What the records of one run say so far. Not thread-safe: its run holds a lock."""

    seen: bool = False
    """A native call came: there is a parser."""
    without: list[AttemptKey] = field(default_factory=list)
    """Attempts in which a model with tools said something and no native call came."""
    written: list[int] = field(default_factory=list)
    """How many calls each of them wrote as text."""

    def add(self, key: AttemptKey, record: Record) -> None:
        if record.tool_calls is not ToolCallMode.NATIVE or not record.uses_tools:
            return
        self.seen = self.seen or record.calls_native + record.calls_malformed > 0
        if not self.seen and record.steps and record.stop not in SAYS_NOTHING:
            self.without.append(key)
            self.written.append(record.calls_written)

    def complaint(self, run: Path, keys: Iterable[AttemptKey], *, last: bool) -> str:
        """Why the run must stop, in one line; "" while there is no reason. `last`: no further attempt will tell."""
        tells = sum(map(bool, self.written))
        enough = tells >= MOST_WRITTEN or len(self.without) >= MOST_SILENT or (last and self.without)
        if self.seen or not enough or called_while_running(run, keys):
            return ""
        wrote = f"though the model wrote {sum(self.written)} as text" if tells else "and none as text either"
        return (
            f"no tool call came through in {attempts(len(self.without))}, {wrote}: this server seems not to parse them. "
            f"{REMEDY}"
        )

    def set_aside(self, run: Path) -> None:
        """Keep what this server spoiled out of the count; the next session makes those attempts again."""
        for key in self.without:
            set_aside(key.directory(run), "failed")


def attempts(count: int) -> str:
    return "the first attempt" if count == 1 else f"the first {count} attempts"


def called_while_running(run: Path, keys: Iterable[AttemptKey]) -> bool:
    """Whether an attempt that is not recorded yet has made a native call: those that end first are the worst ones."""
    streams = (key.directory(run) / STREAM for key in keys)
    return any(step.tool_calls for stream in streams if stream.exists() for step in read_steps(stream))


def evidence(run: Path, recorded: Sequence[AttemptKey]) -> ToolCallEvidence:
    """What earlier sessions of this run saw; reads no further than the first native call."""
    found = ToolCallEvidence()
    for key in recorded:
        if not found.seen:
            found.add(key, kept(Record, key.directory(run) / "record.json"))
    return found
