"""The Docker daemon: one shared client, its errors in our terms, and the containers that are ours.

Not covered: a daemon shared by several hosts under one host name; their stale containers look like ours.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import docker
import requests
import tenacity
import urllib3
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from tasks.docker.endpoint import endpoint, no_daemon, one_line
from tasks.errors import DiskFullError, MachineError
from tasks.host import boot_id, pid_namespace, process_start
from tasks.sandbox import Limits, SandboxError

CONNECTIONS = 256
"""Kept-alive connections: more than the attempts that any run has at once."""
ANSWER_SECONDS = 120
LABEL = "asclaimed."
DISK_FULL = re.compile(r"(no space left on device|disk quota exceeded)(: unknown)?\s*$")
DAEMON_ERRORS = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@cache
def client() -> docker.DockerClient:
    """The process's one client. Raises `MachineError` where no daemon answers, with the reason and where we looked."""
    try:
        shared = docker.from_env(timeout=ANSWER_SECONDS, max_pool_size=CONNECTIONS)
        shared.ping()
    except (*DAEMON_ERRORS, ValueError) as error:  # ValueError: a context file that is no JSON
        raise MachineError(no_daemon(endpoint(), error)) from error
    return shared


def is_local() -> bool:
    """Whether the daemon runs on this machine, as far as the way to it tells: over a socket in the file system."""
    return client().api.base_url.startswith("http+docker://localhost")


@cache
def parts() -> tuple[str, ...]:
    """The programs that the daemon consists of, each with its version."""
    with daemon_errors("cannot ask the Docker daemon what it is"):
        found = client().version().get("Components") or ()
    return tuple(f"{part.get('Name')} {part.get('Version')}" for part in found)


def is_podman() -> bool:
    return any(part.startswith("Podman") for part in parts())


MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What Docker calls an architecture → what `uname -m` does."""


@cache
def architecture() -> str:
    """The daemon's CPU, as `uname -m` has it."""
    said = str(client().version().get("Arch", ""))
    return MACHINES.get(said, said)


def now() -> datetime:
    """The daemon's clock, as its events are stamped: a laptop's or a virtual machine's may be seconds away from ours."""
    return datetime.fromisoformat(client().info()["SystemTime"])


def events_of(container: Container, **filters: str) -> list[dict[str, Any]]:
    """What the daemon remembers of a container until a moment from now, by its own clock."""
    until = int(now().timestamp()) + 2  # the last of them may be on its way
    wanted = {"container": str(container.id), **filters}
    return list(client().events(since=0, until=until, decode=True, filters=wanted))


def require_limits(limits: Limits) -> None:
    """Raises `MachineError` when the daemon would drop a limit in silence, as rootless ones on cgroup v1 do."""
    missing = () if limits.allow_unlimited else unenforced(facts())
    if missing:
        raise MachineError(
            f"the Docker daemon at {endpoint()} cannot limit {' and '.join(missing)}: one attempt could take the whole machine. "
            "Use a daemon that runs as root or with cgroup v2, or give --allow-unlimited (sandbox.allow_unlimited in a plan)"
        )


@cache
def facts() -> Mapping[str, Any]:
    """The daemon's description of itself, as it was when it was first asked."""
    with daemon_errors("cannot ask the Docker daemon what it is"):
        found: dict[str, Any] = client().info()
        return found


def unenforced(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Limits of ours that a daemon says it cannot enforce; one that does not say (Podman) is believed to."""
    names = {"MemoryLimit": "memory", "PidsLimit": "the number of processes"}
    return tuple(name for key, name in names.items() if info.get(key) is False)


def data_root() -> str:
    """Where the daemon keeps its data, on its own machine."""
    return str(facts().get("DockerRootDir") or "")


def free_bytes() -> int | None:
    """Free for the daemon's data; None when it is on no disk of this machine."""
    root = data_root()
    return shutil.disk_usage(root).free if root and is_local() and Path(root).exists() else None


def disk_usage() -> Mapping[str, Any]:
    """What the daemon says of `/system/df`. One before 23 counts for one caller at a time, and refuses others: they ask again."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: "usage operation is already running" in str(error)),
        wait=tenacity.wait_random(0.05, 0.5),
        stop=tenacity.stop_after_delay(ANSWER_SECONDS),
        reraise=True,
    )
    found: dict[str, Any] = retrying(client().api.df)
    return found


def cores() -> int:
    """CPUs of the daemon's machine."""
    return max(1, int(facts().get("NCPU") or 1))


@contextmanager
def daemon_errors(doing: str) -> Iterator[None]:
    """Whatever the daemon or the way to it does wrong inside is a `SandboxError` that says what we were doing.

    `DiskFullError` where it has no room: no other attempt would have any.
    """
    try:
        yield
    except DAEMON_ERRORS as error:
        reason = str(error.explanation if isinstance(error, APIError) and error.explanation else error)
        if isinstance(error, APIError) and disk_is_full(reason):
            raise DiskFullError("the disk of the Docker daemon") from error
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise DiskFullError from error
        raise SandboxError(f"{doing}: {one_line(reason, 500)}") from error


def disk_is_full(reason: str) -> bool:
    """Whether the daemon's words end in the kernel's for a full disk or quota; a path that a container chose cannot fake that."""
    return bool(DISK_FULL.search(reason))


def owner_labels() -> dict[str, str]:
    """Who owns a container: enough to know, later and elsewhere, that nobody does."""
    return {
        f"{LABEL}host": platform.node(),
        f"{LABEL}boot": boot_id(),
        f"{LABEL}pid": str(os.getpid()),
        f"{LABEL}pid-namespace": pid_namespace(),
        f"{LABEL}started": process_start(os.getpid()) or "",
    }


def reap() -> int:
    """Remove our own stale containers, whose owner is dead or did not survive a reboot; returns how many."""
    with daemon_errors("cannot list containers"):
        ours = client().containers.list(all=True, filters={"label": f"{LABEL}pid"}, ignore_removed=True)
    stale = [container for container in ours if is_stale(container.labels)]
    for container in stale:
        remove(container)
    return len(stale)


def remove_run(run_id: str) -> None:
    """Remove every container that this process opened for a run."""
    with daemon_errors("cannot list containers"):
        labels: str | list[str] | bool = [f"{LABEL}run={run_id}", f"{LABEL}pid={os.getpid()}"]
        ours = client().containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    for container in ours:
        remove(container)


def answers() -> bool:
    """Whether the daemon is there now."""
    try:
        return bool(client().ping())
    except (MachineError, *DAEMON_ERRORS):
        return False


def is_stale(labels: Mapping[str, str]) -> bool:
    """True only for what this host made and nobody can still be using."""
    if labels.get(f"{LABEL}host") != platform.node():
        return False
    if labels.get(f"{LABEL}boot") != boot_id():
        return True
    if labels.get(f"{LABEL}pid-namespace") != pid_namespace():
        return False  # made from inside another container: its pids mean nothing here
    return process_start(int(labels[f"{LABEL}pid"])) != labels.get(f"{LABEL}started")


def remove(container: Container) -> None:
    """Remove a container and its anonymous volumes; one that is gone already is fine."""
    with daemon_errors(f"cannot remove container {container.short_id}"):
        try:
            container.remove(force=True, v=True)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # 409: the removal is under way already
                raise
