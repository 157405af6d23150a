"""Subsets: what was asked for, reproducibly, in the benchmark's order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import catalog, selection
from tasks.errors import TaskError, UserError
from tasks.task import Brief, Checks, ImageSpec, Task


def make(repo: str, number: int) -> Task:
    name = f"{repo}-{number}"
    return Task(
        id=name,
        benchmark="made-up",
        image=ImageSpec(reference="none"),
        brief=Brief(task_id=name, repo=repo, problem_statement="?"),
        checks=Checks(fail_to_pass=(), pass_to_pass=(), gold_patch="", test_patch=""),
    )


MANY = [
    make(repo, number) for repo, size in (("big", 60), ("mid", 30), ("tiny", 10)) for number in range(size)
]


def ids(tasks: list[Task]) -> list[str]:
    return [task.id for task in tasks]


def test_ids_come_in_the_order_of_the_benchmark() -> None:
    assert ids(selection.select(MANY, ids=["tiny-3", "big-2", "tiny-3"])) == ["big-2", "tiny-3"]


def test_unknown_ids_are_listed() -> None:
    with pytest.raises(UserError, match="no such task ids: big-99, nobody"):
        selection.select(MANY, ids=["nobody", "big-2", "big-99"])


@pytest.mark.parametrize(("given", "meant"), [("midd-7", "mid-7"), ("TINY-1", "tiny-1"), ("g-59", "big-59")])
def test_the_id_that_was_probably_meant_is_suggested(given: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"no such task ids: {given} \(did you mean .*\b{meant}\b"):
        selection.select(MANY, ids=[given])


def test_limit_comes_last() -> None:
    assert ids(selection.select(MANY, ids=["big-5", "mid-1", "mid-2"], limit=2)) == ["big-5", "mid-1"]
    assert len(selection.select(MANY, sample=50, limit=7)) == 7


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"sample": 0}, {"sample": -3}, {"sample": 101}])
def test_impossible_sizes(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=rf"--{next(iter(wrong))}"):
        selection.select(MANY, **wrong)


def test_sample_is_in_proportion() -> None:
    sample = selection.stratified(MANY, 10, seed=3)
    assert Counter(task.brief.repo for task in sample) == {"big": 6, "mid": 3, "tiny": 1}
    assert ids(sample) == [task.id for task in MANY if task in sample]


def test_seed_decides_and_row_order_does_not() -> None:
    sample = selection.stratified(MANY, 20, seed=1)
    assert ids(sample) == ids(selection.stratified(MANY, 20, seed=1))
    assert set(ids(sample)) == set(ids(selection.stratified(MANY[::-1], 20, seed=1)))
    assert ids(sample) != ids(selection.stratified(MANY, 20, seed=2))


def test_seed_not_given_is_seed_zero() -> None:
    assert ids(selection.select(MANY, sample=20)) == ids(selection.select(MANY, sample=20, seed=0))


def test_sample_of_everything_is_everything() -> None:
    assert selection.stratified(MANY, len(MANY), seed=9) == MANY


def test_every_task_gets_its_turn() -> None:
    """1,000 seeds, 10 of 100 tasks: each is drawn about 100 times (standard deviation below 10)."""
    drawn = Counter(task.id for seed in range(1000) for task in selection.stratified(MANY, 10, seed))
    assert set(drawn) == set(ids(MANY))
    assert 50 < min(drawn.values()) <= max(drawn.values()) < 150


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 400), min_size=1), st.floats(0, 1))
def test_allocation_sums_and_keeps_quota(sizes: dict[str, int], share: float) -> None:
    total = round(share * sum(sizes.values()))
    seats = selection.allocate(sizes, total)
    assert sum(seats.values()) == total
    for name, size in sizes.items():
        quota = total * size / sum(sizes.values())
        assert 0 <= seats[name] <= size
        assert abs(seats[name] - quota) < 1 + 1e-9


def test_largest_remainder_by_hand() -> None:
    assert selection.allocate({"a": 5, "b": 3, "c": 1}, 4) == {"a": 2, "b": 1, "c": 1}  # 2.22 1.33 0.44
    assert selection.allocate({"a": 1, "b": 1, "c": 1}, 2) == {"a": 1, "b": 1, "c": 0}  # ties: first by name


def test_duplicates() -> None:
    with pytest.raises(TaskError, match="x: these ids occur more than once: big-0"):
        selection.reject_duplicates([*MANY, MANY[0]], "x")


def test_ids_from_text_and_file(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("# chosen by hand\nbig-1, mid-2\n\n  tiny-3\n")
    assert selection.read_ids("big-1,mid-2") == ["big-1", "mid-2"]
    assert selection.read_ids(f"@{tmp_path / 'ids'}") == ["big-1", "mid-2", "tiny-3"]


@pytest.mark.parametrize("text", ["", " , ", "@/nowhere/at/all"])
def test_no_ids(text: str) -> None:
    with pytest.raises(UserError):
        selection.read_ids(text)


def test_verified_sample(shared_data: Path) -> None:
    tasks = catalog.load(str(shared_data / "swebench_verified_500.jsonl"), sample=50, seed=1)
    counts = Counter(task.brief.repo for task in tasks)
    assert counts.total() == 50
    assert counts["django/django"] == 23  # 231 of 500: quota 23.1
    assert counts["sympy/sympy"] == 8  # 75 of 500: quota 7.5, among the largest remainders
