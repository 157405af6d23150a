"""`str_replace_editor`: view, create, str_replace, insert, undo_edit, with the semantics that Anthropic's and
SWE-agent's tools made standard: a replacement must match exactly once, or nothing happens.

All access goes through the sandbox. Files that are not UTF-8 survive an edit byte for byte outside of it.
"""

from __future__ import annotations

import re
import shlex
from typing import Literal, TypeVar

from pydantic import Field

from scaffolds.text import LONGEST_OBSERVATION, cap
from scaffolds.tools import Arguments, function_schema
from tasks.sandbox import Sandbox

Given = TypeVar("Given")

CONTEXT_LINES = 4
"""Shown around an edit."""
UNDO_DEPTH = 20
WITH_ENDING = re.compile(r"[^\n]*\n|[^\n]+")
"""A line as grep, sed and Python's tracebacks count them: a form feed or U+2028 ends none."""


class EditorArguments(Arguments):
    command: Literal["view", "create", "str_replace", "insert", "undo_edit"]
    path: str = Field(description="File or directory, absolute or from the repository's root.")
    view_range: list[int] | None = Field(
        default=None, description="[first, last] line for `view`; last = -1 means to the end."
    )
    file_text: str | None = Field(default=None, description="Content for `create`.")
    old_str: str | None = Field(default=None, description="Text to replace, for `str_replace`.")
    new_str: str | None = Field(
        default=None, description="Text to put there, for `str_replace` and `insert`."
    )
    insert_line: int | None = Field(default=None, description="For `insert`; 0 = before the first line.")


class EditError(Exception):
    """What the model did wrong; its message is the observation."""


class Editor:
    """One attempt's editor; keeps what `undo_edit` needs."""

    arguments = EditorArguments
    schema = function_schema(
        "str_replace_editor",
        "View, create and edit files. `view` shows a file with line numbers, or a directory. `create` makes a new "
        "file and refuses an existing one. `str_replace` replaces `old_str`, which must occur exactly once, "
        "whitespace included, by `new_str`. `insert` puts `new_str` after line `insert_line`. `undo_edit` takes "
        "the last edit of `path` back.",
        EditorArguments,
    )

    def __init__(self, longest: int = LONGEST_OBSERVATION) -> None:
        """`longest`: characters that the model is shown at once."""
        self._longest = longest
        self._before: dict[str, list[bytes]] = {}

    def apply(self, sandbox: Sandbox, arguments: EditorArguments, timeout: float) -> str:
        return cap(self._done(sandbox, arguments, timeout), self._longest)

    def _done(self, sandbox: Sandbox, arguments: EditorArguments, timeout: float) -> str:
        path = arguments.path
        try:
            if arguments.command == "view":
                return view(sandbox, path, arguments.view_range, timeout)
            return self._edit(sandbox, path, arguments)
        except EditError as error:
            return f"Nothing changed: {error}"
        except IsADirectoryError:
            return f"Nothing changed: {path} is a directory"
        except FileNotFoundError:
            return f"Nothing changed: there is no file {path}"
        except (OSError, ValueError) as error:
            return f"Nothing changed: {path} cannot be used: {error}"

    def _edit(self, sandbox: Sandbox, path: str, given: EditorArguments) -> str:
        match given.command:
            case "create":
                return self._create(sandbox, path, _need("create", "file_text", given.file_text))
            case "str_replace":
                old = _need("str_replace", "old_str", given.old_str)
                return self._replace(sandbox, path, old, given.new_str or "")
            case "insert":
                line = _need("insert", "insert_line", given.insert_line)
                return self._insert(sandbox, path, line, _need("insert", "new_str", given.new_str))
        return self._undo(sandbox, path)

    def _create(self, sandbox: Sandbox, path: str, text: str) -> str:
        try:
            sandbox.read(path)
        except FileNotFoundError:
            sandbox.write(path, encode(text))
            return f"Created {path}."
        raise EditError(f"{path} exists already; change it with str_replace or insert")

    def _replace(self, sandbox: Sandbox, path: str, old: str, new: str) -> str:
        before = sandbox.read(path)
        text = decode(before)
        if "\r\n" in text and "\r\n" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        if not old:
            raise EditError("old_str is empty")
        if old == new:
            raise EditError("old_str and new_str are the same")
        count = text.count(old)
        if count != 1:
            raise EditError(f"old_str {not_unique(text, old, path, count)}")
        at = text.index(old)
        self._write(sandbox, path, before, text[:at] + new + text[at + len(old) :])
        return shown(path, text[:at] + new + text[at + len(old) :], text.count("\n", 0, at), new.count("\n"))

    def _insert(self, sandbox: Sandbox, path: str, line: int, new: str) -> str:
        before = sandbox.read(path)
        lines = WITH_ENDING.findall(decode(before))
        if not 0 <= line <= len(lines):
            raise EditError(f"insert_line must be from 0 to {len(lines)}")
        ending = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
        if line and not lines[line - 1].endswith("\n"):
            lines[line - 1] += ending
        block = [part.rstrip("\r") + ending for part in new.removesuffix("\n").split("\n")]
        text = "".join(lines[:line] + block + lines[line:])
        self._write(sandbox, path, before, text)
        return shown(path, text, line, len(block) - 1)

    def _undo(self, sandbox: Sandbox, path: str) -> str:
        if not self._before.get(path):
            raise EditError(f"there is no edit of {path} to undo")
        sandbox.write(path, self._before[path].pop())
        return f"The last edit of {path} is undone."

    def _write(self, sandbox: Sandbox, path: str, before: bytes, text: str) -> None:
        sandbox.write(path, encode(text))
        history = self._before.setdefault(path, [])
        history.append(before)
        del history[:-UNDO_DEPTH]


