"""Where images come from, and what happens where they cannot come from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from docker.errors import NotFound
from docker.models.images import Image

from tasks.disk import exclusive
from tasks.docker import daemon, images
from tasks.docker.debian import DEFAULT_MIRROR, PACKAGES, apt_mirror
from tasks.errors import TaskError
from tasks.task import ImageSpec

ROOT = Path(__file__).parents[1]


def test_there_is_one_dockerfile() -> None:
    """The checkout's is the package's: an installed wheel builds the same base."""
    assert (ROOT / "Dockerfile").resolve() == images.DOCKERFILE
    text = images.DOCKERFILE.read_text()
    assert {"AS sandbox", "AS harness"} <= {
        f"AS {line.split(' AS ')[1]}" for line in text.splitlines() if " AS " in line
    }
    assert all(package in text for package in PACKAGES)


def test_the_mirror_is_the_machines_own(tmp_path: Path) -> None:
    assert apt_mirror(tmp_path) == DEFAULT_MIRROR
    sources = tmp_path / "sources.list.d"
    sources.mkdir()
    (sources / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n"
    )
    (sources / "other.list").write_text("deb https://other.example/repo stable main\n")
    assert apt_mirror(tmp_path) == "http://mirror.example/debian"
    (tmp_path / "sources.list").write_text("deb [arch=amd64] https://first.example/debian/ bookworm main\n")
    assert apt_mirror(tmp_path) == "https://first.example/debian/"


def test_the_hash_of_a_context_is_of_all_that_matters(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("FROM x")
    seen = {images.context_hash(tmp_path, ""), images.context_hash(tmp_path, "base")}
    file.chmod(0o755)
    seen.add(images.context_hash(tmp_path, ""))
    file.rename(tmp_path / "Containerfile")
    seen.add(images.context_hash(tmp_path, ""))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("")
    seen.add(images.context_hash(tmp_path, ""))
    assert len(seen) == 4


def test_a_lock_is_held_between_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = "from tasks.disk import exclusive\nwith exclusive('x'): print('got it')"
    command = ["timeout", "2", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with exclusive("x"):
        held = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    free = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (held.stdout, free.stdout) == ("", "got it\n")


@pytest.mark.docker
def test_the_base_has_what_bundled_tasks_need(docker_daemon: None) -> None:
    from tasks.docker.sandbox import open_sandbox

    info = images.sandbox_base()
    assert info == images.sandbox_base()._replace(origin=info.origin)
    assert info.base
    with open_sandbox(info.id) as box:
        assert (
            box.exec("git --version && patch --version && python3 -m pytest --version", timeout=60).exit_code
            == 0
        )


@pytest.mark.docker
def test_a_context_is_built_once_and_a_broken_one_is_named(docker_daemon: None, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN echo here >/testbed/file\n")
    spec = ImageSpec(reference="asclaimed/test-context", context=tmp_path)
    first, second = images.resolve(spec), images.resolve(spec)
    assert (first.origin, second.origin) == ("built", "present")
    assert first.id == second.id
    daemon.client().images.remove(first.reference, force=True)
    (tmp_path / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nRUN false\n")
    with pytest.raises(TaskError, match=r"image asclaimed/test-context:[0-9a-f]+ cannot be built"):
        images.resolve(spec)


@pytest.mark.docker
def test_stale_containers_of_ours_are_removed_and_no_others(docker_daemon: None) -> None:
    base = images.sandbox_base().id
    labels = {**daemon.owner_labels(), "asclaimed.started": "1"}
    create = daemon.client().containers.create
    stale, alive, foreign = (
        create(base, labels=labels),
        create(base, labels=daemon.owner_labels()),
        create(base),
    )
    try:
        daemon.reap()
        with pytest.raises(NotFound):
            stale.reload()
        alive.reload()
        foreign.reload()
    finally:
        daemon.remove(alive)
        daemon.remove(foreign)


@pytest.mark.docker
def test_a_sandbox_dies_with_its_owner(docker_daemon: None) -> None:
    code = (
        "import os\nfrom tasks.docker.sandbox import open_sandbox\nfrom tasks.docker.images import sandbox_base\n"
        "box = open_sandbox(sandbox_base().id)\nprint(box.container_id, flush=True)\nos.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    container = daemon.client().containers.get(done.stdout.strip())
    container.wait(timeout=30)
    daemon.reap()
    with pytest.raises(NotFound):
        container.reload()


@pytest.mark.parametrize(
    ("digests", "digest"),
    [
        (None, None),
        (["asclaimed/debian@sha256:00"], None),
        (["asclaimed/debian@sha256:00", "debian@sha256:11"], "debian@sha256:11"),
    ],
)
def test_an_image_of_ours_comes_from_no_registry_whatever_the_store_says(
    digests: list[str] | None, digest: str | None
) -> None:
    """The containerd store has a digest for what was imported; a base is called `debootstrap` there all the same."""
    attributes = {"Id": "sha256:22", "RepoDigests": digests, "Config": {"Labels": None}}
    assert images.describe(Image(attrs=attributes), "asclaimed/debian:bookworm", "built").digest == digest
