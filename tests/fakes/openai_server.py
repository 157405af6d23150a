"""A real HTTP server that speaks OpenAI's chat dialect from a script: the fake at the lowest seam.

`FakeServer(say("hi"), call("bash", command="ls"), error(503, {...}))` answers in that order and repeats the last
one; a function `(request body) → Answer` decides for itself. Requests are kept as raw bytes.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from evals.serve.doctor.calls import TEXTS
from evals.serve.doctor.patient import GREETING
from scaffolds.openai.canary import PROMPT as CANARY

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `pieces` are sent one by one with `pause` seconds before each."""

    pieces: Iterable[bytes]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the status line."""
    pause: float = 0.0
    reset: bool = False
    """Cut the connection after the pieces, without an end."""
    message: Body | None = None
    """Set by `say` and `call`: rendered whole or streamed, as the request asks."""


class Request(NamedTuple):
    """As it came in; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


def say(text: str, *, prompt: Any = 10, completion: Any = 5, finish: str = "stop", **message: Any) -> Answer:
    """A plain text answer; `message` adds fields such as `reasoning_content` or `tool_calls`."""
    whole = {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
        },
    }
    return Answer([json.dumps(whole).encode()], message=whole)


def call(
    name: str, arguments: Body | str | None = None, *, call_id: str = "call_0", text: str = "", **kw: Any
) -> Answer:
    """One native tool call."""
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    calls = [{"id": call_id, "type": "function", "function": {"name": name, "arguments": raw}}]
    return say(text, finish="tool_calls", tool_calls=calls, **kw)


def error(status: int, body: Body | str, **headers: str) -> Answer:
    raw = body if isinstance(body, str) else json.dumps(body)
    return Answer([raw.encode()], status=status, headers={k.replace("_", "-"): v for k, v in headers.items()})


def stream(*events: Body | str, **kw: Any) -> Answer:
    """Server-sent events as given: a mapping becomes a `data:` line, a string stands as it is."""
    lines = [e if isinstance(e, str) else f"data: {json.dumps(e)}\n\n" for e in events]
    return Answer([line.encode() for line in lines], content_type="text/event-stream", **kw)


def healthy(body: Body) -> Answer:
    """What the doctor's short look wants to see."""
    if body.get("tools"):
        return call("record", {"text": TEXTS[0]})
    return say("1\n2\n3", completion=body["max_tokens"], finish="length")


class FakeServer:
    """Runs from `with` to its end on a free port of 127.0.0.1."""

    def __init__(
        self,
        *script: Answer | Callable[[Body], Answer],
        models: Sequence[str] = ("fake",),
        get: Mapping[str, Any] | None = None,
    ) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.get: dict[str, Any] = {
            "/v1/models": {
                "object": "list",
                "data": [{"id": m, "object": "model", "owned_by": "fake"} for m in models],
            },
            **(get or {}),
        }
        self.models = tuple(models)
        self.connections: set[socket.socket] = set()
        self.check: Callable[[Body], Answer] | None = healthy
        """What is said to the doctor, who looks at the server of every run: no part of the script. None: part of it."""
        self.canary: Callable[[Body], Answer] = lambda _body: say("Gulls.")
        """What is said to the prompt that every run asks of its server: no part of the script."""
        self._lock = threading.Lock()
        self._http = self._listener(0)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _listener(self, port: int) -> ThreadingHTTPServer:
        http = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (Handler,), {"fake": self}))
        http.daemon_threads = True
        return http

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def go_away(self) -> None:
        """Stop listening and cut every connection, as a server that is killed does."""
        self.__exit__()
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Listen on the same port again."""
        self._http = self._listener(self._http.server_port)
        self.__enter__()

    def next_answer(self, request: Request) -> Answer:
        if self.check is not None and GREETING.encode() in request.raw:
            return self.check(request.body)
        if CANARY.encode() in request.raw and len(request.body["messages"]) == 1:
            return self.canary(request.body)
        with self._lock:
            self.requests.append(request)
            step = self.script[min(len(self.requests), len(self.script)) - 1]
        return step if isinstance(step, Answer) else step(request.body)


class Handler(BaseHTTPRequestHandler):
    """Each `FakeServer` makes its own subclass, with itself in `fake`."""

    fake: FakeServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.fake.get.get(self.path)
        body = body() if callable(body) else body
        missing = error(404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}})
        self._send(missing if body is None else body if isinstance(body, Answer) else error(200, body))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, raw)
        answer = self.fake.next_answer(request)
        if answer.message is not None and request.body.get("stream"):
            answer = as_stream(answer.message)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        time.sleep(answer.delay)
        if not answer.reset or answer.pieces:
            self._send_head(answer)
        for piece in filter(None, answer.pieces):  # an empty chunk is the end
            time.sleep(answer.pause)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        if answer.reset:
            self._cut()
        else:
            self.wfile.write(b"0\r\n\r\n")

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def setup(self) -> None:
        super().setup()
        self.fake.connections.add(self.connection)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):  # the client hung up, or we did
            self.close_connection = True

    def finish(self) -> None:
        self.fake.connections.discard(self.connection)
        try:
            super().finish()
        except (OSError, ValueError):
            return

    def log_message(self, *args: object) -> None:
        return


def as_stream(whole: Body) -> Answer:
    """The chunks that a server would send for a whole answer."""
    choice = whole["choices"][0]
    delta = dict(choice["message"])
    delta["tool_calls"] = [{"index": n, **c} for n, c in enumerate(delta.get("tool_calls", ()))]
    return stream(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}],
        },
        {"object": "chat.completion.chunk", "choices": [], "usage": whole["usage"]},
        "data: [DONE]\n\n",
    )
