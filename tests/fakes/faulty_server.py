"""A model server on a loopback port that is healthy until told otherwise: every fault, at every turn, streamed or whole.

    with FaultyServer(Planted(Fault.SWALLOWED_CALL, turn=2), brain=scripted(bash("ls"), bash("make"))) as server:
        …  # server.url, server.requests; server.restart() is a daemon that comes back

A fault without a turn is a misconfiguration: it is there at every request. It has a prefix cache, slots, a window, a
speed that depends on how many are served, and answers `GET` pages as llama-server does (`pages=` puts others there).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.fakes.faulty_answers import STATUS, Drafted, Fault, Planted, cap_of, on_the_wire, overflow, shaped
from tests.fakes.openai_server import Answer, Body, FakeServer
from tests.fakes.simulated_model import (
    CHARACTERS,
    Brain,
    PrefixCache,
    Seen,
    obliging,
    render,
    tokens,
    turn_of,
)


@dataclass(frozen=True)
class Setup:
    """A server without faults."""

    model: str = "fake"
    fingerprint: str = "fp-1"
    window: int = 32_768
    """Tokens of one conversation, as it states them."""
    slots: int = 4
    thinks: bool = False
    prefill: float = 200_000.0
    """Tokens of prompt that it reads in a second, one request."""
    decode: Callable[[int], float] = lambda at_once: 20_000.0 * at_once
    """Tokens a second of all answers together, by how many are under way."""
    says_cached: bool = True
    sleep: Callable[[float], None] = time.sleep


POOL_SECONDS = 0.15
"""A request to a shared pool lasts at least so long, so that requests sent together meet there on a slow machine too."""


class FaultyServer(FakeServer):
    """Runs from `with` to its end."""

    def __init__(
        self,
        *planted: Planted | Fault,
        brain: Brain = obliging,
        setup: Setup | None = None,
        pages: Mapping[str, Any] | None = None,
    ) -> None:
        self.planted = [Planted(p) if isinstance(p, Fault) else p for p in planted]
        self.setup = setup or Setup()
        self.brain = brain
        super().__init__(self.answer, models=(self.setup.model,), get=pages or llama_pages(self.setup))
        self.check = None  # the doctor meets the faults, too
        self.struck = dict.fromkeys(range(len(self.planted)), 0)
        self._serial = itertools.count(1)
        self._cache = PrefixCache()
        self._slots = threading.Semaphore(self.setup.slots)
        self._live: dict[int, int] = {}
        self._overflowed: set[int] = set()
        self._state = threading.Lock()

    def restart(self, *planted: Planted | Fault, setup: Setup | None = None, seconds: float = 0.0) -> None:
        """Go away, with every open connection, for `seconds`, and come back on the same port with an empty cache."""
        self.go_away()
        time.sleep(seconds)
        self.setup = setup or self.setup
        self.get |= llama_pages(self.setup)
        self.planted += [Planted(p) if isinstance(p, Fault) else p for p in planted]
        self.struck = {n: self.struck.get(n, 0) for n in range(len(self.planted))}
        self._cache = PrefixCache()
        self.come_back()

    def answer(self, body: Body) -> Answer:
        turn = turn_of(body["messages"])
        faults = self._strike(turn)
        for fault, status in STATUS.items():
            if fault in faults:
                return status
        number = next(self._serial)
        with ExitStack() as stack:
            stack.enter_context(self._slots)
            stack.enter_context(self._under_way(number))
            answer = self._served(body, turn, faults, number)
            if answer.status != 200:
                return answer
            held = stack.pop_all()
        return replace(answer, pieces=_holding(held, answer.pieces))

    def _strike(self, turn: int) -> dict[Fault, Planted]:
        """The faults that hit this request."""
        found = {}
        with self._state:
            for n, one in enumerate(self.planted):
                if one.turn in (None, turn) and (one.times is None or self.struck[n] < one.times):
                    self.struck[n] += 1
                    found[one.fault] = one
        return found

    @contextmanager
    def _under_way(self, number: int) -> Iterator[None]:
        with self._state:
            self._live[number] = 0
        try:
            yield
        finally:
            with self._state:
                del self._live[number]

    def _served(self, body: Body, turn: int, faults: Mapping[Fault, Planted], number: int) -> Answer:
        prompt = render(body, keep_reasoning=Fault.REASONING_DROPPED not in faults)
        half = self.setup.window // 2
        if Fault.TRUNCATION in faults and tokens(prompt) > half:
            prompt = prompt[-half * CHARACTERS :]
        limit = half if Fault.SMALL_WINDOW in faults else self.setup.window
        if tokens(prompt) > limit:
            return overflow(tokens(prompt), limit)
        with self._state:
            cached = self._cache.cached(prompt, only_identical=Fault.NO_CACHE in faults)
        if Fault.SHARED_POOL in faults and self._pool_overflows(number, tokens(prompt)):
            return overflow(tokens(prompt), limit, "Context size has been exceeded.")
        self.setup.sleep((tokens(prompt) - cached) / self.setup.prefill)
        drafted = self._drafted(body, prompt, turn, faults, number)
        with self._state:
            self._cache.keep(prompt + drafted.as_history())
        count = {"prompt_tokens": tokens(prompt), "completion_tokens": drafted.size}
        usage: dict[str, Any] = {**count, "total_tokens": sum(count.values())}
        if self.setup.says_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        return self._sent(
            drafted, None if Fault.NO_USAGE in faults else usage, faults, stream=body.get("stream")
        )

    def _pool_overflows(self, number: int, size: int) -> bool:
        """Whether the requests under way need more than the one window that they share; all of them fail then."""
        with self._state:
            self._live[number] = size
            if sum(self._live.values()) > self.setup.window:
                self._overflowed |= self._live.keys()
        time.sleep(POOL_SECONDS)
        return number in self._overflowed

    def _drafted(
        self, body: Body, prompt: str, turn: int, faults: Mapping[Fault, Planted], number: int
    ) -> Drafted:
        names = tuple(tool["function"]["name"] for tool in body.get("tools") or ())
        asked = [str(m.get("content")) for m in body["messages"] if m["role"] == "user"]
        said = self.brain(Seen(prompt, asked[-1] if asked else "", turn, names))
        if self.setup.thinks and not said.reasoning:
            said = said._replace(reasoning="I think about what was asked of me.")
        if Fault.OTHER_MODEL in faults or self.setup.model != self.models[0]:
            said = said._replace(content=said.content.upper())
        if Fault.RANDOM in faults:
            said = said._replace(content=f"{number} {said.content}")
        return shaped(said, cap_of(body, faults), faults, turn, streamed=bool(body.get("stream")))

    def _sent(
        self, drafted: Drafted, usage: Body | None, faults: Mapping[Fault, Planted], *, stream: bool | None
    ) -> Answer:
        other = "-other" if Fault.OTHER_MODEL in faults else ""
        head = {"model": self.setup.model + other, "system_fingerprint": self.setup.fingerprint + other}
        pieces = list(drafted.events(head, usage) if stream else drafted.whole(head, usage))
        with self._state:
            at_once = len(self._live)
        pause = drafted.size * at_once / self.setup.decode(at_once) / len(pieces)
        kind = "text/event-stream" if stream else "application/json"
        return on_the_wire(Answer(pieces, content_type=kind, pause=pause), faults)


def _holding(held: ExitStack, pieces: Any) -> Iterator[bytes]:
    """The pieces, with the slot kept until the last one is sent or the client is gone."""
    with held:
        yield from pieces


def llama_pages(setup: Setup) -> dict[str, Any]:
    """What llama-server says of itself."""
    return {
        "/v1/models": {
            "object": "list",
            "data": [{"id": setup.model, "owned_by": "llamacpp", "meta": {"n_ctx": setup.window}}],
        },
        "/props": {
            "default_generation_settings": {"n_ctx": setup.window, "params": {"temperature": 0.8}},
            "total_slots": setup.slots,
            "build_info": "b1-fake",
            "chat_template": "{{ x }}",
        },
        "/health": {"status": "ok"},
    }
