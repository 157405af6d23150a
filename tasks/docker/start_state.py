"""What a working directory held before the agent came: recorded once for each image, on the host.

Kept under the user's cache directory: one bare object store for all images, and for each start state the paths
that its own git tracked and its `.gitignore` files. What is broken there (a crash, a full disk) is dropped and made
again. Not covered: start states of volumes (refused).
"""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from docker.models.containers import Container
from pydantic import Field

from tasks.disk import cache_directory, exclusive, load_cached, write_json
from tasks.docker.create import image_config
from tasks.docker.daemon import client, daemon_errors, owner_labels, remove
from tasks.docker.hostgit import Entry, FastImport, GitError, IgnoreRules, git, make_store
from tasks.errors import TaskError
from tasks.sandbox import SandboxError
from tasks.task import Frozen

LAYOUT = "3"
"""Changes with what is recorded, so that an old record is never read as a new one."""
INDEX_CAP = 256 << 20
FACTS, STORE = "start.json", "store.git"


class Recorded(Frozen):
    """`start.json`, written last."""

    commit: str = Field(pattern="^[0-9a-f]{40}$")
    """In the object store."""
    stream_bytes: int = Field(ge=0)
    files: str
    """Digest of the other files of the start state."""


class StartState:
    """A recorded start: the commit in the store, what was tracked, what is ignored."""

    def __init__(self, store: Path, directory: Path, recorded: Recorded) -> None:
        self.store = store
        self._directory = directory
        self.commit = recorded.commit
        self.stream_bytes = recorded.stream_bytes
        """What it takes to stream the whole directory, `.git` included."""

    @classmethod
    def load(cls, store: Path, directory: Path) -> Self | None:
        """None when there is none, or none that is whole."""
        recorded = load_cached(directory / FACTS, Recorded.model_validate_json)
        if recorded is None or recorded.files != files_digest(directory) or not has(store, recorded.commit):
            return None
        return cls(store, directory, recorded)

    @cached_property
    def blobs(self) -> dict[bytes, str]:
        """Path → blob name of all files and links below the working directory, without `.git`."""
        lines = git(self.store, "ls-tree", "-r", "-z", self.commit).split(b"\0")[:-1]
        return {
            path: facts.split(b" ")[2].decode() for facts, path in (line.split(b"\t", 1) for line in lines)
        }

    @cached_property
    def paths(self) -> list[bytes]:
        """The keys of `blobs`, sorted."""
        return sorted(self.blobs)

    @cached_property
    def tracked(self) -> frozenset[bytes]:
        """What the repository's own index listed; everything where there was no repository."""
        file = self._directory / "tracked"
        return frozenset(file.read_bytes().split(b"\0")[:-1]) if file.exists() else frozenset(self.blobs)

    def ignore_rules(self) -> IgnoreRules:
        return IgnoreRules(self.store, self._directory / "ignore")


def start_state(image_id: str, workdir: str) -> StartState:
    """The recorded start of an image; recorded now when it was not. Raises `SandboxError`."""
    home, store = start_home(), start_home() / STORE
    directory = home / hashlib.sha256(f"{LAYOUT} {image_id} {workdir}".encode()).hexdigest()[:32]
    if known := StartState.load(store, directory):
        return known
    with exclusive(f"start-{directory.name}"), daemon_errors(f"cannot record the start state of {image_id}"):
        return StartState.load(store, directory) or record(image_id, workdir, store, directory)


def start_home() -> Path:
    return cache_directory() / "start"


def record(image_id: str, workdir: str, store: Path, directory: Path) -> StartState:
    try:
        return record_in(image_id, workdir, store, directory)
    except GitError:
        if not forget_broken_store(store):
            raise
        return record_in(image_id, workdir, store, directory)


def record_in(image_id: str, workdir: str, store: Path, directory: Path) -> StartState:
    with exclusive("start-store"):
        if not (store / "HEAD").exists():
            store.mkdir(parents=True, exist_ok=True)
            make_store(store)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    container = client().containers.create(image_id, "true", labels=owner_labels(), network_mode="none")
    try:
        refuse_volume(image_id, workdir)
        index, size = import_workdir(container, workdir, store, ref := f"refs/start/{directory.name}")
    finally:
        remove(container)
    commit = git(store, "rev-parse", ref).decode().strip()
    if index is not None:
        (directory / "tracked").write_bytes(tracked_paths(store, index))
    write_ignore_files(store, commit, directory / "ignore")
    recorded = Recorded(commit=commit, stream_bytes=size, files=files_digest(directory))
    write_json(directory / FACTS, recorded)
    return StartState(store, directory, recorded)


def files_digest(directory: Path) -> str:
    """Of the names and contents of all files beside `start.json`."""
    digest = hashlib.sha256()
    for file in sorted(directory.rglob("*")):
        if file.is_file() and file != directory / FACTS:
            data = file.read_bytes()
            digest.update(
                f"{file.relative_to(directory)}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data
            )
    return digest.hexdigest()


