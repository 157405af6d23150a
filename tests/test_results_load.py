"""A run directory read as results: what was in force, in the words of a claim, and how its tasks were drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from evals.claims.claim import Protocol
from evals.record import AttemptKey, Outcome
from evals.results.load import from_run_dir, from_run_dirs, labelled
from evals.results.table import Drawn, Results, System
from evals.run.conditions import Given
from evals.run.manifest import Elsewhere, Manifest, load
from tasks.errors import UserError
from tests.runs_on_disk import write_run


def solved(_: AttemptKey) -> Outcome | None:
    return Outcome.RESOLVED


def undone(_: AttemptKey) -> Outcome | None:
    return None


def with_manifest(run: Path, **facts: object) -> Path:
    changed = load(run).model_copy(update=facts)
    (run / "manifest.json").write_text(Manifest.model_validate(changed).model_dump_json())
    return run


def read(where: Path, **plan: object) -> Results:
    return from_run_dir(write_run(where / "run", solved, scaffolds=("bash",), tasks=4, **plan))


@pytest.mark.parametrize(
    ("plan", "drawn"),
    [({}, Drawn.WHOLE), ({"sample": 4}, Drawn.SAMPLE), ({"limit": 4}, Drawn.CHOSEN), ({"ids": ("t0",)}, Drawn.CHOSEN)],
)  # fmt: skip
def test_how_the_tasks_of_a_run_were_drawn(tmp_path: Path, plan: dict[str, object], drawn: Drawn) -> None:
    assert read(tmp_path, **plan).drawn is drawn


def test_a_margin_is_a_fraction_and_none_where_none_was_fixed(tmp_path: Path) -> None:
    assert read(tmp_path / "a").margin is None
    assert read(tmp_path / "b", margin=5).margin == 0.05


def test_what_was_in_force_in_the_words_of_a_claim(tmp_path: Path) -> None:
    """A sampling key of the plan goes before the server's default; the clock and the machine are the plan's."""
    budget, sampling = {"steps": 70, "seconds": 900}, {"temperature": 0.6, "top_k": 20, "max_tokens": 4096}
    found = read(
        tmp_path,
        attempts=2,
        budget=budget,
        model={"base_url": "http://h/v1", "model": "Qwen3.6-27B", "sampling": sampling},
    )
    assert (found.benchmark, found.planned, found.systems) == (
        "swe-bench-verified", 4, (System("Qwen3.6-27B", "bash"),),
    )  # fmt: skip
    said = found.protocol
    assert (said.temperature, said.top_p, said.top_k, said.max_output_tokens) == (0.6, 0.95, 20, 4096)
    assert (said.turn_limit, said.time_limit_seconds, said.runs) == (70, 900.0, 2)
    assert (said.context_window, said.quantization, said.grader) == (200_000, "Q4_K_M", "swebench==5.0.2")
    assert (said.excluded, said.skills, said.grading_network) == (None, None, "off")
    assert said.resources is not None
    assert "GB" in said.resources


def test_a_key_that_nobody_set_is_unknown(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", undone, scaffolds=("bash",), tasks=4, model=None, grading={"network": True}
    )
    said = from_run_dir(with_manifest(run, server=None, excluded={"t1": "gold fails"})).protocol
    assert said == Protocol(
        turn_limit=said.turn_limit, time_limit_seconds=said.time_limit_seconds, resources=said.resources, runs=1,
        excluded="1 tasks that cannot be graded here", grader=load(run).plan.grader, grading_network="on",
    )  # fmt: skip


def test_what_tasks_bring_of_their_own_is_called_theirs(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", undone, scaffolds=("bash",), tasks=4, task_limits=True, skills="with")
    tasks = tuple(task.model_copy(update={"given": Given(seconds=60, skills=1)}) for task in load(run).tasks)
    said = from_run_dir(with_manifest(run, tasks=tasks)).protocol
    assert (said.time_limit_seconds, said.resources, said.skills) == (None, "each task's own", "with")
    assert said.grader is not None
    assert said.grader.startswith("each task's own (")
    mixed = (tasks[0], *(task.model_copy(update={"given": None}) for task in tasks[1:]))
    part = from_run_dir(with_manifest(run, tasks=mixed)).protocol
    assert (part.skills, part.grader) == ("with", load(run).plan.grader)


@pytest.mark.parametrize(("judged", "network"), [(True, None), (False, "off")])
def test_of_a_run_made_elsewhere_only_its_grading_is_ours(
    tmp_path: Path, *, judged: bool, network: str | None
) -> None:
    run = write_run(tmp_path / "run", solved, scaffolds=("bash",), tasks=4, attempts=3)
    found = from_run_dir(with_manifest(run, made_elsewhere=Elsewhere(source="a list", judged=judged)))
    assert found.protocol == Protocol(runs=3, grader=load(run).plan.grader, grading_network=network)
    assert found.systems == (System("unknown", "bash"),)


def test_runs_are_told_apart_by_their_directories(tmp_path: Path) -> None:
    one, two = (write_run(tmp_path / name, solved, scaffolds=("bash",), tasks=2) for name in ("a", "b"))
    assert labelled([one, two]).systems == (System("a", "bash"), System("b", "bash"))
    assert {row.attempt for row in from_run_dirs([one, two]).rows} == {1, 2}
    with pytest.raises(UserError, match="have the same name"):
        labelled([one, write_run(tmp_path / "deep" / "a", solved, tasks=2)])
    with pytest.raises(UserError, match="the same run as"):
        from_run_dirs([one, one])
