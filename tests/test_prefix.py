"""The order of work: attempts at one task together where the server's cache holds their common beginning, spread elsewhere."""

from __future__ import annotations

import json
import threading
from itertools import groupby
from pathlib import Path

import pytest

from evals.record import AttemptKey
from evals.run.admission import Admission
from evals.run.backlog import Backlog
from evals.run.manifest import load
from evals.run.prefix import SharedPrefix
from evals.run.queue import Run
from evals.run.tally import Tally
from scaffolds.base import Metrics, Step
from tests.fakes.faulty_answers import Fault
from tests.fakes.faulty_server import FaultyServer, Setup
from tests.fakes.simulated_model import bash, scripted
from tests.served_run import make_task, plan_for, work
from tests.test_looks import planned_run

TASKS = [make_task(f"t{n}") for n in range(6)]
SPREAD = [f"t{n}" for n in range(6)] * 3
"""Three attempts at each."""


def begun(run: Path) -> list[str]:
    """Tasks of the attempts in the order in which they began."""
    lines = (run / "ledger.jsonl").read_text().split("\n")[:-1]
    bodies = [json.loads(json.loads(line)["body"]) for line in lines]
    return [body["task_id"] for body in bodies if body["event"] == "attempt-started"]


def agent_server(*faults: Fault, says_cached: bool = True) -> FaultyServer:
    agent = scripted(bash("true"), bash("true again"), bash("submit"))
    return FaultyServer(*faults, brain=agent, setup=Setup(says_cached=says_cached))


def test_attempts_at_a_task_are_made_together_once_the_cache_is_seen_to_work(tmp_path: Path) -> None:
    with agent_server() as server:
        work(tmp_path / "run", plan_for(server.url, attempts=3), TASKS)
    order = begun(tmp_path / "run")
    assert sorted(order) == sorted(SPREAD)
    first, rest = order[:4], order[4:]
    assert first == SPREAD[:4], "nothing is known yet"
    assert [(task, len(list(group))) for task, group in groupby(order[3:])] == [
        *(("t3", 3), ("t4", 3), ("t5", 3), ("t0", 2), ("t1", 2), ("t2", 2))
    ]
    assert rest[:2] == ["t3", "t3"]


@pytest.mark.parametrize(
    "server",
    [agent_server(Fault.NO_CACHE), agent_server(says_cached=False)],
    ids=["no cache", "says nothing"],
)
def test_they_stay_spread_where_nothing_is_shared(tmp_path: Path, server: FaultyServer) -> None:
    with server:
        work(tmp_path / "run", plan_for(server.url, attempts=2), TASKS)
    assert begun(tmp_path / "run") == SPREAD[:12]


def test_a_resume_makes_each_attempt_once_and_learns_the_order_anew(tmp_path: Path) -> None:
    def stop(run: Run) -> None:
        if run.tally.done >= 6:
            run.stop()

    with agent_server() as server:
        plan = plan_for(server.url, attempts=3)
        work(tmp_path / "run", plan, TASKS, watch=stop)
        before = begun(tmp_path / "run")
        run = work(tmp_path / "run", plan, TASKS)
    order = begun(tmp_path / "run")
    assert 6 <= len(before) < len(SPREAD)
    assert sorted(order) == sorted(SPREAD)
    assert run.finished


def test_no_attempt_beyond_a_look_begins_before_those_that_it_waits_for(tmp_path: Path) -> None:
    manifest = load(
        planned_run(tmp_path / "run", tasks=6, attempts=3, looks=(2, 4), scaffolds=("bash", "edit"))
    )
    admission = Admission(1)
    backlog = Backlog(Tally(), threading.Event(), admission)
    backlog.extend(manifest.frozen_keys())
    order: list[AttemptKey] = []
    while key := backlog.take():
        order.append(key)
        for prompt, cached in ((1000, 600), (2000, 1000)):
            step = Step(
                source="agent",
                message="",
                metrics=Metrics(prompt_tokens=prompt, completion_tokens=100, cached_tokens=cached),
            )
            admission.stepped(key, step)
        admission.ended(key)
    assert sorted(map(str, order)) == sorted(map(str, manifest.frozen_keys()))
    blocks = [{key.task_id for key in order[start : start + 12]} for start in (0, 12, 24)]
    assert blocks == [{"t0", "t1"}, {"t2", "t3"}, {"t4", "t5"}]
    assert [(key.task_id, key.scaffold) for key in order[12:18]] == [("t2", "bash")] * 3 + [
        ("t2", "edit")
    ] * 3


def test_a_conversation_that_loses_its_own_beginning_to_others_ends_it() -> None:
    prefix = SharedPrefix()
    for _ in range(4):
        prefix.called(0, Metrics(prompt_tokens=1000, cached_tokens=500))
    assert not prefix.is_shared, "of later calls nothing is known"
    for _ in range(4):
        prefix.called(1100, Metrics(prompt_tokens=2000, cached_tokens=1000))
    assert prefix.is_shared
    for _ in range(9):
        prefix.called(1100, Metrics(prompt_tokens=2000, cached_tokens=100))
    assert not prefix.is_shared
    for _ in range(30):
        prefix.called(1100, Metrics(prompt_tokens=2000, cached_tokens=1000))
    assert prefix.is_shared
    for _ in range(5):
        prefix.called(0, Metrics(prompt_tokens=1000, cached_tokens=20))
    assert not prefix.is_shared, "a template's own first words are nobody's prompt"


@pytest.mark.parametrize(
    ("firsts", "later", "shared"),
    [
        ([64] * 4, [0.5] * 4, True),
        ([63] * 4, [0.5] * 4, False),
        ([64] * 4, [0.49] * 4, False),
        ([64] * 3, [0.5] * 9, False),
        ([64] * 9, [0.5] * 3, False),
        ([100] * 5 + [64] * 4 + [20] * 3, [0.5] * 4, True),
        ([100] * 9 + [20] * 4, [0.5] * 4, False),
        ([100] * 9, [0.6] * 25 + [0.1] * 12, False),
        ([100] * 9, [0.6] * 25 + [0.1] * 11, True),
    ],
)
def test_so_many_calls_are_looked_back_on_and_half_of_them_decide(
    firsts: list[int], later: list[float], shared: bool
) -> None:
    """By the median: 64 tokens found at the last 8 first calls, half of the conversation at the last 24 later ones."""
    prefix = SharedPrefix()
    for found in firsts:
        prefix.called(0, Metrics(prompt_tokens=1000, cached_tokens=found))
    for share in later:
        prefix.called(1000, Metrics(prompt_tokens=2000, cached_tokens=round(1000 * share)))
    prefix.called(0, Metrics(prompt_tokens=1000))
    assert prefix.is_shared is shared


def test_what_begins_as_the_last_one_did_comes_first_where_the_cache_holds() -> None:
    keys = [AttemptKey(scaffold="s", task_id=name, attempt=n) for name, n in (("a", 1), ("b", 2), ("b", 3))]
    other = [AttemptKey(scaffold="x", task_id="b", attempt=1), keys[0]]
    prefix = SharedPrefix()
    prefix.begun(AttemptKey(scaffold="s", task_id="b", attempt=1))
    assert prefix.first_of(keys) == keys[0]
    for _ in range(4):
        prefix.called(0, Metrics(cached_tokens=500))
        prefix.called(1000, Metrics(cached_tokens=900))
    assert prefix.first_of(keys) == keys[1]
    assert prefix.first_of(other) == other[0], "another scaffold begins with other words"
