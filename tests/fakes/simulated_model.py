"""A model made of rules, and what a healthy server does around one: a template, a tokenizer, a prefix cache.

`obliging` does what `asclaimed doctor` asks for; `scripted(…)` plays an agent, the same at every repetition, because
what it says depends on the turn alone. Tokens are four characters each.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CHARACTERS = 4
"""Of one token."""
BLOCK = 16
"""Tokens by which the prefix cache counts."""
KEPT_PROMPTS = 64
REASONING = ("reasoning_content", "reasoning")

ORDERED_CALL = re.compile(r"`(\w+)` with exactly this text:\n<<<(.*?)>>>", re.DOTALL)
CODE_WORD = re.compile(r"code word is (\w+)")
COUNT = re.compile(r"Count from 1 to (\d+)")


class Said(NamedTuple):
    """What the model means to say in one turn, before server and faults have their way with it."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Seen(NamedTuple):
    """What reached the model."""

    text: str
    """The whole prompt as its template renders it, or what truncation left of it."""
    question: str
    """The last message of the user."""
    turn: int
    """Answers in the history, and one."""
    tools: tuple[str, ...]


Brain = Callable[[Seen], Said]


def obliging(seen: Seen) -> Said:
    """Calls the tools that it is asked to call, counts, and repeats every code word that it can see."""
    ordered = ORDERED_CALL.findall(seen.question)
    if ordered and seen.tools:
        return Said(calls=tuple((name, {"text": text}) for name, text in ordered))
    if count := COUNT.search(seen.question):
        return Said("\n".join(str(n) for n in range(1, int(count[1]) + 1)))
    if "code word" in seen.question:
        return Said(" ".join(CODE_WORD.findall(seen.text)) or "I see none.")
    return Said("Understood.")


def scripted(*turns: Said) -> Brain:
    """Each turn its own, the last one again and again."""
    return lambda seen: turns[min(seen.turn, len(turns)) - 1]


def bash(command: str, reasoning: str = "") -> Said:
    """One call of the bash tool."""
    return Said(reasoning=reasoning, calls=(("bash", {"command": command}),))


def turn_of(messages: Sequence[Mapping[str, Any]]) -> int:
    return 1 + sum(message["role"] == "assistant" for message in messages)


def render(body: Mapping[str, Any], *, keep_reasoning: bool) -> str:
    """The prompt as a chat template puts it together: tools first, then the messages."""
    parts = [json.dumps(body["tools"])] if body.get("tools") else []
    for message in body["messages"]:
        thought = (
            next((message[name] for name in REASONING if message.get(name)), "") if keep_reasoning else ""
        )
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        parts.append(turn_text(message["role"], thought, message.get("content") or "", calls))
    return "".join(parts)


def turn_text(role: str, thought: str, content: Any, calls: Sequence[Mapping[str, Any]]) -> str:
    text = content if isinstance(content, str) else json.dumps(content)
    shown = f"<think>{thought}</think>" if thought else ""
    return f"<|{role}|>{shown}{text}{json.dumps(list(calls)) if calls else ''}\n"


def tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS)


@dataclass
class Drafted:
    """An answer before it is written down."""

    content: str
    reasoning: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"

    @property
    def size(self) -> int:
        """Tokens."""
        return tokens(self.content) + tokens(self.reasoning) + tokens(self._written())

    def _written(self) -> str:
        return "".join(call["function"]["name"] + call["function"]["arguments"] for call in self.calls)

    def cut(self, cap: int, finish: str) -> None:
        """No more than `cap` tokens: reasoning comes first, calls last."""
        room = cap
        for part in ("reasoning", "content"):
            kept = getattr(self, part)[: CHARACTERS * room]
            setattr(self, part, kept)
            room -= tokens(kept)
        if tokens(self._written()) > room:
            self.calls = []
        self.finish = finish

    def as_history(self) -> str:
        return turn_text("assistant", self.reasoning, self.content, [call["function"] for call in self.calls])

    def _message(self) -> dict[str, Any]:
        reasoning = {"reasoning_content": self.reasoning} if self.reasoning else {}
        calls = {"tool_calls": self.calls} if self.calls else {}
        return {"role": "assistant", "content": self.content or None, **reasoning, **calls}

    def whole(self, head: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Iterator[bytes]:
        choice = {"index": 0, "message": self._message(), "finish_reason": self.finish}
        counted = {"usage": usage} if usage else {}
        yield json.dumps({"object": "chat.completion", **head, "choices": [choice], **counted}).encode()

    def events(self, head: Mapping[str, Any], usage: Mapping[str, Any] | None) -> Iterator[bytes]:
        """The same, as a stream: reasoning and content in two pieces each, calls in one."""
        for name, text in (("reasoning_content", self.reasoning), ("content", self.content)):
            for part in (text[: len(text) // 2], text[len(text) // 2 :]):
                if part:
                    yield _event(head, {"delta": {name: part}, "finish_reason": None})
        for n, call in enumerate(self.calls):
            yield _event(head, {"delta": {"tool_calls": [{"index": n, **call}]}, "finish_reason": None})
        yield _event(head, {"delta": {}, "finish_reason": self.finish})
        if usage:
            yield _event(head, usage=usage)
        yield b"data: [DONE]\n\n"


def _event(head: Mapping[str, Any], choice: Mapping[str, Any] | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, **choice}] if choice else []
    whole = {"object": "chat.completion.chunk", **head, "choices": choices, **more}
    return f"data: {json.dumps(whole)}\n\n".encode()


@dataclass
class PrefixCache:
    """What the server remembers of earlier prompts. Not thread-safe: its server holds a lock."""

    def __post_init__(self) -> None:
        self._prompts: deque[str] = deque(maxlen=KEPT_PROMPTS)

    def cached(self, prompt: str, *, only_identical: bool = False) -> int:
        """Tokens at the head of `prompt` that need not be read again. The last one always is."""
        if only_identical:
            seen = any(old.startswith(prompt) for old in self._prompts)
            return tokens(prompt) - 1 if seen else 0
        same = max((common(prompt, old) for old in self._prompts), default=0) // CHARACTERS
        return min(same // BLOCK * BLOCK, tokens(prompt) - 1)

    def keep(self, prompt: str) -> None:
        self._prompts.append(prompt)


def common(one: str, other: str) -> int:
    """Length of the common head, by halving: prompts are long and this runs for each request."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
