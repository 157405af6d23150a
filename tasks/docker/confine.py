"""What a container must not see of the machine: what others read there before it, and how much went on.

`seccomp.json` is what Docker's default profile allows, less the calls that tell which pages of a file are in memory.
Not covered: time. Whoever reads a file can measure whether it was in memory; inode numbers of new files, clocks,
`sysinfo` and those files of /proc that `ps` and psutil need (stat, meminfo, uptime, loadavg) tell of others, too.
Podman takes a profile as a file of its own machine only: its containers have its default one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from docker.models.containers import Container

from tasks.docker.daemon import client, facts, parts

DOCKER_MASKS = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
    "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
"""What daemons mask when nobody says what; whoever says something has to name these as well."""
COUNTERS = (
    "/proc/buddyinfo", "/proc/diskstats", "/proc/interrupts", "/proc/pagetypeinfo", "/proc/pressure", "/proc/schedstat", "/proc/slabinfo",
    "/proc/softirqs", "/proc/sys/fs/dentry-state", "/proc/sys/fs/file-nr", "/proc/sys/fs/inode-nr", "/proc/sys/fs/inode-state",
    "/proc/vmstat", "/proc/zoneinfo",
)  # fmt: skip
"""The whole machine's counts of reads, pages, inodes and interrupts."""
OF_THE_CONTAINER = {
    "entrypoint", "user", "environment", "labels", "stdin_open", "healthcheck", "working_dir",
}  # fmt: skip
"""Options of `create` that are the container's own; the rest is said to its host."""


@cache
def security_options() -> list[str]:
    """Where the daemon has no seccomp there is no profile: it would refuse to start the container."""
    options = ["no-new-privileges"]
    if takes_profile(facts(), parts()):
        profile = json.loads((files("tasks.docker") / "seccomp.json").read_text())
        options.append(f"seccomp={json.dumps(profile)}")
    return options


def takes_profile(info: Mapping[str, Any], parts: Collection[str]) -> bool:
    """`info`: a daemon's description of itself; `parts`: names of the programs that it consists of."""
    has_seccomp = any("name=seccomp" in str(option) for option in info.get("SecurityOptions") or ())
    return has_seccomp and not any("Podman" in part for part in parts)


def create(image: str, command: list[str], **options: Any) -> Container:
    """As docker's `containers.create`, with more of /proc masked, which that has no option for. Raises what docker raises."""
    own = {name: value for name, value in options.items() if name in OF_THE_CONTAINER}
    api = client().api
    host = api.create_host_config(**{name: options[name] for name in options.keys() - own.keys()})
    host["MaskedPaths"] = [*DOCKER_MASKS, *COUNTERS]
    made = api.create_container(image, command, host_config=host, **own)
    return client().containers.get(made["Id"])
