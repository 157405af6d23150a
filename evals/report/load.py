"""What the server gave over time: tokens a second, the share that its cache held, how many attempts went on, who waited.

From the samples of `evals.run.load`; a run that was made elsewhere, or by an earlier version, has none. Nothing here
touches a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median

from evals.run.load import LoadSample
from tasks.task import Frozen

MOST_SPANS = 12


class LoadSpan(Frozen):
    """Samples that follow one another, summed up."""

    until: datetime
    seconds: float
    """In which the run worked."""
    at_once: float
    """Attempts that went on, on average over its samples."""
    paused: float
    """Of those begun, how many waited for room."""
    written_per_second: float
    """Tokens."""
    read_per_second: float
    """Tokens of prompts, cached ones included."""
    cached_share: float | None
    """Of those."""
    first_byte: float
    """Seconds until an answer began: the median of the samples' medians."""
    waiting: float | None
    """Requests that waited at the server, on average."""


def spans(samples: Sequence[LoadSample], most: int = MOST_SPANS) -> tuple[LoadSpan, ...]:
    """The samples in at most so many spans of equal numbers of them."""
    number = min(most, len(samples))
    cuts = [len(samples) * n // number for n in range(number + 1)] if number else []
    return tuple(summed(samples[start:end]) for start, end in pairwise(cuts))


def summed(samples: Sequence[LoadSample]) -> LoadSpan:
    seconds = max(sum(sample.seconds for sample in samples), 0.1)
    told = [sample for sample in samples if sample.cached is not None]
    waiting = [sample.waiting for sample in samples if sample.waiting is not None]
    read = sum(sample.read for sample in told)
    return LoadSpan(
        until=samples[-1].time,
        seconds=round(seconds, 1),
        at_once=mean([sample.at_once for sample in samples]),
        paused=mean([sample.paused for sample in samples]),
        written_per_second=round(sum(sample.written for sample in samples) / seconds, 1),
        read_per_second=round(sum(sample.read for sample in samples) / seconds, 1),
        cached_share=round(sum(sample.cached or 0 for sample in told) / read, 3) if read else None,
        first_byte=round(median(sample.first_byte for sample in samples), 2),
        waiting=mean(waiting) if waiting else None,
    )


def mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 1)


HEAD = (
    "until (UTC)",
    "attempts at once",
    "paused",
    "tok/s out",
    "tok/s in",
    "cached %",
    "first token s",
    "waiting",
)


def row(span: LoadSpan) -> tuple[str, ...]:
    """A span as the tables show it."""
    return (
        f"{span.until:%m-%d %H:%M}",
        f"{span.at_once:g}",
        f"{span.paused:g}",
        f"{span.written_per_second:,.1f}",
        f"{span.read_per_second:,.0f}",
        "–" if span.cached_share is None else f"{100 * span.cached_share:.0f}",
        f"{span.first_byte:.2f}",
        "–" if span.waiting is None else f"{span.waiting:g}",
    )
