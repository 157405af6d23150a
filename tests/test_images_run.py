"""While a run works, images of the next tasks come, those that are used up go, and a name stays the image that it was."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evals.commands.run_images import hold_images, images_at_first, over_budget
from evals.record import AttemptKey
from evals.run import image_supply
from evals.run.admission import Admission
from evals.run.backlog import Backlog
from evals.run.grading import Grading
from evals.run.image_supply import ImagePolicy, ImageSupply, Uses
from evals.run.ledger import Ledger
from evals.run.manifest import compose
from evals.run.pins import digest_in, pinned
from evals.run.plan import RunPlan
from evals.run.tally import Tally
from tasks.docker.daemon import client
from tasks.docker.registry import Layer
from tasks.errors import TaskError, UserError
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec, Task
from tests.fakes.image_store import PlainStore
from tests.fakes.plain_context import plain_context
from tests.fakes.real_registry import layer
from tests.test_run import PATCH, make_run, make_task
from tests.test_run_executor import events

SIZE = 10


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_supply, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(image_supply, "ROOM_SECONDS", 0.01)


def tasks_with_images(count: int) -> tuple[list[Task], dict[str, tuple[Layer, ...]]]:
    """Each with an image of its own: 5 bytes that pairs share, and 5 that nobody does."""
    tasks = [
        make_task(f"t{n}").model_copy(update={"image": ImageSpec(reference=f"i{n}")}) for n in range(count)
    ]
    layers = {
        f"i{n}": (Layer(f"pair-{n // 2}", SIZE // 2), Layer(f"own-{n}", SIZE // 2)) for n in range(count)
    }
    return tasks, layers


def told(directory: Path, event: str) -> list[str]:
    return [one["image"] for one in events(directory) if one["event"] == event]


def test_the_next_images_come_while_an_attempt_is_at_work(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(6)
    store = PlainStore(layers, patch=PATCH)
    seen: dict[str, int] = {}

    def act(task: str) -> None:
        deadline = time.monotonic() + 10
        while len(store.pulled) < min(6, int(task[1:]) + 3) and time.monotonic() < deadline:
            time.sleep(0.005)
        seen[task] = len(store.pulled)

    run = make_run(
        tmp_path, act, backend=store.backend, tasks=tasks, scaffolds=["a"], images=ImagePolicy(store, ahead=2)
    )
    run.work(workers=1, graders=1)
    assert seen == {"t0": 3, "t1": 4, "t2": 5, "t3": 6, "t4": 6, "t5": 6}, "two ahead, and no more"
    assert (store.pulled, store.evicted) == ([f"i{n}" for n in range(6)], []), "without a budget all stay"


def test_without_a_store_or_with_nothing_ahead_an_attempt_pulls(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(2)
    store = PlainStore(layers, patch=PATCH)
    run = make_run(tmp_path, backend=store.backend, tasks=tasks, scaffolds=["a"], images=ImagePolicy(store))
    run.work(workers=1, graders=1)
    assert store.pulled == ["i0", "i1"]


def test_a_budget_holds_and_what_is_used_up_goes(tmp_path: Path) -> None:
    """40 bytes hold five images of which pairs share; two scaffolds and two workers use each image twice."""
    tasks, layers = tasks_with_images(20)
    store = PlainStore(layers, patch=PATCH, foreign=frozenset({"i3"}))
    policy = ImagePolicy(store, ahead=2, disk=40, stored_before=SIZE)
    run = make_run(tmp_path, backend=store.backend, tasks=tasks, images=policy)
    run.work(workers=2, graders=2)
    assert run.finished
    assert store.peak <= 40 + SIZE
    assert sorted(store.pulled) == sorted(f"i{n}" for n in range(20) if n != 3), "each once"
    assert "i3" not in store.evicted, "it was there before"
    assert len(store.evicted) >= 12
    assert told(tmp_path, "image-evicted") == store.evicted
    assert told(tmp_path, "images-over-budget") == []


@pytest.mark.parametrize("asked", [False, True])
def test_what_was_here_before_goes_only_when_that_is_asked(tmp_path: Path, asked: bool) -> None:
    """Room for one image beside three that were here: with theirs, all that come fit, and nothing waits for room."""
    tasks, layers = tasks_with_images(10)
    foreign = frozenset({"i1", "i3", "i5"})
    store = PlainStore(layers, patch=PATCH, foreign=foreign, gives_foreign=asked)
    before = store.stored()
    policy = ImagePolicy(store, ahead=1, disk=12, stored_before=before, evicts_earlier=asked)
    run = make_run(
        tmp_path, backend=store.backend, tasks=tasks[:3] + tasks[6:], scaffolds=["a"], images=policy
    )
    run.work(workers=1, graders=1)
    assert run.finished
    assert store.peak <= before + 12
    assert set(store.evicted) & foreign == ({"i1"} if asked else set()), "of this run's tasks, and no other's"
    assert told(tmp_path, "images-over-budget") == []


def test_what_was_evicted_of_earlier_images_may_be_added_again(tmp_path: Path) -> None:
    """A budget of half an image takes ten whole ones where five that were here make room."""
    tasks, layers = tasks_with_images(20)
    foreign = frozenset(f"i{n}" for n in range(0, 10, 2))
    store = PlainStore(layers, patch=PATCH, foreign=foreign, gives_foreign=True)
    before = store.stored()
    policy = ImagePolicy(store, disk=SIZE // 2, stored_before=before, evicts_earlier=True)
    run = make_run(tmp_path, backend=store.backend, tasks=tasks, scaffolds=["a"], images=policy)
    run.work(workers=1, graders=1)
    assert (run.finished, told(tmp_path, "images-over-budget")) == (True, [])
    assert store.peak <= before + SIZE // 2
    assert set(store.evicted) > foreign


def test_rounds_of_attempts_bring_images_again_within_the_budget(tmp_path: Path) -> None:
    """Room for two thirds of them. Each attempt lasts until those before it are graded, so that their images can go."""
    tasks, layers = tasks_with_images(20)
    store = PlainStore(layers, patch=PATCH)

    def act(_task: str) -> None:
        deadline = time.monotonic() + 10
        while run.tally.to_grade and time.monotonic() < deadline:
            time.sleep(0.002)

    policy = ImagePolicy(store, ahead=1, disk=100)
    run = make_run(
        tmp_path, act, backend=store.backend, tasks=tasks, scaffolds=["a"], attempts=3, images=policy
    )
    run.work(workers=1, graders=1)
    assert run.finished
    assert store.peak <= 100
    assert told(tmp_path, "images-over-budget") == []
    assert 20 < len(store.pulled) < 40, (
        "of 60: what is needed last goes, so many are there when their turn comes"
    )


def test_a_budget_below_one_image_lets_one_after_the_other_through(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers, patch=PATCH)
    at_once, most, lock = [0], [0], threading.Lock()

    def act(_task: str) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.02)
        with lock:
            at_once[0] -= 1

    policy = ImagePolicy(store, ahead=2, disk=1)
    run = make_run(tmp_path, act, backend=store.backend, tasks=tasks, scaffolds=["a"], images=policy)
    run.work(workers=3, graders=1)
    assert run.finished
    assert most[0] == 1
    assert store.peak <= SIZE + SIZE // 2, (
        "the next one comes when its forerunner has gone, or was kept by its grade"
    )
    assert (len(told(tmp_path, "images-over-budget")), run.tally.over_budget) == (4, 4)
    assert [over_budget(number)[:26] for number in (1, 4)] == [
        "note: 1 image was pulled o",
        "note: 4 images were pulled",
    ]


def test_a_run_that_goes_on_evicts_what_it_left(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers, patch=PATCH)
    for n in (0, 1):
        store.prepare(tasks[n])
    run = make_run(
        tmp_path,
        backend=store.backend,
        tasks=tasks,
        scaffolds=["a"],
        images=ImagePolicy(store, ahead=1, disk=15),
    )
    run.work(workers=1, graders=1)
    assert run.finished
    assert store.peak <= 15
    assert told(tmp_path, "images-over-budget") == []


@pytest.mark.parametrize("error", [TaskError("gone"), RegistryError("429")])
def test_what_fails_ahead_is_the_attempts_to_tell(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that cannot be had is nobody's to judge, and stops neither the run nor what comes after."""
    monkeypatch.setattr(image_supply, "FAILED_SECONDS", 0.01)
    tasks, layers = tasks_with_images(4)
    failures = {"i1": 3}

    def fail(image: str) -> None:
        if threading.current_thread().name == "images" and failures.get(image, 0):
            failures[image] -= 1
            raise error

    store = PlainStore(layers, patch=PATCH, before_pull=fail)
    act = lambda _task: time.sleep(0.1)  # noqa: E731
    run = make_run(
        tmp_path, act, backend=store.backend, tasks=tasks, scaffolds=["a"], images=ImagePolicy(store, ahead=2)
    )
    run.work(workers=1, graders=1)
    assert run.finished
    assert run.tally.unjudged == 0
    assert sorted(store.pulled) == sorted(layers)
    assert failures["i1"] == 2 if isinstance(error, TaskError) else failures["i1"] < 3, "for good: asked once"


