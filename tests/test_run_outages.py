"""What fails outside costs time and no attempt: outages, refusals, registries, and one more try at the end."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from evals.record import Grade, GraderVerdict, Outcome, Party, Record, all_keys
from evals.run import outages
from evals.run.set_aside import forget_unjudged
from scaffolds.model import ModelError, Trouble
from tasks.backend import Prepared, Progress, quiet
from tasks.errors import DiskFullError, TaskError, UserError
from tasks.sandbox import RegistryError, SandboxError
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend
from tests.fakes.plain_sandbox import PlainSandbox
from tests.test_run import IDS, PATCH, make_run, make_task, record_of, resolve_one

FOUR = [make_task(name) for name in ("one", "two", "three", "four")]
KEYS = list(all_keys(["a", "b"], IDS, 1))


def refused(message: str = "400 bad request") -> ModelError:
    return ModelError(message, kind=Trouble.REFUSED, retryable=False)


def failures(directory: Path) -> list[str]:
    records = [
        Record.model_validate_json(p.read_bytes()) for p in sorted(directory.glob("*/*/1/record.json"))
    ]
    return [f"{r.key.scaffold}/{r.key.task_id}: {r.failure.message}" for r in records if r.failure]


def test_short_outages_cost_no_attempt_whoever_notices_them_first(tmp_path: Path) -> None:
    """Three of them, eight workers; the server is back before the second worker asks."""
    away, hits = threading.Event(), Counter[int]()
    together = threading.Barrier(8, action=away.set)

    def act(_task: str) -> None:
        hits[threading.get_ident()] += 1
        if hits[threading.get_ident()] <= 3:
            together.wait(10)
            raise ModelError("connection refused")

    def wait(_stop: object) -> bool:
        was_away = away.is_set()
        away.clear()
        return was_away

    run = make_run(tmp_path, act, wait=wait, tasks=FOUR)
    run.work(workers=8, graders=1)
    assert (run.tally.done, run.tally.unjudged, failures(tmp_path)) == (8, 0, [])


def test_the_success_of_a_control_says_nothing_of_the_server(tmp_path: Path) -> None:
    calls = Counter[str]()

    def act(task: str) -> None:
        calls[task] += 1
        if calls[task] == 2:  # the second scaffold's; the first is the control
            raise refused("401 bad key")

    run = make_run(tmp_path, act, scaffolds=["nop", "a"])
    with pytest.raises(UserError, match="401 bad key"):
        run.work(workers=1, graders=1)
    assert not list(tmp_path.glob("a/*/1/record.json"))


def test_a_refused_prompt_that_comes_first_after_a_resume_does_not_end_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        make_run(tmp_path, lambda t: None if t == "one" else stop_here(), scaffolds=["a"]).work(
            workers=1, graders=1
        )
    assert record_of(tmp_path, "a", "one").failure is None

    def act(task: str) -> None:
        if task == "two":
            raise refused()

    run = make_run(tmp_path, act, scaffolds=["a"])
    run.work(workers=1, graders=1)
    assert failures(tmp_path) == ["a/two: 400 bad request"]
    assert run.tally.done == 3


def stop_here() -> None:
    raise RuntimeError("stop here")


def test_refused_prompts_at_the_start_are_theirs_alone_once_something_works(tmp_path: Path) -> None:
    def act(task: str) -> None:
        if task in ("one", "two"):
            raise refused()

    make_run(tmp_path, act, scaffolds=["a"]).work(workers=1, graders=1)
    assert failures(tmp_path) == ["a/one: 400 bad request", "a/two: 400 bad request"]


def test_a_server_that_never_works_ends_the_run_after_three_tasks_and_spends_none(tmp_path: Path) -> None:
    asked: list[str] = []

    def act(task: str) -> None:
        asked.append(task)
        raise refused("tools are not supported")

    with pytest.raises(UserError, match="tools are not supported"):
        make_run(tmp_path, act, tasks=FOUR, scaffolds=["a"], attempts=2).work(workers=1, graders=1)
    assert asked == ["one", "two", "three"]
    assert not list(tmp_path.glob("*/*/*/record.json"))


def test_a_key_that_is_refused_in_the_middle_suspends_the_run(tmp_path: Path) -> None:
    """The short prompt is refused as well, so it is the key; when it is taken again nothing is lost."""
    state = {"left": 0}

    def act(task: str) -> None:
        if task == "two" and "done" not in state:
            state.update(left=1, done=1)
            raise refused("401 expired")

    def short_prompt() -> ModelError | None:
        state["left"] -= 1
        return refused("401 expired") if state["left"] >= 0 else None

    run = make_run(tmp_path, act, short_prompt=short_prompt)
    run.work(workers=1, graders=1)
    assert (run.tally.done, failures(tmp_path)) == (6, [])


def test_a_refused_prompt_costs_one_short_prompt_and_a_server_that_went_away_meanwhile_is_waited_for(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    troubles = [None, ModelError("connection refused"), None]

    def act(task: str) -> None:
        if task == "two" or (task == "three" and len(asked) < 2):
            raise refused()

    def short_prompt() -> ModelError | None:
        asked.append("short prompt")
        return troubles.pop(0)

    def wait(_stop: object) -> bool:
        asked.append("until it is up")
        return True

    make_run(tmp_path, act, wait=wait, short_prompt=short_prompt, scaffolds=["a"]).work(workers=1, graders=1)
    again = "short prompt"  # what was refused is tried once more at the end
    assert asked == ["short prompt", "short prompt", "until it is up", again]
    assert failures(tmp_path) == ["a/two: 400 bad request"]


def test_a_key_that_stays_refused_ends_the_run_and_spends_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "REFUSAL_PATIENCE", 0.0)

    def act(task: str) -> None:
        if task != "one":
            raise refused("403 no credit")

    run = make_run(tmp_path, act, short_prompt=lambda: refused("403 no credit"))
    with pytest.raises(UserError, match="403 no credit"):
        run.work(workers=2, graders=1)
    assert failures(tmp_path) == []


class Registry(PlainBackend):
    """Fails at pulls as a script says: image by image, an error or None a time."""

    def __init__(self, *script: Exception | None) -> None:
        super().__init__(lambda: PlainSandbox(PATCH))
        self.script, self.pulls, self.lock = list(script), 0, threading.Lock()

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        with self.lock:
            self.pulls += 1
            error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        return super().prepare(task, progress).model_copy(update={"origin": "pulled"})


QUICK = outages.Waits(first=0.01, longest=0.02, patience=0.2)


def test_a_registry_that_limits_us_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """36 of 36 attempts were unjudged within seconds."""
    monkeypatch.setattr(outages, "PULL_WAITS", QUICK)
    backend = Registry(*[RegistryError("429 toomanyrequests")] * 20)
    run = make_run(tmp_path, backend=backend, attempts=6)
    run.work(workers=8, graders=1)
    assert (run.tally.done, run.tally.unjudged, failures(tmp_path)) == (36, 0, [])
    assert not list(tmp_path.glob("*/*/*.failed-*"))


def test_a_registry_that_stays_away_is_waited_for_once_and_not_for_each_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PULL_WAITS", QUICK)
    backend = Registry(*[RegistryError("500")] * 1000)
    run = make_run(tmp_path, backend=backend)
    began = time.monotonic()
    run.work(workers=1, graders=1)
    assert time.monotonic() - began < 5
    assert set(failures(tmp_path)) == {f"{s}/{t}: 500" for s in "ab" for t in IDS}


def test_what_a_registry_does_not_have_is_final(tmp_path: Path) -> None:
    backend = Registry(*[TaskError("not found")] * 6)
    run = make_run(tmp_path, backend=backend)
    run.work(workers=1, graders=1)
    assert (len(failures(tmp_path)), backend.pulls) == (6, 6)


def test_a_full_disk_of_the_daemon_stops_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, backend=Registry(None, DiskFullError("/var/lib/docker")))
    with pytest.raises(DiskFullError, match=r"/var/lib/docker is full.*resume"):
        run.work(workers=1, graders=1)
    assert run.tally.done == 1


def test_a_stop_ends_the_waiting_and_spends_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, backend=Registry(*[RegistryError("429")] * 1000))
    threading.Timer(0.3, run.stop).start()
    run.work(workers=2, graders=1)
    assert (run.tally.done, run.tally.suspended) == (0, "")


def test_what_was_spoiled_is_tried_again_at_the_end(tmp_path: Path) -> None:
    left = Counter({"two": 6})

    def act(task: str) -> None:
        if left[task] > 0:
            left[task] -= 1
            raise SandboxError("container could not be made")

    run = make_run(tmp_path, act)
    run.work(workers=1, graders=1)
    assert (run.tally.done, run.tally.graded, run.tally.unjudged, failures(tmp_path)) == (6, 6, 0, [])
    assert (tmp_path / "a/two/1.unjudged-1/record.json").exists()
    assert run.finished
    lines = (tmp_path / "ledger.jsonl").read_text().split("\n")[:-1]
    events = [json.loads(json.loads(line)["body"]) for line in lines]
    failed = [event for event in events if event["event"] == "sandbox-failed"]
    assert {(one["message"], one["task_id"]) for one in failed} == {("container could not be made", "two")}
    assert len(failed) == 6, "each of them is noted, also those that were waited out"


def unjudged(party: Party) -> Grade:
    column = GraderVerdict(outcome=Outcome.NOT_JUDGED, reason="it broke")
    return Grade(outcome=Outcome.NOT_JUDGED, party=party, official=column, grader="test", key="")


def test_grading_that_was_spoiled_is_done_again_and_the_attempt_is_not(tmp_path: Path) -> None:
    asked, graded = list[str](), Counter[str]()

    def grade(task: Task, record: Record, directory: Path) -> Grade:
        name = f"{record.key.scaffold}/{task.id}"
        graded[name] += 1
        if name == "a/two" and graded[name] == 1:
            return unjudged(Party.SANDBOX)
        return unjudged(Party.TASK) if task.id == "three" else resolve_one(task, record, directory)

    run = make_run(tmp_path, asked.append, grade=grade)
    run.work(workers=1, graders=1)
    assert len(asked) == 6
    assert graded == {"a/one": 1, "b/one": 1, "a/two": 2, "b/two": 1, "a/three": 1, "b/three": 1}
    assert (run.tally.graded, run.tally.unjudged) == (4, 2)


def test_retry_unjudged_covers_what_failed_while_grading(tmp_path: Path) -> None:
    make_run(tmp_path, grade=lambda *_: unjudged(Party.SANDBOX)).work(workers=1, graders=1)
    assert forget_unjudged(tmp_path, KEYS) == 6
    asked: list[str] = []
    run = make_run(tmp_path, asked.append)
    run.work(workers=1, graders=1)
    assert (asked, run.tally.graded, run.tally.unjudged) == ([], 6, 0)


def test_after_one_interrupt_what_ended_is_still_graded(tmp_path: Path) -> None:
    def slow(task: Task, record: Record, directory: Path) -> Grade:
        time.sleep(0.3)
        return resolve_one(task, record, directory)

    run = make_run(tmp_path, grade=slow)
    made: list[str] = []

    def watch() -> None:
        if run.tally.done:
            made.append("seen")
            run.stop()

    run.work(workers=1, graders=1, watch=watch)
    assert run.tally.done < 6 or made
    assert run.tally.graded == run.tally.done > 0
