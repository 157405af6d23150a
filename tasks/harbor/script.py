"""What a verifier's `test.sh` fetches when it runs, read from its text: Python packages, tools, and what nobody can give it.

Reads the shapes in which Terminal-Bench and SkillsBench install: `uvx -w X`, `uv pip install X`, `uv add X`,
`pip install X`, `apt-get install X`. Not covered: names that the script computes, and downloads of its tests' own code.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

VALUED = {
    "-p", "--python", "--index", "--index-url", "-i", "--extra-index-url", "--index-strategy", "--default-index", "-f",
    "--find-links", "-c", "--constraint", "--target", "-t", "--cache-dir", "--timeout", "--retries", "-r", "--requirement",
    "--with-requirements", "--project", "--directory",
}  # fmt: skip
"""Options whose next word is theirs, and no package."""
WITH = ("-w", "--with", "--from")
BEFORE = ("if", "then", "else", "!", "sudo", "do", "exec", "time", "&&", "{", "(")
ENDS = re.compile(r"[;&|()]+|\d?>+&?\S*|<+")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*")
PACKAGE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[\w,.-]+\])?\s*([=<>!~]=?\s*[\w.*+!-]+(\s*,\s*[=<>!~]=?\s*[\w.*+!-]+)*)?"
)
LIST = re.compile(r",\s*(?=[A-Za-z])(?![^\[]*\])")
"""Between packages, and neither between a package's bounds nor its extras."""
GIVEN_BY_KIT = frozenset({"curl", "ca-certificates", "wget", "python3", "python3-pip", "python3-venv"})
"""Of apt: what stands in for them, or is not needed any more."""
CTRF = re.compile(r"--ctrf(?:=|\s+)[\"']?([^\s\"']+)")


class Needs(NamedTuple):
    """What one script fetches."""

    packages: tuple[str, ...]
    """Of a Python package index; sorted, each once."""
    tools: tuple[str, ...]
    """Of apt, less what the kit stands in for."""
    impossible: tuple[str, ...]
    """Packages that no index has: repositories and addresses."""


def needs(script: str) -> Needs:
    packages: set[str] = set()
    tools: set[str] = set()
    for words in commands(script):
        packages.update(python_packages(words))
        tools.update(apt_packages(words))
    known = {name for name in packages if PACKAGE.fullmatch(name)}
    pinned = {name.partition("==")[0] for name in known if "==" in name}
    return Needs(
        tuple(sorted(known - pinned)), tuple(sorted(tools - GIVEN_BY_KIT)), tuple(sorted(packages - known))
    )


def report_path(script: str) -> str:
    """Where it asks pytest for a report of its tests; "" when it does not."""
    lines = (line for line in script.split("\n") if not line.lstrip().startswith("#"))
    found = next(filter(None, map(CTRF.search, lines)), None)
    path = PurePosixPath("/tests") / found[1] if found else PurePosixPath()
    if "$" in str(path):  # a directory that the script computes: it is always this one
        path = PurePosixPath("/logs/verifier") / path.name
    return "" if "$" in path.name else str(path).removeprefix(".")


def commands(script: str) -> Iterator[list[str]]:
    """The words of each simple command. Lines that no shell would take as such (here-documents) give none, or harmless ones."""
    for line in script.replace("\r", "").replace("\\\n", " ").split("\n"):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        try:
            words = list(lexer)
        except ValueError:  # an open quotation
            continue
        yield from split(words)


def split(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, ";"]:
        if not ENDS.fullmatch(word):
            command.append(word)
        elif command:
            yield bare(command)
            command = []


def bare(command: list[str]) -> list[str]:
    """Without what may stand before a command's name."""
    while command and (command[0] in BEFORE or ASSIGNMENT.fullmatch(command[0])):
        command = command[1:]
    return command


def python_packages(words: list[str]) -> Iterator[str]:
    match [word.rpartition("/")[2] for word in words[:4]]:
        case ["uvx", *_]:
            yield from with_uvx(words[1:])
        case ["uv", "tool", "run", *_]:
            yield from with_uvx(words[3:])
        case ["uv", "run", *_]:
            yield from values(words[2:], WITH)
        case ["uv", "pip", "install", *_]:
            yield from named(words[3:])
        case ["uv", "add", *_] | ["pip" | "pip3", "install", *_]:
            yield from named(words[2:])
        case ["python" | "python3", "-m", "pip", "install"]:
            yield from named(words[4:])


def with_uvx(words: list[str]) -> Iterator[str]:
    """The packages beside the tool, and the tool where it names a version itself."""
    yield from values(words, WITH)
    tool = next(iter(named(words, also=WITH)), "")
    name, at, version = tool.partition("@")
    if at and version and version != "latest":
        yield f"{name}=={version}"
    elif tool and not at and "--from" not in words and name != "python":
        yield tool


def values(words: Sequence[str], options: Iterable[str]) -> Iterator[str]:
    """What these options are given, as `-w X`, `--with=X` or several with commas."""
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in options and equals and option.startswith("--"):
            yield from LIST.split(value)
        elif word in options and at + 1 < len(words):
            yield from LIST.split(words[at + 1])


def named(words: Sequence[str], also: Iterable[str] = ()) -> Iterator[str]:
    """Words that are neither options nor theirs; of `uvx` the first is the tool and the rest are its own."""
    skip, valued = False, {*VALUED, *also}
    for word in words:
        if skip or word.startswith("-"):
            skip = not skip and word in valued
            continue
        yield word


def apt_packages(words: list[str]) -> Iterator[str]:
    if words and words[0].rpartition("/")[2] in ("apt-get", "apt") and "install" in words:
        yield from (word for word in words[1:] if word != "install" and not word.startswith("-"))
