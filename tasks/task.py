"""Task = Brief + Checks (or a Verifier): what a model is told, and what only the grader knows.

There are two kinds: one is answered by a patch, the other by the state in which its machine is left.

A scaffold receives a `Brief` and nothing else, so hidden tests and the gold patch cannot leak through a
careless argument: the type does not hold them. Loading tasks is `catalog`'s business, not this file's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A value that is read from or written to disk: immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Brief(Frozen):
    """All that a scaffold may see of a task."""

    task_id: str
    repo: str
    problem_statement: str
    workdir: str = "/testbed"


class Skill(Frozen):
    """Instructions that a task's machine has for agents that look for such."""

    name: str
    description: str
    """When it is of use, in the task's own words."""
    folder: str
    """Below each of the places."""


class Skills(Frozen):
    """What a task brings; empty for most."""

    skills: tuple[Skill, ...] = ()
    places: tuple[str, ...] = ()
    """Absolute paths in the image, each with all of them."""
    withheld: bool = False
    """They are taken off the machine before the agent starts, and nobody tells it of them."""


class MachineBrief(Brief):
    """The brief of a task that is about a machine and not about a repository; `repo` is then its category."""

    skills: Skills = Field(default_factory=Skills, exclude=True)
    """Left out of the task's hash, which covers their files."""

    def told_of(self) -> str:
        """Its skills in a model's words; "" where there are none, or they are withheld."""
        if self.skills.withheld or not self.skills.skills:
            return ""
        place = self.skills.places[0]
        listed = (
            f"- {one.name} ({place}/{one.folder}/SKILL.md): {one.description}" for one in self.skills.skills
        )
        return (
            "On the machine there are skills, each a folder with instructions and often scripts. Where a description "
            "fits the work, read its file first and go by it:\n\n" + "\n".join(listed) + "\n\n"
        )


class Checks(Frozen):
    """What only the grader sees of a task that is answered by a patch. Nothing in here may reach a prompt or an agent's container."""

    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]
    gold_patch: str
    test_patch: str
    eval_script: str | None = None
    """None for a SWE-bench 4 row, which carries no script; swebench 4.1.0 derives it from its specs."""
    log_parser: str | None = None
    eval_type: str = "pass_and_fail"
    row: dict[str, Any] = Field(default_factory=dict)
    """The upstream row as it was loaded, for the official grader."""


class Verifier(Frozen):
    """What only the grader sees of a task that is answered by the state of its machine: a script judges that."""

    directory: Path = Field(exclude=True)
    """Of the task; its `tests/` are delivered when the agent is gone, its `solution/` only to the control `gold`."""
    digest: str
    """sha256 over names and contents of all its files."""
    seconds: float
    """The most that the script may take."""
    env: dict[str, str] = Field(default_factory=dict)
    solution_env: dict[str, str] = Field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """What the script installs from a Python package index, as it names them."""
    tools: tuple[str, ...] = ()
    """What it installs with apt."""
    ctrf: str = ""
    """Where the script promises a report of its tests, in Common Test Report Format; "" where it promises none."""
    agent_seconds: float | None = None
    """What the benchmark gives an agent, on its clock; None = it does not say. So with the next three."""
    memory: int | None = None
    cpus: float | None = None
    wants_network: bool = False
    difficulty: str = ""
    refused: str = ""
    """Why asclaimed cannot run it, in one line; "" when it can."""


class ImageSpec(Frozen):
    """Where the task's container image comes from: a name, and a build context when we can build it."""

    reference: str
    context: Path | None = Field(default=None, exclude=True)
    """Directory with a Dockerfile; None when the image can only be present or pulled."""
    mirrors: tuple[str, ...] = Field(default=(), exclude=True)
    """Where to look first (`tasks.mirrors`): decides the way to the image, not which one it is."""
    digest: str = Field(default="", exclude=True)
    """`sha256:…` in a registry, once a run has pinned it; "" = whatever the name stands for now."""
    dockerfile: str = Field(default="Dockerfile", exclude=True)
    """In the context."""


class HealthCheck(Frozen):
    """How it is found out that a service serves. Times in seconds."""

    test: tuple[str, ...] = ()
    """As Docker has it: `CMD` and words, `CMD-SHELL` and a line of shell, or `NONE`; empty = the image's own."""
    interval: float = Field(default=30.0, gt=0)
    timeout: float = Field(default=30.0, gt=0)
    retries: int = Field(default=3, ge=1)
    start_period: float = Field(default=0.0, ge=0)


class Service(Frozen):
    """A machine of its task's beside the agent's, on the same loopback: there is no other network."""

    name: str
    image: ImageSpec
    aliases: tuple[str, ...] = ()
    """Other names for it."""
    entrypoint: tuple[str, ...] | None = None
    """None = the image's; so with the next three where they are empty."""
    command: tuple[str, ...] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    after: dict[str, str] = Field(default_factory=dict)
    """What has to be there before it → how, in compose's words (`service_healthy`)."""
    health: HealthCheck | None = None
    """None = the image's own, if it has one."""
    ends: bool = False
    """Another one waits for its end: it is no server."""
    restart: str = "no"
    tmpfs: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """Paths that get a disk of their own, which goes with the service."""


class Compose(Frozen):
    """What a task's compose file adds to the machine of its image."""

    environment: dict[str, str] = Field(default_factory=dict)
    services: tuple[Service, ...] = ()
    """Each after those that it waits for."""


class Task(Frozen):
    """One problem of one benchmark."""

    id: str
    benchmark: str
    """The catalog name it was loaded under (`bundled`, `swebench-verified`, a file's stem)."""
    image: ImageSpec
    brief: Brief
    checks: Checks | Verifier
    compose: Compose = Field(default=Compose(), exclude=True)
    """Left out of the hash, which covers a verifier's whole directory."""

    @property
    def images(self) -> tuple[ImageSpec, ...]:
        """Its own, and those of its services, each once."""
        every = (self.image, *(service.image for service in self.compose.services))
        return tuple({image.reference: image for image in every}.values())

    def with_images(self, change: Callable[[ImageSpec], ImageSpec]) -> Self:
        """The same task, same hash, whose images are had another way."""
        services = tuple(
            service.model_copy(update={"image": change(service.image)}) for service in self.compose.services
        )
        compose = self.compose.model_copy(update={"services": services})
        return self.model_copy(update={"image": change(self.image), "compose": compose})

    @property
    def patch_checks(self) -> Checks:
        """Of a task that is answered by a patch; nobody may ask another one for them."""
        assert isinstance(self.checks, Checks), f"{self.id} is not answered by a patch"
        return self.checks

    @property
    def verifier(self) -> Verifier | None:
        """Of a task that is answered by the state of its machine; None for one that is answered by a patch."""
        return self.checks if isinstance(self.checks, Verifier) else None

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other contents has another hash: pydantic would carry the cached one over."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("content_hash", None)
        return copy

    @cached_property
    def content_hash(self) -> str:
        """sha256 over everything that decides what is asked and how it is judged."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
