"""The editor's semantics: an exact, unique match, or nothing happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaffolds.editor import Editor, EditorArguments
from tests.fakes.local_sandbox import LocalSandbox

TEXT = "one\ntwo\nthree\ntwo\n"


class Desk:
    """An editor, a sandbox and one file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "a.txt").write_text(TEXT)
        self.sandbox = LocalSandbox(root)
        self.editor = Editor()

    def do(self, command: str, path: str = "/testbed/a.txt", **arguments: Any) -> str:
        given = EditorArguments.model_validate({"command": command, "path": path, **arguments})
        return self.editor.apply(self.sandbox, given, 10)

    def text(self, name: str = "a.txt") -> str:
        return (self.root / name).read_bytes().decode("utf-8", "surrogateescape")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_view_numbers_the_lines(desk: Desk) -> None:
    assert desk.do("view").split("\n")[2] == "     3\tthree"
    assert desk.do("view", view_range=[2, 3]) == "     2\ttwo\n     3\tthree"
    assert desk.do("view", view_range=[4, -1]) == "     4\ttwo"
    assert desk.do("view", "a.txt", view_range=[1, 99]).count("\n") == 3


def test_lines_are_counted_as_grep_counts_them(desk: Desk) -> None:
    """A form feed, U+2028 or U+0085 ends no line: GNU sources hold them, and a view must agree with an insert."""
    text = "one\x0c\ntwo\u2028still two\x85\nthree\r\nfour"
    (desk.root / "f.txt").write_bytes(text.encode())
    assert desk.do("view", "f.txt", view_range=[3, 3]) == "     3\tthree"
    assert "     4\tnew\n     5\tfour" in desk.do("insert", "f.txt", insert_line=3, new_str="new")
    assert desk.text("f.txt") == text.replace("four", "new\nfour")
    assert "     5\tFOUR" in desk.do("str_replace", "f.txt", old_str="four", new_str="FOUR")


@pytest.mark.parametrize("bad", [[0, 1], [3, 2], [9, 10], [1], [1, 2, 3]])
def test_view_refuses_a_range_outside_the_file(desk: Desk, bad: list[Any]) -> None:
    assert desk.do("view", view_range=bad).startswith("Nothing changed: view_range")


def test_view_lists_a_directory_two_deep_without_hidden_files(desk: Desk) -> None:
    (desk.root / "d/e/f").mkdir(parents=True)
    listing = desk.do("view", "/testbed")
    assert "d/e" in listing
    assert "d/e/f" not in listing
    assert ".git" not in listing


def test_replace_changes_the_one_place_and_shows_it(desk: Desk) -> None:
    assert "     3\tTHREE\n     4\tand more" in desk.do(
        "str_replace", old_str="three", new_str="THREE\nand more"
    )
    assert desk.text() == "one\ntwo\nTHREE\nand more\ntwo\n"


@pytest.mark.parametrize(
    ("old", "says"),
    [
        ("two", "occurs 2 times"),
        ("Two", "does not occur"),
        (" three", "does not occur"),
        ("", "empty"),
        ("one", "the same"),
    ],
)
def test_replace_refuses_what_is_not_exact_and_unique(desk: Desk, old: str, says: str) -> None:
    assert says in desk.do("str_replace", old_str=old, new_str="one")
    assert desk.text() == TEXT


def test_replace_names_the_lines_of_an_ambiguous_match(desk: Desk) -> None:
    assert "lines 2, 4" in desk.do("str_replace", old_str="two", new_str="x")


def test_replace_without_new_str_deletes(desk: Desk) -> None:
    desk.do("str_replace", old_str="three\n")
    assert desk.text() == "one\ntwo\ntwo\n"


def test_windows_line_endings_survive(desk: Desk) -> None:
    (desk.root / "w.txt").write_bytes(b"a\r\nb\r\nc\r\n")
    desk.do("str_replace", "w.txt", old_str="a\nb", new_str="A\nB")
    desk.do("insert", "w.txt", insert_line=1, new_str="x")
    assert desk.text("w.txt") == "A\r\nx\r\nB\r\nc\r\n"


def test_bytes_that_are_no_utf8_survive_an_edit(desk: Desk) -> None:
    (desk.root / "l.txt").write_bytes(b"caf\xe9\nx\n")
    desk.do("str_replace", "l.txt", old_str="x", new_str="y")
    assert (desk.root / "l.txt").read_bytes() == b"caf\xe9\ny\n"
    desk.do("view", "l.txt").encode()  # what goes to the server is valid UTF-8


@pytest.mark.parametrize(
    ("line", "after"), [(0, "new\n" + TEXT), (2, "one\ntwo\nnew\nthree\ntwo\n"), (4, TEXT + "new\n")]
)
def test_insert_puts_text_after_a_line(desk: Desk, line: int, after: str) -> None:
    desk.do("insert", insert_line=line, new_str="new")
    assert desk.text() == after


def test_insert_at_the_end_of_a_file_without_a_final_newline(desk: Desk) -> None:
    (desk.root / "n.txt").write_text("last")
    desk.do("insert", "n.txt", insert_line=1, new_str="new\n")
    assert desk.text("n.txt") == "last\nnew\n"


def test_insert_refuses_a_line_outside_the_file(desk: Desk) -> None:
    assert "from 0 to 4" in desk.do("insert", insert_line=5, new_str="x")


def test_create_makes_directories_and_never_overwrites(desk: Desk) -> None:
    assert desk.do("create", "new/deep/b.txt", file_text="b\n").startswith("Created")
    assert desk.text("new/deep/b.txt") == "b\n"
    assert "exists already" in desk.do("create", file_text="gone")
    assert desk.text() == TEXT


def test_undo_goes_back_one_edit_at_a_time(desk: Desk) -> None:
    desk.do("str_replace", old_str="one", new_str="1")
    desk.do("insert", insert_line=0, new_str="0")
    desk.do("undo_edit")
    assert desk.text() == TEXT.replace("one", "1")
    desk.do("undo_edit")
    assert desk.text() == TEXT
    assert "no edit" in desk.do("undo_edit")


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        ("str_replace", {}, "needs old_str"),
        ("insert", {"insert_line": 1}, "needs new_str"),
        ("create", {}, "needs file_text"),
        ("view", {"path": "nothing.txt"}, "there is no file"),
        ("str_replace", {"path": "nothing.txt", "old_str": "a"}, "there is no file"),
        ("str_replace", {"path": "/testbed", "old_str": "a"}, "is a directory"),
        ("view", {"path": "a\0b"}, "cannot be used"),
    ],
)
def test_mistakes_are_observations(desk: Desk, command: str, arguments: dict[str, Any], says: str) -> None:
    assert says in desk.do(command, **arguments)


def test_a_long_file_is_capped_in_what_the_model_sees(desk: Desk) -> None:
    (desk.root / "big.txt").write_text("line\n" * 20_000)
    shown = desk.do("view", "big.txt")
    assert len(shown) < 17_000
    assert "characters left out" in shown
