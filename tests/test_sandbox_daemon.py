"""Daemons that are not the one of a developer's machine: elsewhere, rootless, with another clock, or none at all."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import DockerException, ImageNotFound

from tasks.backend import RunRequest, TestLimits
from tasks.docker import cpu, daemon, pulled, selftest
from tasks.docker.endpoint import no_daemon
from tasks.docker.images import sandbox_base
from tasks.docker.sandbox import open_sandbox
from tasks.docker.start_state import archive
from tasks.docker.testing import TestContainers
from tasks.errors import TaskError
from tasks.host import boot_id, cpu_seconds, pid_namespace, process_start
from tasks.sandbox import SandboxError, SandboxGone
from tests.fakes.docker_calls import before_each_call, refusing
from tests.fakes.docker_daemon import daemon_that_says
from tests.fakes.foreign_image import foreign_image

ROOT = Path(__file__).parents[1]
ROOTLESS = {"MemoryLimit": False, "PidsLimit": False, "CgroupVersion": "1", "ServerVersion": "20.10"}
ASK = """
from tasks.docker.daemon import client, require_limits
from tasks.errors import MachineError
from tasks.sandbox import Limits
try: require_limits(Limits())
except MachineError as error: print(error, error.exit_code)
require_limits(Limits(allow_unlimited=True))
"""
CONNECT = """
from tasks.docker.daemon import client
from tasks.errors import MachineError
try: client()
except MachineError as error: print(error, error.exit_code)
"""


def said(code: str, exits: int = 0, **environment: str) -> str:
    """What a fresh Python prints: the client is made once a process."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exits, done.stderr
    return done.stdout


def test_without_a_daemon_one_line_says_where_why_and_what_to_do(tmp_path: Path) -> None:
    where = f"unix://{tmp_path}/none.sock"
    assert said(CONNECT, DOCKER_HOST=where) == (
        f"no Docker daemon answers at {where} (DOCKER_HOST) ([Errno 2] No such file or directory): start it or run "
        "`make setup`, or point DOCKER_HOST or `docker context use` to one that runs 3\n"
    )


def test_the_current_context_is_followed_and_named(tmp_path: Path) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"nas").hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"docker": {"Host": "tcp://127.0.0.1:9", "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": "nas", "Metadata": {}, "Endpoints": endpoint}))
    (tmp_path / "config.json").write_text('{"currentContext": "nas"}')
    line = said(CONNECT, DOCKER_CONFIG=str(tmp_path))
    assert line.startswith("no Docker daemon answers at tcp://127.0.0.1:9 (Docker context nas) (")
    assert "Connection refused" in line


def test_the_reason_brings_its_own_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pip install paramiko" in no_daemon("ssh://nas", DockerException("Install paramiko package"))
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/corporate.pem")
    error = ssl.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "REQUESTS_CA_BUNDLE names another CA bundle" in no_daemon("tcp://nas:2376", error)
    assert "join the group `docker`" in no_daemon("x", PermissionError(13, "Permission denied"))


def test_a_daemon_that_drops_limits_is_refused_unless_that_is_allowed() -> None:
    with daemon_that_says(ROOTLESS) as host:
        line = said(ASK, DOCKER_HOST=host)
    assert line.startswith(
        f"the Docker daemon at {host} (DOCKER_HOST) cannot limit memory and the number of processes"
    )
    assert "--allow-unlimited" in line
    assert line.endswith(" 3\n")
    assert daemon.unenforced({"MemoryLimit": True}) == ()


def test_the_doctor_says_where_it_looked_and_what_is_not_limited() -> None:
    code = "import sys; sys.argv = ['asclaimed', 'doctor']\nfrom evals.cli import main\nmain()"
    with daemon_that_says(ROOTLESS) as host:
        text = " ".join(said(code, 3, DOCKER_HOST=host, COLUMNS="300").split())
    assert f"at {host} (DOCKER_HOST); it CANNOT limit memory and the number of processes" in text
    assert "the base image FAILS" in text


def test_a_system_without_proc_is_described_by_its_tools(tmp_path: Path) -> None:
    assert isinstance(boot_id(tmp_path), str)
    assert pid_namespace(tmp_path) == ""
    mine = process_start(os.getpid(), tmp_path)
    assert mine
    assert mine == process_start(os.getpid(), tmp_path)
    assert process_start(2**22 + 1, tmp_path) is None
    assert process_start(os.getpid()) != process_start(1)
    assert cpu_seconds(os.getpid(), tmp_path) is None


def test_what_a_process_computed_is_told_from_what_it_waited() -> None:
    before, own = cpu_seconds(os.getpid()), time.process_time()
    assert before is not None
    time.sleep(0.5)
    while time.process_time() < own + 0.5:
        pass
    after = cpu_seconds(os.getpid())
    assert after is not None
    assert 0.4 < after - before < 0.5 + time.process_time() - own
    assert cpu_seconds(2**22 + 1) is None


