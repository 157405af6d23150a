"""HTTP over one forwarded connection: three routes, the attempt's token, and a sign of life while an answer takes long.

A stream that waits gets comments, a whole answer spaces, which no JSON parser minds: a program's own timer then does not go off.
Not covered: compressed and chunked requests, which no program that we ran sends.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from scaffolds.model import Reply
from scaffolds.programs import chat, responses
from scaffolds.programs.chat import Refusal
from scaffolds.programs.gateway import Gateway, Spent
from scaffolds.programs.request import BadRequest, Request, read_chat
from tasks.untrusted import loads

LARGEST_REQUEST = 64 << 20
PATIENCE, BEAT = 10.0, 10.0
"""Seconds until the first sign of life, and between two of them."""
LONGEST_SHOWN = 80


class Dialect(NamedTuple):
    read: Callable[[Mapping[str, Any]], Request]
    whole: Callable[[str, Request, Reply], dict[str, Any]]
    streamed: Callable[[str, Request, Reply], Iterator[bytes]]
    failed: Callable[[str, Refusal], bytes]
    fails_in_stream: bool
    """Whether a stream that is refused begins all the same, and says so inside."""


DIALECTS = {
    "/v1/chat/completions": Dialect(read_chat, chat.whole, chat.streamed, chat.failed, fails_in_stream=False),
    "/v1/responses": Dialect(
        responses.read_responses, responses.whole, responses.streamed, responses.failed, fails_in_stream=True
    ),
}


def serve(gateway: Gateway, connection: io.RawIOBase) -> None:
    """Answer one connection until it ends."""
    with suppress(OSError, ValueError):  # it hung up, or was closed under us
        Handler(connection, gateway)


class Handler(BaseHTTPRequestHandler):
    """One connection. Its base class reads the requests; `request` is the connection, `server` the gateway."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "gateway", ""
    server: Any
    request: Any

    def __init__(self, connection: io.RawIOBase, gateway: Gateway) -> None:
        super().__init__(connection, ("sandbox", 0), gateway)  # type: ignore[arg-type]

    def setup(self) -> None:
        self.rfile = io.BufferedReader(self.request)
        self.wfile = self.request

    def finish(self) -> None:
        """Whoever gave the connection closes it."""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/v1/models":
            return self.no_route()
        if not self.has_token():
            return None
        name, window = self.server.model_name, self.server.window
        entry = {"id": name, "object": "model", "created": 0, "owned_by": "asclaimed"}
        listed = entry if window is None else {**entry, "max_model_len": window}
        return self.send(200, {"object": "list", "data": [listed]})

    def do_POST(self) -> None:
        raw = self.body()
        if raw is None:
            return None
        route = self.path.partition("?")[0]
        dialect = DIALECTS.get(route)
        if dialect is None:
            return self.no_route()
        if not self.has_token():
            return None
        self.server.came_by(route)
        return self.ask(dialect, raw)

    def no_route(self) -> None:
        self.server.refuse(f"no route {self.command} {self.path[:LONGEST_SHOWN]}")
        self.send(404, problem("there is no such route", "not_found"))

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = no_route  # noqa: N815 - names that the base class calls

    def body(self) -> bytes | None:
        """The request's; None where it was refused, and the connection with it."""
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= LARGEST_REQUEST:
            return self.rfile.read(int(length))
        self.close_connection = True
        self.send(
            413 if length else 411,
            problem("the request is too large, or does not say how large", "too_large"),
        )
        return None

    def has_token(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given == self.server.token:
            return True
        self.server.refuse("another key than the attempt's")
        self.send(401, problem("this is not the key of this attempt", "invalid_api_key"))
        return False

    def ask(self, dialect: Dialect, raw: bytes) -> None:
        try:
            request = dialect.read(read_json(raw))
            answer = self.server.ask(raw, request)
        except BadRequest as error:
            return self.send(400, problem(str(error), "invalid_request"))
        except Spent as error:
            return self.send(503, Refusal(error).body)
        began = False
        while not done(answer, BEAT if began else PATIENCE):
            if not began:
                self.begin(request)
            began = True
            self.piece(b": still at work\n\n" if request.stream else b" ")
        is_heard = not getattr(self.request, "hung_up", False)
        self.answer(dialect, request, answer, began=began)
        if is_heard:
            self.server.delivered(raw)
        return None

    def answer(self, dialect: Dialect, request: Request, answer: Future[Reply], *, began: bool) -> None:
        """All of it at once, in as few pieces as can be."""
        name, refusal = self.server.model_name, None
        try:
            reply = answer.result()
        except Exception as error:  # noqa: BLE001 - whatever it is, the attempt's own thread deals with it
            refusal = Refusal(error)
        if request.stream and (began or refusal is None or dialect.fails_in_stream):
            told = (
                dialect.failed(name, refusal) if refusal else b"".join(dialect.streamed(name, request, reply))
            )
            self.end_stream(request, told, began=began)
        else:
            body = refusal.body if refusal else dialect.whole(name, request, reply)
            if began:
                self.end_stream(request, json.dumps(body).encode(), began=True)
            else:
                self.send(refusal.status if refusal else 200, body)

    def begin(self, request: Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if request.stream else "application/json")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def end_stream(self, request: Request, data: bytes, *, began: bool) -> None:
        if not began:
            self.begin(request)
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    def send(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


def done(answer: Future[Reply], seconds: float) -> bool:
    """Wait for it, whatever comes of it."""
    return bool(wait([answer], seconds).done)


def read_json(raw: bytes) -> Mapping[str, Any]:
    try:
        body = loads(raw)
    except ValueError as error:
        raise BadRequest(f"this is no JSON: {error}") from None
    if not isinstance(body, Mapping):
        raise BadRequest("a request is a JSON object")
    return body


def problem(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}
