"""Which images of some tasks are here, can be pulled or built, and run on this daemon's processor: without pulling any.

A registry counts each question as a pull (Docker Hub: 100 in six hours for those who do not log in), so only some are
asked about, evenly spread over the list, and none after the first 429.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from docker.errors import ImageNotFound

from tasks.backend import Progress, quiet
from tasks.docker.cpu import is_emulated, runs
from tasks.docker.daemon import architecture, client, daemon_errors
from tasks.docker.images import OURS, built_reference
from tasks.docker.pull import registry_errors
from tasks.errors import TaskError
from tasks.mirrors import names
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec, Task

ASK = 20


class ImageState(StrEnum):
    PRESENT = "present"
    """On this machine."""
    PULLABLE = "pullable"
    """A registry says that it has it."""
    BUILDABLE = "buildable"
    """Built from the task's own directory, if no registry has it."""
    MISSING = "missing"
    """No registry has it, or none gives it to us: its attempts could not be judged."""
    UNKNOWN = "unknown"
    """Not asked, or the registry cannot say now; `reason` tells which."""


class ImageAvailability(NamedTuple):
    reference: str
    state: ImageState
    architecture: str = ""
    """As Docker names them, `amd64`; several with commas; "" when it is not known."""
    runs_here: bool = True
    """False when it is known to be for a processor that the daemon's machine neither has nor emulates."""
    emulated: bool = False
    """Not for the daemon's own processor."""
    image: str = ""
    """Id of a present image."""
    size: int = 0
    """Bytes of a present image, layers that it shares with others included."""
    reason: str = ""


def availability(
    tasks: Sequence[Task], *, ask: int = ASK, progress: Progress = quiet
) -> dict[str, ImageAvailability]:
    """By image reference. Raises `SandboxError` and `MachineError` where the daemon fails; a registry's failure is a state."""
    specs = {image.reference: image for task in tasks for image in task.images}
    with daemon_errors("cannot look for images"):
        found = {reference: look(spec) for reference, spec in specs.items()}
        absent = [reference for reference, known in found.items() if known.state is ImageState.UNKNOWN]
        for number, reference in enumerate(chosen := spread(absent, ask)):
            progress("asking the registry for images", number / len(chosen))
            found[reference] = ask_registry(specs[reference])
            if found[reference].state is ImageState.UNKNOWN:
                break  # it is away, or has had enough of us
    return found


def spread(references: Sequence[str], most: int) -> list[str]:
    """At most `most` of them, evenly spaced."""
    step = max(1.0, len(references) / max(1, most))
    return [references[int(at * step)] for at in range(min(most, len(references)))]


def look(spec: ImageSpec) -> ImageAvailability:
    """What is known without a registry."""
    for name in names_here(spec):
        try:
            facts = client().images.get(name).attrs
        except ImageNotFound:
            continue
        made_for = str(facts.get("Architecture", ""))
        return ImageAvailability(
            name,
            ImageState.PRESENT,
            made_for,
            runs(made_for),
            is_emulated(made_for),
            str(facts["Id"]),
            facts["Size"],
        )
    if is_ours(spec):
        return ImageAvailability(spec.reference, ImageState.BUILDABLE)
    return ImageAvailability(spec.reference, ImageState.UNKNOWN, reason="no registry was asked")


def is_ours(spec: ImageSpec) -> bool:
    """Whether it is on no registry."""
    return spec.context is not None and spec.reference.startswith(OURS)


def names_here(spec: ImageSpec) -> Sequence[str]:
    """Under which its image may be on this machine; one that we build is named after what it is built from."""
    if spec.context is not None and is_ours(spec):
        return [built_reference(spec.reference, spec.context, spec.dockerfile)]
    return names(spec, architecture())


def ask_registry(spec: ImageSpec) -> ImageAvailability:
    """Under the best of its names that the registry knows."""
    answers = (ask(name, spec) for name in names(spec, architecture()))
    known = [next(answers)]
    while known[-1].state in (ImageState.MISSING, ImageState.BUILDABLE) and (another := next(answers, None)):
        known.append(another)
    return known[-1]


def ask(name: str, spec: ImageSpec) -> ImageAvailability:
    try:
        with registry_errors(name):
            api: Any = client().api  # types-docker does not type this call
            answer: dict[str, Any] = api.inspect_distribution(name)
    except (TaskError, RegistryError) as error:
        final = isinstance(error, TaskError)
        state = ImageState.MISSING if final else ImageState.UNKNOWN
        return ImageAvailability(
            name, ImageState.BUILDABLE if spec.context and final else state, reason=str(error)
        )
    made_for = architectures(answer.get("Platforms") or ())
    return ImageAvailability(
        name,
        ImageState.PULLABLE,
        ",".join(made_for),
        not made_for or any(map(runs, made_for)),
        bool(made_for) and all(map(is_emulated, made_for)),
    )


def architectures(platforms: Iterable[dict[str, str]]) -> list[str]:
    """Of the manifests that are images; attestations call theirs `unknown`."""
    named = (platform.get("architecture", "") for platform in platforms)
    return sorted({name for name in named if name not in ("", "unknown")})
