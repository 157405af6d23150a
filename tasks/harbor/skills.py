"""Skills that a task brings: folders with a SKILL.md, in `environment/skills`, which its Dockerfile copies where agents look.

A skill is known by the name and the description at the top of its SKILL.md (https://agentskills.io). They are part of what
an agent may see. Not covered: skills that a published image has and the task's directory has not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from tasks.task import Skill, Skills

FOLDER, FILE = "skills", "SKILL.md"
COPY = re.compile(
    r"^[ \t]*(?:COPY|ADD)[ \t]+(?:--\S+[ \t]+)*(\S+)[ \t]+(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE
)
HEAD = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
MOST_CHARACTERS = 1024
"""Of a description, as the standard has it."""


def skills_of(environment: Path, workdir: str) -> Skills:
    """None where the directory has none, or its Dockerfile copies none."""
    dockerfile = environment / "Dockerfile"
    if not (environment / FOLDER).is_dir() or not dockerfile.is_file():
        return Skills()
    copied = COPY.findall(dockerfile.read_text(encoding="utf-8", errors="replace"))
    places = tuple(dict.fromkeys(placed(into, workdir) for what, into in copied if is_all(what)))
    return Skills(skills=tuple(read(environment / FOLDER)) if places else (), places=places)


def is_all(source: str) -> bool:
    return str(PurePosixPath(source)) == FOLDER


def placed(into: str, workdir: str) -> str:
    """An absolute path in the image."""
    home = re.sub(r"\A(~|\$HOME|\$\{HOME\})(?=/|\Z)", "/root", into.strip("\"'"))
    return str(PurePosixPath(workdir) / home)


def read(folder: Path) -> Iterator[Skill]:
    for path in sorted(folder.glob(f"*/{FILE}")):
        name, description = head(path)
        yield Skill(name=name, description=description, folder=path.parent.name)


def head(path: Path) -> tuple[str, str]:
    """Name and description, as far as its top has them."""
    found = HEAD.match(path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n"))
    text = found[1] if found else ""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = loosely(text)
    given = values if isinstance(values, dict) else {}
    name, about = (str(given.get(key) or "").strip() for key in ("name", "description"))
    return name or path.parent.name, " ".join(about.split())[:MOST_CHARACTERS]


def loosely(text: str) -> dict[str, str]:
    """Of a head that is no YAML, as an unquoted colon makes it: agents read it line by line."""
    pairs = (line.partition(":") for line in text.split("\n"))
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}
