"""What a server's refusal means: decided from status, type, code, body shape and, last, its words.

Shapes seen: nested `{"error": {…}}` (OpenAI, llama-server, vLLM), flat `{"object": "error", …}` (SGLang, older
vLLM), a bare string (`{"error": "…"}`), `event: error` inside a stream of status 200 (LM Studio).
Not covered: errors that a server hides in the text of a normal answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from scaffolds.model import ContextOverflow, ModelError, Trouble
from scaffolds.openai.dialects import TABLE
from tasks.untrusted import loads

OVERFLOW_TYPES = {"exceed_context_size_error", "context_length_exceeded"}
OVERFLOW_WORDS = re.compile("|".join(words for dialect in TABLE for words in dialect.overflow), re.IGNORECASE)
OUR_FAULT_WORDS = re.compile(
    r"failed to parse tool|json\.exception\.(?:parse|type)_error|invalid tool call arguments"
    r"|is not supported|missing tool function|failed to (?:apply|render) (?:the )?(?:chat )?template",
    re.IGNORECASE,
)
UNPARSABLE_WORDS = re.compile(
    r"failed to parse input|does not match the expected|failed to parse (?:the )?(?:model )?output",
    re.IGNORECASE,
)
"""llama-server answers 500 when the *model's* text breaks the format that its template promises."""
WRONG_MODEL_TYPES = {"model_not_found", "NotFoundError", "not_found_error"}
LONGEST_QUOTE = 300
NO_KEY = " (name the variable that holds the server's key with --api-key-env)"
NO_API = " (is --base-url the address of its API? That often ends in /v1)"
HINTS = {401: NO_KEY, 403: NO_KEY, 404: NO_API, 405: NO_API}
"""What to do, by status."""


class Transient(Exception):  # noqa: N818 - a state that passes, not yet an error
    """Worth another try after `wait` seconds (None: the client's own backoff)."""

    def __init__(self, message: str, kind: Trouble = Trouble.DOWN, wait: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.wait = wait


class Stalled(Transient):
    """A deadline passed. `silent`: before the first byte of the answer."""

    def __init__(self, message: str, *, silent: bool) -> None:
        super().__init__(message, Trouble.STALLED)
        self.silent = silent


class Unparsable(Transient):
    """The server could not make sense of what the model wrote: the model's doing when it persists."""


class EmptyStream(Transient):
    """A stream of status 200 without anything in it: llama-cpp-python's way to fail once it has begun to stream."""


class ErrorBody(NamedTuple):
    """The parts that servers agree on."""

    message: str
    kind: str
    code: str


def parse_error(raw: bytes | str | Mapping[str, Any]) -> ErrorBody:
    """Any error body, nested, flat, a string or no JSON at all."""
    body = raw if isinstance(raw, Mapping) else _loads(raw)
    inner = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(inner, Mapping):
        return ErrorBody(_one_line(inner), "", "")
    message = inner.get("message") or inner.get("detail") or json.dumps(dict(inner))
    return ErrorBody(_one_line(message), str(inner.get("type") or ""), str(inner.get("code") or ""))


def classify(status: int, raw: bytes | str | Mapping[str, Any], retry_after: str | None = None) -> Exception:
    """The exception that an error answer stands for: `ContextOverflow`, `Transient` or `ModelError`.

    `status` 200 means an error inside a stream; its own code then decides.
    """
    error = parse_error(raw)
    if status == 200 and error.code.isdigit():
        status = int(error.code)
    said = f"the server answered {status}: {error.message}"
    if _is_overflow(status, error):
        return ContextOverflow(said)
    if status in (408, 409, 425, 429, 502, 503, 504) or error.kind == "unavailable_error":
        return Transient(said, wait=_seconds(retry_after))
    if status == 404 and (error.kind in WRONG_MODEL_TYPES or "model" in error.message.lower()):
        return ModelError(said, kind=Trouble.WRONG_MODEL, retryable=False)
    if UNPARSABLE_WORDS.search(error.message):
        return Unparsable(said, Trouble.REFUSED)
    if 400 <= status < 500 or status == 501 or OUR_FAULT_WORDS.search(error.message):
        return ModelError(said + HINTS.get(status, ""), kind=Trouble.REFUSED, retryable=False)
    return Transient(said, Trouble.REFUSED if status == 500 else Trouble.DOWN)


def _is_overflow(status: int, error: ErrorBody) -> bool:
    if {error.kind, error.code} & OVERFLOW_TYPES:
        return True
    return status in (200, 400, 413, 422, 500) and OVERFLOW_WORDS.search(error.message) is not None


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is left to our own backoff."""
    return float(header) if header and re.fullmatch(r"\d{1,6}(\.\d+)?", header) else None


def _loads(raw: bytes | str) -> Any:
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    try:
        return loads(text)
    except ValueError:
        return text


def _one_line(text: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:LONGEST_QUOTE]
