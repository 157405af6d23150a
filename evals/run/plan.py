"""What to run: one YAML file, or the same keys from the command line. Unknown keys are errors, not surprises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import Field, ValidationError, model_validator

from scaffolds.base import Budget, ToolCallMode
from scaffolds.openai.config import ModelConfig
from scaffolds.preset import under_plan
from tasks.errors import UserError
from tasks.sandbox import Limits
from tasks.task import Frozen


class RunPlan(Frozen):
    """Everything that decides what a run measures. Frozen in the manifest."""

    FREE: ClassVar[dict[str, Any]] = {
        "workers": True,
        "graders": True,
        "model": {"base_url", "deadlines", "retries"},
    }
    """Keys that may change on a resume: they decide where and how fast, not what."""

    tasks: str = "bundled"
    """Catalog name or path."""
    ids: tuple[str, ...] | None = None
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    seed: int | None = None
    subset: Path | None = None
    """A file that `asclaimed subset --json` printed: its tasks, in its order, with their inclusion probabilities."""
    reliable: Path | None = None
    """A list made by `asclaimed tasks check`; tasks that failed it are excluded for all scaffolds alike."""
    preset: str | None = None
    """Limits and sampling of an upstream scaffold (`scaffolds/presets/`), under the plan's own values."""
    scaffolds: tuple[str, ...] = Field(default=("bash",), min_length=1)
    attempts: int = Field(default=1, ge=1)
    model: ModelConfig | None = None
    """None suits the controls `gold` and `nop` only."""
    tool_calls: ToolCallMode = ToolCallMode.NATIVE
    budget: Budget = Field(default_factory=Budget)
    sandbox: Limits = Field(default_factory=Limits)
    grader: str = "swebench==5.0.2"
    margin: float | None = Field(default=None, gt=0, lt=100)
    """Equivalence margin in points for `verify`, fixed before the first attempt."""
    claim: str | None = None
    """A claim (id, or FILE.yaml:ID) to verify as the run goes: a scaffold whose verdict is decided at a look stops."""
    looks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of tasks after which `verify` may look before the run is complete. Tasks then run in random order."""
    workers: int = Field(default=1, ge=1)
    """Attempts at once."""
    graders: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def holds_together(self) -> RunPlan:
        if self.subset is not None and (self.ids or self.sample or self.limit):
            raise ValueError("a subset names its own tasks: leave out ids, sample and limit")
        if self.claim is not None and self.margin is None:
            raise ValueError("a claim needs a margin in points that is fixed before the run: add margin")
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError("looks are numbers of tasks in rising order")
        return self


def load_plan(path: Path | None, overrides: dict[str, Any]) -> RunPlan:
    """The plan in a YAML file (or the defaults), with the command line's values on top.

    `overrides` maps dotted keys (`budget.steps`) to values; None means "not given". Raises `UserError` in one line.
    """
    values = _read(path) if path else {}
    for dotted, value in overrides.items():
        if value is not None:
            _put(values, dotted.split("."), value)
    try:
        return RunPlan.model_validate(under_plan(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "plan"
        complaint = first["msg"].lower().removeprefix("value error, ")
        raise UserError(f"{path or 'options'}: `{where}`: {complaint}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the plan {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold keys and values, such as `tasks: bundled`")
    return values


def _put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        values[part] = inner if isinstance(inner, dict) else {}
        values = values[part]
    values[path[-1]] = value
