"""Whether a container has written more to the daemon's disk than it may.

Most storage drivers have no limit of their own (`create` asks for one where there may be), and what a
container says of itself is not believed: its layer and its volumes are measured on the host. To look costs time where
there are many files, so it is done each minute, and at once when the disk's free space falls by an eighth of the limit.
Not covered: some GB that a quick disk takes between two looks; where we are not root on the daemon's machine the
daemon measures, which counts the holes of sparse files and no volumes.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from tasks.docker.daemon import client, free_bytes

LONGEST_PAUSE, SHORTEST_PAUSE = 60.0, 1.0
UNKNOWN_PAUSE = 10.0
"""Between looks where the disk's free space is not known."""
SHARE = 20
"""A look that took a second is followed by no other for so many."""
MEASURE_SECONDS = 600


class Written:
    """A check of `watch`."""

    def __init__(self, container: Container, limit: int) -> None:
        self._container, self._limit = container, limit
        self._paths = own_paths(container)
        self._free = free_bytes()
        self._not_before = 0.0
        self._latest = time.monotonic() + (UNKNOWN_PAUSE if self._free is None else LONGEST_PAUSE)

    def __call__(self) -> str | None:
        now = time.monotonic()
        if now < self._not_before or (now < self._latest and not self._free_space_fell()):
            return None
        size = measured(self._paths) if self._paths else said(self._container)
        self._free = free_bytes()
        ended = time.monotonic()
        self._not_before = ended + max(SHORTEST_PAUSE, SHARE * (ended - now))
        self._latest = ended + (UNKNOWN_PAUSE if self._free is None else LONGEST_PAUSE)
        if size <= self._limit:
            return None
        return (
            f"it wrote {size / 1e9:.1f} GB to the disk, more than {self._limit / 1e9:.1f} GB, and was ended"
        )

    def _free_space_fell(self) -> bool:
        free = free_bytes()
        return self._free is not None and free is not None and self._free - free > self._limit / 8


def own_paths(container: Container) -> list[str]:
    """Directories of this machine that hold what the container writes; none when we may not look at all of them."""
    data = (container.attrs.get("GraphDriver") or {}).get("Data") or {}
    mounts = container.attrs.get("Mounts") or ()
    volumes = [mount["Source"] for mount in mounts if mount.get("Type") == "volume" and mount.get("RW", True)]
    paths = [str(data.get("UpperDir") or ""), *volumes]
    return paths if os.geteuid() == 0 and all(path and Path(path).is_dir() for path in paths) else []


def measured(paths: list[str]) -> int:
    """Bytes on disk: holes count nothing, a file with many names once. What vanishes meanwhile is left out."""
    command = ["nice", "du", "-skx", "--", *paths]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        timeout=MEASURE_SECONDS,
        check=False,
    )
    return sum(int(line.split(b"\t")[0]) for line in done.stdout.split(b"\n") if line) * 1024


def said(container: Container) -> int:
    """Bytes that a container wrote as its daemon measures them."""
    api: Any = client().api  # types-docker does not know `size`
    listed = api.containers(all=True, size=True, filters={"id": str(container.id)})
    return int(listed[0].get("SizeRw") or 0) if listed else 0