class Supply:
    """A supply of its own: what waits, what is under way, and what its ledger says."""

    def __init__(self, directory: Path, tasks: list[Task], policy: ImagePolicy, todo: str = "") -> None:
        self.directory, self.tally, self.stopping = directory, Tally(), threading.Event()
        directory.mkdir(exist_ok=True)
        backlog = Backlog(self.tally, self.stopping, Admission())
        backlog.extend(key_of(name) for name in todo.split())
        known = {task.id: task for task in tasks}
        grading = Grading(
            None, plain_context(directory), known, graded=lambda *_: None, guard=lambda act: act()
        )
        self.ledger = Ledger(directory / "ledger.jsonl")
        uses = Uses(backlog, self.tally, grading)
        self.made = ImageSupply(policy, known, uses, self.ledger, self.stopping)

    def __enter__(self) -> Supply:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.ledger.close()

    def bring(self, store: PlainStore, task: Task) -> list[str]:
        """One attempt's image; which ones have been let in over the budget by then."""
        with self.made.room(task):
            store.prepare(task)
        return told(self.directory, "images-over-budget")


def key_of(task: str) -> AttemptKey:
    return AttemptKey(scaffold="a", task_id=task, attempt=1)


@pytest.mark.parametrize(
    ("disk", "before", "over"),
    [(20, 0, []), (19, 0, ["i2"]), (15, 5, []), (14, 5, ["i2"]), (9, 30, ["i0", "i2"]), (10, 30, [])],
)
def test_a_budget_is_kept_to_the_byte(tmp_path: Path, disk: int, before: int, over: list[str]) -> None:
    """Two images of ten bytes that are needed again. What others had before is not counted, nor what they removed since."""
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    policy = ImagePolicy(store, disk=disk, **({"stored_before": before} if before else {}))
    with Supply(tmp_path, tasks, policy, "t0 t0 t2") as supply:
        supply.bring(store, tasks[0])
        assert supply.bring(store, tasks[2]) == over
        assert supply.bring(store, tasks[2]) == over, "it is here"
    assert store.evicted == []


