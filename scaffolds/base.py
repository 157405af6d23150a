"""What a scaffold is: it solves a brief with a model in a sandbox, within a budget, and says why it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol, runtime_checkable

from pydantic import BeforeValidator, Field

from scaffolds.model import EmptyTurn, Model, Served, ToolSchema
from scaffolds.sampling import Sampling
from scaffolds.text import LONGEST_OBSERVATION, Clip, Shape
from tasks.sandbox import Sandbox
from tasks.task import Brief, Frozen
from tasks.untrusted import clean, fit

Said = Annotated[str, BeforeValidator(clean)]
"""Text that a model, a server or a sandbox wrote: fit for a file whatever it is."""


class Stop(StrEnum):
    """Why the agent stopped. Each member is the agent's own doing and stays in the denominator."""

    SUBMITTED = "submitted"
    """It said that it was done."""
    NO_TOOL_CALL = "no_tool_call"
    """It kept answering without a usable tool call, after it was reminded."""
    MALFORMED = "malformed"
    """Its tool calls could not be understood too many times in a row."""
    STEP_LIMIT = "step_limit"
    """It used all its steps."""
    TOKEN_LIMIT = "token_limit"  # noqa: S105 - not a secret
    """It used all its tokens."""
    TIME_LIMIT = "time_limit"
    """It used all its agent-active seconds."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The conversation no longer fits the server's context window."""
    SANDBOX_BROKEN = "sandbox_broken"
    """It broke its own sandbox: killed the shell, the container, or its memory."""
    PROGRAM_FAILED = "program_failed"
    """It is a program, and ended with an error after it had begun to work."""


class ToolCallMode(StrEnum):
    """How tool calls travel between the scaffold and the model."""

    NATIVE = "native"
    """Only the server's `tool_calls` count."""
    LENIENT = "lenient"
    """`tool_calls`, and where there are none, JSON calls found in the text: each one is counted."""
    TEXT = "text"
    """The tools are described in the prompt and calls are read from the text only, as JSON."""
    FENCED = "fenced"
    """Likewise, as fenced blocks whose first line names the tool."""
    XML = "xml"
    """Likewise, as `<function=NAME><parameter=ARGUMENT>`."""

    @property
    def in_text(self) -> bool:
        """Whether no tools are sent to the server."""
        return self not in (ToolCallMode.NATIVE, ToolCallMode.LENIENT)


class Budget(Frozen):
    """The most that one attempt may use. None = no such limit."""

    steps: int = Field(default=50, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    """Prompt + completion tokens over all calls, as the server counts them."""
    seconds: float | None = Field(default=1800, gt=0)
    """Agent-active seconds: model and commands; waiting for a server that is away does not count.

    A call or a command that is still under way when they are over is ended.
    """
    command_seconds: float = Field(default=60, gt=0)
    observation_characters: int = Field(default=LONGEST_OBSERVATION, ge=100)
    """What the model is shown of a command's output. The editor shows at most 16,000."""
    observation_lines: int | None = Field(default=None, ge=2)
    """Likewise in lines; both limits hold."""
    observation_shape: Shape = Shape.ENDS
    """Which part of it."""

    @property
    def clip(self) -> Clip:
        """Of a command's output."""
        return Clip(self.observation_characters, self.observation_lines, self.observation_shape)


class ToolCallRecord(Frozen):
    """ATIF tool call."""

    tool_call_id: Said
    function_name: Said
    arguments: Annotated[dict[str, object], BeforeValidator(fit)]


class Metrics(Frozen):
    """ATIF metrics of one model call; token counts as the server reports them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None


class Step(Frozen):
    """One ATIF step: what was said, what was called, what came back."""

    source: str
    """`system`, `user` or `agent`."""
    message: Said
    reasoning_content: Said | None = None
    tool_calls: tuple[ToolCallRecord, ...] = ()
    observations: tuple[Said, ...] = ()
    """One for each tool call, in order."""
    metrics: Metrics | None = None
    seconds: float = 0.0
    first_byte: float = 0.0
    """Seconds until the model's answer began."""
    served: Served | None = None
    """Who answered, for an agent's step."""
    empty: EmptyTurn | None = None
    asked: Annotated[dict[str, object], BeforeValidator(fit)] = Field(default_factory=dict)
    """What an agent program wanted of sampling and the like; what was sent is the plan's."""
    side: bool = False
    """A program's call beside its conversation: a title, a summary, a sub-agent."""


@dataclass
class ToolCallCounts:
    """How the model's calls reached us; every report prints these."""

    native: int = 0
    recovered: int = 0
    malformed: int = 0
    written: int = 0
    """Found in the text of replies without a call, in native mode: the server did not parse them, and nothing ran."""


@dataclass
class Trajectory:
    """How an attempt went. The steps themselves were streamed through `Settings.on_step`."""

    stop: Stop
    detail: str = ""
    """One line for people; may quote the model, so treat it as hostile text."""
    steps: int = 0
    """Model calls made."""
    side_calls: int = 0
    """Calls that an agent program made beside its conversation; their tokens count, too."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    active_seconds: float = 0.0
    uses_tools: bool = False
    """Whether the model was given tools to call."""
    tool_calls: ToolCallMode | None = None
    """How calls travelled; None = as the settings say."""
    tools: tuple[ToolSchema, ...] = ()
    """What the model was given to call."""
    calls: ToolCallCounts = field(default_factory=ToolCallCounts)
    empty_turns: Counter[EmptyTurn] = field(default_factory=Counter)
    last_empty: EmptyTurn | None = None
    """What the last answer was, where it was empty."""
    files_shown: tuple[str, ...] | None = None
    """For a scaffold that chooses what the model sees; None where the model looks for itself."""
    warnings: tuple[str, ...] = ()
    """What a reader should know of an agent program; the run adds what the client noticed about the server."""
    routes: Counter[str] = field(default_factory=Counter)
    """By which routes an agent program asked, and how often."""
    transcript: bytes = b""
    """What an agent program wrote of its own work, and printed."""

    @property
    def ended_empty(self) -> EmptyTurn | None:
        """What the attempt ended on, where that was an empty answer and no limit."""
        return self.last_empty if self.stop in (Stop.NO_TOOL_CALL, Stop.MALFORMED) else None


def unseen(_step: Step) -> None:
    """The observer of those who do not watch. Not a lambda, so that settings can be sent to another process."""


@dataclass(frozen=True)
class Settings:
    """What a scaffold is built with, once for each attempt."""

    budget: Budget = field(default_factory=Budget)
    tool_calls: ToolCallMode = ToolCallMode.NATIVE
    on_step: Callable[[Step], None] = unseen
    """Called for each step as it ends; the run streams it to disk."""


class Scaffold(Protocol):
    """One way to let a model work on a task."""

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        """Work until done or out of budget; never raises for what the agent did.

        Raises only what is nobody's here to judge: `ModelError` and `SandboxError`.
        """
        ...


@runtime_checkable
class Sampled(Scaffold, Protocol):
    """A scaffold that says itself how its answers are drawn."""

    def sampling(self) -> Sampling:
        """On top of the plan's, key by key."""
        ...


@runtime_checkable
class Mounting(Scaffold, Protocol):
    """A scaffold that needs directories of this machine in its sandbox."""

    def mounts(self) -> Mapping[str, Path]:
        """Path inside → directory here, only to be read; made when it is missing. Raises `MachineError`."""
        ...
