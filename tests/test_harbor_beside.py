"""Services beside a task's machine on real Docker: they serve, they are judged with it, they lead nowhere, and they go."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from evals.grade import check_machines
from evals.grade.grader import Grader
from evals.record import FlagKind, Outcome, Party
from tasks import catalog
from tasks.backend import Prepared
from tasks.docker import beside, daemon
from tasks.docker.backend import DockerBackend
from tasks.docker.images import base_reference
from tasks.docker.pinned import identities
from tasks.docker.prepare import prepare
from tasks.docker.pull_plan import pull_plan
from tasks.docker.sandbox import DockerSandbox
from tasks.docker.stock import DockerImages
from tasks.errors import ServiceError, TaskError
from tasks.sandbox import Limits, SandboxError
from tasks.task import HealthCheck, ImageSpec, Service, Task
from tests.command_line import asclaimed
from tests.fakes.foreign_image import NAME as FOREIGN
from tests.fakes.foreign_image import foreign_image
from tests.harbor_tasks import TASKS, write_served, write_task
from tests.test_harbor_run import forget_states, grades, records

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("docker_daemon")]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    [task] = catalog.load(str(write_served(tmp_path_factory.mktemp("own"))))
    return task


@pytest.fixture(scope="module")
def prepared(docker_daemon: None, task: Task) -> Prepared:
    return prepare(task)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "PAUSE", 0.1)


@contextmanager
def opened(prepared: Prepared, **changes: Any) -> Iterator[DockerSandbox]:
    """With the task's service, changed."""
    compose = prepared.compose
    if changes:
        changed = tuple(each.model_copy(update=changes) for each in compose.services)
        compose = compose.model_copy(update={"services": changed})
    labels = {"run": "beside"}
    with DockerBackend().open(
        prepared.image, workdir="/app", limits=Limits(), labels=labels, compose=compose
    ) as sandbox:
        yield sandbox


def services(run: str = "beside") -> list[Any]:
    """Containers of services that this process or its commands have for a run."""
    wanted: Any = [f"{daemon.LABEL}service", f"{daemon.LABEL}run={run}"]
    return list(daemon.client().containers.list(all=True, filters={"label": wanted}, ignore_removed=True))


def test_solutions_pass_nothing_done_fails_and_without_its_services_nothing_is_judged(
    task: Task, tmp_path: Path
) -> None:
    """The verifier asks the service what the attempt left there. What does not come up is the task's doing."""
    assert task.verifier
    home, run = tmp_path / "own", tmp_path / "stored-run"
    write_served(home)
    unwell = write_served(tmp_path / "new").rename(home / "unwell") / "environment" / "docker-compose.yaml"
    unwell.write_text(
        unwell.read_text()
        .replace("timeout: 10s", "timeout: 1s\n      retries: 1")
        .replace("/secret'", "/no'")
    )
    both = ("--scaffold", "gold", "--scaffold", "nop", "--workers", 4, "--set", "graders=2")
    done = asclaimed("run", "--tasks", home, *both, "--out", run)
    try:
        assert done.returncode == 1, done.stderr
        assert "SHARED: stored, unwell: verified in the agent's own machine" in done.stderr
        assert "PROTOCOL, other network of services: the tasks give each service an address" in done.stderr
        gold, nop, kept = grades(run, "gold"), grades(run, "nop"), records(run)
        assert gold["stored"].outcome is Outcome.RESOLVED
        assert (nop["stored"].outcome, nop["stored"].official.reason) == (Outcome.UNRESOLVED, "reward 0")
        assert kept["gold", "stored"].flags[0].kind is FlagKind.SHARED_VERIFIER
        assert re.fullmatch(
            "sha256:[0-9a-f]{64} store=sha256:[0-9a-f]{64}", kept["gold", "stored"].image_source
        )
        failure = kept["gold", "unwell"].failure
        assert failure
        assert failure.party is Party.TASK
        assert "its service store is not healthy after 2 s: " in failure.message
        assert gold["unwell"].outcome is nop["unwell"].outcome is Outcome.NOT_JUDGED
        assert services(run.name) == []
    finally:
        forget_states(run)