def view(sandbox: Sandbox, path: str, view_range: list[int] | None, timeout: float) -> str:
    """A file with line numbers, or what lies in a directory, two levels deep."""
    try:
        lines = _lines(decode(sandbox.read(path)))
    except IsADirectoryError:
        quoted = shlex.quote(path if path.startswith(("/", ".")) else f"./{path}")
        return sandbox.exec(f"find {quoted} -maxdepth 2 -not -path '*/.*' | sort", timeout=timeout).output
    first, last = _range(view_range, len(lines))
    return _numbered(lines[first - 1 : last], first) or f"{path} is empty."


def _range(view_range: list[int] | None, total: int) -> tuple[int, int]:
    if not view_range:
        return 1, total
    if len(view_range) != 2:
        raise EditError("view_range must be [first, last]")
    first, last = view_range
    if not 1 <= first <= max(total, 1) or (last != -1 and last < first):
        raise EditError(f"view_range must lie in 1 to {total}")
    return first, total if last == -1 else min(last, total)


def shown(path: str, text: str, line: int, extra: int) -> str:
    """The lines around an edit at 0-based `line` that put `extra` further lines there."""
    lines = _lines(text)
    first = max(0, line - CONTEXT_LINES)
    around = lines[first : line + extra + 1 + CONTEXT_LINES]
    return f"Edited {path}. It now reads:\n{_numbered(around, first + 1)}"


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\n").removesuffix("\r") for line in WITH_ENDING.findall(text)]


def _numbered(lines: list[str], first: int) -> str:
    return "\n".join(f"{n:6}\t{line}" for n, line in enumerate(lines, first))


def not_unique(text: str, old: str, path: str, count: int) -> str:
    """What is wrong with a text to replace that occurs `count` times."""
    if not count:
        return f"does not occur in {path} exactly as given, whitespace included"
    at, places = -1, []
    for _ in range(min(count, 10)):
        at = text.index(old, at + 1)
        places.append(str(text.count("\n", 0, at) + 1))
    return f"occurs {count} times in {path} (lines {', '.join(places)}); give more of the lines around it"


def _need(command: str, name: str, value: Given | None) -> Given:
    if value is None:
        raise EditError(f"{command} needs {name}")
    return value


def decode(data: bytes) -> str:
    """Bytes that are not UTF-8 come back as they were from `encode`."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """Back to the file's bytes; a lone surrogate that the model made up becomes `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
