"""The diary shows what was edited, what went missing, and what a kill tore."""

from __future__ import annotations

from pathlib import Path

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
