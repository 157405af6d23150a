"""Presets: they load, they name their source, and a plan's own words win over them."""

from __future__ import annotations

import pytest

from evals.run.plan import load_plan
from scaffolds.catalog import names as scaffold_names
from scaffolds.preset import left_out, load_preset, names, under_plan
from scaffolds.text import Shape
from tasks.errors import UserError


@pytest.mark.parametrize("name", names())
def test_each_preset_names_version_source_and_what_it_leaves_out(name: str) -> None:
    preset = load_preset(name)
    assert name.endswith(preset.version)
    assert preset.version in preset.source
    assert preset.scaffold in scaffold_names()
    assert preset.not_reproduced


def test_the_numbers_of_mini_swe_agent() -> None:
    assert load_preset("mini-swe-agent-2.4.6").plan_values() == {
        "scaffolds": ["bash"],
        "budget": {
            "steps": 250,
            "command_seconds": 60,
            "observation_characters": 10_000,
            "observation_shape": Shape.ENDS,
        },
    }


def test_a_plan_wins_over_its_preset_key_by_key() -> None:
    plan = {
        "preset": "swe-agent-1.1.0",
        "budget": {"steps": 9},
        "model": {"model": "m", "sampling": {"top_p": 0.5}},
    }
    assert under_plan(plan) == {
        "preset": "swe-agent-1.1.0",
        "scaffolds": ["edit"],
        "budget": {
            "steps": 9,
            "command_seconds": 30,
            "observation_characters": 100_000,
            "observation_shape": Shape.HEAD,
        },
        "model": {"model": "m", "sampling": {"temperature": 0, "top_p": 0.5}},
    }
    assert under_plan({"budget": {}}) == {"budget": {}}


def test_an_unknown_preset_is_one_line_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"mini-swe-agent-2\.4\.6"):
        load_preset("../../etc/passwd")


def test_openhands_has_its_limit_of_today() -> None:
    budget = load_preset("openhands-benchmarks-4e5469e").plan_values()["budget"]
    assert budget == {"steps": 500, "observation_characters": 30_000, "observation_shape": Shape.ENDS}


@pytest.mark.parametrize("name", names())
def test_every_number_of_a_preset_reaches_the_plan(name: str) -> None:
    """A number that nobody acts on is a promise; what cannot be kept is said instead."""
    given = load_preset(name).model_dump(
        exclude={"name", "version", "source", "scaffold", "not_reproduced", "unknown"}, exclude_none=True
    )
    plan = load_plan(None, {"preset": name, "model": {"base_url": "http://h/v1", "model": "m"}})
    assert plan.model is not None
    in_force = {**plan.budget.model_dump(), **plan.model.sampling.model_dump(), "attempts": plan.attempts}
    in_force |= {
        "cpus": plan.sandbox.cpus,
        "memory_gb": plan.sandbox.memory / 2**30,
        "task_limits": plan.task_limits,
    }
    assert {key: in_force[key] for key in given} == given


@pytest.mark.parametrize("name", names())
def test_what_is_unknown_is_not_given(name: str) -> None:
    preset = load_preset(name)
    assert [key for key in preset.unknown if getattr(preset, key) is not None] == []


def test_what_is_left_out_is_told() -> None:
    assert left_out("qwen-3.6")[-1].startswith("preset qwen-3.6 does not know upstream's steps, seconds")
    lines = left_out("mini-swe-agent-2.4.6")
    assert lines[0] == "preset mini-swe-agent-2.4.6 does not reproduce prompts, which are upstream's own"
    assert left_out(None) == []
