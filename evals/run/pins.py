"""Which image each name of a run stands for, from its first attempt to its last grade, whatever a registry says later.

The manifest has what was known when the run began; of the others, the records of attempts say what they had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from evals.record import Record, kept
from evals.run.manifest import Manifest
from tasks.errors import UserError
from tasks.task import ImageSpec, Task

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def known_images(run: Path, manifest: Manifest) -> dict[str, str]:
    """By image name: `sha256:…` in a registry, or `image sha256:…` for one that none has."""
    found = dict(manifest.images)
    image_of = {task.id: task.image for task in manifest.tasks if task.image not in found}
    for key in manifest.frozen_keys() if image_of else ():
        if key.task_id in image_of and (key.directory(run) / "record.json").exists():
            digest = recorded_digest(key.directory(run))
            if digest:
                found.setdefault(image_of[key.task_id], digest)
    return found


def recorded_digest(attempt: Path) -> str:
    """ "" of an attempt whose image was built here, or whose record cannot be read: somebody else says so."""
    try:
        source = kept(Record, attempt / "record.json").image_source
    except UserError:
        return ""
    return digest_in(source)


def digest_in(source: str) -> str:
    """Of `name@sha256:…`, whatever services follow; "" of an image's id."""
    digest = source.partition(" ")[0].partition("@")[2]
    return digest if DIGEST.fullmatch(digest) else ""


def pinned(tasks: Iterable[Task], known: Mapping[str, str]) -> list[Task]:
    """The same tasks, same hashes, whose images are had by digest where it is known."""
    return [task.with_images(lambda image: pin(image, known.get(image.reference, ""))) for task in tasks]


def pin(image: ImageSpec, digest: str) -> ImageSpec:
    if not DIGEST.fullmatch(digest) or "@" in image.reference:
        return image
    return image.model_copy(update={"digest": digest})