def test_its_controls_are_run_with_services_of_their_own(task: Task) -> None:
    assert task.verifier
    with Grader() as grader:
        assert check_machines.solved(grader.states, task, task.verifier).outcome is Outcome.RESOLVED
        assert check_machines.start(grader.states, task, task.verifier).outcome is Outcome.UNRESOLVED


@contextmanager
def listener_of_the_host() -> Iterator[int]:
    """On all addresses of this machine; whoever reaches it is told."""
    stopped = threading.Event()

    def answer(server: socket.socket) -> None:
        while not stopped.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.sendall(b"the host")

    with closing(socket.create_server(("0.0.0.0", 0))) as server:
        server.settimeout(0.1)
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            stopped.set()
            thread.join()


LOOK_OUT = """\
import socket, sys
for address in sys.argv[2:]:
    try:
        with socket.create_connection((address, int(sys.argv[1])), 1) as s:
            print("reached", address, s.recv(99))
    except OSError:
        pass
print([line.split() for line in open("/proc/net/route")][1:])
try:
    print(socket.getaddrinfo("example.org", 80))
except OSError:
    print("no name")
"""


def test_neither_the_machine_nor_a_service_gets_out(prepared: Prepared) -> None:
    """Not even to what listens on the host itself, to which a bridge of Docker's leads, an internal one too."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout
    addresses = ["127.0.0.1", "127.0.0.2", *(one for one in said.split() if ":" not in one)]
    assert len(addresses) > 2
    with listener_of_the_host() as port, opened(prepared) as sandbox:
        for address in addresses:
            with socket.create_connection((address, port), 5) as there:
                assert there.recv(99) == b"the host"
        machine = daemon.client().containers.get(sandbox.container_id)
        for container in (machine, *services()):
            seen = container.exec_run(["python3", "-c", LOOK_OUT, str(port), *addresses]).output.decode()
            assert seen == "[]\nno name\n", container.labels


def test_a_service_is_confined_and_limited_as_its_machine_is(prepared: Prepared) -> None:
    """It has a name, an address of its own, and nothing of its neighbour's but the loopback."""
    with opened(prepared, aliases=("kept",), tmpfs=("/fast",), volumes=("/disk",)) as sandbox:
        machine = daemon.client().containers.get(sandbox.container_id)
        (service,) = services()
        same = (
            "CapAdd",
            "CapDrop",
            "SecurityOpt",
            "PidsLimit",
            "Memory",
            "MemorySwap",
            "NanoCpus",
            "CpuShares",
            "Ulimits",
            "MaskedPaths",
        )
        assert {key: service.attrs["HostConfig"][key] for key in same} == {
            key: machine.attrs["HostConfig"][key] for key in same
        }
        assert service.attrs["HostConfig"]["NetworkMode"] == f"container:{machine.id}"
        assert service.labels[f"{daemon.LABEL}pid"] == machine.labels[f"{daemon.LABEL}pid"]
        hosts = sandbox.read("/etc/hosts").decode().split("\n")
        assert {"127.0.0.2\tmain", "127.0.0.3\tstore", "127.0.0.3\tkept"} <= set(hosts)
        assert (
            sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", timeout=20).output.count("store.py") == 0
        )
        mounts = service.exec_run(["grep", "-E", " /(fast|disk) ", "/proc/mounts"]).output.decode()
        assert [line.split()[1] for line in sorted(mounts.strip().split("\n"))] == ["/disk", "/fast"]
        volumes = [one["Name"] for one in service.attrs["Mounts"] if one["Type"] == "volume"]
    assert services() == []
    left = {volume.id for volume in daemon.client().volumes.list()}
    assert not left & set(volumes)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {
                "health": HealthCheck(
                    test=("CMD-SHELL", "echo not yet; exit 3"), interval=0.5, timeout=0.5, retries=1
                )
            },
            "its service store is not healthy after 1 s: not yet",
        ),
        (
            {"command": ("sh", "-c", "echo no port; exit 4")},
            "its service store ended with status 4: no port",
        ),
        (
            {"command": ("sh", "-c", "exit 5"), "ends": True, "health": None},
            "its service store failed with status 5: it printed nothing",
        ),
        ({"command": ("kill", "-9", "-1")}, "its service store is gone: "),
        ({"command": ()}, "its service store has no command"),
    ],
)
def test_a_service_that_does_not_come_up_is_the_tasks_doing(
    prepared: Prepared, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ServiceError, match=why), opened(prepared, **changes):
        pass
    assert services() == []