def has(store: Path, commit: str) -> bool:
    try:
        git(store, "cat-file", "-e", f"{commit}^{{tree}}")
    except GitError:
        return False
    return True


def forget_broken_store(store: Path) -> bool:
    """Remove an object store in which git finds something missing or damaged; returns whether it did. Slow, hence rare."""
    with exclusive("start-store"):
        try:
            git(store, "fsck", "--no-dangling", "--no-progress")
        except GitError:
            shutil.rmtree(store, ignore_errors=True)
            return True
        return False


def refuse_volume(image_id: str, workdir: str) -> None:
    """Files in a volume are in no image layer: neither a start state nor an end state could be read."""
    for volume in image_config(image_id).get("Volumes") or ():
        if f"{workdir}/".startswith(f"{volume.rstrip('/')}/"):
            raise TaskError(f"image {image_id[:19]} keeps {workdir} in a volume ({volume})")


def import_workdir(container: Container, workdir: str, store: Path, ref: str) -> tuple[bytes | None, int]:
    """Commit the files of the working directory to `ref`; returns its repository's index, and bytes streamed."""
    found: dict[bytes, Entry] = {}
    index, size = None, 0
    with FastImport(store) as importer, archive(container, workdir) as (tar, _):
        for member in tar:
            path = relative_name(member.name)
            size += member.size + tarfile.BLOCKSIZE
            if path == b".git/index" and member.isreg() and member.size <= INDEX_CAP:
                contents = tar.extractfile(member)
                index = contents.read() if contents else None
            elif path and not in_git_directory(path):
                store_member(importer, tar, member, found, path)
        importer.commit(ref, None, (), found)
    return index, size


def store_member(
    importer: FastImport,
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    found: dict[bytes, Entry],
    path: bytes,
) -> bool:
    """Add a member to `found`; False when git cannot hold it, or it links to what is not in this stream."""
    entry = found.get(relative_name(member.linkname)) if member.islnk() else importer.member(tar, member)
    if entry is not None:
        found[path] = entry
    return entry is not None


def tracked_paths(store: Path, index: bytes) -> bytes:
    """NUL-terminated paths of an index file, read by our own git."""
    with tempfile.NamedTemporaryFile(prefix="asclaimed-index-") as file:
        file.write(index)
        file.flush()
        return git(store, "ls-files", "-z", "--cached", env={"GIT_INDEX_FILE": file.name})


def write_ignore_files(store: Path, commit: str, directory: Path) -> None:
    """Check out the `.gitignore` files alone; git itself refuses names that would lead out of `directory`."""
    directory.mkdir(exist_ok=True)
    listed = git(store, "ls-tree", "-r", "-z", commit).split(b"\0")[:-1]
    wanted = [
        line
        for line in listed
        if line.startswith(b"100") and line.rpartition(b"/")[2].split(b"\t")[-1] == b".gitignore"
    ]
    with tempfile.TemporaryDirectory(prefix="asclaimed-index-") as temporary:
        env = {"GIT_INDEX_FILE": f"{temporary}/index", "GIT_WORK_TREE": str(directory)}
        git(
            store,
            "update-index",
            "-z",
            "--index-info",
            stdin=b"".join(line + b"\0" for line in wanted),
            env=env,
        )
        git(store, "checkout-index", "--all", "--force", f"--prefix={directory}/", env=env)


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextmanager
def archive(container: Container, path: str) -> Iterator[tuple[tarfile.TarFile, int]]:
    """A path of a container as a tar stream, with its mode as Go has it. Leaving early aborts the transfer.

    Raises `SandboxError` for a stream that is no archive or breaks off: a daemon that went away in the middle.
    """
    pieces, stat = container.get_archive(path)
    source = io.BufferedReader(_Pieces(iter(pieces)), 1 << 20)
    if not source.peek(1):  # as Podman answers now and then; an archive is never empty
        pieces, stat = container.get_archive(path)
        source = io.BufferedReader(_Pieces(iter(pieces)), 1 << 20)
    options: dict[str, Any] = {
        "mode": "r|",
        "encoding": "utf-8",
        "errors": "surrogateescape",
        "bufsize": 1 << 20,
    }
    try:
        with tarfile.open(fileobj=source, **options) as tar:
            yield tar, int(stat["mode"]) if stat else 0
    except (tarfile.TarError, EOFError) as error:
        raise SandboxError(f"the daemon's archive of {path} is broken: {error}") from error
    finally:
        close = getattr(pieces, "close", None)
        if close:
            close()


def relative_name(name: str) -> bytes:
    """A tar name without its first part, which is the name of the fetched path itself; b"" for that path."""
    return b"/".join(part for part in name.encode("utf-8", "surrogateescape").split(b"/")[1:] if part)


def in_git_directory(path: bytes) -> bool:
    return b".git" in path.split(b"/")
