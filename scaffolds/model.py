"""What a model is to a scaffold: messages in, one reply out. The OpenAI-compatible client is `scaffolds.openai`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

Message = Mapping[str, Any]
"""One chat message as JSON. A history is append-only and its messages are never changed (prefix cache)."""
ToolSchema = Mapping[str, Any]
"""One tool in OpenAI's function format."""


class ToolCall(NamedTuple):
    """A call as the model made it; `arguments` is the raw JSON text, which may be broken."""

    id: str
    name: str
    arguments: str


CUT_OFF = "length"
"""`finish_reason` of an answer that ended because it may not be longer."""


class Usage(NamedTuple):
    """Tokens of one call, as the server counts them."""

    prompt: int = 0
    completion: int = 0
    cached: int | None = None


class EmptyTurn(StrEnum):
    """What came of an answer with neither text nor a tool call. The turn counts; the reader sees whose it was."""

    SWALLOWED_CALL = "swallowed_call"
    """The server's: it took a call for thoughts, or said that there is one and sent none."""
    THOUGHT_ONLY = "thought_only"
    """The server's template or the model's: the answer ended inside the thoughts."""
    CUT = "cut"
    """The settings': the answer reached its cap of tokens before it came to anything."""
    NOTHING = "nothing"
    """The server's: no text, no call and no thought."""


class Served(NamedTuple):
    """Who an answer says it is from; "" where it does not say."""

    model: str = ""
    fingerprint: str = ""
    """`system_fingerprint`."""


class Reply(NamedTuple):
    """One answer."""

    content: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    message: Message
    """The assistant message to append to the history, as the server should see it again."""
    reasoning: str = ""
    seconds: float = 0.0
    served: Served = Served()
    empty: EmptyTurn | None = None
    """Set by the client, from the answer as it came over the wire."""
    first_byte: float = 0.0
    """Seconds until it began; of a streamed answer, the time to its first token."""


class Exchange(NamedTuple):
    """One HTTP request and what came back, as bytes."""

    request: bytes
    status: int = 0
    """0: no whole answer came, and `error` says why."""
    content_type: str = ""
    answer: bytes = b""
    error: str = ""


def unheard(_exchange: Exchange) -> None:
    """The observer of those who record nothing."""


class Trouble(StrEnum):
    """What kept a server from answering."""

    DOWN = "down"
    """No connection, still loading, overloaded, or failing on its own."""
    STALLED = "stalled"
    """It took the request and went silent past a deadline."""
    REFUSED = "refused"
    """It answered that it will not do this: bad request, bad key, a body it cannot read."""
    WRONG_MODEL = "wrong_model"
    """It does not serve the model that was asked for."""
    CHANGED = "changed"
    """It answers, and as another one than the run began with."""


class ModelError(Exception):
    """There is no answer, after the client's own retries. `retryable`: the same call may work later."""

    def __init__(self, message: str, *, kind: Trouble = Trouble.DOWN, retryable: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.retryable = retryable


class ContextOverflow(Exception):  # noqa: N818 - a fact about the conversation; scaffolds turn it into a Stop
    """The conversation does not fit the server's window. `reply`: the answer that filled it, where there was one."""

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class TimeUp(Exception):  # noqa: N818 - the attempt's own limit, not the server's
    """The call took all the `seconds` that it was given."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the model was still answering after the {seconds:.0f} s that were left")
        self.seconds = seconds


class Model(Protocol):
    """A chat model behind some server."""

    @property
    def window(self) -> int | None:
        """Tokens of context that one conversation may have, where the server says so."""
        ...

    @property
    def name(self) -> str:
        """What its server calls it."""
        ...

    def complete(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSchema] = (),
        seconds: float | None = None,
        tokens: int | None = None,
    ) -> Reply:
        """One call, of at most `seconds`, answered with at most `tokens` where that is less than the settings allow.

        Retries live inside. Raises `ModelError`, `ContextOverflow` or `TimeUp`.
        """
        ...


class Conversation(Model, Protocol):
    """A model during one attempt."""

    @property
    def warnings(self) -> Mapping[str, int]:
        """What a reader of the scores should know about the server, each with how often it was noticed."""
        ...
