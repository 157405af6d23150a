"""`read_file`, `edit`, `write_file`: three tools with the names and arguments of qwen-code 0.24.

The words are ours. An edit must match exactly once, or every time where `replace_all` says so. Not covered: qwen-code's
search tools (`bash` is there for that), notebooks, and its rule that a file must be read before it is written.
"""

from __future__ import annotations

from pydantic import Field

from scaffolds.editor import WITH_ENDING, EditError, decode, encode, not_unique, shown
from scaffolds.text import LONGEST_OBSERVATION, cap
from scaffolds.tools import Arguments, Tool, function_schema
from tasks.sandbox import Sandbox

READ = "Read a text file. Long files: give the first line to read, counted from 0, and how many."
EDIT = "Replace `old_string` by `new_string` in a file. It must occur exactly once, whitespace included."
WRITE = "Write a file, whole: a new one, or in the place of what is there."
MOST_LINES = 1000
"""Of one reading, as upstream."""


class ReadArguments(Arguments):
    file_path: str = Field(description="Absolute, or from the repository's root.")
    offset: int | None = Field(default=None, ge=0, description="First line, counted from 0.")
    limit: int | None = Field(default=None, ge=1, description="Number of lines.")


class EditArguments(Arguments):
    file_path: str
    old_string: str = Field(description="What to replace, exactly; empty to make a new file.")
    new_string: str
    replace_all: bool | None = Field(default=None, description="Replace it wherever it occurs.")


class WriteArguments(Arguments):
    file_path: str
    content: str


class ReadFile:
    arguments = ReadArguments
    schema = function_schema("read_file", READ, ReadArguments)

    def __init__(self, longest: int = LONGEST_OBSERVATION) -> None:
        self._longest = longest

    def apply(self, sandbox: Sandbox, arguments: ReadArguments, timeout: float) -> str:  # noqa: ARG002
        try:
            lines = WITH_ENDING.findall(decode(sandbox.read(arguments.file_path)))
        except OSError as error:
            return unusable(arguments.file_path, error)
        first = arguments.offset or 0
        part = lines[first : first + min(arguments.limit or MOST_LINES, MOST_LINES)]
        rest = len(lines) - first - len(part)
        more = f"\n[{rest} more lines; go on with offset {first + len(part)}]" if rest > 0 else ""
        return cap("".join(part), self._longest) + more or "[there is nothing in it]"


class EditFile:
    arguments = EditArguments
    schema = function_schema("edit", EDIT, EditArguments)

    def apply(self, sandbox: Sandbox, arguments: EditArguments, timeout: float) -> str:  # noqa: ARG002
        path, old, new = arguments.file_path, arguments.old_string, arguments.new_string
        try:
            if not old:
                return create(sandbox, path, new)
            text = decode(sandbox.read(path))
            after = replaced(text, old, new, path, everywhere=bool(arguments.replace_all))
            sandbox.write(path, encode(after))
            return shown(path, after, text.count("\n", 0, text.index(old)), new.count("\n"))
        except EditError as error:
            return f"Nothing changed: {error}"
        except (OSError, ValueError) as error:
            return unusable(path, error)


class WriteFile:
    arguments = WriteArguments
    schema = function_schema("write_file", WRITE, WriteArguments)

    def apply(self, sandbox: Sandbox, arguments: WriteArguments, timeout: float) -> str:  # noqa: ARG002
        try:
            sandbox.write(arguments.file_path, encode(arguments.content))
        except (OSError, ValueError) as error:
            return unusable(arguments.file_path, error)
        return f"Written: {arguments.file_path}."


def create(sandbox: Sandbox, path: str, text: str) -> str:
    """A new file. Raises `EditError` where one is."""
    try:
        sandbox.read(path)
    except FileNotFoundError:
        sandbox.write(path, encode(text))
        return f"Created {path}."
    raise EditError(f"{path} exists already, and old_string is empty")


def replaced(text: str, old: str, new: str, path: str, *, everywhere: bool) -> str:
    count = text.count(old)
    if not count or (count > 1 and not everywhere):
        raise EditError(f"old_string {not_unique(text, old, path, count)}")
    return text.replace(old, new)


def unusable(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"Nothing changed: there is no file {path}"
    return f"Nothing changed: {path} cannot be used: {error}"


def tools(longest: int) -> dict[str, Tool]:
    """`longest`: characters that the model is shown at once."""
    return {"read_file": ReadFile(longest), "edit": EditFile(), "write_file": WriteFile()}
