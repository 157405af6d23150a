"""Every exchange with the model server, on disk beside the attempt: compressed, and a history is stored once.

A line holds how many bytes of the request before are repeated and what follows them, then the answer as it came. A kill
loses at most the exchange under way. What `trajectory.json` holds is the same as others read it, without the wire.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from scaffolds.model import Exchange

FILE = "exchanges.jsonl.gz"
LEVEL = 1


class ExchangeLog:
    """Appends each exchange as it ends; makes no file where there was none."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._handle: gzip.GzipFile | None = None
        self._last = b""

    def __call__(self, exchange: Exchange) -> None:
        if self._handle is None:
            self._handle = gzip.GzipFile(self._path, "ab", LEVEL)
        keep = shared_prefix(self._last, exchange.request)
        self._last = exchange.request
        line = {
            "keep": keep,
            "add": _text(exchange.request[keep:]),
            "status": exchange.status,
            "type": exchange.content_type,
            "answer": _text(exchange.answer),
            "error": exchange.error,
        }
        self._handle.write(
            json.dumps({name: value for name, value in line.items() if value}).encode() + b"\n"
        )
        self._handle.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.close()


def shared_prefix(one: bytes, other: bytes) -> int:
    """Bytes that both begin with: a scaffold that rewrites its history shares less of it."""
    low, high = 0, len(other)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def read_exchanges(directory: Path) -> Iterator[Exchange]:
    """In order, as far as they are whole; nothing where nothing was recorded."""
    last = b""
    for line in _lines(directory / FILE):
        found = json.loads(line)
        last = last[: found.get("keep", 0)] + _bytes(found.get("add", ""))
        answer = _bytes(found.get("answer", ""))
        yield Exchange(last, found.get("status", 0), found.get("type", ""), answer, found.get("error", ""))


def _lines(path: Path) -> list[bytes]:
    """The whole lines of a file whose writer may have been killed; a session that went on began a new stream in it."""
    packed, text = path.read_bytes() if path.exists() else b"", b""
    while packed:
        stream = zlib.decompressobj(wbits=31)
        try:
            text += stream.decompress(packed)
        except zlib.error:
            break
        packed = stream.unused_data
    return text.split(b"\n")[:-1]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
