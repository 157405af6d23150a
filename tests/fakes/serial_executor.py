"""An executor without threads: one attempt after the other in the caller's, on each of its backends in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle

from evals.run.executor import Make, Take
from tasks.backend import Backend


class SerialExecutor:
    """Implements `evals.run.executor.Executor`."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = backends

    def execute(self, take: Take, make: Make, *, workers: int, watch: Callable[[], None]) -> None:
        for backend in cycle(self._backends):
            if (key := take()) is None:
                return
            make(key, backend)
            watch()
