"""What the images of some tasks will take: bytes to pull, room in Docker's data root, what a budget does, hours. Pulls none.

Sizes are the registries' own where they say them, shared layers counted once. What was not asked, or could not be, is
estimated, and `PullPlan.source` says from what. Not covered: what containers write, states of machines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from tasks.backend import Progress, quiet
from tasks.docker.availability import ASK, ImageAvailability, ImageState, look, spread
from tasks.docker.daemon import architecture, client, daemon_errors, data_root, free_bytes
from tasks.docker.images import OURS
from tasks.docker.leaks import known_clean
from tasks.docker.pulled import rate as measured_rate
from tasks.docker.pulled import stacks
from tasks.docker.registry import Layer, ManifestFacts, chain_ids, manifest
from tasks.docker.shelf import Course, Shelf, course
from tasks.docker.space import BUNDLED_BYTES, CLEAN_BYTES, IMAGE_BYTES, IMAGE_SOURCE
from tasks.errors import TaskError
from tasks.mirrors import full_name, names
from tasks.sandbox import RegistryError
from tasks.task import ImageSpec, Task

AT_ONCE = 8
"""Questions to registries at a time."""
UNPACKED = 2.7
"""Bytes on disk for one sent: 75 MB of 28 for debian:bookworm-slim, as `docker image ls` and Docker Hub have them."""
HUB = "docker.io/"
Asked = ManifestFacts | TaskError | RegistryError | None
"""What came of asking a registry for an image; None = it was not asked."""


class Need(NamedTuple):
    """One image that some of the tasks start from, or a service of theirs."""

    spec: ImageSpec
    found: ImageAvailability
    asked: Asked = None
    copy_bytes: int = 0
    """Of the cleaned copy that is still to be made."""


class PullPlan(NamedTuple):
    """For one list of tasks. Bytes `pull…` are as sent, all others as stored."""

    images: int
    here: int
    to_build: int
    to_pull: int
    impossible: dict[str, str]
    """Image → why it cannot be had, in one line."""
    unreachable: str
    """Why a registry was asked no further; "" when it answered."""
    asked: int
    """Of `to_pull`, those whose layers a registry told."""
    pull_bytes: int
    pull_bytes_unshared: int
    """The same if each image had all its layers to itself."""
    layers: int
    """Different ones, of the images that were asked."""
    source: str
    """What the sizes are from."""
    disk_bytes: int
    """Images and cleaned copies, less what is here."""
    free_bytes: int | None
    root: str
    budget_bytes: int | None
    course: Course
    seconds: float | None
    """Of pulling; None where no rate is known."""

    @property
    def fits(self) -> bool:
        """Whether the disk has room for what is stored at most; True where that is not known."""
        return self.free_bytes is None or self.course.peak <= self.free_bytes

    def document(self) -> dict[str, Any]:
        return {**self._asdict(), "course": self.course._asdict(), "fits": self.fits}


def pull_plan(
    tasks: Sequence[Task],
    *,
    budget: int | None = None,
    at_once: int = 1,
    rate: float | None = None,
    ask: int | None = None,
    progress: Progress = quiet,
) -> PullPlan:
    """`rate` in bytes a second, None: as earlier pulls here had it. `ask` at most so many images' registries, None: all, but `ASK` of Docker Hub's.

    Raises `SandboxError` and `MachineError` where the daemon fails.
    """
    with daemon_errors("cannot look for images"):
        needs = ask_registries(list(needs_of(tasks)), ask, progress)
    return add_up(needs, layers_here(), budget=budget, at_once=at_once, rate=rate or measured_rate())


def needs_of(tasks: Sequence[Task]) -> Iterator[Need]:
    """By image, in the order of their first use; those of services included."""
    pairs = [(image, task) for task in tasks for image in task.images]
    first = {image.reference: (image, task) for image, task in reversed(pairs)}
    for reference in dict.fromkeys(image.reference for image, _ in pairs):
        image, task = first[reference]
        found = look(image)
        here = found.state is ImageState.PRESENT
        copied = task.verifier or (here and known_clean(found.image, task.brief.workdir))
        size = BUNDLED_BYTES if reference.startswith(OURS) else CLEAN_BYTES
        yield Need(image, found, copy_bytes=0 if copied else size)


def ask_registries(needs: Sequence[Need], most: int | None, progress: Progress) -> list[Need]:
    """Layers of what is not here; the first registry that does not answer, or has had enough of us, ends it."""
    absent = {need.spec.reference: need.spec for need in needs if need.found.state is ImageState.UNKNOWN}
    hub = [name for name, spec in absent.items() if on_hub(spec)]
    others = [name for name in absent if name not in hub]
    chosen = [*others, *spread(hub, ASK)] if most is None else spread(list(absent), most)
    answers: dict[str, Asked] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number, _ in enumerate(pool.map(partial(ask_one, absent, answers), chosen)):
            progress("asking registries for layers", number / len(chosen))
    return [need._replace(asked=answers.get(need.spec.reference)) for need in needs]


def on_hub(spec: ImageSpec) -> bool:
    return full_name(names(spec, architecture())[0]).startswith(HUB)


def ask_one(absent: Mapping[str, ImageSpec], answers: dict[str, Asked], reference: str) -> None:
    """Under the best of its names that a registry knows; nobody, once one did not answer."""
    for name in names(absent[reference], architecture()):
        if any(isinstance(answer, RegistryError) for answer in list(answers.values())):
            return
        try:
            answers[reference] = manifest(name)
        except (TaskError, RegistryError) as error:
            answers[reference] = error
        else:
            return


def layers_here() -> list[Layer]:
    """Of every image that Docker has; their sizes do not matter."""
    with daemon_errors("cannot list images"):
        api: Any = client().api
        found = stacks(one["Id"] for one in api.images())
    return [Layer(chain, 0) for stack in found.values() for chain in chain_ids(stack)]


def add_up(
    needs: Sequence[Need],
    here: Sequence[Layer],
    *,
    budget: int | None,
    at_once: int,
    rate: float | None,
) -> PullPlan:
    """Pure, but for the daemon's disk."""
    states = Counter(need.found.state for need in needs)
    wanted = [need for need in needs if need.found.state is ImageState.UNKNOWN]
    strangers = not_for_here(needs)
    impossible = not_to_be_had(wanted) | strangers
    wanted = [need for need in wanted if not isinstance(need.asked, TaskError)]
    known = [need.asked for need in wanted if isinstance(need.asked, ManifestFacts)]
    typical = typical_layers(known, here)
    sent = [(need.spec.reference, layers_of(need, typical)) for need in wanted]
    all_sent = Shelf(here)
    pull_bytes = sum(all_sent.add(name, layers) for name, layers in sent)
    stored = [
        (need.spec.reference, as_stored(need, typical, here))
        for need in needs
        if need.spec.reference not in impossible
    ]
    whole = course(stored, None, at_once)
    return PullPlan(
        images=len(needs),
        here=states[ImageState.PRESENT] - len(strangers),
        to_build=states[ImageState.BUILDABLE] + sum(map(is_built_instead, needs)),
        to_pull=len(wanted),
        impossible=impossible,
        unreachable=next((str(need.asked) for need in wanted if isinstance(need.asked, RegistryError)), ""),
        asked=len(known),
        pull_bytes=pull_bytes,
        pull_bytes_unshared=sum(layer.bytes for _, layers in sent for layer in layers),
        layers=len({layer.chain for facts in known for layer in facts.layers}),
        source=source_of(len(known), len(wanted)),
        disk_bytes=whole.peak,
        free_bytes=free_bytes(),
        root=data_root(),
        budget_bytes=budget,
        course=course(stored, budget, at_once) if budget is not None else whole,
        seconds=pull_bytes / rate if rate else None,
    )


