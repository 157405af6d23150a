"""What to run: one YAML file, or the same keys from the command line. Unknown keys are errors, not surprises."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeGuard, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from scaffolds.base import Budget, ToolCallMode
from scaffolds.catalog import name_of
from scaffolds.openai.config import ModelConfig
from scaffolds.preset import under_plan
from tasks.backend import TestLimits
from tasks.errors import UserError, near
from tasks.mirrors import parse
from tasks.sandbox import Limits
from tasks.task import Frozen


class Grading(Frozen):
    """What the tests of the official grader may use beyond the sandbox's limits."""

    network: bool = False
    """A bridge network, as swebench's own harness has it; the strict grader never has one."""
    shared: tuple[str, ...] = ()
    """Tasks about machines whose verifier runs in the agent's own machine, beside what it left running there."""
    leave_out_network_tasks: bool = False
    """Exclude, for all scaffolds alike, the tasks that are known to need a network; only where there is none."""


class Images(Frozen):
    """Where images come from, and how much room they may take."""

    mirrors: tuple[str, ...] = ()
    """Looked at first: `HOST[/PATH]` for Docker Hub's images, `PREFIX=REPLACEMENT` for those of a prefix."""
    ahead: int = Field(default=2, ge=0)
    """Images of the next tasks that are pulled while earlier ones are worked on."""
    disk: int | None = Field(default=None, ge=1)
    """Bytes that images of this run may add to Docker's disk: what it pulled goes after its last use, as room is needed."""
    evict_earlier: bool = False
    """With `disk`: images of the run's tasks that were here before it go as well, where a registry gives them again."""
    stall_seconds: float = Field(default=180.0, ge=1, le=86400)
    """Without progress, after which a pull is broken off and begun again."""

    @model_validator(mode="after")
    def hold_together(self) -> Images:
        if self.evict_earlier and self.disk is None:
            raise ValueError("evict_earlier needs images.disk: without a budget nothing is evicted")
        try:
            for text in self.mirrors:
                parse(text)
        except UserError as error:
            raise ValueError(str(error)) from None
        return self


class RunPlan(Frozen):
    """Everything that decides what a run measures. Frozen in the manifest."""

    FREE: ClassVar[dict[str, Any]] = {
        "accept_empty_turns": True,
        "allow_smaller_window": True,
        "same_server": True,
        "workers": True,
        "graders": True,
        "images": True,
        "model": {"base_url", "deadlines", "retries"},
    }
    """Keys that may change on a resume: they decide where and how fast, not what."""

    tasks: str = "bundled"
    """Catalog name or path."""
    ids: tuple[str, ...] | None = None
    limit: int | None = Field(default=None, ge=1)
    sample: int | None = Field(default=None, ge=1)
    seed: int | None = None
    pro_scripts: Path | None = None
    """For SWE-bench Pro: a checkout with the scripts that test its instances."""
    subset: Path | None = None
    """A file that `asclaimed subset --json` printed: its tasks, in its order, with their inclusion probabilities."""
    reliable: Path | None = None
    """A list made by `asclaimed tasks check`; tasks that failed it are excluded for all scaffolds alike."""
    preset: str | None = None
    """Limits and sampling of an upstream scaffold (`scaffolds/presets/`), under the plan's own values."""
    scaffolds: tuple[str, ...] = Field(default=("bash",), min_length=1)
    """Names, YAML files, and `module:Class`."""
    attempts: int = Field(default=1, ge=1)
    model: ModelConfig | None = None
    """None suits the controls `gold` and `nop` only."""
    tool_calls: ToolCallMode = ToolCallMode.NATIVE
    budget: Budget = Field(default_factory=Budget)
    sandbox: Limits = Field(default_factory=Limits)
    task_limits: bool = False
    """Time, CPUs and memory of an attempt as its task's own file has them, where it says; time is agent-active here, too."""
    skills: Literal["with", "without"] = "with"
    """Of tasks that bring some: `without` takes them off the machine before the agent starts."""
    images: Images = Field(default_factory=Images)
    grader: str = "swebench==5.0.2"
    grading: Grading = Field(default_factory=Grading)
    margin: float | None = Field(default=None, gt=0, lt=100)
    """Equivalence margin in points for `verify`, fixed before the first attempt."""
    claim: str | None = None
    """A claim (id, or FILE.yaml:ID) to verify as the run goes: a scaffold whose verdict is decided at a look stops."""
    looks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Numbers of tasks after which `verify` may look before the run is complete. Tasks then run in random order."""
    accept_empty_turns: bool = False
    """Go on where a fifth of the first 50 model calls bring neither text nor a tool call."""
    same_server: bool = True
    """Make again what was made while the server's answers bore other names, or a canary prompt was answered otherwise."""
    allow_smaller_window: bool = False
    """Go on with a server whose context is smaller than the claim's protocol has it."""
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Attempts at once; `auto` = as many as bring most tokens a second and as the server's KV cache holds."""
    graders: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Attempts graded at once; `auto` = half the cores, and one more."""

    @property
    def scaffold_names(self) -> tuple[str, ...]:
        """What each scaffold is called in the run: `scaffolds` may name files and classes."""
        return tuple(map(name_of, self.scaffolds))

    @property
    def grading_threads(self) -> int:
        """A strict verdict has two containers at a time, and attempts want the machine as well."""
        return (os.cpu_count() or 1) // 2 + 1 if self.graders == "auto" else self.graders

    @property
    def test_limits(self) -> TestLimits:
        """What the official grader's tests run with."""
        return TestLimits(container=self.sandbox, network=self.grading.network)

    @model_validator(mode="after")
    def holds_together(self) -> RunPlan:
        if self.subset is not None and (self.ids or self.sample or self.limit):
            raise ValueError("a subset names its own tasks: leave out ids, sample and limit")
        if self.claim is not None and self.margin is None:
            raise ValueError("a claim needs a margin in points that is fixed before the run: add margin")
        if list(self.looks) != sorted(set(self.looks)):
            raise ValueError("looks are numbers of tasks in rising order")
        return self


