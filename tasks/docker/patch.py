"""The patch of an attempt: from the files of a dead container, by our own git, against the recorded start state.

Nothing in the container has a say in it: not its git, nor its configuration, attributes, hooks or excludes. As with
`git add --all`, new files that the *start state's* `.gitignore` files exclude are left out.

Not covered: empty directories, owners, and permissions other than the executable bit (git has no place for them).
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import NotFound
from docker.models.containers import Container

from tasks.docker.daemon import daemon_errors, is_podman
from tasks.docker.hostgit import Entry, FastImport, GitError, IgnoreRules, blob_name, git, make_store
from tasks.docker.start_state import (
    STORE,
    StartState,
    archive,
    forget_broken_store,
    in_git_directory,
    relative_name,
    start_home,
    start_state,
    store_member,
)
from tasks.sandbox import Diff

FILE_CAP = 32 << 20
TOTAL_CAP = 256 << 20
COUNT_CAP = 50_000
SINGLE_FETCHES = 150
"""Beyond so many files, one stream of the whole directory is quicker."""
STREAM_BYTES = 48 << 20
"""A directory up to this size is streamed whole: sooner done than the daemon's comparison of all files of the image.
Podman's of any size: its comparison fails where a file became a directory, and its archives follow links."""
DELETED = 2
ADDED = 1
GO_DIRECTORY_BIT, GO_LINK_BIT = 1 << 31, 1 << 27
"""`os.ModeDir` and `os.ModeSymlink` of Go, in the daemon's stat of a path."""
DIFF = ("diff-tree", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv",
        "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers")  # fmt: skip


def extract(container: Container, workdir: str) -> Diff:
    """What the stopped `container` changed below `workdir`. Raises `SandboxError` when daemon or disk fail."""
    with daemon_errors(f"cannot read the files of container {container.short_id}"):
        try:
            return extract_once(container, workdir)
        except GitError:
            if not forget_broken_store(start_home() / STORE):
                raise
            return extract_once(container, workdir)


def extract_once(container: Container, workdir: str) -> Diff:
    start = start_state(container.attrs["Image"], workdir)
    rules = start.ignore_rules()
    try:
        with tempfile.TemporaryDirectory(prefix="asclaimed-patch-") as temporary:
            return Extraction(container, workdir, start, rules, Path(temporary)).run()
    finally:
        rules.close()