def not_to_be_had(wanted: Sequence[Need]) -> dict[str, str]:
    """Image → why no registry has it, where it cannot be built either."""
    return {
        need.spec.reference: str(need.asked)
        for need in wanted
        if isinstance(need.asked, TaskError) and not is_built_instead(need)
    }


def not_for_here(needs: Sequence[Need]) -> dict[str, str]:
    """Image → for which processor the one that is here is, where this machine does not run it."""
    return {
        need.spec.reference: f"image {need.found.reference} is here, but for {need.found.architecture}, which this machine does not run"
        for need in needs
        if need.found.state is ImageState.PRESENT and not need.found.runs_here
    }


def is_built_instead(need: Need) -> bool:
    """No registry has it, and a Dockerfile is here."""
    return isinstance(need.asked, TaskError) and need.spec.context is not None


def layers_of(need: Need, typical: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """As sent; of an image that was not asked, what is typical, in layers of its own but for those that all share."""
    if isinstance(need.asked, ManifestFacts):
        return need.asked.layers
    return tuple(Layer(layer.chain or f"own of {need.spec.reference}", layer.bytes) for layer in typical)


def typical_layers(known: Sequence[ManifestFacts], here: Sequence[Layer]) -> tuple[Layer, ...]:
    """Of an image that was not asked: the layers that all of the known ones share, and one more (no chain) for the rest."""
    if not known:
        return (Layer("", round(IMAGE_BYTES / UNPACKED)),)
    holders = Counter(layer.chain for facts in known for layer in set(facts.layers))
    common = {layer for layer in known[0].layers if holders[layer.chain] == len(known) > 1}
    own = Shelf([*here, *common])
    for facts in known:
        own.add(facts.digest, facts.layers)
    return (*common, Layer("", round(own.bytes / len(known))))


def as_stored(need: Need, typical: tuple[Layer, ...], here: Sequence[Layer]) -> tuple[Layer, ...]:
    """Layers that are not here yet, unpacked, and the cleaned copy's."""
    copy = Layer(f"copy of {need.spec.reference}", need.copy_bytes)
    if need.found.state is not ImageState.UNKNOWN:
        return (copy,)
    there = {layer.chain for layer in here}
    sent = (layer for layer in layers_of(need, typical) if layer.chain not in there)
    return (*(Layer(layer.chain, round(layer.bytes * UNPACKED)) for layer in sent), copy)


def stored_layers(needs: Sequence[Need]) -> dict[str, tuple[Layer, ...]]:
    """By image that is to be pulled: its layers as stored, without a cleaned copy."""
    typical = typical_layers([need.asked for need in needs if isinstance(need.asked, ManifestFacts)], ())
    return {need.spec.reference: as_stored(need._replace(copy_bytes=0), typical, ()) for need in needs}


def source_of(known: int, wanted: int) -> str:
    """What the sizes are from, in words."""
    if not wanted:
        return "nothing is to be pulled"
    if known == wanted:
        return f"the registry's manifests of all {wanted}"
    if known:
        return f"the registry's manifests of {known}; the other {wanted - known} are taken for as large as these on average"
    return f"an estimate: no registry told; {IMAGE_SOURCE}"
