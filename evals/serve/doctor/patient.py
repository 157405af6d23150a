"""The server under examination: asks it within a budget of time, and remembers what was heard."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from evals.serve.doctor.finding import PROBLEMS, Finding, Form, Level, Measured
from scaffolds.model import Message, Reply, Served, ToolSchema
from scaffolds.openai.client import OpenAIModel
from scaffolds.openai.config import Deadlines, ModelConfig, Retries
from scaffolds.openai.dialects import cure
from scaffolds.openai.probe import ServerFacts
from scaffolds.openai.transport import sdk_client
from scaffolds.sampling import Sampling

GREETING = "This is a check by asclaimed doctor."
"""Begins every question, so that a server's log tells them from a run's."""
SECONDS = {Form.SHORT: 10.0, Form.FULL: 50.0, Form.THOROUGH: 900.0}
"""For all questions together; what would not fit is asked smaller, or left out, and the finding says so."""
LEAST_SECONDS = 1.0
"""For one question, where it is asked at all."""
WORDS = [
    "amber",
    "anchor",
    "basin",
    "beacon",
    "candle",
    "canyon",
    "copper",
    "cradle",
    "delta",
    "donkey",
    "ember",
    "engine",
    "fabric",
    "falcon",
    "garden",
    "gravel",
    "harbor",
    "hollow",
    "island",
    "jacket",
    "kettle",
    "ladder",
    "lantern",
    "magnet",
    "marble",
    "meadow",
    "needle",
    "orchard",
    "oyster",
    "pebble",
    "pepper",
    "quarry",
    "rabbit",
    "ribbon",
    "saddle",
    "shadow",
    "silver",
    "temple",
    "timber",
    "tunnel",
    "valley",
    "velvet",
    "walnut",
    "window",
    "winter",
    "yellow",
]
TOKENS_A_WORD = 1.4
"""Until the server's own counts are known."""


class Patient:
    """One examination's conversation with one server."""

    def __init__(self, config: ModelConfig, facts: ServerFacts, form: Form) -> None:
        self.facts, self.form = facts, form
        self.config = config.model_copy(
            update={
                "retries": Retries(attempts=2, seconds=10),
                "deadlines": Deadlines(first_byte=600, total=600),
            }
        )
        self.measured = Measured()
        self.tokens_a_word = TOKENS_A_WORD
        self.served: set[Served] = set()
        self.counted = False
        """Whether answers say how many tokens they took."""
        self.read = 0
        """Tokens of the longest prompt that was read to its end, with its first and last words."""
        self.reasoning_field = ""
        """The name under which it gave its thoughts; "" where it gave none."""
        self._client = sdk_client(self.config)
        self._words = random.Random()  # noqa: S311 - a prompt that no cache has seen
        self._end = time.monotonic() + SECONDS[form]

    def close(self) -> None:
        self._client.close()

    @property
    def left(self) -> float:
        """Seconds of the budget."""
        return max(0.0, self._end - time.monotonic())

    def ask(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[ToolSchema] = (),
        stream: bool = True,
        seconds: float = 60.0,
        cap: int | None = None,
        **body: Any,
    ) -> Reply:
        """One answer, with nothing of the run's sampling but its extra fields. Raises what a `Model` raises."""
        sampling = Sampling(max_tokens=cap, extra={**self.config.sampling.extra, **body})
        config = self.config.model_copy(update={"sampling": sampling, "stream": stream})
        seconds = min(seconds, max(self.left, LEAST_SECONDS))
        whole = [{"role": "system", "content": GREETING}, *messages]
        reply = OpenAIModel(config, client=self._client).complete(whole, tools=tools, seconds=seconds)
        self.served.add(reply.served)
        self.counted = self.counted or reply.usage.prompt > 0
        self.reasoning_field = next(
            (key for key in ("reasoning_content", "reasoning") if key in reply.message), self.reasoning_field
        )
        return reply

    def question(self, text: str, **options: Any) -> Reply:
        """The same, for a single message."""
        return self.ask([user(text)], **options)

    def filler(self, tokens: int) -> str:
        """New text of about so many tokens."""
        return " ".join(self._words.choices(WORDS, k=max(1, round(tokens / self.tokens_a_word))))

    def affordable(self, share: float, most: int) -> int:
        """Tokens of cold prompt that can be read in a share of the time that is left, at most `most`."""
        rate = self.measured.prefill
        return most if rate is None else min(most, int(rate * share * self.left))

    def note(self, **numbers: Any) -> None:
        self.measured = self.measured.model_copy(update=numbers)

    def problem(self, name: str, what: str, effect: str = "") -> Finding:
        """A finding with what is known of such a problem."""
        known = PROBLEMS[name]
        mends = cure(name, self.facts.dialect)
        return Finding(name=name, level=known.level, what=what, effect=effect or known.effect, cure=mends)


Check = Callable[[Patient], list[Finding]]
"""A look at one thing. May raise what a `Model` raises: then the thing was not seen."""


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def fine(name: str, what: str) -> Finding:
    return Finding(name=name, level=Level.OK, what=what)
