"""The images of a run: what they are when it begins, what they must be when it goes on, and who pulls and removes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from evals.run.image_supply import ImagePolicy
from evals.run.manifest import Manifest
from evals.run.pins import known_images, pinned
from evals.run.plan import RunPlan
from tasks.errors import UserError
from tasks.task import Task


def images_at_first(plan: RunPlan, tasks: Sequence[Task], run: Path) -> dict[str, Any]:
    """For the manifest of a run that begins; nothing for one that goes on, which has them in its manifest."""
    from tasks.docker.pinned import identities
    from tasks.docker.pulled import stored_bytes

    if (run / "manifest.json").exists():
        return {}
    able = [task for task in tasks if not (task.verifier and task.verifier.refused)]
    return {"images": identities(able), "images_bytes": stored_bytes() if plan.images.disk else None}


def hold_images(
    tasks: Sequence[Task], run: Path, manifest: Manifest, say: Callable[[str], None]
) -> list[Task]:
    """The tasks with images as the run first had them. Says where a name stands for another one by now.

    Raises `UserError` for an image that no registry has and that is not what it was.
    """
    from tasks.docker.pinned import local_changes, others_here

    known = known_images(run, manifest)
    for name, was, now in local_changes(tasks, known):
        here = f"is {now[:19]} now" if now else "is not here any more"
        raise UserError(
            f"image {name} was {was[:19]} when the run began and {here}: bring that one back to resume, or --out for a new run"
        )
    held = pinned(tasks, known)
    for name, digest in others_here(held):
        say(f"OTHER IMAGE: {name} is another one here than the run began with: {digest[:19]} is pulled again")
    return held


def make_images(plan: RunPlan, manifest: Manifest) -> ImagePolicy:
    """Who has the images of this run, and within what."""
    from tasks.docker.stock import DockerImages

    since = datetime.fromisoformat(manifest.created).timestamp()
    images = plan.images
    store = DockerImages(since, with_earlier=images.evict_earlier)
    return ImagePolicy(store, images.ahead, images.disk, manifest.images_bytes or 0, images.evict_earlier)


def over_budget(images: int) -> str:
    """What the end of a run says of images that were let in though they did not fit."""
    were = "1 image was" if images == 1 else f"{images} images were"
    return (
        f"note: {were} pulled over images.disk, since no other could go (images-over-budget in ledger.jsonl): "
        "give more room or fewer workers"
    )
