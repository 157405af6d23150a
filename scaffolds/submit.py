"""How an agent says that it is done."""

from __future__ import annotations

from enum import StrEnum

MARKER = "WORK_IS_COMPLETE"
"""First line of a command's output that ends the session, under `marker`."""


class SubmitProtocol(StrEnum):
    """What ends a session. A bash command that is the one word `submit` does so under each of them."""

    TOOL = "tool"
    """The tool `submit`."""
    MARKER = "marker"
    """A command whose output begins with a marker line, as mini-swe-agent has it."""
    SILENCE = "silence"
    """An answer that calls no tool, as most command-line agents have it."""

    @property
    def how(self) -> str:
        """For the prompt: what to do when the task is solved."""
        return HOW[self]


HOW = {
    SubmitProtocol.TOOL: "call `submit`",
    SubmitProtocol.MARKER: f"run the command `echo {MARKER}` by itself",
    SubmitProtocol.SILENCE: "answer without calling a tool",
}


def is_marked(observation: str) -> bool:
    """Whether a command printed the marker first."""
    return observation.lstrip().partition("\n")[0].strip() == MARKER