def test_services_start_in_order_and_again_as_their_file_says(prepared: Prepared) -> None:
    (store,) = prepared.compose.services
    script = "import os; n = len(os.listdir('/n')); open(f'/n/{n}', 'w'); os._exit(n < 2)"
    again = Service(
        name="again",
        image=store.image,
        command=("python3", "-c", script),
        restart="on-failure",
        volumes=("/n",),
    )
    once = Service(
        name="once",
        image=store.image,
        entrypoint=("python3", "-c"),
        command=("import urllib.request as u; u.urlopen('http://store/secret')",),
        after={"store": "service_healthy", "again": "service_completed_successfully"},
        ends=True,
    )
    compose = prepared.compose.model_copy(
        update={"services": (store, again.model_copy(update={"ends": True}), once)}
    )
    with DockerBackend().open(
        prepared.image, workdir="/app", limits=Limits(), labels={"run": "beside"}, compose=compose
    ):
        assert len(services()) == 3


def test_a_service_that_somebody_else_ends_spoils_the_attempt_and_one_that_ends_itself_does_not(
    prepared: Prepared,
) -> None:
    with opened(prepared) as sandbox:
        (one,) = sandbox.beside
        one.check()
        services()[0].exec_run(["pkill", "-f", "store.py"])
        one.check()
        services()[0].kill()
        with pytest.raises(SandboxError, match="killed from outside"):
            one.check()


OWNER = """\
import os, sys
from tasks.docker.backend import DockerBackend
from tasks.sandbox import Limits
from tasks.task import Compose
compose = Compose.model_validate_json(sys.argv[2])
DockerBackend().open(sys.argv[1], workdir="/app", limits=Limits(), labels={"run": "killed"}, compose=compose)
os.kill(os.getpid(), 9)
"""


def test_services_die_with_their_owner(prepared: Prepared) -> None:
    given = prepared.compose.model_dump_json()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", OWNER, prepared.image, given], env=environment, check=False)
    (service,) = services("killed")
    service.wait(timeout=30)
    daemon.reap()
    assert services("killed") == []


def test_images_of_services_are_in_the_plan(task: Task) -> None:
    foreign = task.compose.services[0].model_copy(
        update={"image": ImageSpec(reference="localhost:1/no/such:1")}
    )
    more = task.model_copy(
        update={"compose": task.compose.model_copy(update={"services": (*task.compose.services, foreign)})}
    )
    made = pull_plan([task, more], ask=0)
    assert (made.images, made.to_pull, made.here + made.to_build) == (3, 1, 2)
    assert [DockerImages(0).is_missing(one) for one in (task, more)] == [False, True]
    here = more.with_images(lambda image: image if image.context else ImageSpec(reference=base_reference()))
    assert identities([here]).keys() == {base_reference()}, (
        "what is built is named after what it is built from"
    )


def test_an_image_for_another_processor_is_refused_in_one_line(task: Task, tmp_path: Path) -> None:
    """The machine's own before anything runs, and a service's before an attempt does."""
    directory = write_task(tmp_path / "own", TASKS[0])
    (directory / "environment" / "Dockerfile").unlink()
    (directory / "task.toml").write_text(f"[environment]\ndocker_image = '{FOREIGN}'\n")
    with foreign_image() as image:
        done = asclaimed("run", "--tasks", directory, "--scaffold", "gold", "--out", tmp_path / "run")
        assert done.returncode == 3
        assert done.stderr.strip().split("\n")[-1] == (
            f"asclaimed: no task has an image for this machine's processor: {FOREIGN} is for s390x"
        )
        (store,) = task.compose.services
        foreign = store.model_copy(update={"image": ImageSpec(reference=FOREIGN)})
        wrong = task.model_copy(update={"compose": task.compose.model_copy(update={"services": (foreign,)})})
        with pytest.raises(TaskError, match=f"image {image[:19]} is for s390x, and Docker's machine is"):
            prepare(wrong)
