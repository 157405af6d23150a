"""`apply_patch`: one text that adds, updates and deletes files, in the form that OpenAI's models were trained on.

An update finds its place by the lines around it, not by numbers: first as they stand, then without trailing blanks, then
without any blanks at the ends. All of a patch is applied, or nothing. Not covered: patches in `diff`'s own form.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from scaffolds.editor import EditError, decode, encode
from scaffolds.tools import Arguments, Tool, function_schema
from tasks.sandbox import Sandbox

PROMPT = """\
Change files by a patch in this form, with as many files and changes as you need:
*** Begin Patch
*** Update File: path/of/a/file
@@ a line above the change, such as its function's head
 a line that stays
-a line that goes
+a line that comes
*** Add File: path/of/another
+each of its lines
*** Delete File: path/of/a/third
*** End Patch
Lines that stay and go must be in the file exactly so; give about three lines around each change. Where two updates of \
a file have no lines between them, begin the second with @@."""

BEGIN, END, MOVE, EOF = "*** Begin Patch", "*** End Patch", "*** Move to: ", "*** End of File"
HEADS = {"*** Add File: ": "add", "*** Update File: ": "update", "*** Delete File: ": "delete"}
FOLDS: tuple[Callable[[str], str], ...] = (lambda line: line, str.rstrip, str.strip)
"""How lines are compared, the strictest way first."""
MOST_LINES = 200_000
"""Of a file that is searched; each place is compared with each line of a change."""


@dataclass
class Hunk:
    """One place of an update."""

    anchor: str = ""
    """A line somewhere above the place."""
    old: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    at_end: bool = False


@dataclass
class Change:
    """What becomes of one file."""

    kind: str
    path: str
    move_to: str = ""
    added: list[str] = field(default_factory=list)
    hunks: list[Hunk] = field(default_factory=list)


class PatchArguments(Arguments):
    patch: str = Field(description="The whole patch, from *** Begin Patch to *** End Patch.")


class ApplyPatch:
    arguments = PatchArguments
    schema = function_schema("apply_patch", PROMPT, PatchArguments)

    def apply(self, sandbox: Sandbox, arguments: PatchArguments, timeout: float) -> str:  # noqa: ARG002
        try:
            changes = list(parse(arguments.patch))
            writes = [write for change in changes for write in _writes(sandbox, change)]
            for path, data in writes:
                _put(sandbox, path, data)
        except EditError as error:
            return f"Nothing changed: {error}"
        except (OSError, ValueError) as error:
            return f"The patch was not applied as a whole: {error}"
        return "Done: " + ", ".join(f"{change.kind} {change.path}" for change in changes)


def parse(patch: str) -> Iterator[Change]:
    """The changes of a patch. Raises `EditError` for what is none."""
    lines = patch.strip().split("\n")
    if lines[0].strip() != BEGIN or lines[-1].strip() != END:
        raise EditError(f"a patch begins with `{BEGIN}` and ends with `{END}`")
    change: Change | None = None
    for line in lines[1:-1]:
        head = next((head for head in HEADS if line.startswith(head)), None)
        if head:
            if change:
                yield change
            change = Change(HEADS[head], line.removeprefix(head).strip())
        elif change is None:
            raise EditError(f"{line!r} stands before the first file")
        else:
            _take(change, line)
    if change is None:
        raise EditError("the patch names no file")
    yield change


def _take(change: Change, line: str) -> None:
    """One line below a file's head."""
    if change.kind == "add":
        if not line.startswith("+"):
            raise EditError(f"each line of the new file {change.path} begins with +, not so {line!r}")
        change.added.append(line[1:])
    elif change.kind == "delete":
        raise EditError(f"nothing may stand below the deleted file {change.path}")
    elif line.startswith(MOVE):
        change.move_to = line.removeprefix(MOVE).strip()
    elif line.startswith("@@"):
        change.hunks.append(Hunk(anchor=line[2:].strip()))
    else:
        _take_hunk(change, line)


def _take_hunk(change: Change, line: str) -> None:
    if not change.hunks:
        change.hunks.append(Hunk())
    hunk = change.hunks[-1]
    if line == EOF:
        hunk.at_end = True
    elif line[:1] in ("-", " ", ""):
        hunk.old.append(line[1:])
    elif line[:1] != "+":
        raise EditError(f"{line!r} begins with neither of space, - and +")
    if line[:1] in ("+", " ", "") and line != EOF:
        hunk.new.append(line[1:])


def _writes(sandbox: Sandbox, change: Change) -> Iterator[tuple[str, bytes | None]]:
    """(path, new content or None for no file) of one change; nothing is written yet. Raises `EditError`."""
    before = _read(sandbox, change.path)
    if change.kind == "add":
        if before is not None:
            raise EditError(f"{change.path} exists already: update it")
        yield change.path, encode("".join(f"{line}\n" for line in change.added))
    elif before is None:
        raise EditError(f"there is no file {change.path}")
    elif change.kind == "delete":
        yield change.path, None
    else:
        yield change.move_to or change.path, encode(updated(decode(before), change))
        if change.move_to:
            yield change.path, None


def updated(text: str, change: Change) -> str:
    """A file's text with all hunks applied, in their order. Raises `EditError` where one finds no place."""
    ending = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    if not change.hunks or len(lines) > MOST_LINES:
        raise EditError(f"{change.path}: the update changes nothing, or the file is too long")
    at = 0
    for hunk in change.hunks:
        at = _anchored(lines, hunk, at, change.path)
        place = _place(lines, hunk, at)
        if place is None:
            raise EditError(f"{change.path} does not hold these lines:\n" + "\n".join(hunk.old[:20]))
        lines[place : place + len(hunk.old)] = hunk.new
        at = place + len(hunk.new)
    return ending.join(lines)


def _anchored(lines: Sequence[str], hunk: Hunk, at: int, path: str) -> int:
    """The line after the hunk's anchor."""
    if not hunk.anchor:
        return at
    for number in range(at, len(lines)):
        if lines[number].strip() == hunk.anchor:
            return number + 1
    raise EditError(f"{path} has no line {hunk.anchor!r} there")


def _place(lines: Sequence[str], hunk: Hunk, at: int) -> int | None:
    """Where the hunk's old lines stand at `at` or below it."""
    size = len(hunk.old)
    if not size:
        is_open = not hunk.anchor or hunk.at_end
        return len(lines) - (lines[-1] == "") if is_open else at
    starts = [len(lines) - size - (lines[-1] == "")] if hunk.at_end else range(at, len(lines) - size + 1)
    for fold in FOLDS:
        wanted = [fold(line) for line in hunk.old]
        folded = [fold(line) for line in lines]
        for start in starts:
            if start >= 0 and folded[start] == wanted[0] and folded[start : start + size] == wanted:
                return start
    return None


def _read(sandbox: Sandbox, path: str) -> bytes | None:
    try:
        return sandbox.read(path)
    except FileNotFoundError:
        return None


def _put(sandbox: Sandbox, path: str, data: bytes | None) -> None:
    if data is None:
        sandbox.exec(f"rm -f -- {shlex.quote(path)}", timeout=60)
    else:
        sandbox.write(path, data)


def tools(longest: int) -> dict[str, Tool]:  # noqa: ARG001 - it shows nothing
    """The one tool."""
    return {"apply_patch": ApplyPatch()}