def load_plan(
    path: Path | None, overrides: Mapping[str, Any], *, options: Mapping[str, str] | None = None
) -> RunPlan:
    """The plan in a YAML file (or the defaults), with the command line's values on top.

    `overrides` maps dotted keys (`budget.steps`) to values; None means "not given". `options` maps dotted keys to the
    options that set them, for the error's words. Raises `UserError` in one line.
    """
    values = _read(path) if path else {}
    for dotted, value in overrides.items():
        if value is not None:
            _put(values, dotted.split("."), value)
    try:
        return RunPlan.model_validate(under_plan(values))
    except ValidationError as error:
        raise UserError(_complaint(error, path, options or {})) from None


def _complaint(error: ValidationError, path: Path | None, options: Mapping[str, str]) -> str:
    """The first thing that is wrong with a plan, by the name under which the user can set it."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    name = options.get(where, f"`{where}`" if where else "the plan")
    prefix = f"{path}: " if path else ""
    if first["type"] == "extra_forbidden":
        return f"{prefix}there is no key `{where}`{near(where, plan_keys())}"
    if first["type"] == "missing":
        return f"{prefix}`{where}` is missing: give {options.get(where, f'--set {where}=…')}"
    return f"{prefix}{name}: {first['msg'].lower().removeprefix('value error, ')}"


def plan_keys(model: type[BaseModel] = RunPlan, above: str = "") -> list[str]:
    """All keys that a plan may have, dotted."""
    keys = []
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)]
        keys += plan_keys(inner[0], f"{above}{name}.") if inner else [above + name]
    return keys


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` for any dotted key of a plan, the value as YAML has it. Raises `UserError`."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set {pair}: give KEY=VALUE, such as --set budget.seconds=600")
        if key not in plan_keys() and not any(known.startswith(f"{key}.") for known in plan_keys()):
            raise UserError(f"--set {key}: a plan has no such key{near(key, plan_keys())}")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise UserError(f"--set {pair}: {value!r} is no YAML value") from None
    return found


PLANS = Path("runs/plans")
"""Where the checkout has its plans; an installed asclaimed has them as `evals/plans/`."""


def plan_file(path: Path) -> Path:
    """The file itself, or the plan of that name that travels with asclaimed where `runs/plans/NAME` is not here."""
    if path.parent != PLANS or path.exists():
        return path
    package = Path(__file__).parents[1]
    homes = (package / "plans", package.parent / PLANS)
    return next((home / path.name for home in homes if (home / path.name).exists()), path)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(plan_file(path).read_text(encoding="utf-8"))
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
