"""What an examination comes to: findings by name, measurements, and which problems there are and what they do."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from scaffolds.openai.probe import ServerFacts
from tasks.task import Frozen


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """The run means less, or takes longer."""
    BLOCKER = "blocker"
    """The score would be another one's: the server's, not the model's."""


class Finding(Frozen):
    """One thing that was looked at."""

    name: str
    """Of what was looked at, or, for a problem, a key of `PROBLEMS`."""
    level: Level
    what: str
    effect: str = ""
    """On the score or on the hours."""
    cure: str = ""
    """For this server."""


class Throughput(Frozen):
    """So many requests at once."""

    at_once: int
    tokens_per_second: float
    """Of output, all together."""
    first_token: float
    """Seconds, of the slowest."""


class Growth(Frozen):
    """One turn of a conversation that grows."""

    prompt: int
    """Tokens."""
    cached: int | None
    """None where the server does not say."""
    first_token: float


class Measured(Frozen):
    """Numbers of this server on this day; None = not measured."""

    prefill: float | None = None
    """Tokens of a cold prompt that it reads in a second."""
    throughput: tuple[Throughput, ...] = ()
    growth: tuple[Growth, ...] = ()
    cold_first_token: float | None = None
    """Seconds, of a cold prompt as long as the last turn of `growth`."""
    hit_share: float | None = None
    """Of a growing conversation's earlier tokens, what need not be read again."""
    hours_lost: float | None = None
    """Per 100 tasks, against a cache that hits 95 % (`hours`)."""

    @property
    def best(self) -> Throughput | None:
        """The fewest at once that come within 5 % of the most tokens a second."""
        most = max((level.tokens_per_second for level in self.throughput), default=0.0)
        return next((level for level in self.throughput if level.tokens_per_second >= 0.95 * most), None)


class Form(StrEnum):
    """How long a look may take."""

    SHORT = "short"
    """At the start of a run: two short requests."""
    FULL = "full"
    THOROUGH = "thorough"


class Examination(Frozen):
    """Everything of one look."""

    form: Form
    server: ServerFacts
    findings: tuple[Finding, ...]
    measured: Measured
    seconds: float

    @property
    def worst(self) -> Level:
        levels = {finding.level for finding in self.findings}
        return next((level for level in (Level.BLOCKER, Level.WARNING) if level in levels), Level.OK)


class Problem(NamedTuple):
    """How bad one is, and what it does."""

    level: Level
    effect: str


LOST = "each such turn counts against the model although the server lost it"
PROBLEMS = {
    "wrong-parser": Problem(Level.BLOCKER, "with native tool calls every attempt fails"),
    "calls-as-text": Problem(Level.WARNING, "with native tool calls every attempt fails; lenient reads them"),
    "no-call": Problem(Level.WARNING, "nothing is known of its tool calls"),
    "swallowed-call": Problem(Level.BLOCKER, LOST),
    "thought-only": Problem(Level.WARNING, f"the answer ends in its thoughts: {LOST}"),
    "thought-in-content": Problem(Level.WARNING, "thoughts are taken for the answer and stay in the history"),
    "empty-answer": Problem(Level.WARNING, LOST),
    "broken-arguments": Problem(Level.WARNING, "the call cannot be carried out, and the model is told so"),
    "streamed-calls-lost": Problem(Level.BLOCKER, "streamed, as a run asks, every call is lost"),
    "cap-ignored": Problem(Level.BLOCKER, "the protocol's longest answer is not kept, and answers take long"),
    "completion-cap-ignored": Problem(Level.WARNING, "only max_tokens caps an answer"),
    "lying-finish": Problem(Level.BLOCKER, "an answer that was cut is taken for a whole one"),
    "usage-missing": Problem(Level.WARNING, "tokens cannot be counted, truncation goes unseen"),
    "truncation": Problem(
        Level.BLOCKER, "the model loses the task and the start of its work, without an error"
    ),
    "small-window": Problem(
        Level.BLOCKER, "attempts end for want of context although the server promised more"
    ),
    "unstated-window": Problem(Level.WARNING, "whether the claim's window is kept cannot be said"),
    "no-cache": Problem(Level.WARNING, "every turn reads the whole conversation again"),
    "reasoning-dropped": Problem(
        Level.WARNING, "the model forgets its plan between turns, and the prefix cache misses"
    ),
    "shared-window": Problem(Level.BLOCKER, "one long conversation ends all that run beside it"),
    "varies": Problem(Level.WARNING, "the same run twice is not the same; its noise is part of the interval"),
    "two-servers": Problem(Level.BLOCKER, "two models share one score"),
    "other-name": Problem(Level.WARNING, "the record would name a model that may not have answered"),
    "no-metrics": Problem(Level.OK, ""),
    "no-answer": Problem(Level.WARNING, "this was not looked at"),
}


IDEAL_SHARE = 0.95
"""What a prefix cache that works hits of an agent's conversation."""


def hours(
    *, tasks: int, prefill: float, decode: float, hit_share: float, output: float = 400, steps: float = 60
) -> float:
    """Hours of the model's work for one attempt at each task.

    An attempt has `steps` turns of `output` tokens; a turn reads 600 new tokens and, of 25,000 in the history, what the
    cache does not hold. `prefill` and `decode`: tokens a second of the whole server.
    """
    history, new = 25_000, 600
    return tasks * steps * (output / decode + ((1 - hit_share) * history + new) / prefill) / 3600
