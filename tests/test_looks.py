"""Stopping at planned looks: who stops, when, what still counts, and that a resume remembers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.claims.claim import Claim, Source, Status
from evals.record import AttemptKey, Decision, Outcome
from evals.report.summary import summarise
from evals.results.load import from_run_dir
from evals.run.looks import Look, TakenLooks, counted, open_keys, taken, withdraw
from evals.run.manifest import load
from evals.run.plan import load_plan
from evals.verdict.interim import InterimAnalysis
from evals.verdict.verify import verify
from tasks.errors import UserError
from tests.runs_on_disk import write_attempt, write_run
from tests.test_run import make_run, make_task

CLAIM = Claim(
    id="toy/toy-bench",
    model="Qwen3.6-27B",
    maker="toy",
    benchmark="toy-bench",
    n_tasks=400,
    score="80.0",  # type: ignore[arg-type]
    claimed_by="toy",
    source=Source(title="toy"),
    status=Status.VERIFIED,
)


def planned_run(directory: Path, *, tasks: int = 400, **plan: Any) -> Path:
    """A run that has not begun: a claim of 80 %, margin 10, looks at 100, 200 and 300 tasks."""
    chosen: dict[str, Any] = {"margin": 10, "looks": (100, 200, 300), "claim": "toy.yaml", **plan}
    write_run(directory, lambda _key: None, tasks=tasks, benchmark="toy-bench", **chosen)
    manifest = load(directory).model_copy(update={"claim": CLAIM})
    (directory / "manifest.json").write_text(manifest.model_dump_json())
    (directory / "ledger.jsonl").touch()
    return directory


def play(run: Path, chances: Mapping[str, float], until: int = 10**9) -> list[Look]:
    """Make attempts one by one as an engine would, each scaffold with its own pass rate; the looks taken."""
    manifest = load(run)
    interim, rng, looks = InterimAnalysis(run, manifest), np.random.default_rng(5), []
    for key in manifest.frozen_keys()[:until]:
        passed = rng.random() < chances[key.scaffold]
        if key.scaffold in interim.settled or (key.directory(run) / "grade.json").exists():
            continue
        write_attempt(run, key, Outcome.RESOLVED if passed else Outcome.UNRESOLVED)
        if look := interim.after(key):
            looks.append(look)
    return looks


def test_a_clear_case_stops_early_and_the_other_goes_on(tmp_path: Path) -> None:
    run = planned_run(tmp_path / "run")
    looks = play(run, {"bash": 0.3, "edit": 0.7})
    assert (looks[0].scaffold, looks[0].tasks, looks[0].decision) == ("bash", 100, Decision.NOT_REPRODUCED)
    assert [look.tasks for look in looks if look.scaffold == "edit"][:2] == [100, 200]
    assert len(list(run.glob("bash/*/1/record.json"))) == 100
    assert taken(run).looks == tuple(looks)
    lines = {line.scaffold: line for line in summarise(run).verdicts}
    assert lines["bash"].decision == Decision.NOT_REPRODUCED
    assert summarise(run).finished
    assert "bash: look after 100 of 400 tasks" in " ".join(summarise(run).findings)


def test_attempts_beyond_the_deciding_look_do_not_count(tmp_path: Path) -> None:
    """What was under way when the look was taken has been chosen by how long it took."""
    run = planned_run(tmp_path / "run", scaffolds=("bash",))
    play(run, {"bash": 0.3})
    late = load(run).frozen_keys()[100]
    write_attempt(run, late, Outcome.RESOLVED)
    keys = counted(run, load(run))
    assert len(keys) == 100
    assert late not in keys
    assert {row.task for row in from_run_dir(run).rows} == set(load(run).counted_tasks[:100])
    verdict = verify(CLAIM, from_run_dir(run))
    assert verdict.decision is Decision.NOT_REPRODUCED
    assert "after 100 of 400 tasks" in " ".join(verdict.limits)


def test_a_resume_remembers_a_decision_and_takes_a_look_that_was_missed(tmp_path: Path) -> None:
    run = planned_run(tmp_path / "run", scaffolds=("bash",))
    play(run, {"bash": 0.3}, until=99)
    write_attempt(run, load(run).frozen_keys()[99], Outcome.UNRESOLVED)  # then the power fails
    again = InterimAnalysis(run, load(run))
    assert again.settled == frozenset()
    (look,) = again.catch_up()
    assert (look.tasks, look.decision) == (100, Decision.NOT_REPRODUCED)
    assert InterimAnalysis(run, load(run)).settled == {"bash"}
    assert InterimAnalysis(run, load(run)).catch_up() == []


def test_a_resume_takes_each_scaffolds_own_looks(tmp_path: Path) -> None:
    """One was looked at after 100 tasks and stays open; the other's last attempt before that look was all that was missing."""
    run = planned_run(tmp_path / "run", margin=4)
    (first,) = play(run, {"bash": 0.8, "edit": 0.8}, until=199)
    assert (first.scaffold, first.tasks, first.decision) == ("bash", 100, Decision.UNDECIDED)
    write_attempt(run, load(run).frozen_keys()[199], Outcome.RESOLVED)
    (look,) = InterimAnalysis(run, load(run)).catch_up()
    assert (look.scaffold, look.tasks) == ("edit", 100)
    assert InterimAnalysis(run, load(run)).catch_up() == []


