"""How a server draws its answers: what a plan asks for, and what a scaffold asks for on top."""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field

from tasks.task import Frozen

SERVERS = "the server's"


class Sampling(Frozen):
    """Passed through to the server as it stands. None = not sent: the server's own default rules."""

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    """Anything else for the body: `chat_template_kwargs`, `reasoning_effort`, …"""

    def body(self) -> dict[str, Any]:
        own = self.model_dump(exclude={"extra"}, exclude_none=True)
        return {**own, **self.extra}

    def under(self, above: Sampling) -> Sampling:
        """With what `above` says itself on top, key by key."""
        own = above.model_dump(exclude={"extra"}, exclude_none=True)
        return self.model_copy(update={**own, "extra": {**self.extra, **above.extra}})

    @property
    def words(self) -> str:
        """Such as `temperature 0.6, top_p 0.95`."""
        said = [
            f"{key} {value:g}" if isinstance(value, float) else f"{key} {json.dumps(value)}"
            for key, value in self.body().items()
        ]
        return ", ".join(said) or SERVERS


UNSAID = Sampling()
