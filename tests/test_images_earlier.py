"""Images that were here before asclaimed: they stay, unless somebody asks, and unless no registry would give them again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from typer.testing import CliRunner

from evals.commands.application import app
from evals.commands.session import make_context
from evals.run.manifest import compose
from evals.run.plan import RunPlan, load_plan
from tasks.docker.backend import DockerBackend
from tasks.docker.daemon import client
from tasks.docker.earlier import NOWHERE
from tasks.docker.images import sandbox_base
from tasks.docker.pull_plan import UNPACKED
from tasks.docker.pulled import Leftover, drop
from tasks.docker.registry import manifest
from tasks.docker.space import CLEAN_BYTES
from tasks.docker.stock import DockerImages
from tasks.errors import UserError
from tasks.sandbox import RegistryError
from tasks.task import Verifier
from tests.fakes.real_registry import RealRegistry, layer, real_registry
from tests.test_images_plan import task_of, write_rows
from tests.test_images_prefetch import copy_of, tags
from tests.test_run import make_task

NAMES = ("a", "b")


@pytest.fixture
def served(
    docker_daemon: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as made:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in NAMES:
            made.push(f"earlier/{name}:1", [layer(f"{secrets.token_hex(4)}-{name}", 300_000)])
        yield made
        made.let_go()
        for name in (*NAMES, "built"):
            with suppress(ImageNotFound):
                client().images.remove(made.image(f"earlier/{name}:1"))


def had_before(served: RealRegistry, name: str) -> str:
    """As a user pulls one, without us."""
    reference = served.image(f"earlier/{name}:1")
    client().api.pull(*reference.rsplit(":", 1))
    return reference


def prune(*more: str) -> str:
    done = CliRunner().invoke(app, ["images", "prune", *more])
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.docker
def test_prune_removes_what_was_here_before_of_the_tasks_that_are_named(
    served: RealRegistry, tmp_path: Path
) -> None:
    mine, other = had_before(served, "a"), had_before(served, "b")
    built = served.image("earlier/built:1")
    client().images.get(sandbox_base().id).tag(built)
    copy = copy_of(str(client().images.get(mine).id))
    rows = str(write_rows(tmp_path, [mine, built, served.image("earlier/never:1")]))
    assert mine not in prune()
    assert mine not in prune("--earlier", rows, "--older-than", "0.000001", "--dry-run"), "who knows?"
    dry = prune("--earlier", rows, "--dry-run")
    assert f"{mine}\n" in dry
    assert f"{built}  KEPT: {NOWHERE}" in dry
    assert {mine, copy, built, other} <= tags()
    assert f"{built}  KEPT: {NOWHERE}" in prune("--earlier", rows)
    assert tags() & {mine, copy} == set()
    assert {built, other} <= tags(), "made here, and of no task that was named"


@pytest.mark.docker
def test_an_image_that_its_registry_replaced_or_does_not_tell_of_stays(
    served: RealRegistry, tmp_path: Path
) -> None:
    mine = had_before(served, "a")
    rows = str(write_rows(tmp_path, [mine]))
    served.status = 503
    assert f"KEPT: {NOWHERE}" in prune("--earlier", rows)
    served.status = 0
    client().images.get(mine).tag("others/name", "1")
    try:
        assert "KEPT: still held by others/name:1" in prune("--earlier", rows)
    finally:
        client().images.remove("others/name:1")
    with suppress(ImageNotFound):  # its own name is gone already
        client().images.remove(mine)


@pytest.mark.docker
def test_a_run_with_a_budget_removes_what_was_here_before_only_when_that_is_asked(
    served: RealRegistry,
) -> None:
    task, since = task_of(had_before(served, "a")), time.time()
    assert DockerImages(since).evict(task) == "it was here before this run"
    assert DockerImages(since, with_earlier=True).evict(task) == ""
    assert task.image.reference not in tags()
    DockerBackend().image(task.image)
    assert DockerImages(time.time()).evict(task) == "it was here before this run", "ours, of an earlier run"
    assert DockerImages(time.time(), with_earlier=True).evict(task) == ""


@pytest.mark.docker
def test_what_an_image_would_add_is_its_layers_unpacked_and_a_clean_copy(served: RealRegistry) -> None:
    store, task = DockerImages(0.0), task_of(served.image("earlier/a:1"))
    sent = sum(one.bytes for one in manifest(task.image.reference).layers)
    assert sent > 300_000
    assert store.is_missing(task)
    assert store.would_add(task) == round(sent * UNPACKED) + CLEAN_BYTES
    of_a_machine = task.model_copy(update={"checks": Verifier(directory=Path("x"), digest="d", seconds=1)})
    assert store.would_add(of_a_machine) == round(sent * UNPACKED), "which has nothing to be cleaned of"
    DockerBackend().image(task.image)
    assert not store.is_missing(task)
    unpacked = client().images.get(task.image.reference).attrs["Size"]
    assert 290_000 < unpacked < min(3 * sent, store.stored())
    assert store.would_add(task) == CLEAN_BYTES, "its layers are here"


@pytest.mark.docker
def test_a_name_without_a_tag_is_the_latest_and_does_not_hold_its_own_image(docker_daemon: None) -> None:
    client().api.import_image_from_data(layer(secrets.token_hex(4), 100), "others/untagged", "latest")
    image = str(client().images.get("others/untagged").id)
    assert drop(Leftover(image, ("others/untagged",), (), 0, 0.0)) == ""
    assert "others/untagged:latest" not in tags()


@pytest.mark.docker
def test_a_pull_of_a_run_stalls_when_its_plan_says(served: RealRegistry, tmp_path: Path) -> None:
    plan = RunPlan.model_validate({"scaffolds": ["gold"], "images": {"stall_seconds": 1}})
    manifest = compose(plan, [make_task("one")], run_id="r", server=None, base_image=None, excluded={})
    (tmp_path / "run").mkdir()
    backend = make_context(manifest, tmp_path / "run", plan).backend
    served.stall_blobs = 1
    began = time.monotonic()
    with pytest.raises(RegistryError, match=r"there was no progress for [12] s"):
        backend.image(task_of(served.image("earlier/b:1")).image)
    assert 1 < time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"images.stall_seconds": 0.5}, "`images.stall_seconds`: input should be greater than or equal to 1"),
        ({"images.stall_seconds": float("inf")}, "input should be less than or equal to 86400"),
        ({"images.stall_seconds": float("nan")}, "`images.stall_seconds`"),
        ({"images.evict_earlier": True}, "evict_earlier needs images.disk"),
    ],
)
def test_what_a_plan_says_of_images_has_bounds(given: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_plan(None, given)


def test_prune_says_what_tasks_it_does_not_know() -> None:
    done = CliRunner().invoke(app, ["images", "prune", "--earlier", "nowhere.jsonl"])
    assert isinstance(done.exception, UserError)
    assert "no tasks at 'nowhere.jsonl'" in str(done.exception)
