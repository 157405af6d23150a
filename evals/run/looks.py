"""What planned looks at a run said, kept in its `looks.json`: from a decision on, later attempts do not count.

A look that counted attempts which were quarantined later is withdrawn, and taken again when they are made again.
Not here: taking a look (`evals.verdict.interim`), and the order of work, which the manifest fixes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from evals.record import AttemptKey, Decision
from evals.run.manifest import Manifest, load
from tasks.disk import write_json
from tasks.errors import UserError
from tasks.task import Frozen

FILE = "looks.json"


class Look(Frozen):
    """What one look said of one scaffold."""

    scaffold: str
    tasks: int
    """The first so many counted tasks."""
    decision: Decision
    reason: str

    @property
    def decided(self) -> bool:
        return self.decision is not Decision.UNDECIDED


class TakenLooks(Frozen):
    """All looks taken so far, in order."""

    looks: tuple[Look, ...] = Field(default=())
    withdrawn: tuple[Look, ...] = ()
    """What was said of attempts that were quarantined later: nothing follows from it."""

    def settled(self) -> dict[str, Look]:
        """Scaffold → the look that decided."""
        return {look.scaffold: look for look in self.looks if look.decided}


def taken(run: Path) -> TakenLooks:
    """The looks of a run directory; none where none were planned. Raises `UserError` for a broken file."""
    try:
        return TakenLooks.model_validate_json((run / FILE).read_bytes())
    except FileNotFoundError:
        return TakenLooks()
    except ValidationError as error:
        raise UserError(f"{run / FILE} cannot be read: {error.errors()[0]['msg']}") from None


def withdraw(run: Path, keys: Collection[AttemptKey]) -> TakenLooks:
    """Take back every look that counted one of these attempts; what stands then."""
    known = taken(run)
    if not known.looks:
        return known
    tasks = load(run).counted_tasks
    void = [look for look in known.looks if any(_counts(look, key, tasks) for key in keys)]
    if void:
        kept = tuple(look for look in known.looks if look not in void)
        known = TakenLooks(looks=kept, withdrawn=(*known.withdrawn, *void))
        write_json(run / FILE, known)
    return known


def _counts(look: Look, key: AttemptKey, tasks: Sequence[str]) -> bool:
    return key.scaffold == look.scaffold and key.task_id in tasks[: look.tasks]


def counted(run: Path, manifest: Manifest) -> list[AttemptKey]:
    """The denominator: the manifest's, up to the task at which a scaffold's verdict was decided."""
    until = {name: look.tasks for name, look in taken(run).settled().items()}
    kept = {name: set(manifest.counted_tasks[:tasks]) for name, tasks in until.items()}
    return [k for k in manifest.counted_keys() if k.scaffold not in kept or k.task_id in kept[k.scaffold]]


def open_keys(run: Path, manifest: Manifest) -> list[AttemptKey]:
    """Attempts of scaffolds whose verdict is still open: those of the others are not made again."""
    settled = taken(run).settled()
    return [key for key in manifest.frozen_keys() if key.scaffold not in settled]
