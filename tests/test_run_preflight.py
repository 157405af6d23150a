"""What cannot work is refused in one line before the first attempt; the rest is said in a few."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.claims.catalog import shipped
from evals.commands import preflight
from evals.commands.preflight import window_lines
from evals.commands.run import retry_hint
from evals.commands.server import examined, probe_server
from evals.grade.official import DEFAULT
from evals.grade.regrade import to_grade
from evals.grade.store import KeptRun
from evals.imports.predictions import Prediction, record_predictions
from evals.run.manifest import compose
from evals.run.plan import RunPlan
from evals.run.plan_tasks import load_tasks
from scaffolds.base import Budget, ToolCallMode
from scaffolds.openai.config import ModelConfig
from tasks.backend import RunResult, quiet
from tasks.docker.availability import ImageAvailability, ImageState
from tasks.errors import MachineError, UserError
from tests.fakes.faulty_answers import Fault
from tests.fakes.faulty_server import FaultyServer
from tests.test_run import TASKS

MODEL = ModelConfig(base_url="http://127.0.0.1:1/v1", model="m")


def image(name: str, state: ImageState, **facts: object) -> ImageAvailability:
    return ImageAvailability(name, state, **facts)._replace(reason=f"{name} is {state}")  # type: ignore[arg-type]


def found(*images: ImageAvailability) -> dict[str, ImageAvailability]:
    return {one.reference: one for one in images}


def test_a_grader_that_cannot_be_had_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("UV_OFFLINE", "1")
    installer = tmp_path / "uv"
    installer.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for words, why in (
        ("echo there is no such version >&2", "there is no such version"),
        (":", "no message"),
    ):
        installer.write_text(f"#!/bin/sh\n{words}\nexit 1\n")
        with pytest.raises(MachineError, match=rf"cannot install swebench==9\.9\.9, .*: {why}$"):
            preflight.check_graders("swebench==9.9.9", TASKS[:1], quiet)


def test_a_run_none_of_whose_images_can_be_had_is_refused() -> None:
    missing = found(image("a", ImageState.MISSING), image("b", ImageState.MISSING))
    with pytest.raises(MachineError, match="no task has an image that can be had: a is missing"):
        preflight.check_images(missing)
    preflight.check_images(found(image("a", ImageState.MISSING), image("b", ImageState.UNKNOWN)))


def test_a_run_for_another_processor_is_refused() -> None:
    with pytest.raises(MachineError, match="processor: a is for s390x"):
        preflight.check_images(found(image("a", ImageState.PRESENT, architecture="s390x", runs_here=False)))


def test_what_will_not_be_judged_is_said_and_named() -> None:
    lines = list(
        preflight.image_lines(
            found(
                image("a", ImageState.PRESENT),
                image("b", ImageState.MISSING),
                image("c", ImageState.PULLABLE, architecture="s390x", runs_here=False),
                image("d", ImageState.UNKNOWN),
                image("e", ImageState.PRESENT, architecture="amd64", emulated=True),
            )
        )
    )
    assert lines == [
        "images: 2 here, 1 to be pulled, 1 not to be had, 1 to be pulled, if a registry has them",
        "NOT TO BE JUDGED: b is missing",
        "WRONG PROCESSOR: image c is for s390x, which this machine does not run",
        "the registry does not answer for now: d is unknown",
        "EMULATED: 1 images are for another processor (amd64): slow, and tests may fail by it",
    ]


def test_hours_and_slots() -> None:
    plan = RunPlan(model=MODEL, workers=4, budget=Budget(seconds=1800))
    assert preflight.hours_line(plan, 100) == (
        "attempts: 100, 4 at once; at most 12.5 h, if each takes its 30 min"
    )
    short = plan.model_copy(update={"budget": Budget(seconds=25)})
    assert preflight.hours_line(short, 36).endswith("at most 0.1 h, if each takes its 25 s")
    lines = list(preflight.server_lines(plan, {"dialect": "llama-server", "window": 4096, "slots": 1}))
    assert lines == [
        "server: llama-server at http://127.0.0.1:1/v1, window 4096, slots 1",
        "the server works on 1 at once, so 3 of 4 attempts wait for it",
    ]


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*file/run: Not a directory"):
        preflight.check_writable(tmp_path / "file" / "run")


@pytest.mark.docker
@pytest.mark.usefixtures("docker_daemon")
def test_a_run_that_can_work_gets_three_lines(tmp_path: Path) -> None:
    plan = RunPlan(limit=2, scaffolds=("gold", "nop"))
    tasks = load_tasks(plan)
    manifest = compose(plan, tasks, run_id="r", server=None, base_image=None, excluded={})
    lines = preflight.preflight(manifest, tasks, tmp_path / "run", quiet, grade=True)
    assert [line.split(":")[0] for line in lines] == ["images", "disk", "attempts"]
    assert lines[2] == "attempts: 4, as many at once as suit the server"


def test_grading_none_of_whose_images_can_be_had_is_refused_and_what_was_tested_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = RunPlan(limit=1)
    tasks = {task.id: task for task in load_tasks(plan)}
    ((task_id, task),) = tasks.items()
    record_predictions(tmp_path / "run", [Prediction(task_id, "m", b"a patch")], plan, list(tasks.values()))
    keys, _ = to_grade(tmp_path / "run", again=False)
    missing = found(image(task.image.reference, ImageState.MISSING))
    monkeypatch.setattr(preflight, "availability", lambda *_, **__: missing)  # stands for the registry
    with pytest.raises(MachineError, match="no task has an image that can be had"):
        preflight.grading_lines(tmp_path / "run", keys, tasks, DEFAULT, quiet)
    tested = RunResult(True, 0, False, b"log", {}, 1.0, applied_by="git apply --verbose", log_bytes=3)
    KeptRun.of("key", "image", tested).save(keys[0].directory(tmp_path / "run"))
    assert preflight.grading_lines(tmp_path / "run", keys, tasks, DEFAULT, quiet) == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_daemon")
def test_a_disk_that_is_far_too_small_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.docker.space.free_bytes", lambda: 1000)
    tasks = load_tasks(RunPlan(limit=1))
    here = found(image(tasks[0].image.reference, ImageState.PULLABLE))
    with pytest.raises(MachineError, match="not enough disk: about"):
        list(preflight.disk_lines(tasks, here))


def test_the_end_of_a_run_names_the_way_to_try_again() -> None:
    assert retry_hint(2, "asclaimed run --out x") == (
        "2 attempts were not judged; to try just these again: asclaimed run --out x --retry-unjudged"
    )


def test_a_window_smaller_than_the_claims_is_said() -> None:
    claim = next(one for one in shipped() if one.protocol.context_window)
    theirs = claim.protocol.context_window or 0
    (line,) = window_lines(claim, {"window": theirs - 1}, allowed=True)
    assert f"{theirs - 1:,} tokens here, {theirs:,} there" in line
    assert not list(window_lines(claim, {"window": theirs}, allowed=False))
    assert not list(window_lines(None, {"window": 1}, allowed=False))
    assert not list(window_lines(claim, {}, allowed=False))
    with pytest.raises(UserError, match="--set allow_smaller_window=true"):
        list(window_lines(claim, {"window": theirs - 1}, allowed=False))


def test_every_run_looks_at_its_server_and_keeps_what_it_saw() -> None:
    with FaultyServer(Fault.WRONG_PARSER) as server:
        plan = RunPlan(model=ModelConfig(base_url=server.url, model="fake"))
        facts = examined(plan, probe_server(plan) or {})
        lenient = examined(plan.model_copy(update={"tool_calls": ToolCallMode.LENIENT}), facts)
    (line,) = preflight.doctor_lines(facts)
    assert line.startswith("SERVER, blocker: a tool call is left in the content")
    assert "--jinja" in line
    assert not list(preflight.doctor_lines(lenient))
    assert {"cap", "wrong-parser"} == {finding["name"] for finding in json.loads(json.dumps(facts["doctor"]))}