class Extraction:
    """One run of `extract`. Paths are bytes, relative to the working directory."""

    def __init__(
        self, container: Container, workdir: str, start: StartState, rules: IgnoreRules, home: Path
    ) -> None:
        self._container = container
        self._workdir = workdir.rstrip("/")
        self._start = start
        self._rules = rules
        self._store = make_store(home, borrow=start.store)
        self._found: dict[bytes, Entry] = {}
        self._gone: set[bytes] = set()
        self._skipped: dict[bytes, str] = {}

    def run(self) -> Diff:
        whole = self._start.stream_bytes <= STREAM_BYTES or is_podman()
        changes = None if whole else self._changes()
        with FastImport(self._store, frozenset(self._start.blobs.values())) as importer:
            self._importer = importer
            self._take_changes(changes)
            gone = [path for path in sorted(self._gone - self._found.keys()) if self._counts(path)]
            importer.commit("refs/heads/end", self._start.commit, gone, self._found)
        patch = git(self._store, *DIFF, self._start.commit, "refs/heads/end")
        return Diff(patch, tuple(f"{show(path)}: {reason}" for path, reason in sorted(self._skipped.items())))

    def _take_changes(self, changes: dict[bytes, int] | None) -> None:
        roots = None if changes is None else self._roots(changes)
        if changes is None or roots is None or len(roots) > SINGLE_FETCHES:
            self._gone.update(self._start.paths)
            self._take(b"", ADDED)
        else:
            for root in roots:
                self._take(root, changes[root])

    def _changes(self) -> dict[bytes, int] | None:
        """Path → kind as the daemon lists them; None when a name did not survive its JSON."""
        changes: dict[bytes, int] = {}
        listed: Any = self._container.diff()  # docker's stubs know neither None nor the shape
        for change in listed or ():
            path = change["Path"]
            if path == self._workdir or path.startswith(f"{self._workdir}/"):
                if "\ufffd" in path:
                    return None
                changes[path[len(self._workdir) + 1 :].encode()] = change["Kind"]
        return changes

    def _roots(self, changes: dict[bytes, int]) -> list[bytes]:
        """What to fetch: changed files, and new directories whole. Notes what is gone on the way."""
        parents = {parent(path) for path in changes if path}
        roots: list[bytes] = []
        wanted_below = {above for path in changes if self._wanted(path) for above in ancestors(path)}
        covered: set[bytes] = set()
        for path in sorted(changes):
            if changes[path] == DELETED:
                self._gone.update(self._starting_below(path))
            elif parent(path) in covered and path:
                covered.add(path)
            elif path not in parents:
                if self._wanted(path) or self._starting_below(path):
                    roots.append(path)
            else:
                self._note_directory(path)
                if changes[path] == ADDED and path in wanted_below:
                    roots.append(path)
                    covered.add(path)
        return roots

    def _take(self, root: bytes, kind: int) -> None:
        """Fetch one path and all below it; a directory that was merely touched is not fetched."""
        try:
            with archive(self._container, self._absolute(root)) as (tar, mode):
                if mode & GO_DIRECTORY_BIT:
                    self._note_directory(root)
                    if kind != ADDED:
                        return None
                else:
                    self._gone.update(self._starting_below(root))
                if not root and mode & GO_LINK_BIT:
                    return self._gone_directory()
                self._take_members(root, tar)
        except NotFound:
            self._gone.update(self._starting_below(root))

    def _take_members(self, root: bytes, tar: tarfile.TarFile) -> None:
        links: list[bytes] = []
        here: dict[bytes, Entry] = {}
        for member in tar:
            below = relative_name(member.name)
            path = b"/".join(filter(None, (root, below)))
            if member.isdir() or not self._accepts(path, tar, member):
                continue
            if not store_member(self._importer, tar, member, here, below):
                if member.islnk():
                    links.append(path)
                else:
                    self._skipped[path] = "neither a file nor a link"
                continue
            self._found[path] = here[below]
        for path in links:  # to something that was not taken: fetched alone, it comes as a file
            self._take(path, ADDED)

    def _note_directory(self, path: bytes) -> None:
        """There is a directory now: a file of that name at the start is gone."""
        if path in self._start.blobs:
            self._gone.add(path)

    def _accepts(self, path: bytes, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bool:
        """Whether a member belongs into the patch; one that cannot stays as it was, with a note of the reason."""
        if not path:
            self._gone_directory()
            return False
        if not self._wanted(path):
            return False
        reason = self._refusal(path, tar, member)
        if reason is None:
            return True
        if reason:
            self._skipped[path] = reason
        self._gone.discard(path)
        return False

    def _refusal(self, path: bytes, tar: tarfile.TarFile, member: tarfile.TarInfo) -> str | None:
        """Why a patch cannot carry a member; None when it can, "" when there is nothing to carry."""
        if unsafe(path):
            return "git accepts no such name"
        if member.size > FILE_CAP:
            before = self._start.blobs.get(path)
            contents = tar.extractfile(member) if before else None
            same = contents and before == blob_name(member.size, iter(lambda: contents.read(1 << 20), b""))
            return "" if same else f"{member.size} bytes, more than {FILE_CAP}"
        if self._importer.stored_bytes + member.size > TOTAL_CAP or self._importer.stored >= COUNT_CAP:
            return "too much has changed to carry it all"
        return None

    def _gone_directory(self) -> None:
        """A link to another directory is none either; Podman's archive would be of that one."""
        self._skipped[b""] = "the working directory is no longer a directory"

    def _wanted(self, path: bytes) -> bool:
        return bool(path) and not in_git_directory(path) and self._counts(path)

    def _counts(self, path: bytes) -> bool:
        return path in self._start.tracked or unsafe(path) or not self._rules.ignored(path)

    def _starting_below(self, path: bytes) -> list[bytes]:
        """Start paths at or below `path`."""
        paths = self._start.paths
        if not path:
            return paths
        first = bisect_left(paths, path)
        here = [path] if first < len(paths) and paths[first] == path else []
        return here + list(starting_with(paths, path + b"/"))

    def _absolute(self, path: bytes) -> str:
        return os.fsdecode(b"/".join(filter(None, (self._workdir.encode(), path))))


def starting_with(paths: list[bytes], prefix: bytes) -> Iterator[bytes]:
    for at in range(bisect_left(paths, prefix), len(paths)):
        if not paths[at].startswith(prefix):
            return
        yield paths[at]


def parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def ancestors(path: bytes) -> Iterator[bytes]:
    while path:
        path = parent(path)
        yield path


def unsafe(path: bytes) -> bool:
    """Names that `git apply` refuses, in any spelling of `.git`."""
    return any(part.lower() == b".git" or part in (b"", b".", b"..") for part in path.split(b"/"))


def show(path: bytes) -> str:
    """A path for people: one line, nothing that a terminal obeys."""
    return path.decode("utf-8", "backslashreplace").encode("unicode_escape").decode() or "."
