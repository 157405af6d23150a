"""A whole run against a registry that has had enough of us: it waits, goes on by itself, and loses no attempt."""

from __future__ import annotations

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
from tests.fakes.registry import Registry, registry

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]
IDS = ("asclaimed__purl-1", "asclaimed__abacus-1")
BUNDLED = Path(catalog.__file__).parent / "bundled"


@pytest.fixture
def served() -> Iterator[Registry]:
    with registry() as made:
        yield made
        for name in made.known:
            with suppress(ImageNotFound):
                client().api.remove_image(made.image(name), noprune=True)


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
