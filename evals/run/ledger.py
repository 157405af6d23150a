"""The run's event log: append-only, each line chained to the one before by sha256.

It proves nothing against an owner who rewrites the whole file; it shows accidents, edits of single lines and
lines that went missing. A kill -9 may tear the last line; the next writer closes it and says so.
"""

from __future__ import annotations

import hashlib
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

GENESIS = "0" * 64


class Break(NamedTuple):
    """A place where the chain does not hold; `line` counts from 1."""

    line: int
    reason: str


def _digest(previous: str, body: str) -> str:
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def _last_line(path: Path) -> tuple[str, bool]:
    """The last complete line, and whether something torn follows it."""
    if not path.exists():
        return "", False
    *complete, rest = path.read_bytes().split(b"\n")
    return (complete[-1].decode(errors="replace") if complete else ""), bool(rest)


class Ledger:
    """Appends events to one file; safe to call from several threads of one process."""

    def __init__(self, path: Path) -> None:
        last, torn = _last_line(path)
        self._head = json.loads(last)["hash"] if last else GENESIS
        self._lock = threading.Lock()
        self._handle = path.open("ab")
        if torn:
            self._handle.write(b"\n")
            self.append("torn-line-closed")

    def append(self, event: str, **facts: Any) -> None:
        """One line: when, what, facts, and the hash that chains it. Flushed to the kernel, so kill -9 keeps it."""
        with self._lock:
            body = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
            text = json.dumps(body, ensure_ascii=False)
            self._head = _digest(self._head, text)
            line = json.dumps({"body": text, "hash": self._head}, ensure_ascii=False)
            self._handle.write(line.encode() + b"\n")
            self._handle.flush()

    def end(self, event: str, **facts: Any) -> None:
        """The last line. Closed even where that does not fit on the disk: who opens it next closes a line that is torn."""
        try:
            self.append(event, **facts)
        finally:
            self.close()

    def close(self) -> None:
        self._handle.close()


def verify(path: Path) -> list[Break]:
    """Every place where the chain does not hold. A torn line that was closed in order is not one."""
    breaks: list[Break] = []
    head, torn_at = GENESIS, 0
    for number, line in enumerate(path.read_text(errors="replace").split("\n"), start=1):
        if not line:
            continue
        try:
            entry = json.loads(line)
            body, digest = entry["body"], entry["hash"]
        except (ValueError, KeyError, TypeError):
            torn_at = number
            continue
        if digest != _digest(head, body):
            breaks.append(Break(number, "the hash does not follow from the line before"))
        if torn_at and json.loads(body)["event"] != "torn-line-closed":
            breaks.append(Break(torn_at, "unreadable line"))
        head, torn_at = digest, 0
    if torn_at:
        breaks.append(Break(torn_at, "torn last line (the process was killed while writing)"))
    return breaks
