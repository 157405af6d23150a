"""What to ask which server, and how long to wait: plain data, dumped into the manifest (the key never is)."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from scaffolds.sampling import Sampling
from tasks.task import Frozen

NO_KEY = "none"
"""Sent where the user gave no key, so that a key in the environment never goes to a server it is not for."""


class Deadlines(Frozen):
    """Seconds. `first_byte` covers queueing and reading the prompt, which may take long on a small machine."""

    connect: float = Field(default=10, gt=0)
    first_byte: float = Field(default=1800, gt=0)
    silence: float = Field(default=300, gt=0)
    """Between two pieces of a streamed answer."""
    total: float = Field(default=3600, gt=0)


class Retries(Frozen):
    """How long the client itself tries before it says `ModelError`; the run suspends after that."""

    attempts: int = Field(default=8, ge=1)
    seconds: float = Field(default=120, ge=0)
    first_wait: float = Field(default=0.5, ge=0)
    longest_wait: float = Field(default=30, ge=0)
    """Also caps a server's `Retry-After`."""


class ModelConfig(Frozen):
    """One model behind one OpenAI-compatible base URL."""

    base_url: str
    """Up to and including the version: `http://127.0.0.1:8080/v1`; `/v1` is added where there is no path."""
    model: str
    api_key: SecretStr = Field(default=SecretStr(NO_KEY), exclude=True, repr=False)
    sampling: Sampling = Sampling()
    deadlines: Deadlines = Deadlines()
    retries: Retries = Retries()
    stream: bool = True
    """Streaming lets a stall be told from a long answer; False for servers whose streamed tool calls are broken."""

    @field_validator("base_url")
    @classmethod
    def _complete_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must look like http://host:port/v1")
        if parts.username or parts.password:
            raise ValueError("must not carry a password; it would be recorded")
        return url.rstrip("/") + ("" if parts.path.strip("/") else "/v1")

    def sampled(self, above: Sampling) -> ModelConfig:
        """With what a scaffold says itself of sampling."""
        return self.model_copy(update={"sampling": self.sampling.under(above)})

    def capped(self, tokens: int) -> ModelConfig:
        """With answers of at most so many tokens."""
        most = min(tokens, self.sampling.max_tokens or tokens)
        return self.model_copy(update={"sampling": self.sampling.model_copy(update={"max_tokens": most})})

    @property
    def root(self) -> str:
        """Where the servers' own, non-OpenAI endpoints live."""
        return self.base_url.removesuffix("/v1")
