"""Images are pulled ahead, by a real daemon from a real registry that misbehaves, and only what was pulled is removed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
import pytest
from docker.errors import ImageNotFound
from typer.testing import CliRunner

from evals.commands.application import app
from tasks.docker import prefetch as prefetching
from tasks.docker import pull as pulling
from tasks.docker import pulled as pulled_images
from tasks.docker.create import container_options, create
from tasks.docker.daemon import client, remove
from tasks.docker.images import sandbox_base
from tasks.docker.leaks import clean_key
from tasks.docker.pulled import drop, leftovers, note_of, note_pull, notes, rate
from tasks.docker.space import CLEAN_BYTES
from tasks.docker.stock import DockerImages
from tasks.sandbox import Limits
from tests.fakes.real_registry import RealRegistry, layer, real_registry
from tests.fakes.registry import tar_of
from tests.test_images_plan import task_of, write_rows

pytestmark = pytest.mark.docker
NAMES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def registry(docker_daemon: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with real_registry(tmp_path_factory.mktemp("registry")) as made:
        own = secrets.token_hex(4)  # an image that an earlier session left would be the same otherwise
        base = layer(f"{own}-base", 400_000)
        for name in NAMES:
            made.push(f"fetch/{name}:1", [base, layer(f"{own}-{name}", 600_000)])
        made.push("fetch/elsewhere:1", [layer(f"{own}-e")], architecture="s390x")
        yield made


@pytest.fixture
def served(registry: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealRegistry]:
    """Well, and forgotten by the daemon afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry.status = registry.refuse_next = registry.cut_blobs = registry.stall_blobs = 0
    registry.bytes_a_second = 0
    registry.asked.clear()
    yield registry
    registry.let_go()
    for name in (*NAMES, "elsewhere"):
        with suppress(ImageNotFound):
            client().images.remove(registry.image(f"fetch/{name}:1"))


class Done:
    """One call of the command line."""

    def __init__(self, *words: str) -> None:
        done = CliRunner().invoke(app, ["images", *words])
        self.code, self.said, self.wrong = done.exit_code, done.stdout, done.stderr
        self.error = done.exception

    @property
    def document(self) -> Any:
        return json.loads(self.said)


def fetch(directory: Path, served: RealRegistry, names: Sequence[str], *more: str) -> Done:
    rows = write_rows(directory, [served.image(f"fetch/{name}:1") for name in names])
    return Done("prefetch", "--tasks", str(rows), *more)


def test_missing_images_are_pulled_and_a_second_call_finds_them(served: RealRegistry, tmp_path: Path) -> None:
    done = fetch(tmp_path, served, NAMES[:2], "--json")
    assert done.code == 0, done.wrong
    assert done.document["pulled"] == [served.image(f"fetch/{name}:1") for name in NAMES[:2]]
    assert len(notes()) == 2
    assert (rate() or 0) > 0
    layers = len(set(served.blobs()))
    done = fetch(tmp_path, served, NAMES[:3])
    assert (done.code, done.said) == (0, "2 images were here, 1 pulled\n")
    assert len(set(served.blobs())) == layers + 2, "one more layer and configuration: the base is here"


def test_a_busy_registry_is_asked_again_and_a_cut_download_begun_again(
    served: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        prefetching,
        "Patience",
        lambda **given: prefetching.PATIENT._replace(first=0.05, longest=0.1, **given),
    )
    served.refuse_next = 3
    done = fetch(tmp_path, served, ["a"], "--json")
    assert (done.code, served.refuse_next) == (0, 0), done.wrong
    served.cut_blobs = 1
    done = fetch(tmp_path, served, ["b"], "--json")
    assert (done.code, served.cut_blobs, len(done.document["pulled"])) == (0, 0, 1), done.wrong


