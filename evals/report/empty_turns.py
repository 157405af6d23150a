"""What a reader is told of answers with neither text nor a tool call: how many, whose doing, the cure, what they cost.

The score rule does not change: each counts as a turn, and an attempt that ends on one is judged as it stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from evals.report.text import counted
from evals.results.score import ScaffoldScore
from scaffolds.model import EmptyTurn
from scaffolds.openai.dialects import cure

WARN_FROM = 0.02
"""Share of the model calls."""
PARTIES = {
    EmptyTurn.SWALLOWED_CALL: ("the server took {} for thoughts", "tool call", "swallowed-call"),
    EmptyTurn.THOUGHT_ONLY: (
        "{} ended inside the thoughts (the server's template or the model)",
        "answer",
        "thought-only",
    ),
    EmptyTurn.CUT: (
        "{} reached the cap of tokens before it said anything (the settings)",
        "answer",
        "cut-answer",
    ),
    EmptyTurn.NOTHING: ("{} held nothing at all (the server)", "answer", "empty-answer"),
}
"""Words for so many, what is counted, and the name under which the table of servers knows what mends it."""


def empty_turn_lines(line: ScaffoldScore, server: str) -> Iterator[str]:
    """For one scaffold on a server of that kind; nothing below `WARN_FROM`, but what attempts that ended on one do to the rate is always said."""
    if line.empty_share >= WARN_FROM:
        yield (
            f"{100 * line.empty_share:.1f} % of {counted(line.model_calls, 'model call')} brought nothing to act on; "
            "each counts as a turn"
        )
        for kind, (words, what, problem) in PARTIES.items():
            if count := line.empty_turns.get(kind):
                yield f"{words.format(counted(count, what))}: {cure(problem, server)}"
    yield from sensitivity(line)


def sensitivity(line: ScaffoldScore) -> Iterator[str]:
    """What the rate would be without attempts that ended so; counted, also where the rate itself is an estimate."""
    if not line.ended_empty:
        return
    ended = f"{line.ended_empty} of {counted(line.judged, 'judged attempt')} ended on such an answer"
    if line.rate_without_empty is None:
        yield f"{ended}: no other is left to say what the rate would be without"
        return
    counting = (
        ""
        if not line.estimated
        else f" ({100 * line.resolved / line.judged:.1f} % with them, both plainly counted)"
    )
    with_them = (
        f"{100 * line.rate:.1f} % stays the rate; " if line.rate is not None and not line.estimated else ""
    )
    yield f"{ended}: {with_them}without them it would be {100 * line.rate_without_empty:.1f} %{counting}"
