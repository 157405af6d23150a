"""`uvx [options] TOOL[@VERSION] …` with the kit's own Python and packages: whatever versions it names, these are there.

Started with -P and -s: neither the directory that it runs in nor a user's own packages are looked into.
"""

import os
import sys
from importlib.metadata import entry_points
from typing import NoReturn

VALUED = {
    "-p", "--python", "-w", "--with", "--from", "--index", "--index-url", "-i", "--extra-index-url", "--index-strategy",
    "--default-index", "-f", "--find-links", "--with-requirements", "--project", "--directory", "--refresh-package",
}  # fmt: skip
PYTHON = "/vkit/python/bin/python3"


def split(words: list[str]) -> list[str]:
    """The words from the tool's name on."""
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in VALUED else words[1:]
    return words


def missing(what: str) -> NoReturn:
    with open("/logs/verifier/.missing", "a") as notes:  # noqa: PTH123 - pathlib is slow to import
        print(what, file=notes)
    sys.exit(f"asclaimed: this verifier needs {what}, which the kit has not")


def main() -> NoReturn:
    words = split(sys.argv[1:])
    if not words:
        missing("a tool for uvx")
    name = words[0].partition("@")[0].partition("==")[0]
    # as uv does: what the tool starts finds this Python first
    os.environ["PATH"] = f"/vkit/python/bin:{os.environ.get('PATH', '')}"
    if name in ("python", "python3"):
        os.execv(PYTHON, [PYTHON, *words[1:]])  # noqa: S606 - an interpreter of our own, no text
    found = [point for point in entry_points(group="console_scripts") if point.name == name]
    if not found:
        missing(name)
    sys.argv = [name, *words[1:]]
    sys.exit(found[0].load()())


if __name__ == "__main__":
    main()
