"""Our own git on the host: no configuration, attributes, hooks or ignore file of anybody's has a say."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

CONFIG = {
    "core.protectNTFS": "false",  # `a~1` and `.GIT.` are ordinary names on Linux
    "core.protectHFS": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.fsync": "none",  # all of it can be made again
    "fastimport.unpackLimit": "1000",
    "safe.directory": "*",
}
WHOLE = 32 << 20
"""Files up to so many bytes are hashed first, and stored only when the store lacks them."""
AUTHOR = b"asclaimed <asclaimed@localhost> 0 +0000"


def environment(repository: Path, **extra: str) -> dict[str, str]:
    """All that a git of ours gets to see."""
    pairs = {f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(CONFIG)}
    pairs |= {f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(CONFIG.values())}
    return {
        "PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", "LC_ALL": "C", "GIT_DIR": str(repository),
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(CONFIG)), **pairs, **extra,
    }  # fmt: skip


class GitError(OSError):
    """A git of ours failed: its store is broken, or the disk is."""


def git(repository: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
    """stdout of one git command; raises `GitError` with git's own last words."""
    done = subprocess.run(
        ["git", *arguments],
        input=stdin,
        capture_output=True,
        env=environment(repository, **(env or {})),
        check=False,
    )
    if done.returncode:
        raise GitError(f"git {arguments[0]}: {done.stderr[-300:].decode(errors='replace').strip()}")
    return done.stdout


def make_store(directory: Path, borrow: Path | None = None) -> Path:
    """A bare repository in `directory`, whose objects may rest on those of another."""
    git(directory, "init", "--quiet", "--bare", "--template=")
    if borrow is not None:
        info = directory / "objects" / "info"
        info.mkdir(exist_ok=True)
        (info / "alternates").write_text(f"{borrow / 'objects'}\n")
    return directory


class Entry(NamedTuple):
    """A file or a symbolic link as git knows it."""

    mode: str
    blob: str
    """A mark of the running import, or the name of a blob that the store has already."""


class FastImport:
    """Feeds blobs and one commit to `git fast-import`: no file is ever unpacked on the host."""

    def __init__(self, repository: Path, known: Container[str] = ()) -> None:
        """`known`: names of blobs that need not be stored again."""
        self._known = known
        self._process = subprocess.Popen(
            ["git", "fast-import", "--quiet", "--force", "--done"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(repository),
        )
        self.stored_bytes = 0
        self.stored = 0

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry | None:
        """Store one member of a tar stream; None for what git cannot hold, and for a hard link."""
        if member.issym():
            return Entry("120000", self._store(os.fsencode(member.linkname)))
        contents = tar.extractfile(member) if member.isreg() else None
        if contents is None:
            return None
        mode = "100755" if member.mode & 0o100 else "100644"
        return Entry(
            mode, self._stream(contents, member.size) if member.size > WHOLE else self._store(contents.read())
        )

    def commit(
        self, ref: str, parent: str | None, gone: Iterable[bytes], found: Mapping[bytes, Entry]
    ) -> None:
        """One commit on `ref`: `parent`'s tree without `gone`, with `found`."""
        lines = [b"commit " + ref.encode(), b"committer " + AUTHOR, b"data 0"]
        if parent:
            lines.append(b"from " + parent.encode())
        lines += [b"D " + quote(path) for path in gone]
        lines += [
            b"M %s %s %s" % (e.mode.encode(), e.blob.encode(), quote(path)) for path, e in found.items()
        ]
        self._pipe.write(b"\n".join(lines) + b"\n\n")

    def _store(self, data: bytes) -> str:
        name = blob_name(len(data), [data])
        return name if name in self._known else self._put(len(data), [data])

    def _stream(self, source: IO[bytes], size: int) -> str:
        return self._put(size, iter(lambda: source.read(1 << 20), b""))

    def _put(self, size: int, pieces: Iterable[bytes]) -> str:
        self.stored += 1
        self.stored_bytes += size
        self._pipe.write(b"blob\nmark :%d\ndata %d\n" % (self.stored, size))
        for piece in pieces:
            self._pipe.write(piece)
        self._pipe.write(b"\n")
        return f":{self.stored}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            with suppress(BrokenPipeError):
                self._pipe.write(b"done\n")
        else:
            self._process.kill()
        words = self._process.communicate()[1]
        ended_early = kind is not None and issubclass(kind, BrokenPipeError)
        if ended_early or (kind is None and self._process.returncode):
            raise GitError(f"git fast-import: {words[-300:].decode(errors='replace').strip()}")


class IgnoreRules:
    """The `.gitignore` files of one tree, asked one path at a time."""

    def __init__(self, repository: Path, worktree: Path) -> None:
        """`worktree` holds the tree's `.gitignore` files and nothing else."""
        self._process = subprocess.Popen(
            ["git", "check-ignore", "--no-index", "--stdin", "-z", "--verbose", "--non-matching"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(repository, GIT_WORK_TREE=str(worktree)),
            cwd=worktree,
        )

    def ignored(self, path: bytes) -> bool:
        """Whether `git add` would leave out this path (relative, clean, not a directory)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"./" + path + b"\0")  # a leading colon would be pathspec magic
        self._process.stdin.flush()
        answer = b""
        while answer.count(b"\0") < 4:  # source, line, pattern, path
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                raise GitError("git check-ignore ended early")
            answer += piece
        pattern = answer.split(b"\0")[2]
        return bool(pattern) and not pattern.startswith(b"!")

    def close(self) -> None:
        self._process.communicate()


def blob_name(size: int, pieces: Iterable[bytes]) -> str:
    """The name that git gives to a file's contents."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def quote(path: bytes) -> bytes:
    """A path as fast-import's grammar wants it: C-style, every unusual byte in octal."""
    escaped = b"".join(b"\\%03o" % c if c < 32 or c > 126 or c in b'"\\' else bytes([c]) for c in path)
    return b'"' + escaped + b'"'
