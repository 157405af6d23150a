"""A run's live line: done / total, resolved, unjudged, what is under way, tokens a second, time left. Draws, no logic."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evals.report.text import plain
from evals.run.tally import Tally

LINE_EVERY = 30.0
"""Seconds between plain lines where the output is not a terminal."""


class RunProgress:
    """Draws a `Tally`. On a terminal a bar; elsewhere (a log, CI) a line every half minute."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally, self._console = tally, console
        self._start, self._done_before, self._last_line = time.monotonic(), tally.done, 0.0
        self._judged_before = tally.judged
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._row = self._bar.add_task("attempts", total=tally.total, completed=tally.done, facts="")
        self._grading_row = self._bar.add_task("grading", facts="", **self._grading_now())

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._line()

    def __call__(self) -> None:
        """Draw what is so now."""
        self._bar.update(self._row, total=self._tally.total, completed=self._tally.done, facts=self.facts())
        self._bar.update(self._grading_row, **self._grading_now())
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY:
            self._line()

    def _grading_now(self) -> dict[str, Any]:
        """What gold does is counted here too: of tasks that have been asked about."""
        tally = self._tally
        return {
            "total": tally.done + tally.calibrations,
            "completed": tally.judged + tally.calibrated,
            "visible": tally.to_grade > 0 or tally.calibrations > tally.calibrated,
        }

    def _line(self) -> None:
        self._last_line = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(
                f"{self._tally.done}/{self._tally.total} attempts · {self.facts()}", markup=False
            )

    def facts(self) -> str:
        """`3 resolved of 7 graded · 1 unjudged · 2 under way: 41 steps, the longest for 12 min · 12.4 tok/s · 4 min left`."""
        tally, elapsed = self._tally, time.monotonic() - self._start
        parts = []
        if tally.done:
            parts += [f"{tally.resolved} resolved of {tally.graded} graded", f"{tally.unjudged} unjudged"]
        parts += self._under_way()
        if tally.completion_tokens:
            parts.append(f"{tally.completion_tokens / elapsed:.1f} tok/s")
        fresh = tally.done - self._done_before
        if fresh > 0 and tally.done < tally.total:
            parts.append(f"{duration((tally.total - tally.done) * elapsed / fresh)} left")
        return " · ".join([*parts, *self._grading(elapsed), *self._waits()]) or "starting"

    def _grading(self, elapsed: float) -> list[str]:
        """`5 to grade, 12 min`: what goes on, mostly, after the last attempt has ended."""
        tally, fresh = self._tally, self._tally.judged - self._judged_before
        ahead = tally.calibrations > tally.calibrated
        parts = [f"{tally.calibrated} of {tally.calibrations} tasks calibrated"] if ahead else []
        if tally.to_grade:
            left = f", {duration(tally.to_grade * elapsed / fresh)}" if fresh > 0 else ""
            parts.append(f"{tally.to_grade} to grade{left}")
        return parts

    def _under_way(self) -> list[str]:
        """What the attempts that have not ended are at: the only news in a run's first half hour."""
        running = list(self._tally.under_way.values())
        if not running:
            return []
        longest = duration(time.monotonic() - min(attempt.began for attempt in running))
        steps = sum(attempt.steps for attempt in running)
        paused = self._tally.paused()
        waits = f", {paused} waiting for room on the server" if paused else ""
        return [
            f"{len(running)} under way: {steps} step{'s' * (steps != 1)}, the longest for {longest}{waits}"
        ]

    def _waits(self) -> list[str]:
        tally = self._tally
        if tally.suspended:
            return [f"SUSPENDED: {plain(tally.suspended, 120)}"]
        if waiting := list(tally.waiting):
            return [f"{len(waiting)} of {tally.running}: {plain(waiting[0], 120)}"]
        return [plain(tally.preparing, 120)] if tally.preparing else []


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
