"""What stands in for a network while a verifier runs: one read-only volume for each list of packages, made beforehand.

It holds a Python with all its libraries (from our base image, so that it runs in any image of this processor), the wheels
that the list names, and shims for the programs by which scripts install (`tasks/harbor/kit`). Not covered: daemons that
cannot unpack archives into containers (Docker 28 and 29 on Linux before 6.6).
"""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.types import Mount

from tasks.backend import Progress, quiet
from tasks.disk import cache_directory, exclusive, write_json
from tasks.docker.create import container_options, create
from tasks.docker.daemon import LABEL, architecture, client, daemon_errors, remove
from tasks.docker.exec import Exec, bash
from tasks.docker.images import sandbox_base
from tasks.errors import MachineError
from tasks.harbor.wheels import fetch
from tasks.sandbox import Limits

SOURCE = Path(__file__).parents[1] / "harbor" / "kit"
PLACE = "/vkit"
PYTHON = (f"{PLACE}/lib/loader", "--library-path", f"{PLACE}/lib/so", "--argv0", f"{PLACE}/python/bin/python3", f"{PLACE}/python/lib/program")  # fmt: skip
"""The kit's Python as a command that needs no other file of the machine it runs on."""
ALIASES = {"bin/apt": "bin/apt-get", "bin/wget": "bin/curl", "bin/pip3": "bin/pip"}
VERSION = "3.11"
"""Of the Python in our base image."""
SITE = "python/lib/python3/dist-packages"
MAKE_SECONDS = 600
PREFIX = "asclaimed-kit-"


def kit(packages: Sequence[str], progress: Progress = quiet) -> str:
    """See `tasks.backend.Backend.kit`: the name of a volume."""
    base = sandbox_base(progress).id
    parts = [source_digest(), base, architecture(), sorted(packages)]
    name = PREFIX + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
    with exclusive(name), daemon_errors(f"cannot make the verifier kit {name}"):
        if not (is_whole(name).exists() and is_there(name)):
            progress(f"fetching what verifiers install: {', '.join(packages) or 'nothing'}", None)
            make(name, base, packages)
            is_whole(name).parent.mkdir(exist_ok=True)
            write_json(is_whole(name), {"packages": sorted(packages)})
    return name


def is_whole(name: str) -> Path:
    """The mark of a volume that was filled to the end."""
    return cache_directory() / "kits" / f"{name}.json"


def is_there(name: str) -> bool:
    try:
        client().volumes.get(name)
    except NotFound:
        return False
    return True


@cache
def source_digest() -> str:
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources() -> Iterator[Path]:
    yield from sorted(
        path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def mount(name: str, *, read_only: bool = True) -> Mount:
    return Mount(PLACE, name, type="volume", read_only=read_only, no_copy=True)


def make(name: str, base: str, packages: Sequence[str]) -> None:
    is_whole(name).unlink(missing_ok=True)
    if is_there(name):
        client().volumes.get(name).remove()
    with tempfile.TemporaryDirectory(prefix="asclaimed-kit-") as scratch:
        fetch(packages, Path(scratch), VERSION, architecture())
        client().volumes.create(name, labels={f"{LABEL}kit": ",".join(packages)})
        fill(name, base, Path(scratch))


def fill(name: str, base: str, fetched: Path) -> None:
    options = container_options(Limits(allow_unlimited=True), {"purpose": "kit"}, "root", False, {})
    options |= {"entrypoint": ["bash"], "mounts": [mount(name, read_only=False)]}
    container = create(base, ["-c", f"exec sleep {MAKE_SECONDS + 60}"], options)
    try:
        with tempfile.TemporaryFile() as packed:
            pack(packed, fetched)
            packed.seek(0)
            container.put_archive("/", packed)
        container.start()
        run = Exec(container, bash((SOURCE / "python.bash").read_text(), "kit"), "/", 64 << 10)
        if run.finish(MAKE_SECONDS) != 0:
            said = run.capture.contents().decode(errors="replace").strip()[-300:]
            raise MachineError(f"the verifier kit cannot be made from the base image: {said}")
    finally:
        remove(container)


def pack(file: Any, fetched: Path) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        names = {str(path.relative_to(SOURCE)): path for path in sources() if path.name != "python.bash"}
        for name, path in {**names, **{alias: names[of] for alias, of in ALIASES.items()}}.items():
            add(tar, path, name, executable=name.startswith(("bin/", "tools/")))
        for source, place in (("wheels", "wheels"), ("site", SITE)):
            add_directory(tar, place)
            for path in sorted((fetched / source).rglob("*")):
                if path.is_file():
                    add(tar, path, f"{place}/{path.relative_to(fetched / source)}", executable=False)


def add_directory(tar: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(f"{PLACE[1:]}/{name}")
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    tar.addfile(member)


def add(tar: tarfile.TarFile, path: Path, name: str, *, executable: bool) -> None:
    member = tarfile.TarInfo(f"{PLACE[1:]}/{name}")
    member.size, member.mode = path.stat().st_size, 0o755 if executable else 0o644
    with path.open("rb") as content:
        tar.addfile(member, content)
