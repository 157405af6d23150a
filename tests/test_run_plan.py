"""A plan says what it means, and a wrong one is refused in one line that names the key."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from evals.run.plan import RunPlan, load_plan
from tasks.errors import UserError


def plan_file(directory: Path, text: str) -> Path:
    path = directory / "plan.yaml"
    path.write_text(text)
    return path


def test_options_go_on_top_of_the_file(tmp_path: Path) -> None:
    path = plan_file(tmp_path, "tasks: bundled\nattempts: 3\nmodel: {base_url: http://h:1, model: m}\n")
    plan = load_plan(
        path, {"attempts": 5, "model.sampling.temperature": 0.7, "limit": None, "budget.steps": 9}
    )
    assert (plan.attempts, plan.limit, plan.budget.steps) == (5, None, 9)
    assert plan.model is not None
    assert (plan.model.base_url, plan.model.model, plan.model.sampling.temperature) == (
        "http://h:1/v1",
        "m",
        0.7,
    )


def test_a_preset_fills_what_the_plan_leaves_open(tmp_path: Path) -> None:
    plan = load_plan(plan_file(tmp_path, "preset: mini-swe-agent-2.4.6\nbudget: {steps: 7}\n"), {})
    assert plan.scaffolds == ("bash",)
    assert plan.budget.steps == 7


def test_the_key_never_reaches_what_is_recorded() -> None:
    plan = load_plan(None, {"model.base_url": "http://h:1", "model.model": "m", "model.api_key": "sk-secret"})
    assert "sk-secret" not in plan.model_dump_json()
    assert "sk-secret" not in repr(plan)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("attempt: 3\n", "attempt"),
        ("attempts: 0\n", "attempts"),
        ("budget: {steps: many}\n", "budget.steps"),
        ("tool_calls: magic\n", "tool_calls"),
        ("preset: nobody\n", "nobody"),
        ("- a\n", "keys and values"),
        ("a: [\n", "not valid YAML"),
        ("model: {base_url: localhost, model: m}\n", "model.base_url"),
    ],
)
def test_a_wrong_plan_is_refused_in_one_line(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UserError, match=named) as refusal:
        load_plan(plan_file(tmp_path, text), {})
    assert "\n" not in str(refusal.value)


def test_a_plan_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the plan"):
        load_plan(tmp_path / "none.yaml", {})


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = typing.get_args(field.annotation) or (field.annotation,)
        inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
        yield from keys_of(inner, f"{prefix}{name}.") if inner else (f"{prefix}{name}",)


def documented() -> Iterator[str]:
    """The first column of the table of keys; `.tokens` after `budget.steps` is `budget.tokens`."""
    text = (Path(__file__).parents[1] / "runs/README.md").read_text()
    for row in re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE):
        last = ""
        for name in re.findall(r"`([\w.]+)`", row):
            last = last.rpartition(".")[0] + name if name.startswith(".") else name
            yield last


def test_every_key_of_a_plan_is_documented_and_nothing_else() -> None:
    assert sorted(documented()) == sorted(keys_of(RunPlan))


def test_graders_are_half_the_cores_and_one_unless_a_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(**given: object) -> int:
        return load_plan(None, {"tasks": "verified", "scaffolds": ["gold"], **given}).grading_threads

    for cores, graders in ((1, 1), (2, 2), (16, 9), (None, 1)):
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        assert threads() == threads(graders="auto") == graders
    assert threads(graders=3) == 3
    with pytest.raises(UserError):
        threads(graders="all")
