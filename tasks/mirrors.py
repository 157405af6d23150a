"""Where else an image may be had: names on a mirror, or under another prefix, are tried before its own.

A name on a mirror is only another way to the same image: what it is, its digest says (`evals.run.pins`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tasks.errors import UserError
from tasks.swebench import image_names
from tasks.task import ImageSpec, Task

HUB = "docker.io"
"""The registry of names that have none, as Docker writes it out."""
REPLACEMENT = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,299}")


class Mirror(NamedTuple):
    """What a full name begins with, and what stands there on the mirror."""

    prefix: str
    replacement: str


def parse(text: str) -> Mirror:
    """`HOST[:PORT][/PATH]` is a mirror of Docker Hub, `PREFIX=REPLACEMENT` of all names with a prefix. Raises `UserError`."""
    prefix, equals, replacement = text.partition("=")
    if not equals:
        prefix, replacement = f"{HUB}/", f"{text.rstrip('/')}/"
    if not prefix or not REPLACEMENT.fullmatch(replacement) or "//" in replacement:
        raise UserError(
            f"{text!r} is no mirror: give HOST[:PORT][/PATH] for one of Docker Hub, or PREFIX=REPLACEMENT"
        )
    first = prefix.partition("/")[0]
    return Mirror(prefix if is_registry(first) else f"{HUB}/{prefix}", replacement)


def is_registry(first: str) -> bool:
    """Whether the first part of an image name is a host, as Docker tells."""
    return "." in first or ":" in first or first == "localhost"


def full_name(reference: str) -> str:
    """With its registry: `debian:12` is `docker.io/library/debian:12`."""
    first, slash, _ = reference.partition("/")
    if slash and is_registry(first):
        return reference
    return f"{HUB}/{reference}" if slash else f"{HUB}/library/{reference}"


def mirrored(tasks: Iterable[Task], mirrors: Sequence[str]) -> list[Task]:
    """The same tasks, same hashes, whose images are looked for on these mirrors first. Raises `UserError`."""
    for text in mirrors:
        parse(text)
    update = {"mirrors": tuple(mirrors)}
    if not mirrors:
        return list(tasks)
    return [task.with_images(lambda image: image.model_copy(update=update)) for task in tasks]


def names(spec: ImageSpec, machine: str) -> tuple[str, ...]:
    """All names under which the image may be had on a machine of this `uname -m`, the best one first.

    By digest where the spec has one, so that none of them can be another image.
    """
    own = image_names(spec.reference, machine)
    rules = [parse(text) for text in spec.mirrors]
    found = [
        rule.replacement + full_name(name).removeprefix(rule.prefix)
        for name in own
        for rule in rules
        if full_name(name).startswith(rule.prefix)
    ]
    every = dict.fromkeys((*found, *own))
    return tuple(by_digest(name, spec.digest) for name in every) if spec.digest else tuple(every)


def by_digest(name: str, digest: str) -> str:
    """`repository@digest` in the place of a tag; a name that has a digest keeps its own."""
    if "@" in name:
        return name
    head, colon, tag = name.rpartition(":")
    return f"{head if colon and '/' not in tag else name}@{digest}"
