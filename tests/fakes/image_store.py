"""Images of whole bytes, some of which share layers, and a backend that pulls them: a registry and a daemon in a dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tasks.backend import Prepared, Progress, quiet
from tasks.docker.registry import Layer
from tasks.docker.shelf import Shelf
from tasks.task import Task
from tests.fakes.plain_backend import PlainBackend, plain_image
from tests.fakes.plain_sandbox import PlainSandbox


class PlainStore:
    """Implements `tasks.backend.ImageStore`; `backend` is how its images come."""

    def __init__(
        self,
        layers: Mapping[str, tuple[Layer, ...]],
        *,
        patch: bytes = b"",
        before_pull: Callable[[str], None] = lambda _image: None,
        foreign: frozenset[str] = frozenset(),
        gives_foreign: bool = False,
    ) -> None:
        self.layers, self.foreign, self._before_pull = layers, foreign, before_pull
        self._gives_foreign = gives_foreign
        self.shelf, self.lock = Shelf(), threading.Lock()
        self.peak, self.pulled, self.evicted = 0, list[str](), list[str]()
        self.backend = PlainBackend(lambda: PlainSandbox(patch), prepare=self.prepare)
        for image in foreign:
            self.shelf.add(image, layers[image])

    def prepare(self, task: Task, progress: Progress = quiet) -> Prepared:
        image = task.image.reference
        if self.is_missing(task):
            self._before_pull(image)
            with self.lock:
                if image not in self.shelf:
                    self.pulled.append(image)
                self.shelf.add(image, self.layers[image])
                self.peak = max(self.peak, self.shelf.bytes)
        return plain_image(task)

    def is_missing(self, task: Task) -> bool:
        return task.image.reference not in self.shelf

    def stored(self) -> int:
        return self.shelf.bytes

    def would_add(self, task: Task) -> int:
        return self.shelf.cost(self.layers[task.image.reference])

    def evict(self, task: Task) -> str:
        image = task.image.reference
        if image in self.foreign and not self._gives_foreign:
            return "it was here before this run"
        with self.lock:
            self.evicted.append(image)
            self.shelf.remove(image)
        return ""
