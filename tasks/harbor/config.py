"""`task.toml`: schemas 1.0 to 1.4 of Harbor, and the older keys that are found in the wild.

Keys that decide nothing here are passed over, as Harbor does. What asks for more than one container of ours is refused
by name: several steps, accelerators, another system, companions, a verifier with a machine of its own.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import TaskError

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
FROM_HOST = re.compile(r"\$\{?\w")
"""In an environment value: something that Harbor takes from the machine that runs it, such as a key."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Agent(Section):
    timeout_sec: float | None = Field(default=None, gt=0)
    user: str | int | None = None


class VerifierSection(Section):
    timeout_sec: float = Field(default=600.0, gt=0)
    env: dict[str, str] = Field(default_factory=dict)
    user: str | int | None = None
    environment_mode: str | None = None
    environment: dict[str, Any] | None = None


class Environment(Section):
    docker_image: str | None = None
    os: str = "linux"
    cpus: float | None = Field(default=None, gt=0)
    memory: str | None = None
    """Of schema 0.0 and 1.0: `2G`."""
    memory_mb: int | None = Field(default=None, gt=0)
    gpus: int = 0
    tpu: Any = None
    mcp_servers: list[Any] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    healthcheck: Any = None
    workdir: str | None = None
    allow_internet: bool | None = None
    """Before schema 1.3; then `network_mode`."""
    network_mode: str | None = None


class Solution(Section):
    env: dict[str, str] = Field(default_factory=dict)


class TaskConfig(Section):
    """What is used of a `task.toml`."""

    schema_version: str | None = None
    version: str | None = None
    """The schema's, under its older name."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    agent: Agent = Field(default_factory=Agent)
    verifier: VerifierSection = Field(default_factory=VerifierSection)
    environment: Environment = Field(default_factory=Environment)
    solution: Solution = Field(default_factory=Solution)
    steps: list[Any] = Field(default_factory=list)

    @property
    def memory(self) -> int | None:
        """Bytes; None where it does not say. Raises `TaskError` for what is no size."""
        if self.environment.memory_mb is not None:
            return self.environment.memory_mb << 20
        return None if self.environment.memory is None else size(self.environment.memory)

    @property
    def wants_network(self) -> bool:
        """Whether the agent would have one: that is the default of all schemas."""
        if self.environment.network_mode is not None:
            return self.environment.network_mode not in ("none", "no-network")
        return self.environment.allow_internet is not False

    @property
    def refusal(self) -> str:
        """Why asclaimed cannot run it, as far as this file says; "" when it can."""
        environment = self.environment
        wants = {
            "has several steps ([[steps]])": bool(self.steps),
            "needs a TPU": environment.tpu is not None,
            "needs a GPU": environment.gpus > 0,
            f"needs {environment.os}": environment.os.lower() != "linux",
            "needs MCP servers beside its machine": bool(environment.mcp_servers),
            "runs or verifies as another user than root": any(
                user not in (None, "root", 0, "0") for user in (self.agent.user, self.verifier.user)
            ),
            "waits for a service of its image (healthcheck)": environment.healthcheck is not None,
            "verifies in an environment of its own": self.verifier.environment is not None
            or self.verifier.environment_mode in ("separate", "isolated"),
            f"takes {', '.join(self._from_host())} from the environment of whoever runs it": bool(
                self._from_host()
            ),
        }
        return next((why for why, true in wants.items() if true), "")

    def _from_host(self) -> list[str]:
        """Variables that would come from our own environment, which nothing in a container ever sees."""
        given = {**self.environment.env, **self.verifier.env}
        return sorted(name for name, value in given.items() if FROM_HOST.search(value))


def read_config(path: Path) -> TaskConfig:
    """Raises `TaskError` naming the file and the key."""
    where = f"{path.parent.name}/{path.name}"
    try:
        return TaskConfig.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"cannot read {where}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{where}: not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise TaskError(f"{where}: `{key}`: {first['msg'].lower()}") from error


def size(text: str) -> int:
    """`2G` → bytes."""
    match = SIZE.fullmatch(text.strip())
    if not match:
        raise TaskError(f"{text!r} is no size such as 2G")
    return int(float(match[1]) * UNITS[match[2].lower()])
