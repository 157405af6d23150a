"""Numbers of upstream scaffolds, or of a vendor's protocol, with version and source: limits and sampling, never prompts.

A plan says `preset: mini-swe-agent-2.4.6`; what the plan itself says wins. A preset makes a run comparable in its
limits only: `not_reproduced` lists what still differs and belongs into the report.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from scaffolds.text import Shape
from tasks.errors import UserError
from tasks.task import Frozen

FOLDER = files("scaffolds") / "presets"


class Preset(Frozen):
    """One upstream scaffold at one version. None = upstream sets no such limit, or leaves it to the server."""

    name: str
    version: str
    source: str
    scaffold: str
    """The one of ours that comes closest."""
    steps: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    command_seconds: float | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    attempts: int | None = Field(default=None, ge=1)
    cpus: float | None = Field(default=None, gt=0)
    """Of each sandbox; so `memory_gb`, in 2^30 bytes."""
    memory_gb: float | None = Field(default=None, gt=0)
    task_limits: bool | None = None
    """Time, CPUs and memory are each task's own."""
    observation_characters: int | None = Field(default=None, ge=100)
    observation_lines: int | None = Field(default=None, ge=2)
    observation_shape: Shape | None = None
    unknown: tuple[
        Literal[
            "steps",
            "seconds",
            "command_seconds",
            "temperature",
            "top_p",
            "observation_characters",
            "observation_shape",
        ],
        ...,
    ] = ()
    """What upstream does not publish, or nobody has looked up: the plan's own value is in force."""
    not_reproduced: tuple[str, ...]
    """For readers: printed when a run starts, and part of its report."""

    def plan_values(self) -> dict[str, Any]:
        """The plan's keys that this preset fills, nested as in a plan's YAML."""
        budget = {
            "steps": self.steps,
            "seconds": self.seconds,
            "command_seconds": self.command_seconds,
            "observation_characters": self.observation_characters,
            "observation_lines": self.observation_lines,
            "observation_shape": self.observation_shape,
        }
        sampling = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}
        memory = None if self.memory_gb is None else int(self.memory_gb * 2**30)
        values: dict[str, Any] = {"scaffolds": [self.scaffold], "budget": _given(budget)}
        values |= _given({"attempts": self.attempts, "task_limits": self.task_limits})
        if sandbox := _given({"cpus": self.cpus, "memory": memory}):
            values["sandbox"] = sandbox
        if given := _given(sampling):
            values["model"] = {"sampling": given}
        return values


def names() -> list[str]:
    """Every preset that travels with the package."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in FOLDER.iterdir() if entry.name.endswith(".yaml")
    )


def load_preset(name: str) -> Preset:
    """Raises `UserError` for an unknown name or a broken file."""
    if name not in names():
        raise UserError(f"there is no preset {name!r}; there are: {', '.join(names())}")
    try:
        values = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        return Preset(name=name, **values)
    except (yaml.YAMLError, ValidationError, TypeError) as error:
        raise UserError(f"the preset {name} is broken: {' '.join(str(error).split())[:300]}") from None


def left_out(name: str | None) -> list[str]:
    """What of a preset is not reproduced, a line each, for people; nothing of one that is not shipped any more."""
    if name not in names():
        return []
    preset = load_preset(str(name))
    unknown = (
        [f"preset {name} does not know upstream's {', '.join(preset.unknown)}"] if preset.unknown else []
    )
    return [f"preset {name} does not reproduce {line}" for line in preset.not_reproduced] + unknown


def under_plan(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan's values with its preset's underneath. A plan without `preset` comes back as it is."""
    if plan.get("preset") is None:
        return plan
    values = load_preset(str(plan["preset"])).plan_values()
    if plan.get("model") is None:
        values.pop("model", None)  # a plan without a server runs controls only
    return _merge(values, plan)


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = _merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
