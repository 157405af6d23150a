"""A recording served again: an OpenAI-compatible server on loopback that answers as the model did, request for request.

The scaffold and the sandbox are real, so that what differs is our code, the machine, or a command that prints the time.
Not covered: how long the model took, so an attempt that its time limit ended is followed as far as its recording goes;
agent programs, most of which send times and ids of their own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Self

from evals.record import AttemptKey, Record, kept
from evals.run.attempt import RunContext, run_attempt
from evals.run.exchanges import read_exchanges
from scaffolds.base import Stop
from scaffolds.model import Exchange, ModelError
from scaffolds.openai.config import Retries
from tasks.task import Task
from tasks.untrusted import loads

EXCERPT = 60
"""Characters around the first place where two texts differ."""
OVER = b'{"error": {"message": "replay: this is not what was recorded", "type": "replay"}}'


class Replayed(NamedTuple):
    """What became of one attempt."""

    key: AttemptKey
    calls: int
    """Recorded requests that came again, byte for byte."""
    divergence: str
    """The first thing that was not as recorded, in one line that may quote the model; "" where there is none."""


class Tape:
    """One attempt's recording, and how far it came again."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._exchanges = [
            one for one, after in zip_longest(exchanges, exchanges[1:]) if one.status or after is None
        ]
        self.calls = 0
        self.divergence = ""

    @property
    def at_end(self) -> bool:
        return self.calls == sum(bool(one.status) for one in self._exchanges)

    def answer(self, request: bytes) -> Exchange:
        """What was answered to it. A request that was not recorded is refused, and remembered if it is the first."""
        refused = Exchange(request, 400, "application/json", OVER)
        if self.divergence:
            return refused
        if self.calls == len(self._exchanges):
            self.divergence = f"call {self.calls + 1} is one more than was recorded"
            return refused
        recorded = self._exchanges[self.calls]
        if recorded.request != request:
            self.divergence = f"call {self.calls + 1}: {difference(recorded.request, request)}"
            return refused
        if not recorded.status:
            return refused
        self.calls += 1
        return recorded


class TapeServer:
    """Serves one tape at a time, from `with` to its end, on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.tape = Tape(())
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: TapeServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server_of.tape.answer(request)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.answer)))
        self.end_headers()
        self.wfile.write(answer.answer)

    def log_message(self, *_: object) -> None:
        """Silent."""


def replay_attempt(
    run: Path, key: AttemptKey, task: Task, context: RunContext, server: TapeServer
) -> Replayed:
    """Make an attempt again in the context's own, empty directory, with the recording of `run` as its model.

    Raises `SandboxError` and `TaskError` for a machine that fails.
    """
    before = kept(Record, key.directory(run) / "record.json")
    tape = server.tape = Tape(tuple(read_exchanges(key.directory(run))))
    assert context.model is not None
    quick = context.model.retries.model_copy(update={"first_wait": 0.0, "longest_wait": 0.0})
    config = context.model.model_copy(
        update={"base_url": server.url, "retries": Retries(**quick.model_dump())}
    )
    prepared = context.backend.prepare(task)
    try:
        now: Record | None = run_attempt(key, task, prepared, replace(context, model=config))
    except ModelError:
        now = None
    return Replayed(key, tape.calls, first_divergence(tape, before, now))


def first_divergence(tape: Tape, before: Record, now: Record | None) -> str:
    if before.stop is Stop.TIME_LIMIT and tape.at_end:
        return ""
    if tape.divergence or now is None:
        return tape.divergence or "the recording ends before the attempt does"
    if not tape.at_end:
        return f"it ended after call {tape.calls} ({now.stop}); then came more"
    for name in ("stop", "steps", "patch_sha256"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            return f"every call came again, and its {name} is {new}, not {old}"
    return ""


def difference(recorded: bytes, now: bytes) -> str:
    """Where two requests differ first, in a few words of each."""
    try:
        old, new = loads(recorded), loads(now)
    except ValueError:
        return _excerpts(recorded.decode(errors="replace"), now.decode(errors="replace"))
    for name in dict.fromkeys((*old, *new)):
        if name != "messages" and old.get(name) != new.get(name):
            return f"`{name}` differs: {_excerpts(_json(old.get(name)), _json(new.get(name)))}"
    for number, (one, other) in enumerate(zip_longest(old.get("messages", ()), new.get("messages", ()))):
        if one != other:
            role = (one or other or {}).get("role", "unknown")
            return f"message {number + 1} ({role}) differs: {_excerpts(_words(one), _words(other))}"
    return "the same in other bytes"


def _words(message: Mapping[str, Any] | None) -> str:
    return "nothing" if message is None else _json({k: v for k, v in message.items() if k != "role"})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _excerpts(recorded: str, now: str) -> str:
    at = next(
        (n for n, (a, b) in enumerate(zip(recorded, now, strict=False)) if a != b),
        min(len(recorded), len(now)),
    )
    start = max(0, at - EXCERPT // 2)
    return f"recorded {recorded[start : start + EXCERPT]!r}, now {now[start : start + EXCERPT]!r}"
