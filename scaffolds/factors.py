"""A scaffold as a point in a small space: each key is one factor, and two scaffolds may differ in a single one.

A YAML file holds the keys below; what it leaves out is the default, or, after `like: NAME`, what NAME has. Limits,
sampling and call format that a scaffold leaves open are the plan's. Not covered: words, which the parts have themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from scaffolds.answers import AnswerFormat
from scaffolds.base import Budget, Settings, ToolCallMode
from scaffolds.history import History
from scaffolds.opening import Prompt
from scaffolds.sampling import UNSAID, Sampling
from scaffolds.submit import SubmitProtocol
from scaffolds.text import Clip, Shape
from scaffolds.toolsets import TOOLSETS, made
from tasks.errors import near
from tasks.task import Frozen

LIMITS = ("steps", "command_seconds", "observation_characters", "observation_lines", "observation_shape")
"""Keys of a scaffold that go into an attempt's budget."""


class Agency(StrEnum):
    """Who decides what comes next."""

    LOOP = "loop"
    """The model, call by call, until it submits."""
    REVIEW = "review"
    """Likewise; its first submission is answered with its own change, to be read once more."""
    CRITIC = "critic"
    """Likewise; a second conversation judges each submission and may have it all done anew."""
    ONESHOT = "oneshot"
    """One answer, written as it stands."""
    LOCALIZE = "localize"
    """Files are named, several repairs drawn, one chosen by the repository's own tests."""

    @property
    def has_tools(self) -> bool:
        return self not in (Agency.ONESHOT, Agency.LOCALIZE)


class Factors(Frozen):
    """What one scaffold consists of. None = as the plan says."""

    about: str = ""
    """One line for people; no factor."""
    agency: Agency = Agency.LOOP
    prompt: Prompt = Prompt.PLAIN
    tools: tuple[str, ...] = ()
    """Sets of tools, in order (`scaffolds/toolsets.py`)."""
    answer: AnswerFormat = AnswerFormat.WHOLE_FILES
    """Where there are no tools: what the model writes."""
    calls: ToolCallMode | None = None
    """How tool calls travel."""
    history: History = History.ALL
    submit: SubmitProtocol = SubmitProtocol.TOOL
    reminders: int = Field(default=2, ge=0)
    """Answers in a row without a call that are met with a reminder."""
    steps_left: bool = False
    """Whether the model is told how many steps are left."""
    steps: int | None = Field(default=None, ge=1)
    command_seconds: float | None = Field(default=None, gt=0)
    observation_characters: int | None = Field(default=None, ge=100)
    observation_lines: int | None = Field(default=None, ge=2)
    observation_shape: Shape | None = None
    """Which part of a command's long output is shown."""
    sampling: Sampling = Sampling()
    """Temperature and the like; what is left out is the plan's."""

    @field_validator("tools")
    @classmethod
    def _known(cls, tools: tuple[str, ...]) -> tuple[str, ...]:
        for name in tools:
            if name not in TOOLSETS:
                raise ValueError(
                    f"there is no set of tools {name!r}; there are {', '.join(TOOLSETS)}{near(name, TOOLSETS)}"
                )
        made(tools, Clip(), submit=False)
        return tools

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.agency.has_tools and not self.tools:
            raise ValueError(f"agency {self.agency} needs tools, such as [bash]")
        if not self.agency.has_tools and self.tools:
            raise ValueError(f"agency {self.agency} has no tools: leave them out")
        if self.agency.has_tools and self.answer is not AnswerFormat.WHOLE_FILES:
            raise ValueError(f"agency {self.agency} changes files with its tools: leave out `answer`")
        if self.submit is SubmitProtocol.MARKER and "bash" not in self.tools:
            raise ValueError("submit marker needs the tool bash, which prints it")
        return self

    def under(self, settings: Settings) -> Settings:
        """The plan's settings with what this scaffold says itself on top."""
        own = {name: value for name, value in self._limits() if value is not None}
        budget = settings.budget.model_copy(update=own)
        return replace(settings, budget=budget, tool_calls=self.calls or settings.tool_calls)

    def _limits(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in LIMITS]

    @property
    def own_protocol(self) -> dict[str, float]:
        """What it sets itself of the points of a claim's protocol, by a claim's names."""
        given = {
            "turn_limit": self.steps,
            "temperature": self.sampling.temperature,
            "top_p": self.sampling.top_p,
            "top_k": self.sampling.top_k,
            "max_output_tokens": self.sampling.max_tokens,
        }
        return {key: value for key, value in given.items() if value is not None}

    def in_force(self, budget: Budget, calls: ToolCallMode, sampling: Sampling = UNSAID) -> dict[str, str]:
        """Each factor as a run has it, in words: what a table shows and a comparison compares."""
        settings = self.under(Settings(budget=budget, tool_calls=calls))
        untooled = {"answer": self.answer}
        tooled = {
            "prompt": self.prompt,
            "tools": " + ".join(self.tools),
            "calls": settings.tool_calls,
            "history": self.history,
            "submit": self.submit,
            "reminders": str(self.reminders),
            "steps left": "told" if self.steps_left else "not told",
            "observation": settings.budget.clip.words,
        }
        return {
            "agency": str(self.agency),
            **{key: str(value) for key, value in (tooled if self.agency.has_tools else untooled).items()},
            "steps": str(settings.budget.steps),
            "command": f"{settings.budget.command_seconds:g} s",
            "sampling": sampling.under(self.sampling).words,
        }


def difference(first: Mapping[str, str], second: Mapping[str, str]) -> list[str]:
    """The factors in which two scaffolds differ, a line each. What only one of them has follows from another factor."""
    return [
        f"{key}: {first[key]} → {second[key]}" for key in first if key in second and first[key] != second[key]
    ]