def test_a_download_that_stalls_is_broken_off_and_begun_again(
    served: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        prefetching,
        "Patience",
        lambda **given: prefetching.PATIENT._replace(first=0.05, longest=0.1, **given),
    )
    served.stall_blobs = 1
    began = time.monotonic()
    done = fetch(tmp_path, served, ["a"], "--stall", "2", "--json")
    assert done.code == 0, done.wrong
    assert len(done.document["pulled"]) == 1
    assert time.monotonic() - began > 2


def test_a_trickle_is_no_progress_and_a_slow_download_is(
    served: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "LEAST_PROGRESS", 200_000)
    served.bytes_a_second = 20_000
    done = fetch(tmp_path, served, ["a"], "--stall", "3", "--patience", "0")
    assert done.code == 3
    assert "there was no progress for" in done.wrong
    assert "the same command goes on" in done.wrong
    monkeypatch.setattr(pulling, "LEAST_PROGRESS", 20_000)
    served.bytes_a_second = 200_000
    done = fetch(tmp_path, served, ["a"], "--stall", "3", "--patience", "0")
    assert done.code == 0, done.wrong


@pytest.mark.parametrize(("status", "words"), [(401, "HTTP 401"), (404, "HTTP 404")])
def test_a_refusal_is_one_line_an_image(
    served: RealRegistry, tmp_path: Path, status: int, words: str
) -> None:
    served.status = status
    done = fetch(tmp_path, served, NAMES[:2])
    assert (done.code, done.said) == (1, "2 not to be had\n")
    assert [words in line for line in done.wrong.rstrip().split("\n")] == [True, True]


def test_an_image_for_another_processor_and_one_that_is_nowhere_leave_the_others(
    served: RealRegistry, tmp_path: Path
) -> None:
    done = fetch(tmp_path, served, ["elsewhere", "nowhere", "a"])
    assert (done.code, done.said) == (1, "1 pulled, 2 not to be had\n")
    assert "fetch/elsewhere:1 is for s390x" in done.wrong
    assert "fetch/nowhere:1 is not on this machine and cannot be pulled" in done.wrong
    done = fetch(tmp_path, served, ["elsewhere", "a"])  # it is on this machine by now
    assert (done.code, done.said) == (1, "1 images were here, 1 not to be had\n")
    assert "fetch/elsewhere:1 is here, but for s390x, which this machine does not run" in done.wrong
    plan = Done("plan", "--tasks", str(tmp_path / "rows.jsonl"), "--json")
    assert (plan.code, plan.document["here"], len(plan.document["impossible"])) == (1, 1, 1)


def test_a_registry_that_is_away_or_busy_for_good_ends_it_in_one_line(
    served: RealRegistry, tmp_path: Path
) -> None:
    served.status = 429
    done = fetch(tmp_path, served, NAMES, "--patience", "0")
    assert (done.code, done.said) == (3, "4 left\n")
    assert done.wrong.count("\n") == 1
    assert "429" in done.wrong or "toomanyrequests" in done.wrong
    rows = write_rows(tmp_path, ["localhost:9/no/such:1", "localhost:9/no/other:1"])
    done = Done("prefetch", "--tasks", str(rows), "--patience", "0")
    assert done.code == 3
    assert done.wrong.startswith("2 images are not here: image localhost:9/no/")
    assert ":1 cannot be pulled now: " in done.wrong


def test_a_budget_ends_it_before_the_image_that_does_not_fit(served: RealRegistry, tmp_path: Path) -> None:
    """400 kB that all share and 600 of its own, unpacked 2.7 times by the plan's estimate: 2.7 MB, then 1.6 each."""
    done = fetch(tmp_path, served, NAMES, "--disk", "4.4MB", "--parallel", "1", "--json")
    assert (done.code, len(done.document["pulled"]), len(done.document["left"])) == (1, 2, 2)
    assert "2 images are not here: the budget does not hold them" in done.wrong
    assert done.document["bytes"] <= 4_400_000