def test_what_is_used_up_goes_first_then_what_is_needed_last_and_never_what_is_at_work(
    tmp_path: Path,
) -> None:
    tasks, layers = tasks_with_images(10)
    used, late, soon, busy, wanted = (tasks[n] for n in (0, 2, 4, 6, 8))
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=40), "t8 t4 t8 t2") as supply:
        with supply.tally.lock:
            supply.tally.began(key_of("t6"))
        for task in (busy, late, used, soon):
            supply.bring(store, task)
        assert store.evicted == []
        assert supply.bring(store, wanted) == []
        assert store.evicted == ["i0"]
        assert supply.bring(store, used) == ["i0"], "all that is here is needed earlier"
        assert store.evicted == ["i0"]
    with Supply(tmp_path / "again", tasks, ImagePolicy(store, disk=40), "t1 t8 t4 t2") as supply:
        supply.bring(store, tasks[1])
    assert store.evicted[1:] == ["i0", "i6"], (
        "nobody is at work there, and what an earlier session left can go"
    )
    kept = [one["why"] for one in events(tmp_path) if one["event"] == "image-evicted"]
    assert kept == [""]


class Watched(PlainStore):
    """Counts how often it is asked."""

    looks = 0

    def is_missing(self, task: Task) -> bool:
        self.looks += 1
        return super().is_missing(task)


