"""What planned looks at a run said, kept in its `looks.json`: from a decision on, later attempts do not count.

Not here: taking a look (`interim`), and the order of work, which the manifest fixes.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from evals.record import AttemptKey, Decision
from evals.run.manifest import Manifest
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


def counted(run: Path, manifest: Manifest) -> list[AttemptKey]:
    """The denominator: the manifest's, up to the task at which a scaffold's verdict was decided."""
    until = {name: look.tasks for name, look in taken(run).settled().items()}
    kept = {name: set(manifest.counted_tasks[:tasks]) for name, tasks in until.items()}
    return [k for k in manifest.counted_keys() if k.scaffold not in kept or k.task_id in kept[k.scaffold]]


def open_keys(run: Path, manifest: Manifest) -> list[AttemptKey]:
    """Attempts of scaffolds whose verdict is still open: those of the others are not made again."""
    settled = taken(run).settled()
    return [key for key in manifest.frozen_keys() if key.scaffold not in settled]
