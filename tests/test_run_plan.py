"""A plan says what it means, and a wrong one is refused in one line that names the key."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from evals.run.manifest import Manifest, begin_or_resume, compose
from evals.run.plan import RunPlan, load_plan, settings
from tasks.errors import UserError
from tests.served_run import make_task


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
        yield from names_of(row)


def names_of(row: str) -> Iterator[str]:
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


def defaults() -> Iterator[tuple[str, str]]:
    """Key → its default in the words of the table; of keys for which it gives one together, the first."""
    text = (Path(__file__).parents[1] / "runs/README.md").read_text()
    for row, default in re.findall(r"^\| (`.+?`) \| (.+?) \|", text, re.MULTILINE):
        if not row.startswith(("`model.", "`sandbox.")):
            yield from zip(names_of(row), default.split(", "), strict=False)


def test_a_plan_that_says_nothing_is_what_the_table_says() -> None:
    def words(value: object) -> str:
        plain = {True: "yes", False: "no", None: "–", (): "–"}
        if isinstance(value, bool | tuple | None) and value in plain:
            return plain[value]
        return f"{value:g}" if isinstance(value, int | float) else str(value)

    found = {}
    for key, default in defaults():
        value = functools.reduce(getattr, key.split("."), RunPlan())
        found[key] = words("bash" if value == ("bash",) else value), default.strip("`[]")
    assert len(found) > 25
    assert {key: pair for key, pair in found.items() if pair[0] != pair[1]} == {}


@pytest.mark.parametrize(
    ("key", "fits", "beyond"),
    [
        ("images.ahead", 0, -1),
        ("images.stall_seconds", 1, 0.9),
        ("images.stall_seconds", 1.5, 0),
        ("images.stall_seconds", 86400, 86400.5),
        ("images.mirrors", ["hub.lan:5000"], [""]),
        ("images.disk", 1, 0),
        ("margin", 99.9, 100),
        ("margin", 0.1, 0),
    ],
)
def test_a_limit_of_a_plan_is_in_force_from_the_first_value_beyond_it(
    key: str, fits: object, beyond: object
) -> None:
    assert functools.reduce(getattr, key.split("."), load_plan(None, {key: fits})) in (fits, tuple_of(fits))
    with pytest.raises(UserError, match=f"`{key.partition('.')[0]}"):
        load_plan(None, {key: beyond})


def tuple_of(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"images.evict_earlier": True}, "`images`: evict_earlier needs images.disk"),
        ({"claim": "c"}, "the plan: a claim needs a margin in points"),
        ({"subset": "s.json", "ids": ["a"]}, "the plan: a subset names its own tasks"),
        ({"subset": "s.json", "sample": 2}, "the plan: a subset names its own tasks"),
        ({"subset": "s.json", "limit": 2}, "the plan: a subset names its own tasks"),
        ({"model.model": "m"}, "`model.base_url` is missing: give --base-url"),
        ({"model.base_url": "http://h"}, "`model.model` is missing: give --set model.model=…"),
        ({"attempt": 3}, "there is no key `attempt`; did you mean 'attempts'?"),
        ({"attempts": 0}, "`attempts`: input should be greater"),
        ({"model": {"base_url": "h", "model": "m"}}, "--base-url: "),
    ],
)
def test_a_refusal_names_the_key_or_its_option(values: dict[str, object], words: str, tmp_path: Path) -> None:
    options = {"model.base_url": "--base-url"}
    with pytest.raises(UserError) as refusal:
        load_plan(None, values, options=options)
    assert str(refusal.value).startswith(words)
    path = plan_file(tmp_path, "tasks: bundled\n")
    with pytest.raises(UserError) as refusal:
        load_plan(path, values, options=options)
    assert str(refusal.value).startswith(f"{path}: {words}")


def test_what_belongs_together_is_taken_together() -> None:
    assert load_plan(None, {"claim": "c", "margin": 5}).claim == "c"
    assert load_plan(None, {"margin": 5}).claim is None
    assert load_plan(None, {"subset": "s.json"}).subset == Path("s.json")
    assert load_plan(None, {"ids": ["a"], "limit": 2, "sample": 3}).subset is None
    images = load_plan(None, {"images.evict_earlier": True, "images.disk": 5}).images
    assert (images.evict_earlier, images.disk) == (True, 5)


def test_an_option_leaves_its_neighbours_in_the_file_alone(tmp_path: Path) -> None:
    path = plan_file(tmp_path, "budget: {steps: 7}\nimages: 3\n")
    plan = load_plan(path, {"budget.seconds": 60, "images.ahead": 1, "sandbox.pids": 100})
    assert (plan.budget.steps, plan.budget.seconds, plan.images.ahead, plan.sandbox.pids) == (7, 60, 1, 100)


def test_a_setting_is_a_key_of_a_plan_and_a_value_of_yaml() -> None:
    pairs = ["budget.steps=7", "model.sampling={temperature: 0.5}", "grading.shared=[a, b]", "claim=a=b"]
    assert settings(pairs) == {
        "budget.steps": 7,
        "model.sampling": {"temperature": 0.5},
        "grading.shared": ["a", "b"],
        "claim": "a=b",
    }
    for pair, words in (
        ("budget.steps", "give KEY=VALUE"),
        ("=3", "give KEY=VALUE"),
        ("budget.step=3", "no such key; did you mean 'budget.steps'"),
        ("budge=3", "no such key"),
        ("budget.steps=[", "is no YAML value"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            settings([pair])


MODEL = {"base_url": "http://h", "model": "m"}


@pytest.mark.parametrize(
    "change",
    [
        {"accept_empty_turns": True},
        {"allow_smaller_window": True},
        {"same_server": False},
        {"workers": 3},
        {"graders": 2},
        {"images": {"ahead": 0}},
        {"model": MODEL | {"base_url": "http://elsewhere"}},
        {"model": MODEL | {"deadlines": {"silence": 5}}},
        {"model": MODEL | {"retries": {"attempts": 2}}},
    ],
    ids=lambda change: "-".join(change),
)
def test_where_and_how_fast_may_change_between_two_sessions_and_what_may_not(
    change: dict[str, object], tmp_path: Path
) -> None:
    def session(**values: object) -> Manifest:
        plan = RunPlan.model_validate({"model": MODEL, **values})
        tasks = [make_task("one")]
        fresh = compose(plan, tasks, run_id="r", server=None, base_image=None, excluded={})
        return begin_or_resume(tmp_path / "deep" / "run", fresh)

    first = session()
    assert session(**change) == first
    with pytest.raises(UserError, match="`attempts` was 1, now it is 2"):
        session(attempts=2, **change)