def test_a_policy_that_says_nothing_pulls_nothing_ahead_and_asks_nothing(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(3)
    store = Watched(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store), "t1 t0 t2") as supply:
        with supply.made.ahead(store.backend):
            time.sleep(0.1)
        assert (store.pulled, store.looks) == ([], 0)
        assert supply.bring(store, tasks[0]) == []
        calibrate = lambda task, _go_on: task.id  # noqa: E731
        assert supply.made.in_turn(calibrate) is calibrate
    with Supply(tmp_path / "budget", tasks, ImagePolicy(store, disk=30), "t0 t1 t2") as supply:
        later = supply.made.in_turn(calibrate)
        assert [later(task, lambda: True) for task in tasks[:2]] == ["t0", "its image is not here yet"]


@pytest.mark.parametrize(("given", "over"), [({}, ["i2"]), ({"evicts_earlier": True}, [])])
def test_what_was_here_makes_room_only_where_it_was_to_go(
    tmp_path: Path, given: dict[str, bool], over: list[str]
) -> None:
    """Nine bytes for an image of ten, where one of ten was here and is removed."""
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers, foreign=frozenset({"i0"}), gives_foreign=True)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=9, stored_before=10, **given), "t2") as supply:
        assert supply.bring(store, tasks[2]) == over
    assert store.evicted == ["i0"]


def test_room_that_another_leaves_while_it_is_asked_for_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other's image cannot go yet, and then nobody is at work: no reason to go over the budget."""
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=10), "t2") as supply:
        supply.bring(store, tasks[0])
        with supply.tally.lock:
            supply.tally.began(key_of("t0"))
            supply.tally.began(key_of("t2"))
        reserve, under_way = supply.made._reserve, supply.tally.under_way

        def leaving(*asked: Any) -> bool:
            found = reserve(*asked)
            with supply.tally.lock:
                under_way.pop(key_of("t0"), None)
            return found

        monkeypatch.setattr(supply.made, "_reserve", leaving)
        assert supply.bring(store, tasks[2]) == []
    assert (store.evicted, store.peak) == (["i0"], 10)


def test_who_needs_room_waits_while_another_is_at_work_and_no_longer(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(6)
    layers["i4"] = (Layer("large", 15),)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=10), "t2 t4") as supply:
        with supply.tally.lock:
            supply.tally.began(key_of("t0"))
            supply.tally.began(key_of("t2"))
        supply.bring(store, tasks[0])
        waiting = threading.Thread(target=supply.bring, args=(store, tasks[2]), daemon=True)
        waiting.start()
        time.sleep(0.1)
        assert (waiting.is_alive(), store.pulled) == (True, ["i0"])
        supply.tally.ended(key_of("t0"))
        waiting.join(20)
        assert (waiting.is_alive(), store.pulled, store.evicted) == (False, ["i0", "i2"], ["i0"])
        assert told(tmp_path, "images-over-budget") == []
        with supply.tally.lock:
            supply.tally.began(key_of("t4"))
        supply.tally.ended(key_of("t2"))
        assert supply.bring(store, tasks[4]) == ["i4"], "larger than the budget, and nobody else is at work"
    assert store.evicted == ["i0", "i2"]


