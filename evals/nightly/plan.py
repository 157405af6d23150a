"""What a nightly watch runs and against which baseline: one YAML file. Unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from evals.run.plan import RunPlan, plan_file
from scaffolds.preset import under_plan
from tasks.errors import UserError
from tasks.task import Frozen


class NightlyPlan(Frozen):
    """What to watch; the YAML file of `asclaimed nightly`."""

    run: RunPlan
    """What one night runs."""
    baseline: Path
    """A finished run directory; several attempts a task make it sharper. Never written to."""
    nights: Path
    """Directory that gets one run directory a night."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Chance of a false alarm, over all nights and scaffolds together."""
    most_unjudged: float = Field(default=0.2, ge=0, le=1)
    """Share of tonight's attempts without a verdict above which the night counts as an infrastructure failure."""
    fresh: bool = False
    """Reuse nothing."""
    patience: float = Field(default=900, gt=0)
    """Seconds that a night waits for a model server that went away; then it ends, and can be taken up again."""

    @field_validator("run", mode="before")
    @classmethod
    def _with_preset(cls, run: Any) -> Any:
        return under_plan(run) if isinstance(run, dict) else run

    @field_validator("run")
    @classmethod
    def _whole(cls, run: RunPlan) -> RunPlan:
        if run.looks or run.claim:
            raise ValueError(
                "takes no `looks` and no `claim`: a night runs all its tasks, against its baseline"
            )
        return run


def load_nightly(path: Path, key: str | None = None) -> NightlyPlan:
    """Read the YAML file; `key` is the model server's, which need not stand in it. Raises `UserError` in one line."""
    try:
        values = yaml.safe_load(plan_file(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the nightly plan {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(
            f"{path} must hold keys and values: `run`, `baseline` and `nights`, as runs/plans/nightly.yaml"
        )
    run = values.get("run")
    if key is not None and isinstance(run, dict) and isinstance(run.get("model"), dict):
        run["model"]["api_key"] = key
    try:
        return NightlyPlan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "plan"
        raise UserError(f"{path}: `{where}`: {first['msg'].lower().removeprefix('value error, ')}") from None
