"""A file seen through a window, with search and edit, after the agent-computer interface of SWE-agent (NAACL 2024).

The numbers and names are upstream's (`windowed_edit_replace` of SWE-agent at 3ea751c0); the words are ours. An edit
replaces text that is within the window. Not covered: the linter that its 0.7 had, and edits by line numbers.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import Field

from scaffolds.editor import WITH_ENDING, EditError, decode, encode
from scaffolds.text import cap
from scaffolds.tools import Arguments, Tool, function_schema
from tasks.sandbox import Sandbox

ABOUT = {
    "open": "Open a file in the window, at a line if one is given.",
    "goto": "Move the window to a line of the open file.",
    "scroll_up": "Move the window up.",
    "scroll_down": "Move the window down.",
    "create": "Make a new, empty file and open it.",
    "find_file": "Find files by their name, with * and ? as wildcards.",
    "search_dir": "Find a text in all files of a directory: which files have it, and how often.",
    "search_file": "Find a text in a file, or in the open one.",
    "edit": "Replace `search` by `replace` within the lines that the window shows; `search` must occur there exactly once.",
    "insert": "Insert text into the open file, after a line if one is given, else at its end.",
}
WINDOW, OVERLAP, EDIT_AT = 100, 2, 6
"""Lines shown; lines that stay when it scrolls; the part of the window above an edit, 1 in so many."""
MOST_FILES = 100
"""Of a search; more say that the search should be narrower."""


class Nothing(Arguments):
    pass


class OpenArguments(Arguments):
    path: str
    line_number: int | None = None


class GotoArguments(Arguments):
    line_number: int


class CreateArguments(Arguments):
    filename: str


class FindArguments(Arguments):
    file_name: str
    dir: str | None = None


class SearchDirArguments(Arguments):
    search_term: str
    dir: str | None = None


class SearchFileArguments(Arguments):
    search_term: str
    file: str | None = None


class EditArguments(Arguments):
    search: str
    replace: str
    replace_all: bool | None = Field(default=None, alias="replace-all", description="Wherever it occurs.")


class InsertArguments(Arguments):
    text: str
    line: int | None = None


@dataclass
class Window:
    """What the tools of one attempt share: which file is open, and where."""

    longest: int
    path: str | None = None
    first: int = 0
    """Of the lines shown, counted from 0."""

    def lines(self, sandbox: Sandbox) -> list[str]:
        if self.path is None:
            raise EditError("no file is open: call `open` first")
        return WITH_ENDING.findall(decode(sandbox.read(self.path)))

    def move(self, first: int, total: int) -> None:
        self.first = max(0, min(first, total - WINDOW))

    def show(self, sandbox: Sandbox) -> str:
        lines = self.lines(sandbox)
        self.move(self.first, len(lines))
        part = lines[self.first : self.first + WINDOW]
        numbered = "".join(f"{n}:{line}" for n, line in enumerate(part, self.first + 1))
        below = max(0, len(lines) - self.first - len(part))
        head = f"[File: {self.path} ({len(lines)} lines in all)]\n({self.first} more lines above)\n"
        return cap(f"{head}{numbered.rstrip()}\n({below} more lines below)", self.longest)

    def around(self, line: int, sandbox: Sandbox) -> str:
        """The window with `line`, counted from 0, a sixth below its top."""
        self.first = line - WINDOW // EDIT_AT
        return self.show(sandbox)


@dataclass
class WindowTool:
    """One of the tools: a name, its arguments, and what it does."""

    name: str
    arguments: type[Arguments]
    do: Callable[[Window, Sandbox, object, float], str]
    window: Window
    schema: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.schema = dict(function_schema(self.name, ABOUT[self.name], self.arguments))

    def apply(self, sandbox: Sandbox, arguments: object, timeout: float) -> str:
        try:
            return self.do(self.window, sandbox, arguments, timeout)
        except EditError as error:
            return f"Nothing changed: {error}"
        except FileNotFoundError as error:
            return f"Nothing changed: there is no such file: {error}"
        except (OSError, ValueError) as error:
            return f"Nothing changed: the file cannot be used: {error}"


def open_(window: Window, sandbox: Sandbox, given: OpenArguments, _timeout: float) -> str:
    sandbox.read(given.path)
    window.path, window.first = given.path, 0
    if given.line_number is None:
        return window.show(sandbox)
    return window.around(given.line_number - 1, sandbox)


def goto(window: Window, sandbox: Sandbox, given: GotoArguments, _timeout: float) -> str:
    total = len(window.lines(sandbox))
    if not 1 <= given.line_number <= max(total, 1):
        raise EditError(f"{window.path} has {total} lines")
    return window.around(given.line_number - 1, sandbox)


def scroll_up(window: Window, sandbox: Sandbox, _given: object, _timeout: float) -> str:
    window.first -= WINDOW - OVERLAP
    return window.show(sandbox)


def scroll_down(window: Window, sandbox: Sandbox, _given: object, _timeout: float) -> str:
    window.first += WINDOW - OVERLAP
    return window.show(sandbox)


def create(window: Window, sandbox: Sandbox, given: CreateArguments, _timeout: float) -> str:
    try:
        sandbox.read(given.filename)
    except FileNotFoundError:
        sandbox.write(given.filename, b"\n")
        window.path, window.first = given.filename, 0
        return window.show(sandbox)
    raise EditError(f"{given.filename} exists already")


def find_file(window: Window, sandbox: Sandbox, given: FindArguments, timeout: float) -> str:
    where = shlex.quote(_place(given.dir))
    command = f"find {where} -name {shlex.quote(given.file_name)} -not -path '*/.git/*' | sort"
    return _found(sandbox.exec(command, timeout=timeout).output, given.file_name, window.longest)


def search_dir(window: Window, sandbox: Sandbox, given: SearchDirArguments, timeout: float) -> str:
    where, what = shlex.quote(_place(given.dir)), shlex.quote(given.search_term)
    listed = sandbox.exec(
        f"grep -rIcF --exclude-dir=.git -e {what} -- {where} 2>/dev/null | grep -v ':0$' | sort",
        timeout=timeout,
    ).output
    return _found(listed, given.search_term, window.longest)


def _found(listed: str, what: str, longest: int) -> str:
    count = listed.count("\n")
    if not count:
        return f"Nothing found for {what!r}."
    if count > MOST_FILES:
        return f"{count} files match {what!r}: search for something that fewer have."
    return cap(f"{count} files match {what!r}:\n{listed.rstrip()}", longest)


def search_file(window: Window, sandbox: Sandbox, given: SearchFileArguments, _timeout: float) -> str:
    name = given.file or window.path
    if name is None:
        raise EditError("no file is open: name one")
    lines = WITH_ENDING.findall(decode(sandbox.read(name)))
    hits = [f"{n}:{line.rstrip()}" for n, line in enumerate(lines, 1) if given.search_term in line]
    if len(hits) > MOST_FILES:
        return f"{len(hits)} lines match: search for something that fewer have."
    return cap("\n".join([f"{len(hits)} lines of {name} match {given.search_term!r}", *hits]), window.longest)


def edit(window: Window, sandbox: Sandbox, given: EditArguments, _timeout: float) -> str:
    lines = window.lines(sandbox)
    window.move(window.first, len(lines))
    end = window.first + WINDOW
    above, seen, below = (
        "".join(part) for part in (lines[: window.first], lines[window.first : end], lines[end:])
    )
    count = seen.count(given.search) if given.search else 0
    if not count or (count > 1 and not given.replace_all):
        raise EditError(
            f"`search` occurs {count} times in the lines shown; it must be there once, blanks included"
        )
    line = window.first + seen.count("\n", 0, seen.index(given.search))
    sandbox.write(_path(window), encode(above + seen.replace(given.search, given.replace) + below))
    return "Edited.\n" + window.around(line, sandbox)


def insert(window: Window, sandbox: Sandbox, given: InsertArguments, _timeout: float) -> str:
    lines = window.lines(sandbox)
    at = len(lines) if given.line is None else given.line
    if not 0 <= at <= len(lines):
        raise EditError(f"{window.path} has {len(lines)} lines")
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    text = "".join([*lines[:at], given.text.removesuffix("\n") + "\n", *lines[at:]])
    sandbox.write(_path(window), encode(text))
    return "Inserted.\n" + window.around(at, sandbox)


def _path(window: Window) -> str:
    assert window.path is not None
    return window.path


def _place(directory: str | None) -> str:
    """No name that a command would take for an option."""
    place = directory or "."
    return place if place.startswith(("/", ".")) else f"./{place}"


DOES: dict[str, tuple[type[Arguments], Callable[..., str]]] = {
    "open": (OpenArguments, open_),
    "goto": (GotoArguments, goto),
    "scroll_up": (Nothing, scroll_up),
    "scroll_down": (Nothing, scroll_down),
    "create": (CreateArguments, create),
    "find_file": (FindArguments, find_file),
    "search_dir": (SearchDirArguments, search_dir),
    "search_file": (SearchFileArguments, search_file),
    "edit": (EditArguments, edit),
    "insert": (InsertArguments, insert),
}


def tools(longest: int) -> dict[str, Tool]:
    """All of them, over one window."""
    window = Window(longest)
    return {name: WindowTool(name, arguments, do, window) for name, (arguments, do) in DOES.items()}