def test_what_nobody_has_takes_no_room_of_a_budget(served: RealRegistry, tmp_path: Path) -> None:
    """Room for two images, as above; the two that come first are in no registry."""
    names = ["nowhere", "no-such", *NAMES[:2]]
    done = fetch(tmp_path, served, names, "--disk", "4.4MB", "--parallel", "1", "--json")
    assert (done.code, len(done.document["pulled"]), len(done.document["failed"])) == (1, 2, 2), done.wrong
    assert done.document["left"] == []
    of_both = done.document["bytes"]
    assert 4_200_000 < of_both < 4_400_000
    third = fetch(tmp_path, served, ["nowhere", "c"], "--json").document
    assert 1_600_000 < third["bytes"] < 1_700_000, "one layer of its own: the other one is here"


def test_a_disk_without_room_is_the_machines_lack(
    served: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the byte: what the image adds, and what containers and copies need besides."""
    task = task_of(served.image("fetch/d:1"))
    need = DockerImages(0.0).would_add(task) - CLEAN_BYTES
    usage = shutil.disk_usage("/")

    def fetched(free: int) -> Done:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=free))
        return fetch(tmp_path, served, ["d"])

    done = fetched(need + prefetching.KEPT_FREE - 1)
    assert (done.code, done.said) == (3, "1 left\n")
    assert done.wrong == (
        "1 images are not here: the disk of the Docker daemon has no room for more; the same command goes on\n"
    )
    done = fetched(need + prefetching.KEPT_FREE)
    assert (done.code, done.said) == (0, "1 pulled\n")


def test_what_a_run_works_with_is_not_pruned(served: RealRegistry) -> None:
    """An image that came by us and that a container of ours runs; once that is gone, it goes."""
    name, base = "asclaimed/test:used", sandbox_base().id
    options = container_options(Limits(), {}, "root", False, {}) | {"entrypoint": ["bash"]}
    source = create(base, ["-c", "true"], options)
    try:
        made = str(source.commit(*name.split(":")).id)
    finally:
        source.remove()
    note_pull(made, (name,), 1, 1.0)
    container = create(name, ["-c", "exec sleep 60"], options)

    def pruned(*more: str) -> dict[str, Any]:
        document = Done("prune", "--json", *more).document
        return next({"removed": one["removed"], "kept": one["kept"]} for one in document if one["id"] == made)

    try:
        container.start()
        assert pruned("--dry-run") == pruned() == {"removed": False, "kept": "a run has a container of it"}
    finally:
        remove(container)
    assert pruned("--dry-run") == {"removed": False, "kept": None}
    assert name in tags()
    assert pruned() == {"removed": True, "kept": None}
    assert name not in tags()


def test_only_what_was_pulled_is_pruned_and_copies_go_with_it(
    served: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = served.image("fetch/mine:1")
    other, ours = served.image("fetch/a:1"), served.image("fetch/b:1")
    client().images.get(sandbox_base().id).tag(mine)
    client().api.pull(*other.rsplit(":", 1))  # by the user, not by us
    try:
        assert fetch(tmp_path, served, ["a", "b"]).code == 0
        pulled = str(client().images.get(ours).id)
        copy, orphan = copy_of(pulled), copy_of(str(client().images.get(other).id))
        listed = Done("prune", "--dry-run", "--json").document
        assert [one["references"] for one in listed if one["references"]] == [[ours]]
        assert "removed 0," in Done("prune", "--older-than", "1000").said
        assert (copy,) == next(one.copies for one in leftovers() if one.references), (
            "of that image, and of no other"
        )
        done = Done("prune")
        assert done.code == 0, done.error
        assert "KEPT" not in done.said, done.said
        assert tags() & {copy, ours} == set()
        assert {other, orphan, mine} <= tags(), "another's image, its copy, another's tag"
        assert note_of(pulled) is None
        client().images.remove(other)
        assert orphan not in str(list(leftovers())), "somebody may just have made it"
        monkeypatch.setattr(pulled_images, "YOUNG", 0.0)
        (left,) = [one for one in leftovers() if one.copies == (orphan,)]
        assert drop(left) == ""
        assert orphan not in tags()
    finally:
        for name in (mine, other):
            with suppress(ImageNotFound):
                client().images.remove(name)


def test_a_name_that_somebody_else_gave_keeps_an_image(served: RealRegistry, tmp_path: Path) -> None:
    assert fetch(tmp_path, served, ["c"]).code == 0
    client().images.get(served.image("fetch/c:1")).tag("others/name", "1")
    try:
        done = Done("prune")
        assert "KEPT: still held by others/name:1" in done.said
        assert "others/name:1" in tags()
    finally:
        client().images.remove("others/name:1")


def tags() -> set[str]:
    listed = client().api.images()
    return {tag for image in listed for tag in image["RepoTags"] or ()}


def copy_of(image_id: str) -> str:
    """A cleaned copy as `leaks.clean` leaves one; the image has no shell to run it in."""
    container = client().containers.create(image_id, ["/file"])
    try:
        key = clean_key(image_id, "/")
        container.put_archive("/", layer(key, 1000))
        container.commit("asclaimed/clean", key)
    finally:
        container.remove()
    return f"asclaimed/clean:{key}"


# ---- a disk that fills up in mid-pull ------------------------------------------------------------------------------


def test_a_disk_that_is_full_in_mid_pull_ends_it_with_a_line_and_what_was_pulled_stays(
    registry: RealRegistry, tmp_path: Path
) -> None:
    """A daemon of its own, whose data root is 24 MB. The second image is sent in some kB, and unpacks to 40 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    for name, content in (
        ("x", layer("x", 1_000_000)),
        ("y", tar_of({"y": bytes(40_000_000)})),
        ("z", layer("z")),
    ):
        registry.push(f"fetch/{name}:1", [content])
    rows = write_rows(tmp_path, [registry.image(f"fetch/{name}:1") for name in "xyz"])
    # containerd's socket lies below it, and the path of a socket holds no more than 107 bytes
    with TemporaryDirectory(prefix="small-") as short, small_daemon(Path(short), megabytes=24) as environment:
        words = ["images", "prefetch", "--tasks", str(rows), "--parallel", "1", "--patience", "5"]
        code = (
            "import sys; from tasks.docker import prefetch; prefetch.KEPT_FREE = 0\n"
            f"sys.argv = ['asclaimed', *{words!r}]\nfrom evals.cli import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 3, done.stderr
        assert done.stderr.count("\n") == 1
        assert "which has no room for image" in done.stderr
        assert "is full: free some space and run the same command again to resume" in done.stderr
        small = docker.DockerClient(environment["DOCKER_HOST"])
        there = str([image.tags for image in small.images.list()])
        small.close()
        assert "fetch/x" in there, "a pull that failed takes nothing with it"


@contextmanager
def small_daemon(directory: Path, *, megabytes: int) -> Iterator[dict[str, str]]:
    """The environment in which a second daemon, on a disk of that size, is Docker.

    It has a bridge that the first one made: without any (`--bridge=none`) it would delete the first one's docker0.
    """
    root, listening = directory / "root", directory / "d.sock"
    first, bridge = docker.from_env(), f"small{os.getpid()}"
    network = first.networks.create(bridge, options={"com.docker.network.bridge.name": bridge})
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(root)], check=True)
    words = [
        "dockerd", "--data-root", str(root), "--exec-root", str(directory / "exec"), "--pidfile", str(directory / "pid"),
        "--host", f"unix://{listening}", "--iptables=false", f"--bridge={bridge}", "--storage-driver=vfs",
    ]  # fmt: skip
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{listening}",
        "XDG_CACHE_HOME": str(directory / "cache"),
    }
    try:
        wait_for(listening, process, directory / "dockerd.log")
        yield environment
    finally:
        process.terminate()
        process.wait(60)
        network.remove()
        first.close()
        subprocess.run(["umount", str(root)], check=True)


def wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        with suppress(OSError), closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if b" 200 " in connection.recv(64):
                return
        time.sleep(0.2)
    pytest.fail(log.read_text()[-2000:])
