"""Images that asclaimed pulled: which they are, how fast they came, and how to be rid of them, cleaned copies included.

A note in the cache says which; an image without one is somebody else's and stays. Cleaned copies keep the layers of the
image that they were made of, so they go with it, and those whose image is gone can go as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from docker.errors import APIError, ImageNotFound

from tasks.disk import cache_directory, load_cached, write_atomic
from tasks.docker.daemon import LABEL, client, daemon_errors, disk_usage
from tasks.docker.endpoint import one_line
from tasks.docker.pull import split
from tasks.mirrors import full_name
from tasks.task import Frozen

COPIES = "asclaimed/clean"
YOUNG = 3600.0
"""Seconds for which a copy without its image stays: somebody may just have made it, or be about to start from it."""
LEAST_TIMED = 1_000_000
"""Bytes of a pull that says something of how fast pulls are."""


class PullNote(Frozen):
    """One image that came from a registry because asclaimed asked for it."""

    id: str
    references: tuple[str, ...]
    """Under which it came: only these are ever removed."""
    pulled: float
    """Seconds since the epoch."""
    bytes: int
    """As sent, without the layers that were here."""
    seconds: float


class Leftover(NamedTuple):
    """What `drop` can remove: a pulled image with its copies, or copies whose image is gone."""

    id: str
    references: tuple[str, ...]
    copies: tuple[str, ...]
    """Names of cleaned copies."""
    bytes: int
    """That no other image shares."""
    days: float
    """Since it was pulled, or the first copy was made."""


def note_pull(image_id: str, references: tuple[str, ...], sent: int, seconds: float) -> None:
    """Names that were noted of this image before stay noted."""
    file, known = file_of(image_id), note_of(image_id)
    names = tuple(dict.fromkeys((*(known.references if known else ()), *references)))
    note = PullNote(id=image_id, references=names, pulled=time.time(), bytes=sent, seconds=seconds)
    file.parent.mkdir(exist_ok=True)
    write_atomic(file, note.model_dump_json().encode())


def notes() -> list[PullNote]:
    files = sorted((cache_directory() / "pulled").glob("*.json"))
    return [note for file in files if (note := load_cached(file, PullNote.model_validate_json))]


def note_of(image_id: str) -> PullNote | None:
    """None for an image that asclaimed did not fetch."""
    return load_cached(file_of(image_id), PullNote.model_validate_json)


def file_of(image_id: str) -> Path:
    return cache_directory() / "pulled" / f"{image_id.removeprefix('sha256:')}.json"


def rate() -> float | None:
    """Bytes a second of pulls here, unpacking included; the median, None before the first."""
    timed = [note.bytes / note.seconds for note in notes() if note.bytes >= LEAST_TIMED and note.seconds > 0]
    return median(timed) if timed else None


class Stored(NamedTuple):
    """All images of the daemon at one moment."""

    images: dict[str, dict[str, Any]]
    """By id, as the daemon lists them."""
    own: dict[str, int]
    """Bytes of each that no other one shares."""
    copies: dict[str, list[str]]
    """Names of those that are cleaned copies."""

    @classmethod
    def now(cls) -> Stored:
        """Raises `MachineError` without a daemon, `SandboxError` where it fails."""
        with daemon_errors("cannot list images"):
            listed = {one["Id"]: one for one in disk_usage()["Images"] or ()}
            images = {name: listed[name] for name in stacks(listed)}
        own = {name: one["Size"] - max(0, one.get("SharedSize", 0)) for name, one in images.items()}
        tags = {name: [t for t in tags_of(one) if t.startswith(f"{COPIES}:")] for name, one in images.items()}
        return cls(images, own, {name: found for name, found in tags.items() if found})

    def leftover(self, image: str, references: tuple[str, ...], days: float) -> Leftover:
        """An image that is here, with the copies that were made of it."""
        mine = [name for name in self.copies if stack_of(name)[:-1] == stack_of(image)]
        size = sum(self.own[name] for name in (image, *mine))
        return Leftover(image, references, tuple(tag for n in mine for tag in self.copies[n]), size, days)


def leftovers() -> Iterator[Leftover]:
    """Everything that asclaimed pulled and `drop` may remove. Raises as `Stored.now`."""
    stored, now = Stored.now(), time.time()
    images, copies = stored.images, stored.copies
    for note in notes():
        if note.id in images:
            yield stored.leftover(note.id, note.references, (now - note.pulled) / 86400)
    named = [
        name
        for name, one in images.items()
        if name not in copies and (tags_of(one) or one.get("RepoDigests"))
    ]
    sources = {stack_of(name) for name in named}  # one without a name stays for the copy's sake only
    for name, found in copies.items():
        if stack_of(name)[:-1] not in sources and now - images[name]["Created"] >= YOUNG:
            days = (now - images[name]["Created"]) / 86400
            yield Leftover("", (), tuple(found), stored.own[name], days)


def tags_of(listed: dict[str, Any]) -> list[str]:
    """Of an image as the daemon lists it; older ones write out that there are none."""
    return [tag for tag in listed.get("RepoTags") or () if not tag.startswith("<none>")]


@cache
def stack_of(image_id: str) -> tuple[str, ...]:
    """Its layers, the lowest first: an id never has others."""
    api: Any = client().api
    return tuple(api.inspect_image(image_id)["RootFS"].get("Layers") or ())


def stacks(image_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """By image, without those that somebody removed since they were listed."""
    found = {}
    for name in image_ids:
        with suppress(ImageNotFound):
            found[name] = stack_of(name)
    return found


def at_work(found: Sequence[Leftover]) -> list[Leftover]:
    """Those that a container of ours was started from, by themselves or by a copy."""
    with daemon_errors("cannot list containers"):
        ours = client().containers.list(filters={"label": f"{LABEL}pid"}, ignore_removed=True)
    used = {str(container.attrs["Image"]) for container in ours}
    return [one for one in found if used & {one.id, *map(id_of, one.copies)}]


def id_of(name: str) -> str:
    """ "" of an image that is not here."""
    with daemon_errors(f"cannot look for image {name}"):
        try:
            return str(client().images.get(name).id)
        except ImageNotFound:
            return ""


def drop(leftover: Leftover) -> str:
    """Remove copies and image; why something stays when it does, else "". Where others hold the image, its copies stay too."""
    others = who_else_holds(leftover)
    names = leftover.references if others else (*leftover.copies, *leftover.references)
    kept = next(filter(None, map(remove_image, names)), "")
    if kept or not leftover.id:
        return kept
    file_of(leftover.id).unlink(missing_ok=True)
    return others or ("still held by images that were made of it" if id_of(leftover.id) else "")


def who_else_holds(leftover: Leftover) -> str:
    """Names of the image that are not ours, in words; "" when there are none."""
    if not leftover.id:
        return ""
    with daemon_errors(f"cannot look for image {leftover.id}"):
        try:
            tags = client().images.get(leftover.id).tags
        except ImageNotFound:
            return ""
    ours = {full_name(":".join(filter(None, split(name)))) for name in leftover.references}
    others = [tag for tag in tags if full_name(tag) not in ours]
    return f"still held by {', '.join(others)}" if others else ""


def remove_image(name: str) -> str:
    """One name, and the image with its last; why it stays, else ""."""
    with daemon_errors(f"cannot remove image {name}"):
        try:
            client().images.remove(name)
        except ImageNotFound:
            return ""
        except APIError as error:
            if error.status_code != 409:  # 409: a container or another image uses it
                raise
            return one_line(error.explanation)
    return ""


def stored_bytes() -> int:
    """What all images take in Docker's data root, shared layers counted once. Raises `SandboxError`."""
    with daemon_errors("cannot ask how much images take"):
        return int(disk_usage().get("LayersSize") or 0)
