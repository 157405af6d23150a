"""A whole run against a registry that has had enough of us: it waits, goes on by itself, and loses no attempt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from docker.errors import ImageNotFound
from typer.testing import CliRunner, Result

from evals.commands.application import app
from evals.run import outages
from tasks import catalog
from tasks.docker.daemon import client
from tasks.docker.images import resolve
from tests.fakes.registry import Registry, digest, registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]
IDS = ("asclaimed__purl-1", "asclaimed__abacus-1")
BUNDLED = Path(catalog.__file__).parent / "bundled"


@pytest.fixture
def served() -> Iterator[Registry]:
    with registry() as made:
        yield made
        for image in client().api.images():
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if name.startswith((f"{made.host}/", "registry.invalid/")):
                    with suppress(ImageNotFound):
                        client().api.remove_image(name, noprune=True)


@pytest.fixture
def tasks(served: Registry, tmp_path: Path) -> Path:
    """Two bundled tasks whose images only the registry has."""
    home = tmp_path / "two"
    home.mkdir()
    shutil.copy(BUNDLED / "sweb.yaml", home)
    for task in catalog.load("bundled", ids=IDS):
        copy = home / "tasks" / task.id
        shutil.copytree(
            BUNDLED / "tasks" / task.id, copy, ignore=shutil.ignore_patterns("Dockerfile", "repo")
        )
        facts = client().images.get(resolve(task.image).id).attrs
        described = yaml.safe_load((copy / "task.yaml").read_text())
        described["image"] = served.offer(f"x/{task.id}", facts["Id"], facts["RootFS"]["Layers"])
        (copy / "task.yaml").write_text(yaml.safe_dump(described))
    return home


def run(tasks: Path, *more: str) -> Result:
    options = ["run", "--tasks", str(tasks), "--scaffold", "gold", "--workers", "2"]
    return CliRunner().invoke(app, [*options, "--out", str(tasks.parent / "run"), *more])


def test_a_run_waits_for_a_registry_that_limits_it_and_says_what_to_do_where_that_is_for_good(
    served: Registry, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "PULL_WAITS", outages.Waits(first=0.1, longest=0.2, patience=1.0))
    served.status = 429
    ended = run(tasks)
    said = " ".join(ended.output.split())
    assert ended.exit_code == 1
    assert "the registry does not answer for now: image" in said
    assert "429" in said or "toomanyrequests" in said
    assert "2 attempts were not judged; to try just these again: asclaimed " in said
    assert said.rstrip().endswith("--retry-unjudged")
    served.status, served.refuse_next = 0, 12
    asked = len(served.asked)
    ended = run(tasks, "--retry-unjudged")
    assert (ended.exit_code, served.refuse_next) == (0, 0), ended.output
    assert len(served.asked) - asked > 12
    assert "not judged; to try" not in " ".join(ended.output.split())
    run_directory = tasks.parent / "run"
    assert len(list(run_directory.glob("gold/*/1/grade.json"))) == 2
    assert all('"outcome": "resolved"' in p.read_text() for p in run_directory.glob("gold/*/1/grade.json"))


def test_what_is_used_up_goes_and_a_name_stays_the_image_that_it_was(served: Registry, tasks: Path) -> None:
    """With room for one image at a time, and a registry in which somebody moves the names between two sessions."""
    names = [f"x/{task_id}" for task_id in IDS]
    first, last = (served.image(name) for name in names)
    pinned = {served.image(name): digest(served.known[name]) for name in names}
    options = ("--workers", "1", "--set", "images.disk=1")
    ended = run(tasks, *options)
    assert ended.exit_code == 0, ended.output
    run_directory = tasks.parent / "run"
    assert json.loads((run_directory / "manifest.json").read_bytes())["images"] == pinned
    here = {tag for image in client().images.list() for tag in image.tags}
    assert (first in here, last in here) == (False, True), "nothing needed the room of the last one"
    lines = (run_directory / "ledger.jsonl").read_text().split("\n")
    told = [json.loads(json.loads(line)["body"]) for line in lines if line]
    assert [one["image"] for one in told if one["event"] == "images-over-budget"] == [first, last]
    assert "note: 2 images were pulled over images.disk" in " ".join(ended.output.split())
    (gone,) = [one for one in told if one["event"] == "image-kept"]
    assert (gone["image"], "still held by asclaimed/" in gone["why"]) == (first, True), (
        "this machine built it"
    )
    for name, other in zip(names, [served.known[name] for name in reversed(names)], strict=True):
        served.put(name, other)
    shutil.rmtree(run_directory / "gold")
    client().api.remove_image(last, noprune=True)
    client().api.pull(*last.rsplit(":", 1))
    ended = run(tasks, *options)
    assert ended.exit_code == 0, ended.output
    assert f"OTHER IMAGE: {last} is another one here than the run began with" in " ".join(
        ended.output.split()
    )
    records = [json.loads(path.read_bytes()) for path in run_directory.glob("gold/*/1/record.json")]
    assert {one["image_source"].partition("@")[2] for one in records} == set(pinned.values())


def test_a_mirror_has_the_images_of_a_registry_that_is_not_there(served: Registry, tasks: Path) -> None:
    for file in tasks.glob("tasks/*/task.yaml"):
        file.write_text(file.read_text().replace(served.host, "registry.invalid"))
    ended = run(tasks, "--registry-mirror", f"registry.invalid/={served.host}/")
    assert ended.exit_code == 0, ended.output
    records = [json.loads(p.read_bytes()) for p in tasks.parent.glob("run/gold/*/1/record.json")]
    assert all("@sha256:" in one["image_source"] for one in records)
    assert {path.split("/")[3] for path in served.asked if "/manifests/" in path} == set(IDS)
