"""The one door for others' JSON: what comes through can be written and read again, and all else is one clear error."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from evals.imports.batch import read_json
from evals.imports.detect import read
from evals.imports.predictions import read_predictions
from evals.stats import results
from tasks import rows
from tasks.errors import TaskError, UserError
from tasks.untrusted import DEEPEST, clean, fit, loads
from tests.test_architecture import modules

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


class Kept(BaseModel):
    value: object


@given(VALUES)
def test_what_comes_through_is_written_and_read_by_json_and_pydantic(value: Any) -> None:
    found = loads(json.dumps(value))
    assert json.loads(json.dumps(found, ensure_ascii=False).encode()) == found
    assert Kept.model_validate_json(Kept(value=found).model_dump_json()) is not None


@given(TEXT)
def test_clean_text_is_utf8_and_sound_text_stays(text: str) -> None:
    clean(text).encode()
    sound = text.encode("utf-8", "replace").decode()
    assert clean(sound) == sound


def test_halves_of_a_character_are_joined() -> None:
    assert clean("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
    assert loads('{"\\ud800": ["\\udfff"]}') == {"\ufffd": ["\ufffd"]}


@pytest.mark.parametrize("depth", [DEEPEST + 1, 900, 5000, 200_000])
@pytest.mark.parametrize("form", ["[{}]", '{{"a":{}}}'])
def test_deep_nesting_is_a_value_error(depth: int, form: str) -> None:
    opening, closing = form.format("|").split("|")
    with pytest.raises(ValueError, match="deep"):
        loads(opening.replace("{{", "{") * depth + "1" + closing.replace("}}", "}") * depth)


def test_shallow_nesting_is_not() -> None:
    inside = "[" * (DEEPEST - 1) + "]" * (DEEPEST - 1)
    assert json.dumps(loads(inside)) == inside
    wide: list[Any] = [[]] * 1000
    assert fit(wide) is wide


DEEP = "[" * 5000 + "]" * 5000
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "predictions": ("p.json", read_predictions),
    "lines of predictions": ("p.jsonl", read_predictions),
    "a report": ("r.json", read_json),
    "whatever it is": ("x.json", lambda path: read("auto", path)),
    "estimates": ("e.json", results.read_json),
    "tasks": ("t.json", lambda path: list(rows.from_file(path))),
    "lines of tasks": ("t.jsonl", lambda path: list(rows.from_file(path))),
}


@pytest.mark.parametrize("text", [DEEP, "[" * 900 + "]" * 900, DEEP[:5000]], ids=["deep", "900", "torn"])
@pytest.mark.parametrize("name", READERS)
def test_a_file_nested_too_deeply_is_one_line(name: str, text: str, tmp_path: Path) -> None:
    file, reader = READERS[name]
    (tmp_path / file).write_text(text)
    with pytest.raises((UserError, TaskError)) as caught:
        reader(tmp_path / file)
    assert "\n" not in str(caught.value)


def test_nothing_is_split_where_only_unicode_ends_a_line() -> None:
    """`str.splitlines` ends lines at U+2028, U+0085 and form feeds, which JSON and sources may hold inside of one."""
    users = [
        f"{name}:{node.lineno}"
        for name, file in modules().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "splitlines"
    ]
    assert users == []
