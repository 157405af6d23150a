"""Images by their layers, each layer counted once however many images stand on it; and what a budget of bytes does to a list of them.

Pure: layers are names with sizes. Not here: where they come from (`registry`), and who pulls and removes (`tasks.docker.stock`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tasks.docker.registry import Layer

Layers = tuple[Layer, ...]


class Shelf:
    """What is stored: an image's layers stay for as long as one image holds them."""

    def __init__(self, kept: Iterable[Layer] = ()) -> None:
        """`kept` are there whatever is removed, and take no room of ours."""
        self._kept = {layer.chain for layer in kept}
        self._holders: Counter[str] = Counter()
        self._images: dict[str, Layers] = {}
        self.bytes = 0

    def __contains__(self, image: str) -> bool:
        return image in self._images

    def cost(self, layers: Iterable[Layer]) -> int:
        """What these would add."""
        absent = {layer.chain: layer.bytes for layer in layers if self._is_absent(layer)}
        return sum(absent.values())

    def _is_absent(self, layer: Layer) -> bool:
        return layer.chain not in self._kept and not self._holders[layer.chain]

    def add(self, image: str, layers: Layers) -> int:
        """Returns the bytes that it added."""
        if image in self._images:
            return 0
        added = self.cost(layers)
        self._images[image] = layers
        self._holders.update({layer.chain for layer in layers})
        self.bytes += added
        return added

    def remove(self, image: str) -> int:
        """Returns the bytes that this freed."""
        layers = {layer.chain: layer for layer in self._images.pop(image)}
        self._holders.subtract(layers.keys())
        freed = sum(layer.bytes for layer in layers.values() if self._is_absent(layer))
        self.bytes -= freed
        return freed

    def would_lose(self, image: str, needed: Callable[[str], bool]) -> int:
        """Bytes of layers that only this image holds and that somebody needs again."""
        layers = {layer.chain: layer.bytes for layer in self._images[image]}
        return sum(size for chain, size in layers.items() if self._holders[chain] == 1 and needed(chain))


def first_to_go(shelf: Shelf, used_up: Iterable[str], needed: Callable[[str], bool]) -> str | None:
    """Of images that are used up, oldest first: the one with which fewest bytes go that are needed again."""
    return min(used_up, key=lambda image: shelf.would_lose(image, needed), default=None)


class Course(NamedTuple):
    """What happens when a list of images is used in order within a budget. All bytes are as stored."""

    at_once: int
    """Images, one after the other in the list, that always fit together; 0 where a single one does not."""
    peak: int
    """The most that is stored at any time."""
    stored: int
    """All that is ever stored, what has to be fetched again counted again."""
    evicted: int
    """Of it, removed after its last use."""
    again: int
    """Of it, fetched a second time: layers that nothing held any more when they were needed."""


def course(images: Sequence[tuple[str, Layers]], budget: int | None, at_once: int) -> Course:
    """Use images in order, `at_once` of them at a time; what is used up goes when room is needed.

    An image that does not fit beside those in use is taken in all the same: `peak` then exceeds the budget.
    """
    shelf, seen = Shelf(), set[str]()
    last_use = {name: place for place, (name, _) in enumerate(images)}
    last_need = {layer.chain: place for place, (_, layers) in enumerate(images) for layer in layers}
    peak = stored = evicted = again = 0
    for place, (name, layers) in enumerate(images):
        while budget is not None and name not in shelf and shelf.bytes + shelf.cost(layers) > budget:
            used_up = (one for one, last in last_use.items() if last <= place - at_once and one in shelf)
            victim = first_to_go(shelf, used_up, lambda chain, now=place: last_need[chain] >= now)  # type: ignore[misc]
            if victim is None:
                break
            evicted += shelf.remove(victim)
        again += sum(layer.bytes for layer in layers if layer.chain in seen and shelf.cost([layer]))
        stored += shelf.add(name, layers)
        seen |= {layer.chain for layer in layers}
        peak = max(peak, shelf.bytes)
    return Course(at_once_within(images, budget), peak, stored, evicted, again)


def at_once_within(images: Sequence[tuple[str, Layers]], budget: int | None) -> int:
    """The largest number of neighbours in the list that fit together wherever they stand."""
    if budget is None:
        return len(images)
    shortest, start, shelf, holders = len(images), 0, Shelf(), Counter[str]()
    for end, (name, layers) in enumerate(images):
        shelf.add(name, layers)
        holders[name] += 1
        while shelf.bytes > budget:
            shortest = min(shortest, end - start)
            leaving = images[start][0]
            holders[leaving] -= 1
            if not holders[leaving]:
                shelf.remove(leaving)
            start += 1
    return shortest