def waits_for_room(supply: Supply, store: PlainStore, task: Task) -> threading.Thread:
    """Asks for room in a thread of its own, which does not get it for now."""
    waiting = threading.Thread(target=supply.bring, args=(store, task), daemon=True)
    waiting.start()
    time.sleep(0.1)
    assert (waiting.is_alive(), task.image.reference in store.pulled) == (True, False)
    return waiting


def test_what_goes_may_have_shared_a_layer_with_what_comes(tmp_path: Path) -> None:
    """Five bytes of the second are here as long as the first is: ten are held then, and not five, beside which nine would fit."""
    tasks, layers = tasks_with_images(4)
    layers["i2"] = (Layer("small", 9),)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=14), "t1 t2") as supply:
        supply.bring(store, tasks[0])
        with supply.made.room(tasks[1]):
            assert store.evicted == ["i0"]
            waiting = waits_for_room(supply, store, tasks[2])
            store.prepare(tasks[1])
        waiting.join(20)
        assert told(tmp_path, "images-over-budget") == ["i2"], "the other is needed earlier"


def test_room_that_is_held_is_taken_until_it_is_left(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=15), "t2") as supply:
        with supply.made.room(tasks[0]):
            store.prepare(tasks[0])
            waiting = waits_for_room(supply, store, tasks[2])
        waiting.join(20)
    assert (store.pulled, store.evicted, store.peak) == (["i0", "i2"], ["i0"], SIZE)
    assert told(tmp_path, "images-over-budget") == []


def test_an_image_that_is_here_takes_no_more_room_while_it_is_made_ready(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=2 * SIZE), "t0 t2") as supply:
        supply.bring(store, tasks[0])
        with supply.made.room(tasks[0]):
            assert supply.bring(store, tasks[2]) == []
    assert (store.evicted, store.peak) == ([], 2 * SIZE)


def test_room_that_two_hold_for_one_image_is_held_until_both_have_left(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=15), "t2") as supply:
        with supply.made.room(tasks[0]):
            with supply.made.room(tasks[0]):
                pass
            waiting = waits_for_room(supply, store, tasks[2])
        waiting.join(20)
    assert told(tmp_path, "images-over-budget") == []


def test_who_needs_room_waits_for_a_pull_ahead_whose_image_then_goes(tmp_path: Path) -> None:
    """Nobody is at work, but room is about to come: what is pulled is needed later."""
    tasks, layers = tasks_with_images(4)
    pulls = threading.Event()
    store = PlainStore(layers, before_pull=lambda image: image == "i2" and pulls.wait(20))
    policy = ImagePolicy(store, ahead=1, disk=15)
    with Supply(tmp_path, tasks, policy, "t2") as supply, supply.made.ahead(store.backend):
        deadline = time.monotonic() + 10
        while "i2" not in supply.made._reserved and time.monotonic() < deadline:
            time.sleep(0.005)
        with supply.tally.lock:
            supply.tally.began(key_of("t0"))
        waiting = waits_for_room(supply, store, tasks[0])
        pulls.set()
        waiting.join(20)
    assert (store.pulled, store.evicted, store.peak) == (["i2", "i0"], ["i2"], SIZE)
    assert told(tmp_path, "images-over-budget") == []


def until_pulled(store: PlainStore, number: int) -> list[str]:
    """Images that came, once there are so many."""
    deadline = time.monotonic() + 10
    while len(store.pulled) < number and time.monotonic() < deadline:
        time.sleep(0.005)
    return store.pulled


def test_nothing_is_pulled_ahead_of_an_attempt_that_lacks_its_image(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(6)
    store = PlainStore(layers)
    policy = ImagePolicy(store, ahead=1, disk=20)
    with Supply(tmp_path, tasks, policy, "t2 t4") as supply:
        with supply.tally.lock:
            supply.tally.began(key_of("t0"))
        with supply.made.ahead(store.backend):
            time.sleep(0.1)
            assert store.pulled == []
            supply.bring(store, tasks[0])
            assert until_pulled(store, 2) == ["i0", "i2"], "it has its image, and is at work"


def test_nothing_is_pulled_ahead_of_what_is_needed_earlier_and_does_not_fit(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(6)
    layers["i4"] = (Layer("small", 1),)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, ahead=2, disk=15), "t2 t4") as supply:
        with supply.tally.lock:
            supply.tally.began(key_of("t0"))
        supply.bring(store, tasks[0])
        with supply.made.ahead(store.backend):
            time.sleep(0.1)
            assert store.pulled == ["i0"]
            supply.tally.ended(key_of("t0"))
            assert until_pulled(store, 3) == ["i0", "i2", "i4"]
    assert store.evicted == ["i0"]


