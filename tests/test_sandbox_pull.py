"""What a pull says while it lasts, and what a failed one is, against a real registry on loopback and the real daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.docker import daemon, images
from tasks.docker.availability import ImageState, availability
from tasks.docker.pull import Layers, Unreachable, failure, pull_image, split
from tasks.docker.space import BUNDLED_BYTES, IMAGE_BYTES, disk_need
from tasks.errors import DiskFullError, MachineError, TaskError
from tasks.sandbox import RegistryError, SandboxError
from tasks.task import Brief, Checks, ImageSpec, Task
from tests.fakes.registry import Registry, digest, registry


@pytest.fixture
def served(docker_daemon: None) -> Iterator[Registry]:
    with registry() as made:
        yield made


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("debian", ("debian", "latest")),
        ("debian:bookworm", ("debian", "bookworm")),
        ("host:5000/a/b", ("host:5000/a/b", "latest")),
        ("host:5000/a/b:1", ("host:5000/a/b", "1")),
        ("a@sha256:00", ("a@sha256:00", None)),
    ],
)
def test_names_are_split_as_docker_does(reference: str, parts: tuple[str, str | None]) -> None:
    assert split(reference) == parts


def test_pulling_reports_a_fraction_of_all_bytes() -> None:
    told: list[tuple[str, float | None]] = []
    layers = Layers("x", lambda what, fraction: told.append((what, fraction)))
    for status, layer, current, total in [
        ("Downloading", "a", 25e6, 100e6),
        ("Downloading", "b", 75e6, 100e6),
        ("Extracting", "a", 1, 1),
    ]:
        detail = {"current": current, "total": total}
        layers.heard({"status": status, "id": layer, "progressDetail": detail})
    layers.still_waiting(44.0)
    assert told == [
        ("pulling x (25 of 100 MB)", 0.25),
        ("pulling x (100 of 200 MB)", 0.5),
        ("unpacking x (0 of 0 MB)", 1.0),
        ("unpacking x (0 of 0 MB) (no progress for 44 s)", 1.0),
    ]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("write /var/lib/docker/tmp/GetImageBlob1: no space left on device", DiskFullError),
        ("failed to extract layer: write /x: no space left on device: unknown", DiskFullError),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", TaskError),
        ("unauthorized: authentication required", TaskError),
        ("error pulling image configuration: download failed after attempts=1: EOF", RegistryError),
        ("received unexpected HTTP status: 503 Service Unavailable", RegistryError),
        ("dial tcp: lookup registry-1.docker.io on 10.0.0.1:53: no such host", Unreachable),
    ],
)
def test_what_the_daemon_says_in_mid_pull_is_told_apart(said: str, kind: type[Exception]) -> None:
    assert type(failure("x", said)) is kind


def test_only_the_end_of_a_message_tells_that_a_disk_is_full() -> None:
    assert not daemon.disk_is_full("lstat /testbed/no space left on device: no such file or directory")


@pytest.mark.docker
@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_registrys_no_is_final(served: Registry, status: int) -> None:
    served.status = status
    with pytest.raises(
        TaskError, match=f"image {served.image()} is not on this machine and cannot be pulled"
    ):
        images.resolve(ImageSpec(reference=served.image()))


@pytest.mark.docker
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_is_busy_or_broken_may_be_asked_again(served: Registry, status: int) -> None:
    served.status = status
    with pytest.raises(RegistryError, match="cannot be pulled now"):
        images.resolve(ImageSpec(reference=served.image()))
    served.status = 0
    info = images.resolve(ImageSpec(reference=served.image()))
    daemon.client().images.remove(info.id, force=True)
    assert info.origin == "pulled"


@pytest.mark.docker
def test_a_download_that_is_cut_may_be_asked_again(served: Registry) -> None:
    served.cut = True
    with pytest.raises(RegistryError, match="cannot be pulled now"):
        images.pull(served.image())


@pytest.mark.docker
@pytest.mark.parametrize("where", ["stall_manifest", "stall_layer"])
def test_a_pull_that_stalls_ends_and_says_so_meanwhile(served: Registry, where: str) -> None:
    setattr(served, where, True)
    told: list[str] = []
    began = time.monotonic()
    with pytest.raises(RegistryError, match=r"there was no progress for [23] s"):
        pull_image(served.image(), lambda what, _: told.append(what), patience=2)
    assert time.monotonic() - began < 10
    assert len(told) >= 3, "somebody who watches sees that it lives"
    setattr(served, where, False)
    info = images.pull(served.image())
    daemon.client().images.remove(info.id, force=True)


class Enough(Exception):  # noqa: N818
    pass


@pytest.mark.docker
def test_a_pull_ends_when_whoever_watches_it_has_enough(served: Registry) -> None:
    served.stall_layer = True

    def stop(_what: str, _fraction: float | None) -> None:
        if any("/blobs/" in path for path in served.asked):
            raise Enough

    began = time.monotonic()
    with pytest.raises(Enough):
        images.pull(served.image(), stop)
    assert time.monotonic() - began < 10
    time.sleep(0.5)  # the config is asked for beside the layer: that request may be under way
    asked = len(served.asked)
    time.sleep(1.5)
    assert len(served.asked) == asked, "the daemon has given up too"


@pytest.mark.docker
def test_without_a_registry_it_is_the_network_and_a_context_is_built(docker_daemon: None) -> None:
    with pytest.raises(
        Unreachable, match=r"localhost:9/no/such:1 cannot be pulled now: .*connection refused"
    ):
        images.resolve(ImageSpec(reference="localhost:9/no/such:1"))
    with pytest.raises(TaskError, match="not an image name"):
        images.resolve(ImageSpec(reference="UPPER CASE"))
    assert issubclass(Unreachable, SandboxError)
    assert issubclass(DiskFullError, MachineError)


def task_of(reference: str, context: Path | None = None) -> Task:
    brief = Brief(task_id="t", repo="r", problem_statement="p")
    checks = Checks(fail_to_pass=(), pass_to_pass=(), gold_patch="", test_patch="")
    image = ImageSpec(reference=reference, context=context)
    return Task(id="t", benchmark="b", image=image, brief=brief, checks=checks)


@pytest.mark.docker
def test_images_are_looked_for_without_pulling_any(served: Registry, tmp_path: Path) -> None:
    base, absent = images.sandbox_base().reference, served.image("other/image")
    tasks = [
        task_of(base),
        task_of("asclaimed/none-such", tmp_path),
        task_of(absent),
        task_of(served.image()),
    ]
    found = availability(tasks)
    states = [found[task.image.reference].state for task in tasks]
    assert states == [ImageState.PRESENT, ImageState.BUILDABLE, ImageState.PULLABLE, ImageState.PULLABLE]
    assert all(one.runs_here for one in found.values())
    need = disk_need(tasks, found)
    assert (need.images, need.root) == (BUNDLED_BYTES + 2 * IMAGE_BYTES, daemon.facts()["DockerRootDir"])
    assert need.fits
    assert not need._replace(free=1).fits
    assert need._replace(free=1, budget=1).fits, "a run that removes what is used up needs no more"
    assert "within images.disk of 0.0 GB" in need._replace(budget=1).line()
    assert f"GB more in {need.root}" in need.line()
    assert not any("/blobs/" in path and path.endswith(digest(served.layer)) for path in served.asked)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("status", "state", "asked"), [(404, ImageState.MISSING, 3), (429, ImageState.UNKNOWN, 1)]
)
def test_a_registry_that_has_had_enough_is_asked_no_more(
    served: Registry, status: int, state: ImageState, asked: int
) -> None:
    served.status = status
    found = availability([task_of(served.image(f"some/image-{n}")) for n in range(9)], ask=3)
    assert sum(one.reason != "no registry was asked" for one in found.values()) == asked
    assert state in {one.state for one in found.values()}


@pytest.mark.docker
def test_an_image_for_another_processor_is_seen(docker_daemon: None) -> None:
    with registry(architecture="s390x") as other:
        (one,) = availability([task_of(other.image())]).values()
    assert (one.architecture, one.runs_here) == ("s390x", False)