@pytest.mark.docker
def test_several_may_ask_how_much_images_take_at_a_time(docker_daemon: None) -> None:
    """A daemon before 23 refuses all but one: so one `docker system df` ended a command."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: pulled.stored_bytes(), range(40)))
    assert all(found)


@pytest.mark.docker
def test_a_daemon_that_cannot_say_how_much_images_take_is_not_asked_again(
    docker_daemon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["a disk usage operation is already running"] * 2 + ["broken"] + ["nobody asks"]

    def df(_api: object) -> None:
        raise DockerException(answers.pop(0))

    monkeypatch.setattr(APIClient, "df", df)
    with pytest.raises(SandboxError, match="cannot ask how much images take: broken"):
        pulled.stored_bytes()
    assert answers == ["nobody asks"]


def test_an_image_that_goes_while_all_are_looked_at_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def stack_of(name: str) -> tuple[str, ...]:
        if name == "gone":
            raise ImageNotFound("gone")
        return (name,)

    monkeypatch.setattr(pulled, "stack_of", stack_of)
    assert pulled.stacks(["a", "gone", "b"]) == {"a": ("a",), "b": ("b",)}


@pytest.mark.docker
@pytest.mark.parametrize("ahead", [30, -30])
def test_a_daemon_with_another_clock_still_knows_whose_doing_it_was(
    docker_daemon: None, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    true_time = time.time
    with open_sandbox(sandbox_base().id) as box:
        monkeypatch.setattr(time, "time", lambda: true_time() - ahead)
        with pytest.raises(SandboxGone):
            box.exec("kill -9 -1", timeout=20)
    with open_sandbox(sandbox_base().id) as box:
        daemon.client().containers.get(box.container_id).kill()
        with pytest.raises(SandboxError, match="killed from outside"):
            box.exec("true", timeout=20)


class Torn:
    """A container whose daemon goes away in the middle of an archive."""

    def get_archive(self, _path: str) -> tuple[list[bytes], dict[str, int]]:
        return [b"no tar at all, and not even a block"], {"mode": 0}


def test_an_archive_that_breaks_off_is_the_sandboxs_failure() -> None:
    with pytest.raises(SandboxError, match="the daemon's archive of /testbed is broken"):  # noqa: SIM117
        with archive(Torn(), "/testbed"):  # type: ignore[arg-type]
            pass


# --- daemons with a fault ----------------------------------------------------------------------------------------

NO_PROC = "chmod .asclaimed: via /proc/self/fd/35: no such file or directory"
"""Docker 28.5 on Linux 6.1, for any archive that it is to unpack into a container."""


@pytest.mark.docker
def test_a_daemon_that_unpacks_no_archive_gets_files_another_way(
    docker_daemon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.docker.delivery.CANNOT_UNPACK", threading.Event())
    base = sandbox_base().id
    request = RunRequest(b"", {"/opt/a file": b"\0" * 300_000}, "stat -c '%u %a %s' '/opt/a file'; pwd")
    with before_each_call(refusing("PUT", "/archive", NO_PROC)):
        with open_sandbox(base) as box:
            assert box.exec("echo on", timeout=20).output == "on\n"
        result = TestContainers(base, "/testbed", TestLimits(seconds=60))(request)
    assert (result.log, result.exit_code) == (b"0 444 300000\n/testbed\n", 0)


@pytest.mark.docker
def test_a_daemon_that_cannot_list_processes_does_not_take_the_blame(
    docker_daemon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As rootless ones on cgroup v1: the host's own list says that the agent stopped the supervisor."""
    monkeypatch.setattr("tasks.docker.sandbox.GRACE_SECONDS", 2.0)
    with (
        open_sandbox(sandbox_base().id) as box,
        before_each_call(refusing("GET", "/top", "unable to get all container pids")),
        pytest.raises(SandboxGone),
    ):
        box.exec("kill -STOP -1", timeout=1)


@pytest.mark.docker
def test_the_doctor_tries_the_daemon_out_and_names_what_fails(docker_daemon: None) -> None:
    assert selftest.try_out() == "passed: files get in and out, commands run, tests run"
    with before_each_call(refusing("POST", "/start", "no such runtime")):
        assert selftest.try_out().startswith("a sandbox FAILS: cannot start container")
    with before_each_call(refusing("PUT", "/archive", "read-only")):
        assert "cannot prepare a container" in selftest.try_out()


@pytest.mark.docker
def test_processors_that_are_neither_there_nor_emulated_are_known(docker_daemon: None) -> None:
    assert cpu.runs("")
    assert not cpu.runs("s390x")
    assert cpu.emulates(daemon.architecture()), "it is tried out, so its own passes, too"


@pytest.mark.docker
def test_an_image_for_another_processor_is_one_line(docker_daemon: None) -> None:
    with foreign_image() as image, pytest.raises(TaskError, match="is for s390x, and Docker's machine is"):
        open_sandbox(image)