def test_one_at_a_time_goes_over_the_budget(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = PlainStore(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, disk=1), "t2") as supply:
        waiting = threading.Thread(target=supply.bring, args=(store, tasks[2]), daemon=True)
        with supply.made.room(tasks[0]):
            store.prepare(tasks[0])
            waiting.start()
            time.sleep(0.1)
            assert (waiting.is_alive(), told(tmp_path, "images-over-budget")) == (True, ["i0"])
        waiting.join(20)
        assert not waiting.is_alive()
    assert told(tmp_path, "images-over-budget") == ["i0", "i2"]


def test_who_pulls_ahead_dies_with_the_process_and_ends_with_the_run(tmp_path: Path) -> None:
    tasks, layers = tasks_with_images(4)
    store = Watched(layers)
    with Supply(tmp_path, tasks, ImagePolicy(store, ahead=2), "t1 t1 t3 t0") as supply:
        with supply.made.ahead(store.backend):
            assert [one.daemon for one in threading.enumerate() if one.name == "images"] == [True]
            until_pulled(store, 2)
            began, before = time.monotonic(), store.looks
            time.sleep(0.1)
            assert store.looks - before <= 2 * (2 + (time.monotonic() - began) / 0.01), "with pauses"
        assert "images" not in [one.name for one in threading.enumerate()]
        supply.stopping.set()
        with supply.made.ahead(store.backend):
            time.sleep(0.05)
    assert store.pulled == ["i1", "i3"], "the next two images, whose tasks wait"


@pytest.mark.docker
def test_an_image_that_no_registry_has_must_be_as_it_was(docker_daemon: None, tmp_path: Path) -> None:
    name = "others/local-test:1"
    task = make_task("one").model_copy(update={"image": ImageSpec(reference=name)})
    try:
        client().api.import_image_from_data(layer("first", 100), *name.split(":"))
        plan = RunPlan(scaffolds=("gold",))
        first = images_at_first(plan, [task], tmp_path)
        assert first["images"] == {name: f"image {client().images.get(name).id}"}
        manifest = compose(plan, [task], run_id="r", server=None, base_image=None, excluded={}, **first)
        said: list[str] = []
        [same] = hold_images([task], tmp_path, manifest, said.append)
        assert (same.image.digest, said) == ("", [])
        client().images.remove(name)
        with pytest.raises(
            UserError, match="when the run began and is not here any more: bring that one back"
        ):
            hold_images([task], tmp_path, manifest, said.append)
        client().api.import_image_from_data(layer("second", 100), *name.split(":"))
        with pytest.raises(
            UserError, match=r"others/local-test:1 was sha256:\w+ when the run began and is sha256:"
        ):
            hold_images([task], tmp_path, manifest, said.append)
    finally:
        client().images.remove(name)


def test_a_digest_is_read_from_a_record_and_pins_a_task() -> None:
    digest = "sha256:" + "a" * 64
    assert digest_in(f"host:5000/x/y@{digest}") == digest
    assert digest_in(digest) == "", "an image's id is none"
    assert digest_in(f"x/y@{digest} db=z@sha256:{'b' * 64}") == digest, "services follow"
    task = make_task("one").model_copy(update={"image": ImageSpec(reference="x/y:1")})
    [held] = pinned([task], {"x/y:1": digest})
    assert (held.image.digest, held.content_hash) == (digest, task.content_hash)
    [free] = pinned([task], {"x/y:1": "image sha256:" + "b" * 64})
    assert free.image.digest == ""
