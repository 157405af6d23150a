"""The OpenAI-compatible client: one HTTP call a step, over the SDK's connections, with deadlines and retries.

The SDK's `chat.completions.create` spends 12 ms of CPU a call on turning messages and answers into typed objects, and
its `post` twice what the connection costs. We write the body and read the answer ourselves, which also makes the body
byte-stable: `messages` come last, so the bytes of one call are a prefix of those of the next.
Not covered: `n` > 1, images, and anything but chat completions.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import tenacity

from scaffolds.model import (
    CUT_OFF,
    ContextOverflow,
    Exchange,
    Message,
    ModelError,
    Reply,
    TimeUp,
    ToolSchema,
    Usage,
    unheard,
)
from scaffolds.openai.config import ModelConfig, Retries
from scaffolds.openai.errors import EmptyStream, Stalled, Transient, Unparsable
from scaffolds.openai.reply import Draft, assistant_message, parse_stream, parse_whole
from scaffolds.openai.transport import (
    Client,
    cause,
    content_type,
    read_body,
    refuse_web_page,
    sdk_client,
    shared_client,
    transport_errors,
)
from tasks.untrusted import clean

TIMER_SLACK = 0.05
"""Seconds by which a timer may fire early."""
UNPARSABLE = "unparsable"
"""`finish_reason` of the empty reply that stands for text which the server could not parse, again and again."""


class OpenAIModel:
    """One conversation with one model."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        window: int | None = None,
        client: Client | None = None,
        exchanged: Callable[[Exchange], None] = unheard,
    ) -> None:
        """`window`: the server's context in tokens where known (`ServerFacts.window`). `exchanged` hears of every try."""
        self.config = config
        self.window = window
        self.warnings: Counter[str] = Counter()
        """What a reader of the scores should know: `context_truncated`, `usage_missing`, `retried`, `unparsable`,
        `silent_until_time_limit`."""
        self._client = client or sdk_client(config)
        self._exchanged = exchanged
        self._retrying = self._retrier()
        self._calls_without_id = 0
        self._last, self._last_prompt = b"", 0

    @property
    def name(self) -> str:
        return self.config.model

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSchema] = (),
        seconds: float | None = None,
        tokens: int | None = None,
    ) -> Reply:
        """One call. Raises `ModelError` (after retries), `ContextOverflow` or `TimeUp` (at once).

        `seconds` bounds each try; what a server spent on failing is not the attempt's time. `tokens` lowers `max_tokens`.
        """
        config = self.config if tokens is None else self.config.capped(tokens)
        body = encode(config, messages, tools)
        try:
            try:
                reply = self._retrying(self._once, body, seconds)
            except EmptyStream:  # without a stream there is room for the error's status and text
                whole = config.model_copy(update={"stream": False})
                reply = self._retrying(self._once, encode(whole, messages, tools), seconds)
        except Unparsable:
            self.warnings["unparsable"] += 1
            return Reply("", (), UNPARSABLE, Usage(), assistant_message("", (), {}))
        except Transient as error:
            raise ModelError(str(error), kind=error.kind, retryable=True) from error
        self._check(reply, body)
        return reply

    def _retrier(self) -> tenacity.Retrying:
        retries = self.config.retries
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=tenacity.stop_after_attempt(retries.attempts) | tenacity.stop_after_delay(retries.seconds),
            wait=_Wait(retries),
            before_sleep=lambda _state: self.warnings.update(["retried"]),
            reraise=True,
        )

    def _once(self, body: bytes, seconds: float | None) -> Reply:
        started = time.monotonic()
        try:
            draft, first_byte = self._exchange(body, started, seconds)
        except Stalled as error:
            spent = time.monotonic() - started
            if not self._is_time_up(error, spent, seconds):
                raise
            raise TimeUp(spent) from error
        reply = draft.reply(seconds=time.monotonic() - started, first_call=self._calls_without_id)
        self._calls_without_id += len(reply.tool_calls)
        return reply._replace(first_byte=first_byte)

    def _is_time_up(self, stall: Stalled, spent: float, seconds: float | None) -> bool:
        """Whether the attempt's own limit ended the call, and not a deadline that tells a dead server from a slow one.

        A server that never began to answer may be dead all the same, so a reader is told.
        """
        if seconds is None or spent < seconds - TIMER_SLACK:
            return False
        if not stall.silent:
            return True
        is_up = spent < self.config.deadlines.first_byte - TIMER_SLACK
        if is_up:
            self.warnings["silent_until_time_limit"] += 1
        return is_up

    def _exchange(self, body: bytes, started: float, seconds: float | None) -> tuple[Draft, float]:
        """One request, its whole answer, and when that began; within the deadlines and `seconds`."""
        own = self.config.deadlines
        limits = own if seconds is None else own.model_copy(update={"total": min(own.total, seconds)})
        with transport_errors(), self._recorded(body):
            response = self._client.post_bytes("/chat/completions", body, limits)
            raw, first_byte = read_body(response, started, limits)
        self._exchanged(Exchange(body, response.status_code, content_type(response), raw))
        return _draft(response, raw), first_byte

    @contextmanager
    def _recorded(self, body: bytes) -> Iterator[None]:
        """A request that is refused, or gets no whole answer."""
        try:
            yield
        except openai.APIStatusError as error:
            refusal = error.response
            self._exchanged(Exchange(body, refusal.status_code, content_type(refusal), refusal.content))
            raise
        except Exception as error:
            self._exchanged(Exchange(body, error=clean(cause(error))))
            raise

    def _check(self, reply: Reply, body: bytes) -> None:
        """Notices what servers do in silence: filling the window, or cutting the front of the history off."""
        usage = reply.usage
        if not usage.prompt:
            self.warnings["usage_missing"] += 1
        if self.window and reply.finish_reason == CUT_OFF and usage.prompt + usage.completion >= self.window:
            raise ContextOverflow(f"the answer filled the server's window of {self.window} tokens", reply)
        goes_on = body.startswith(self._last[: len(self._last) // 2])  # else it is another conversation
        if goes_on and len(body) > len(self._last) and 0 < usage.prompt <= self._last_prompt:
            self.warnings["context_truncated"] += 1
        self._last, self._last_prompt = body, usage.prompt


class _Wait(tenacity.wait.wait_base):
    """The server's own `Retry-After` where it gave one, else exponential with jitter."""

    def __init__(self, retries: Retries) -> None:
        self._longest = retries.longest_wait
        self._backoff = tenacity.wait_random_exponential(retries.first_wait, max=retries.longest_wait)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = error.wait if isinstance(error, Transient) else None
        return self._backoff(retry_state) if asked is None else min(asked, self._longest)


def conversation(
    config: ModelConfig,
    number: int = 1,
    *,
    window: int | None = None,
    exchanged: Callable[[Exchange], None] = unheard,
) -> OpenAIModel:
    """A fresh one for the attempt of that number, over the connections that this process has to the server.

    `number` counts from 1. A fixed seed would make all attempts the same, so each gets the next one.
    """
    seed = config.sampling.seed
    sampling = config.sampling.model_copy(update={} if seed is None else {"seed": seed + number - 1})
    own = config.model_copy(update={"sampling": sampling})
    client = shared_client(config.base_url, config.api_key, config.deadlines)
    return OpenAIModel(own, window=window, client=client, exchanged=exchanged)


def encode(config: ModelConfig, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> bytes:
    """The request body. Everything that stays the same comes first, the growing history last."""
    body: dict[str, Any] = {"model": config.model, **config.sampling.body()}
    if config.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    if tools:
        body["tools"] = list(tools)
    body["messages"] = list(messages)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _draft(response: httpx2.Response, raw: bytes) -> Draft:
    """Reads an answer by what it is, not by what was asked: some servers ignore `stream`."""
    refuse_web_page(response, raw)
    is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
    try:
        return parse_stream(raw) if is_stream else parse_whole(raw)
    except (AttributeError, TypeError, KeyError) as error:
        raise Transient(f"the answer has an unknown shape: {error}") from error


def _may_pass(error: BaseException) -> bool:
    """Worth the same request again. An empty stream is worth another one."""
    return isinstance(error, Transient) and not isinstance(error, EmptyStream)
