"""What a run asks of its server over time: a sample a minute in `load.jsonl`, and the server's own counters meanwhile.

Samples are beside the score and never part of it: a line that a kill cut off is passed over. Not here: what is made of
the counters (`admission`), what a reader sees (`evals.report.load`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from pydantic import ValidationError

from evals.record import AttemptKey
from evals.run.admission import Admission
from evals.run.attempt import RunContext
from scaffolds.base import Metrics, Step
from tasks.task import Frozen

FILE = "load.jsonl"
LISTEN_EVERY = 5.0
"""Seconds between two looks at the server's counters."""
SAMPLE_EVERY = 60.0


class LoadSample(Frozen):
    """What happened since the sample before, or since the session began. Seconds and tokens."""

    time: datetime
    """At its end."""
    seconds: float
    at_once: int
    """Attempts under way that waited for nobody, at its end."""
    paused: int
    """Of those begun, how many waited for room, at its end."""
    calls: int
    read: int
    """Tokens of prompts, cached ones included."""
    cached: int | None = None
    """None where the server does not say."""
    written: int
    first_byte: float
    """Median time until an answer began."""
    waiting: float | None = None
    """Requests that the server had accepted and not begun, where it says so."""
    kv_share: float | None = None
    """Of its KV cache in use, where it says so."""


def samples(run: Path) -> list[LoadSample]:
    """What a run directory has of them; none in those of earlier versions."""
    path = run / FILE
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return list(_read(lines))


def _read(lines: list[bytes]) -> Iterator[LoadSample]:
    for line in lines:
        try:
            yield LoadSample.model_validate_json(line)
        except ValidationError:  # the empty rest, or what a kill cut off
            continue


@dataclass
class Sums:
    """Since the last sample."""

    since: float
    read: int = 0
    written: int = 0
    cached: int | None = None
    first_bytes: list[float] = field(default_factory=list)
    """Of each call."""


class Load:
    """One session's; its threads share it."""

    def __init__(
        self,
        context: RunContext,
        admission: Admission,
        counters: Callable[[], Mapping[str, float]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`counters` asks the server (`scaffolds.openai.metrics`); None where there is none to ask."""
        self._context, self._admission, self._counters, self._clock = context, admission, counters, clock
        self._told: Mapping[str, float] = {}
        self._sums, self._lock = Sums(clock()), threading.Lock()

    def stepped(self, key: AttemptKey, step: Step) -> None:
        """A step of an attempt ended; blocks while there is no room for the next one. Raises `OSError`."""
        if step.metrics is not None:
            self._add(step.metrics, step.first_byte)
        self._admission.stepped(key, step)
        if step.observations:  # it acted, so it goes on
            self._admission.pause(key, lambda: self._context.abandoned)

    def ended(self, key: AttemptKey) -> None:
        self._admission.ended(key)

    def disturbed(self) -> None:
        self._admission.disturbed()

    def _add(self, metrics: Metrics, first_byte: float) -> None:
        with self._lock:
            sums = self._sums
            sums.read += metrics.prompt_tokens
            sums.written += metrics.completion_tokens
            if metrics.cached_tokens is not None:
                sums.cached = (sums.cached or 0) + metrics.cached_tokens
            sums.first_bytes.append(first_byte)
            is_due = self._clock() - sums.since >= SAMPLE_EVERY
        if is_due:
            self.sample()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Ask the server in a thread of its own meanwhile: an answer may take long."""
        over = threading.Event()
        if self._counters is not None:
            threading.Thread(target=self._listen, args=(self._counters, over), daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _listen(self, counters: Callable[[], Mapping[str, float]], over: threading.Event) -> None:
        while not over.is_set():
            self._told = counters()
            self._admission.heard(self._told)
            over.wait(LISTEN_EVERY)

    def sample(self) -> None:
        """Append what was counted since the last time. Raises `OSError`."""
        with self._lock:
            sums, self._sums = self._sums, Sums(self._clock())
        if sums.first_bytes:
            line = self._summed(sums).model_dump_json(exclude_none=True)
            with (self._context.directory / FILE).open("ab") as file:
                file.write(f"\n{line}".encode())  # the line before may have been cut off

    def _summed(self, sums: Sums) -> LoadSample:
        return LoadSample(
            time=datetime.now(UTC).replace(microsecond=0),
            seconds=round(self._clock() - sums.since, 1),
            at_once=self._admission.going,
            paused=self._admission.paused,
            calls=len(sums.first_bytes),
            read=sums.read,
            cached=sums.cached,
            written=sums.written,
            first_byte=round(median(sums.first_bytes), 3),
            waiting=self._told.get("waiting"),
            kv_share=self._told.get("kv share"),
        )
