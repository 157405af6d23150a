"""A drawn subset as data: which tasks, and with what chance each was drawn. Drawing and estimating: `subset`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field, model_validator

from tasks.task import Frozen


class DrawnTask(Frozen):
    """One task of a subset."""

    id: str
    inclusion_probability: float = Field(gt=0, le=1)
    stratum: str = ""


class Subset(Frozen):
    """A drawn subset. In its order every prefix is a subset too: see `prefix`."""

    kind: Literal["asclaimed-subset"] = "asclaimed-subset"
    benchmark: str
    design: str
    seed: int
    n: int = Field(ge=1)
    benchmark_size: int = Field(ge=1)
    near: float | None = Field(default=None, ge=0, le=1)
    """The rate that the draw was told to expect."""
    tasks: tuple[DrawnTask, ...]
    dropped: frozenset[str] = Field(default=frozenset(), exclude=True)
    """Tasks of the benchmark that are not asked about: see `without`."""

    @model_validator(mode="after")
    def whole(self) -> Subset:
        if len(set(self.ids)) != len(self.tasks):
            raise ValueError("a task is listed twice")
        if not len(self.tasks) == self.n <= self.benchmark_size:
            raise ValueError(
                f"n is {self.n}, and {len(self.tasks)} of {self.benchmark_size} tasks are listed"
            )
        return self

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(task.id for task in self.tasks)

    def prefix(self, m: int) -> Subset:
        """The first `m` tasks as a subset of their own: probabilities times m / n. For looking early."""
        return self.keeping(self.ids[:m])

    def keeping(self, ids: Collection[str]) -> Subset:
        """Only the tasks `ids`, as if chance had left out the others: probabilities shrink in proportion."""
        kept = [task for task in self.tasks if task.id in ids]
        shrink = len(kept) / self.n
        tasks = tuple(
            task.model_copy(update={"inclusion_probability": task.inclusion_probability * shrink})
            for task in kept
        )
        return self.model_copy(update={"n": len(kept), "tasks": tasks})

    def without(self, ids: frozenset[str]) -> Subset:
        """The same draw, asked about the benchmark less its tasks `ids`: the others' probabilities stand."""
        kept = tuple(task for task in self.tasks if task.id not in ids)
        size, dropped = self.benchmark_size - len(ids - self.dropped), self.dropped | ids
        return self.model_copy(
            update={"n": len(kept), "tasks": kept, "dropped": dropped, "benchmark_size": size}
        )
