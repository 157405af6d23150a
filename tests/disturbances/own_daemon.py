"""A Docker daemon of our own, to be killed, whose containers the host's kernel can be made to kill for memory.

Needs root, `dockerd` and, for memory, cgroup v1. It lives in a network namespace of its own: a second daemon beside the
machine's takes the first one's bridge away, even one that is told to have none (`--bridge=none` deletes `docker0`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, NotFound
from requests import RequestException

CGROUPS = Path("/sys/fs/cgroup")
MEMORY = CGROUPS / "memory"
HOG = "echo $$ > {group}/cgroup.procs; echo -1000 > /proc/self/oom_score_adj; exec dd if=/dev/zero of=/dev/null bs=4M count=1"


class OwnDaemon:
    """Made by `own_daemon`."""

    def __init__(self, home: Path) -> None:
        self.host = f"unix://{home}/sock"
        self._home, self._parent = home, MEMORY / home.name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        home = self._home
        command = [
            *("unshare", "--net", "dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"),
            *("--data-root", home / "data", "--exec-root", home / "exec", "--pidfile", home / "pid"),
            *("-H", self.host, "--cgroup-parent", f"/{home.name}"),
        ]
        with (home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, (home / "log").read_text()[-2000:]
            time.sleep(0.1)

    def load(self, *images: str) -> None:
        """Copy images over from the machine's own daemon."""
        save = subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "-H", self.host, "load", "-q"], stdin=save.stdout, check=True, capture_output=True
        )
        assert save.wait() == 0

    def kill(self) -> None:
        """`kill -9`, and a new one in its place."""
        self._end(signal.SIGKILL)
        (self._home / "exec/containerd/containerd.pid").unlink(
            missing_ok=True
        )  # it names a zombie where init does not reap
        self.start()

    def stop(self) -> None:
        self._end(signal.SIGTERM)
        for process in Path("/proc").glob(
            "[0-9]*/cmdline"
        ):  # of containers that no daemon since then knew of
            with suppress(OSError):
                if f"{self._home}/exec".encode() in process.read_bytes():
                    os.kill(int(process.parent.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((each for each in mounts if each.startswith(f"{self._home}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=True)
        for group in (self._parent / "hog", *CGROUPS.glob(f"*/{self._home.name}")):
            with suppress(OSError):
                group.rmdir()

    def remove_containers(self) -> None:
        """As `docker rm -f` does, by somebody else."""
        with self._client() as other:
            for container in other.containers.list(all=True, ignore_removed=True):
                with suppress(NotFound, APIError):
                    container.remove(force=True)

    def run_out_of_memory(self) -> None:
        """The machine around the containers is full: the kernel kills the largest process of any container of ours."""
        limit, hog = self._parent / "memory.limit_in_bytes", self._parent / "hog"
        hog.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):  # it drops what it can before it refuses
            limit.write_text("4096")
        with suppress(OSError):
            limit.write_text(str(int((self._parent / "memory.usage_in_bytes").read_text()) + (64 << 10)))
        process = subprocess.Popen(["sh", "-c", HOG.format(group=hog)], stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(2)
        limit.write_text("-1")
        process.wait()

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)

    @contextmanager
    def _client(self) -> Iterator[docker.DockerClient]:
        made = docker.DockerClient(base_url=self.host, timeout=60)
        try:
            yield made
        finally:
            made.close()

    def _answers(self) -> bool:
        try:
            with self._client() as made:
                return bool(made.ping())
        except (DockerException, RequestException):
            return False


def can_have_one() -> bool:
    return os.geteuid() == 0 and shutil.which("dockerd") is not None


@contextmanager
def own_daemon() -> Iterator[OwnDaemon]:
    """It and all that it held are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="asclaimed-daemon-"))
    daemon = OwnDaemon(home)
    try:
        daemon.start()
        yield daemon
        daemon.remove_containers()
    finally:
        daemon.stop()
        shutil.rmtree(home, ignore_errors=True)
