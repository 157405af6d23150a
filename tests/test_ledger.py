"""The diary shows what was edited, what went missing, and what a kill tore."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from evals.run.ledger import Ledger, verify


def write(path: Path, *events: str) -> None:
    ledger = Ledger(path)
    for event in events:
        ledger.append(event, n=1)
    ledger.close()


def test_a_chain_that_several_sessions_wrote_holds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "one", "two")
    write(path, "three")
    assert verify(path) == []
    assert len(path.read_text().splitlines()) == 3


def test_an_edited_line_and_a_removed_line_show(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "one", "two", "three")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1].replace("two", "TWO"), lines[2]]))
    assert [found.line for found in verify(path)] == [2]
    path.write_text("".join([lines[0], lines[2]]))
    assert [found.line for found in verify(path)] == [2]


def test_a_torn_last_line_is_closed_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"body": "{\\"ev')
    assert "torn" in verify(path)[0].reason
    write(path, "three")
    assert verify(path) == []
    assert "torn-line-closed" in path.read_text()


def test_the_chain_begins_with_64_zeros_so_that_anybody_can_check_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "one", "two")
    head = "0" * 64
    for line in path.read_text().split("\n")[:-1]:
        entry = json.loads(line)
        assert entry["hash"] == hashlib.sha256(f"{head}\n{entry['body']}".encode()).hexdigest()
        head = entry["hash"]


@pytest.mark.parametrize("length", [1, 65_000, 65_536, 200_000])
def test_a_session_goes_on_from_one_line_whatever_its_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "x" * length)
    write(path, "two")
    assert verify(path) == []
    assert "torn" not in path.read_text()


def test_a_line_is_there_as_soon_as_it_was_written_and_the_last_one_closes(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    assert path.read_text() == ""
    ledger.append("one")
    assert verify(path) == []
    assert len(path.read_text().split("\n")) == 2
    ledger.end("work-ended", done=3)
    last = json.loads(json.loads(path.read_text().split("\n")[-2])["body"])
    assert (last["event"], last["done"]) == ("work-ended", 3)
    with pytest.raises(ValueError, match="closed"):
        ledger.append("more")


def test_a_line_that_is_torn_is_one_break_and_what_follows_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    write(path, "one", "two", "three")
    lines = path.read_text().split("\n")[:-1]
    path.write_text("\n".join(["{", *lines, lines[0][:30]]))
    assert [(found.line, found.reason.partition(" ")[0]) for found in verify(path)] == [
        (1, "unreadable"),
        (5, "torn"),
    ]
