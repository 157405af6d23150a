"""The model that an agent program meets in its sandbox: each request is asked of the attempt's own model, within its budget.

One call at a time: an attempt is one conversation. A request that is repeated while its answer is under way, or before it was
delivered, gets that answer. Not here: HTTP (`http`), and the dialects (`chat`, `responses`).
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

from scaffolds.base import Settings, Stop, ToolCallMode, Trajectory
from scaffolds.loop import LEAST_SECONDS, count_reply, seconds_left, spent
from scaffolds.model import ContextOverflow, Model, Reply, TimeUp
from scaffolds.programs.journal import Journal
from scaffolds.programs.request import Request

BYTES_A_TOKEN = 3
"""Of a request, at the least: for whether an answer of the length that is asked for still fits the window."""


class Spent(Exception):  # noqa: N818 - what a program is told
    """The attempt is over: its budget, or its model."""


class Clock:
    """Agent-active seconds: all that pass, but for what a server spent on failing."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.lost = 0.0

    def active(self) -> float:
        return time.monotonic() - self._started - self.lost


class Gateway:
    """One attempt's. `ask` may be called from any thread."""

    def __init__(
        self, model: Model, settings: Settings, result: Trajectory, *, has_tools: bool, mode: ToolCallMode
    ) -> None:
        self.token = secrets.token_urlsafe(24)
        """Of this attempt; the server's key never enters the sandbox."""
        self.model_name, self.window = model.name, model.window
        self.over = threading.Event()
        """Set when the program is to be ended: `stop` or `failure` says why."""
        self.stop: Stop | None = None
        self.failure: Exception | None = None
        self.overflowed = False
        """The last request did not fit the server's window."""
        self.refused: Counter[str] = Counter()
        """What the program tried that there is not: other routes, other keys."""
        self._model, self._settings, self._result = model, settings, result
        self._journal = Journal(settings.on_step, result, has_tools=has_tools)
        self._clock = Clock()
        self._calls = ThreadPoolExecutor(1, "gateway")
        self._lock = threading.Lock()
        self._under_way: dict[bytes, Future[Reply]] = {}
        self._mode, self._closed = mode, False

    def ask(self, raw: bytes, request: Request) -> Future[Reply]:
        """The answer to come. `raw`, the request as it came, tells a repeated one."""
        with self._lock:
            if self._closed:
                raise Spent("the attempt is over")
            if raw not in self._under_way:
                self._under_way[raw] = self._calls.submit(self._call, request, len(raw))
            return self._under_way[raw]

    def delivered(self, raw: bytes) -> None:
        """The program has the answer: the same request again is another one."""
        with self._lock:
            self._under_way.pop(raw, None)

    def came_by(self, route: str) -> None:
        with self._lock:
            self._result.routes[route] += 1

    def refuse(self, what: str) -> None:
        with self._lock:
            if len(self.refused) < 20 or what in self.refused:
                self.refused[what] += 1

    @property
    def late(self) -> bool:
        """Whether the attempt's time is over; a call under way has a limit of its own."""
        with self._lock:
            if any(not call.done() for call in self._under_way.values()):
                return False
        most = self._settings.budget.seconds
        return most is not None and self._clock.active() >= most

    def end(self, stop: Stop) -> None:
        """The first reason wins."""
        self.stop = self.stop or stop
        self.over.set()

    def close(self) -> None:
        """No further call is made. Waits for the one under way, which its own limits end; the last step is told."""
        with self._lock:
            self._closed = True
        self._calls.shutdown(cancel_futures=True)
        self._journal.flush()
        self._result.active_seconds = self._clock.active()

    def _call(self, request: Request, size: int) -> Reply:
        """One call, in the thread of calls."""
        if self.over.is_set():
            raise Spent("the attempt is over")
        try:
            return self._answered(request, size)
        except (ContextOverflow, Spent):
            raise
        except TimeUp:
            self.end(Stop.TIME_LIMIT)
            raise
        except Exception as error:
            self.failure = error
            self.over.set()
            raise

    def _answered(self, request: Request, size: int) -> Reply:
        is_side = self._journal.is_side(request)
        if not is_side:
            self._journal.heard(request)
        self._check_budget()
        try:
            reply = self._timed(request, size)
        except ContextOverflow as full:
            self.overflowed = True
            if full.reply is not None:
                self._count(request, full.reply, is_side=is_side)
            raise
        self.overflowed = False
        return self._count(request, reply, is_side=is_side)

    def _check_budget(self) -> None:
        """Raises `Spent`, and ends the program, where a limit was reached."""
        self._result.active_seconds = self._clock.active()
        stop = spent(self._settings, self._result)
        if self._result.side_calls >= self._settings.budget.steps:
            stop = stop or Stop.STEP_LIMIT
        if stop:
            self.end(stop)
            raise Spent(f"the budget of this attempt is used up: {stop}")

    def _timed(self, request: Request, size: int) -> Reply:
        began = time.monotonic()
        left, spent_on_it = seconds_left(self._settings, self._result, least=LEAST_SECONDS), 0.0
        try:
            reply = self._model.complete(
                request.messages, tools=request.tools, seconds=left, tokens=self._cap(request, size)
            )
            spent_on_it = reply.seconds
        except TimeUp as up:
            spent_on_it = up.seconds
            raise
        finally:
            self._clock.lost += max(0.0, time.monotonic() - began - spent_on_it)
        return reply

    def _cap(self, request: Request, size: int) -> int | None:
        """What the program wants, where the answer can be so long at all: some servers refuse a cap beyond their window."""
        if request.cap is None or self.window is None:
            return request.cap
        return request.cap if size / BYTES_A_TOKEN + request.cap <= self.window else None

    def _count(self, request: Request, reply: Reply, *, is_side: bool) -> Reply:
        if is_side:
            self._result.side_calls += 1
            self._result.prompt_tokens += reply.usage.prompt
            self._result.completion_tokens += reply.usage.completion
            self._journal.aside(request, reply)
            return reply
        count_reply(self._result, reply)
        return self._journal.replied(request, reply, self._mode)
