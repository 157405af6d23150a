"""The way of one request: the SDK's client and its connections, its errors as ours, an answer read under deadlines.

Not here: what is asked, retries, and whose time ran out (`client`); what an answer means (`reply`).
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from weakref import WeakSet

import httpx2
import openai
from pydantic import SecretStr

from scaffolds.model import ModelError, Trouble
from scaffolds.openai.config import Deadlines, ModelConfig
from scaffolds.openai.deadline import WATCHDOG, Watch
from scaffolds.openai.errors import Stalled, Transient, classify
from tasks.untrusted import clean

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes."""
MOST_CLIENTS = 8
"""Servers to which a process keeps connections; the one used longest ago is closed."""
_CLIENTS: dict[tuple[str, SecretStr, Deadlines], Client] = {}
_SHARING = threading.Lock()
_OPEN: WeakSet[Client] = WeakSet()
"""Of this process; closed before it ends, for then connections are collected in any order."""
WEB_PAGE = (
    "the server answered with a web page: give the address of its API (--base-url), which often ends in /v1"
)


class Client(openai.OpenAI):
    """The SDK's client without its own retries, and with nothing taken from the environment but proxies."""

    def __init__(self, config: ModelConfig) -> None:
        key = config.api_key.get_secret_value()
        self._http = openai.DefaultHttpxClient()
        super().__init__(
            base_url=config.base_url,
            api_key=key,
            max_retries=0,
            timeout=timeouts(config.deadlines),
            http_client=self._http,
        )
        self._url = str(self.base_url).rstrip("/")
        agent = {"Authorization": f"Bearer {key}", "User-Agent": self.user_agent}
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", **agent}
        _OPEN.add(self)

    def __del__(self) -> None:
        with suppress(Exception):  # as the SDK does for a client that it made
            self._http.close()

    def post_bytes(self, path: str, body: bytes, limits: Deadlines) -> httpx2.Response:
        """Send a body as it is; the answer's own is not read yet. Raises what the SDK's `post` and its transport raise.

        Over the SDK's connections, but not through its `post`, which spends more CPU than all else that a step does.
        """
        request = self._http.build_request(
            "POST", self._url + path, content=body, headers=self._headers, timeout=timeouts(limits)
        )
        response = self._http.send(request, stream=True)
        if response.is_error:
            with closing(response):
                response.read()
            raise openai.APIStatusError(f"status {response.status_code}", response=response, body=None)
        return response


@atexit.register
def close_all() -> None:
    for client in tuple(_OPEN):
        client.close()


def shared_client(base_url: str, api_key: SecretStr, deadlines: Deadlines) -> Client:
    """The client of this process for one server: making one costs more than a step, and threads may share it."""
    server = base_url, api_key, deadlines
    with _SHARING:
        client = _CLIENTS.pop(server, None)
        if client is None:
            client = sdk_client(
                ModelConfig(base_url=base_url, model="", api_key=api_key, deadlines=deadlines)
            )
        _CLIENTS[server] = client  # the one used last comes last
        if len(_CLIENTS) > MOST_CLIENTS:
            _CLIENTS.pop(next(iter(_CLIENTS))).close()
    return client


def sdk_client(config: ModelConfig) -> Client:
    """One of its own, for whoever closes it."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # one INFO line a step costs more than the parsing
    return Client(config)


def timeouts(limits: Deadlines) -> httpx2.Timeout:
    """What the transport itself can enforce: until the first byte. The watchdog does the rest."""
    return httpx2.Timeout(None, connect=limits.connect, read=min(limits.first_byte, limits.total), write=60.0)


@contextmanager
def transport_errors() -> Iterator[None]:
    """Turns the SDK's and the transport's exceptions into ours."""
    try:
        yield
    except openai.APIStatusError as error:
        response = error.response
        raise classify(response.status_code, response.content, response.headers.get("retry-after")) from error
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        raise _timeout(error) from error
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        raise Transient(f"no connection to the server: {cause(error)}") from error


def _timeout(error: Exception) -> Transient:
    if isinstance(error.__cause__ or error, httpx2.ConnectTimeout):
        return Transient("no connection to the server: connect timed out")
    return Stalled("the server sent nothing before the first-byte deadline", silent=True)


def cause(error: BaseException) -> str:
    """What the SDK wraps, in its own words, which may hold anything that a server said."""
    return str(error.__cause__ or error) or type(error).__name__


def read_body(response: httpx2.Response, started: float, limits: Deadlines) -> tuple[bytes, float]:
    """The whole body and the seconds until it began, counted from `started`, by `time.monotonic`.

    Raises `Stalled` at a deadline. Parsing waits for the end: nobody looks at pieces.
    """
    last = started + limits.total
    pieces, size, first_byte = [], 0, 0.0
    sock = response.extensions["network_stream"].get_extra_info("socket")
    guard = WATCHDOG.guard(sock, min(last, started + limits.first_byte))
    with closing(response), guard as watch, _as_stall(watch, limits.total, started):
        for piece in response.iter_bytes():
            now = time.monotonic()
            first_byte = first_byte or now - started
            watch.move(min(last, now + limits.silence))
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise ModelError("the answer is longer than 64 MB", kind=Trouble.REFUSED, retryable=False)
    return b"".join(pieces), first_byte


@contextmanager
def _as_stall(watch: Watch, total: float, started: float) -> Iterator[None]:
    """A read that the watchdog ended, told apart from one that the server ended."""
    try:
        yield
    except httpx2.TransportError as error:
        if watch.expired:
            raise _stall(watch, total, started) from error
        raise
    if watch.expired:
        raise _stall(watch, total, started)


def _stall(watch: Watch, total: float, started: float) -> Stalled:
    if time.monotonic() - started >= total:
        return Stalled(f"the answer took longer than {total:g} s", silent=not watch.moved)
    return Stalled("the server went silent in the middle of an answer", silent=not watch.moved)


def refuse_web_page(response: httpx2.Response, raw: bytes) -> None:
    """Raises `ModelError` for HTML in the place of JSON: no API is there, however often it is asked."""
    is_html = response.headers.get("content-type", "").startswith("text/html")
    if is_html or raw[:200].lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ModelError(WEB_PAGE, kind=Trouble.REFUSED, retryable=False)


def content_type(response: httpx2.Response) -> str:
    return clean(str(response.headers.get("content-type", "")))
