"""Answers that an image could hold: closed before an agent starts, once for each image, or the attempt does not start.

The history below the working directory ends at the start commit afterwards: every object that is not an ancestor's
is gone, checked on objects and not on refs. The result is kept as a local image, `asclaimed/clean:<key>`.

Not covered: answers that the image's author left in plain files; `search_container` finds those you can name.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import TypeAdapter

from tasks.disk import cache_directory, exclusive, load_cached, write_atomic
from tasks.docker.daemon import client, daemon_errors
from tasks.docker.images import present
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.state import commit_stopped, stop
from tasks.errors import TaskError
from tasks.sandbox import Limits, SandboxError, SandboxGone

SCRIPT = Path(__file__).parents[1] / "image" / "clean.bash"
REPOSITORY = "asclaimed/clean"
CLEAN_SECONDS = 1800.0
NEEDLES = "/dev/shm/.asclaimed-needles"  # noqa: S108 - inside the container
LIMITS = Limits(memory=8 << 30, output_head=1 << 20, allow_unlimited=True)  # a script of ours, no agent


class Cleaned(NamedTuple):
    """An image that an attempt may start from."""

    image: str
    """`sha256:…`; the image that was asked for when there was nothing to close."""
    notes: tuple[str, ...]
    """What a reader should know: other clones removed, other copies of the package on disk."""


CLEANED = TypeAdapter(Cleaned)


def clean(image_id: str, workdir: str) -> Cleaned:
    """Close the leaks of an image, or find that it was done before.

    Raises `TaskError` when the image cannot be made clean, `SandboxError` when the daemon fails.
    """
    key = clean_key(image_id, workdir)
    with exclusive(f"clean-{key}"):
        if known := remembered(key):
            return known
        done = clean_now(image_id, workdir, key)
        file = clean_file(key)
        file.parent.mkdir(exist_ok=True)
        write_atomic(file, CLEANED.dump_json(done))
        return done


def known_clean(image_id: str, workdir: str) -> bool:
    """Whether `clean` would find that it was done before."""
    return remembered(clean_key(image_id, workdir)) is not None


def remembered(key: str) -> Cleaned | None:
    known = load_cached(clean_file(key), CLEANED.validate_json)
    return known if known and present(known.image) else None


def clean_key(image_id: str, workdir: str) -> str:
    return hashlib.sha256(f"{image_id} {workdir}".encode() + SCRIPT.read_bytes()).hexdigest()[:32]


def clean_file(key: str) -> Path:
    return cache_directory() / "clean" / f"{key}.json"


def clean_now(image_id: str, workdir: str, key: str) -> Cleaned:
    """Run the script in a container of the image; keep the container's files when they changed."""
    with open_sandbox(image_id, workdir="/", limits=LIMITS, labels={"run": "clean"}, user="0:0") as sandbox:
        script = f"workdir={shlex.quote(workdir)}\n{SCRIPT.read_text()}"
        try:
            result = sandbox.exec(script, timeout=CLEAN_SECONDS)
        except SandboxGone as error:
            raise SandboxError(f"the container that was to clean {image_id} died: {error}") from error
        lines = result.output.split("\n")
        if result.exit_code:
            reason = next(
                (line[8:] for line in lines if line.startswith("refused ")), result.output[-200:].strip()
            )
            raise TaskError(f"image {image_id[:19]} leaks later history and cannot be cleaned: {reason}")
        notes = tuple(sorted({line[5:] for line in lines if line.startswith("note ")}))
        return Cleaned(commit(sandbox, image_id, key) if "changed" in lines else image_id, notes)


def commit(sandbox: DockerSandbox, image_id: str, key: str) -> str:
    """The container's files as an image with the configuration of the original one; returns its id."""
    with daemon_errors(f"cannot keep the cleaned image of {image_id}"):
        container = client().containers.get(sandbox.container_id)
        stop(container)
        return commit_stopped(container, image_id, REPOSITORY, key)


def search_container(
    sandbox: DockerSandbox, needles: Iterable[str], *, timeout: float = 300
) -> tuple[str, ...]:
    """Places in a running sandbox that hold one of `needles`: files, names, environments, command lines.

    For canary tests: the needles travel as the pattern file of one `grep`, whose own traces are left out.
    """
    patterns = "\n".join(needle for needle in needles if needle)
    sandbox.write(NEEDLES, patterns.encode())
    search = (
        f"grep -rlaFs -f {NEEDLES} / --exclude-dir=proc --exclude-dir=sys --exclude={Path(NEEDLES).name};"
        f"find / -xdev 2>/dev/null | grep -aF -f {NEEDLES};"
        f"for p in /proc/[0-9]*; do grep -lasF -f {NEEDLES} $p/environ $p/cmdline; done; rm -f {NEEDLES}"
    )
    return tuple(sorted(set(sandbox.exec(search, timeout=timeout).output.split("\n")) - {""}))
