"""One claim: a score, the protocol behind it as far as it was published, and where it was said.

A claims file is YAML with `protocols` and `sources` that are named once and used by many `claims`:

    maker: Alibaba Qwen
    protocols: {qwen-swe: {scaffold: …, temperature: 1.0}}
    sources: {card: {title: …, date: 2026-04-22}}
    claims:
      - id: qwen3.6-27b/swe-bench-verified
        model: Qwen3.6-27B
        benchmark: swe-bench-verified
        score: 77.2
        protocol: qwen-swe
        source: card
        status: verified

A key that is absent is unknown. Both tables may stay empty when a claim writes its protocol and source out.
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from enum import StrEnum

from pydantic import Field, field_validator

from tasks.task import Frozen

FULL_SIZE = {
    "swe-bench-verified": 500,
    "swe-bench-lite": 300,
    "swe-bench-multilingual": 300,
    "swe-bench-pro": 731,
    "terminal-bench-2.0": 89,
    "terminal-bench-2.1": 89,
    "aime-2026": 30,
    "humaneval-plus": 164,
}
"""Tasks of a whole public benchmark; used, and said so, when a claim does not give its n."""
ID_PATTERN = r"^[a-z0-9][a-z0-9.\-]*/[a-z0-9][a-z0-9.\-]*(@[a-z0-9][a-z0-9.\-]*)?$"


class Status(StrEnum):
    """How far the words were traced. None of these says that the number is true."""

    VERIFIED = "verified"
    """The claimant's own text was read and says so."""
    SECONDARY = "secondary"
    """Only copies were read, not the claimant's own text."""
    REPEATED = "repeated"
    """A press article repeats a number, and it agrees with the source."""
    UNSOURCED = "unsourced"
    """No source for it was found."""
    NOT_STATED = "not-stated"
    """A table has a dash there, which says nothing."""
    CONTRADICTED = "contradicted"
    """A better source says otherwise; `contradicted_by` names it."""


class MeasuredBy(StrEnum):
    """Who measured it, seen from the model."""

    VENDOR = "vendor"
    """The model's maker."""
    COMPETITOR = "competitor"
    """The maker of another model, in a table of its own."""
    INDEPENDENT = "independent"
    """Neither."""
    PRESS = "press"
    """Nobody measured: an article says so."""


class Protocol(Frozen):
    """How the number was made, as published. None is "not stated", never a default."""

    scaffold: str | None = None
    prompt: str | None = None
    """What is known of the instructions."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    sampling_note: str | None = None
    context_window: int | None = Field(default=None, ge=1)
    """Tokens."""
    thinking_budget: int | None = Field(default=None, ge=1)
    """Tokens."""
    max_output_tokens: int | None = Field(default=None, ge=1)
    turn_limit: int | None = Field(default=None, ge=1)
    time_limit_seconds: float | None = Field(default=None, gt=0)
    resources: str | None = None
    """CPU and memory of a task's container."""
    runs: int | None = Field(default=None, ge=1)
    """Whole runs averaged."""
    skills: str | None = None
    """`with` or `without`: whether agents were given the skills that the tasks bring."""
    excluded: str | None = None
    """Tasks left out or corrected."""
    grader: str | None = None
    grading_network: str | None = None
    """`on` or `off`: whether the tests of the official grader had a network."""
    quantization: str | None = None


class Source(Frozen):
    """Where it was said."""

    title: str
    date: str | None = None
    """ISO 8601, as far as known: a year, a month or a day."""

    @field_validator("date", mode="before")
    @classmethod
    def as_written(cls, date: object) -> object:
        """YAML reads an unquoted day as a date and an unquoted year as a number."""
        return str(date) if isinstance(date, datetime.date | int) else date


class Claim(Frozen):
    """One number that somebody published about one model on one benchmark."""

    id: str = Field(pattern=ID_PATTERN)
    model: str
    maker: str
    benchmark: str
    """The benchmark's name in lower case with dashes, as in `swe-bench-verified`."""
    subset: str | None = None
    """What part of the benchmark, where it is not the whole."""
    n_tasks: int | None = Field(default=None, ge=1)
    score: Decimal | None = None
    """In `unit`, with as many decimals as were published; None where the claim gives no number."""
    unit: str = "%"
    agentic: bool = True
    claimed_by: str
    party: MeasuredBy = MeasuredBy.VENDOR
    protocol: Protocol = Protocol()
    source: Source
    status: Status
    statement: str | None = None
    """What is claimed, where it is not a score."""
    restates: str | None = None
    """Id of the claim whose number this one replaces."""
    contradicted_by: str | None = None
    evidence: str | None = None
    """Public per-task results that the number was checked against."""
    notes: str | None = None

    @field_validator("score")
    @classmethod
    def score_is_finite(cls, score: Decimal | None) -> Decimal | None:
        if score is not None and not score.is_finite():
            raise ValueError("a score must be a finite number")
        return score

    @property
    def rate(self) -> float | None:
        """The score as a fraction in [0, 1]; None when it is not a percentage."""
        if self.score is None or self.unit != "%" or not 0 <= self.score <= 100:
            return None
        return float(self.score) / 100

    @property
    def rounding(self) -> float:
        """Half a unit of the last published decimal, as a fraction: how far off rounding alone can be."""
        exponent = self.score.as_tuple().exponent if self.score is not None else 0
        return 0.5 * 10.0 ** int(exponent) / 100

    @property
    def tasks_assumed(self) -> int | None:
        """The claim's n, else the size of the whole public benchmark, else None."""
        return self.n_tasks or (None if self.subset else FULL_SIZE.get(self.benchmark))


def folded(name: str) -> str:
    """A name reduced to what people agree on: `SWE-bench_Verified`, `swebench-verified` → `swebenchverified`."""
    return re.sub(r"[^a-z0-9.@/]", "", name.lower())


def same_benchmark(claimed: str, measured: str) -> bool:
    """Whether two spellings name one benchmark; an owner (`princeton-nlp/…`) and a version (`…@1`) do not count."""
    return folded(claimed) == folded(measured.split("@", maxsplit=1)[0].rsplit("/", maxsplit=1)[-1])