def test_a_settled_scaffold_is_not_tried_again(tmp_path: Path) -> None:
    """`--retry-unjudged` sets records aside; nobody would make those of a settled scaffold anew."""
    run = planned_run(tmp_path / "run")
    play(run, {"bash": 0.3, "edit": 0.8}, until=300)
    assert {key.scaffold for key in open_keys(run, load(run))} == {"edit"}


def test_all_attempts_of_a_block_come_before_the_next_block(tmp_path: Path) -> None:
    manifest = load(planned_run(tmp_path / "run", tasks=6, attempts=2, looks=(2, 4), scaffolds=("bash",)))
    order = [(key.task_id, key.attempt) for key in manifest.frozen_keys()]
    assert order[:4] == [("t0", 1), ("t1", 1), ("t0", 2), ("t1", 2)]
    assert len(order) == 12
    short = manifest.model_copy(update={"excluded": {"t1": "gold fails"}})
    assert [key.task_id for key in short.frozen_keys()][:4] == ["t0", "t1", "t2", "t0"]


def test_an_undecided_look_goes_on_to_the_next(tmp_path: Path) -> None:
    run = planned_run(tmp_path / "run", margin=4)
    looks = [look for look in play(run, {"bash": 0.8, "edit": 0.8}) if look.scaffold == "bash"]
    assert [look.tasks for look in looks] == [100, 200, 300]
    assert not any(look.decided for look in looks)
    assert len(list(run.glob("bash/*/1/record.json"))) == 400


def test_nothing_judged_at_a_look_is_undecided(tmp_path: Path) -> None:
    run = planned_run(tmp_path / "run", tasks=20, looks=(5,), scaffolds=("bash",))
    interim = InterimAnalysis(run, load(run))
    for key in load(run).frozen_keys()[:5]:
        write_attempt(run, key, Outcome.NOT_JUDGED)
        look = interim.after(key)
    assert look is not None
    assert look.decision is Decision.UNDECIDED
    assert "not one attempt" in look.reason


def test_a_look_is_withdrawn_for_an_attempt_that_it_counted_and_for_no_other(tmp_path: Path) -> None:
    run = planned_run(tmp_path / "run", tasks=6, looks=(2, 4))
    first, second, other = (
        Look(scaffold=name, tasks=tasks, decision=Decision.UNDECIDED, reason="")
        for name, tasks in (("bash", 2), ("bash", 4), ("edit", 2))
    )

    def key(scaffold: str, task: int) -> AttemptKey:
        return AttemptKey(scaffold=scaffold, task_id=f"t{task}", attempt=1)

    assert withdraw(run, [key("bash", 0)]) == TakenLooks()
    assert not (run / "looks.json").exists()
    (run / "looks.json").write_text(TakenLooks(looks=(first, second, other)).model_dump_json())
    assert withdraw(run, [key("bash", 4), key("edit", 2)]).withdrawn == ()
    for keys, left in (([key("bash", 2), key("bash", 5)], (first, other)), ([key("bash", 1)], (other,))):
        assert withdraw(run, keys).looks == left
        assert taken(run).looks == left
    assert taken(run).withdrawn == (second, first)


def test_without_a_claim_nothing_stops(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lambda _key: None, looks=(2, 4), margin=5, tasks=6)
    assert play(run, {"bash": 0.0, "edit": 0.0}) == []
    assert not (run / "looks.json").exists()


def test_a_broken_look_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "looks.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        taken(tmp_path)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"claim": "qwen3.6-27b/swe-bench-verified"}, "margin"),
        ({"looks": [20, 10]}, "rising order"),
        ({"looks": [0]}, "greater than or equal to 1"),
        ({"subset": "s.json", "limit": 5}, "leave out ids, sample and limit"),
    ],
)
def test_plans_that_make_no_sense(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_plan(None, values)


class Engine:
    """The real engine with a look that decides after a number of attempts."""

    def __init__(self, directory: Path, settle_after: int) -> None:
        self.seen: list[AttemptKey] = []
        self.settle_after = settle_after
        tasks = [make_task(f"t{n}") for n in range(10)]
        self.run = make_run(directory, tasks=tasks, look=self.look)

    def look(self, key: AttemptKey) -> Look | None:
        self.seen.append(key)
        if len([k for k in self.seen if k.scaffold == "a"]) == self.settle_after and key.scaffold == "a":
            return Look(scaffold="a", tasks=3, decision=Decision.REPRODUCED, reason="enough")
        return None


def test_the_engine_drops_what_is_settled(tmp_path: Path) -> None:
    engine = Engine(tmp_path, settle_after=3)
    engine.run.work(workers=1, graders=1)
    made = [len(list(tmp_path.glob(f"{name}/*/1/record.json"))) for name in "ab"]
    assert 3 <= made[0] < 10
    assert made[1] == 10
    assert engine.run.finished
    assert engine.run.tally.total == engine.run.tally.done == sum(made)
    lines = [json.loads(json.loads(x)["body"]) for x in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert [line["decision"] for line in lines if line["event"] == "look"] == ["reproduced"]
