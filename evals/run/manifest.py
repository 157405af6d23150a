"""What was asked of a run, and what was in force: written once before the first attempt, checked on every resume.

The denominator (tasks, attempts, scaffolds) is frozen here. A resume with another setting is refused by name of the key.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import Any

from pydantic import Field, ValidationError

from evals.claims.claim import Claim
from evals.claims.network import network_dependent
from evals.record import AttemptKey, all_keys
from evals.run.conditions import Condition, Given, conditions, given_by
from evals.run.plan import RunPlan
from evals.run.versions import source_hash, versions
from evals.stats.drawn import Subset
from scaffolds.catalog import FAMILY
from tasks.disk import write_json
from tasks.errors import UserError
from tasks.task import Frozen, Task

SCHEMA = 1

MODEL_FACTS = {
    "parameters": "number of parameters",
    "weight_bytes": "size in bytes",
    "vocabulary": "vocabulary",
    "quantization": "quantization",
    "digest": "digest",
    "root": "root",
    "template_sha256": "chat template",
    "window": "context window",
    "answers_as": "name in its answers",
    "fingerprint": "system_fingerprint",
    "canary": "answer to a fixed greedy prompt",
}
"""What a server may say that identifies its model as an attempt meets it, and how a refusal calls it."""


class TaskEntry(Frozen):
    """One line of the frozen task list."""

    id: str
    hash: str
    repo: str
    image: str
    given: Given | None = None
    """What its benchmark gives an agent at a task about a machine; None for one that is answered by a patch."""

    @classmethod
    def of(cls, task: Task) -> TaskEntry:
        return cls(
            id=task.id,
            hash=task.content_hash,
            repo=task.brief.repo,
            image=task.image.reference,
            given=given_by(task),
        )


class Elsewhere(Frozen):
    """Attempts that somebody else made: the plan's budget and sandbox say nothing of them."""

    source: str
    """The file or directory, and what kind it was."""
    model: str | None = None
    judged: bool = True
    """Whether the verdicts are theirs, too; False where asclaimed grades the patches."""
    notes: tuple[str, ...] = ()
    """What a reader must know: how gaps were read, what was left out."""


class ScaffoldFacts(Frozen):
    """What one scaffold of the run is."""

    source: str
    """`family`, a YAML file, or `module:Class`."""
    sha256: str
    """Of its YAML, or of the source that its class is in."""
    factors: dict[str, str] = Field(default_factory=dict)
    """As in force, the plan's limits and call format included; empty for a class of one's own."""
    own_protocol: dict[str, float] = Field(default_factory=dict)
    """Where it goes over the plan: points of a claim's protocol, such as `temperature`."""


class Manifest(Frozen):
    """What a run was asked to do, and what was in force when it began."""

    schema_version: int = SCHEMA
    run_id: str
    created: str
    plan: RunPlan
    benchmark: str
    tasks: tuple[TaskEntry, ...]
    excluded: dict[str, str] = Field(default_factory=dict)
    """Task id → why it counts for no scaffold (`asclaimed tasks check`)."""
    subset: Subset | None = None
    """How the tasks were drawn, where `plan.subset` names a file."""
    claim: Claim | None = None
    """What `plan.claim` said when the run began."""
    server: dict[str, Any] | None = None
    """What the model server said of itself when the run began."""
    images: dict[str, str] = Field(default_factory=dict)
    """Image name → what it stood for when the run began, where that was known: its digest in a registry, or `image sha256:…`
    of one that none has."""
    images_bytes: int | None = None
    """What all of Docker's images took then; only where `plan.images.disk` limits what the run adds."""
    base_image: dict[str, Any] | None = None
    """For bundled tasks: which base their images stand on, by digest, and where it came from."""
    made_elsewhere: Elsewhere | None = None
    """None for a run of ours."""
    scaffold_source: str
    """sha256 over the source of the `scaffolds` package: prompts, parsers and loops."""
    scaffolds: dict[str, ScaffoldFacts] = Field(default_factory=dict)
    """Controls and what was made elsewhere left out."""
    versions: dict[str, str]
    host: dict[str, Any]

    @property
    def model_name(self) -> str:
        if self.made_elsewhere:
            return self.made_elsewhere.model or "unknown"
        return self.plan.model.model if self.plan.model else "none"

    @property
    def scaffold_names(self) -> tuple[str, ...]:
        """As attempts are filed under; of a run made elsewhere, names are names."""
        return self.plan.scaffolds if self.made_elsewhere else self.plan.scaffold_names

    def frozen_keys(self) -> list[AttemptKey]:
        """The whole frozen denominator, in the order of work: all attempts up to a look, then on to the next."""
        ids, cuts = [task.id for task in self.tasks], [0, *self._cuts(), len(self.tasks)]
        blocks, names = (ids[start:end] for start, end in pairwise(cuts)), self.scaffold_names
        return [key for block in blocks for key in all_keys(names, block, self.plan.attempts)]

    @property
    def counted_tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that count, in the frozen order."""
        return tuple(task.id for task in self.tasks if task.id not in self.excluded)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the counted tasks give an agent beside what this run gave it; none of a run that was made elsewhere."""
        given = [task.given for task in self.tasks if task.given and task.id not in self.excluded]
        return () if self.made_elsewhere else tuple(conditions(self.plan, given, self.host))

    def _cuts(self) -> list[int]:
        """Places in the frozen list right after each look's last counted task."""
        place = {task.id: index for index, task in enumerate(self.tasks)}
        counted = self.counted_tasks
        return [place[counted[look - 1]] + 1 for look in self.plan.looks if look <= len(counted)]

    def counted_keys(self) -> list[AttemptKey]:
        """The denominator without tasks that are excluded for every scaffold alike."""
        return [key for key in self.frozen_keys() if key.task_id not in self.excluded]


def compose(
    plan: RunPlan,
    tasks: list[Task],
    *,
    run_id: str,
    server: dict[str, Any] | None,
    base_image: dict[str, Any] | None,
    excluded: dict[str, str],
    subset: Subset | None = None,
    claim: Claim | None = None,
    scaffolds: dict[str, ScaffoldFacts] | None = None,
    daemon: Mapping[str, Any] | None = None,
    images: Mapping[str, str] | None = None,
    images_bytes: int | None = None,
) -> Manifest:
    """The manifest of a new run. `daemon`: what is known of the machine that sandboxes run on."""
    if plan.grading.leave_out_network_tasks and not plan.grading.network:
        wanting = {name: f"needs a network while graded: {why}" for name, why in network_dependent().items()}
        excluded = wanting | excluded
    excluded = {t.id: t.verifier.refused for t in tasks if t.verifier and t.verifier.refused} | excluded
    return Manifest(
        run_id=run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=plan,
        benchmark=tasks[0].benchmark,
        tasks=tuple(map(TaskEntry.of, tasks)),
        excluded={name: why for name, why in excluded.items() if name in {t.id for t in tasks}},
        subset=subset,
        claim=claim,
        server=server,
        base_image=base_image,
        images=dict(images or {}),
        images_bytes=images_bytes,
        scaffold_source=source_hash(),
        scaffolds=scaffolds or {},
        versions=versions(),
        host={"machine": platform.machine(), "system": platform.platform(), "cpus": os.cpu_count()}
        | dict(daemon or {}),
    )


def load(run: Path) -> Manifest:
    """The manifest of an existing run directory."""
    path = run / "manifest.json"
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{run} is not a run directory: it has no manifest.json") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its beginning"
        raise UserError(f"{path} cannot be read at `{where}`: {first['msg']}") from None


def begin_or_resume(run: Path, fresh: Manifest) -> Manifest:
    """Write the manifest of a new run, or return the old one after checking that nothing that matters changed."""
    if not (run / "manifest.json").exists():
        run.mkdir(parents=True, exist_ok=True)
        write_json(run / "manifest.json", fresh)
        return fresh
    old = load(run)
    check_model(old.server, fresh.server)
    for _, change in differences(old, fresh):
        raise UserError(
            f"{run} was started with other settings: {change}. Use the old value to resume, or --out for a new run"
        )
    return old


def differences(old: Manifest, fresh: Manifest) -> Iterator[tuple[str, str]]:
    """Each setting that may not change within a run but did, and how; the plan's own keys come first."""
    before, now = _binding(old), _binding(fresh)
    for key in {**before, **now}:
        if before.get(key) != now.get(key):
            yield key, f"`{key}` was {_short(before.get(key))}, now it is {_short(now.get(key))}"


def _binding(manifest: Manifest) -> dict[str, Any]:
    """What may not change between two sessions of one run, flattened to dotted keys."""
    flat = _flatten(manifest.plan.model_dump(mode="json", exclude=RunPlan.FREE))
    flat["subset (content)"] = manifest.subset and manifest.subset.model_dump(mode="json")
    flat["claim (content)"] = manifest.claim and manifest.claim.model_dump(mode="json")
    flat["tasks (content)"] = [f"{task.id}:{task.hash}" for task in manifest.tasks]
    flat["scaffold source"] = manifest.scaffold_source
    own = {name: one.sha256 for name, one in manifest.scaffolds.items() if one.source != FAMILY}
    flat |= {f"scaffold {name} (content)": sha256 for name, sha256 in own.items()}
    flat["asclaimed version"] = manifest.versions["asclaimed"]
    return flat


def check_model(before: dict[str, Any] | None, now: dict[str, Any] | None) -> None:
    """Raises `UserError` where a server behind the same name has another model. What either does not say is not judged."""
    if change := model_change(before or {}, now or {}):
        raise UserError(f"{change}. {SAME_AGAIN}")


SAME_AGAIN = "Serve the same model and run the same command again to resume, or use --out for a new run"


def model_change(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first fact about the model that is not as it was, in words; "" when all are."""
    old, new = identity(before), identity(now)
    fact = next((fact for fact in old if fact in new and old[fact] != new[fact]), None)
    if fact is None:
        return ""
    return (
        f"the server has another model than the run began with: its {fact} was {_short(old[fact])}, now it is "
        f"{_short(new[fact])}"
    )


def identity(server: dict[str, Any]) -> dict[str, Any]:
    """What tells a model from another, of what its server says: never the address, nor where its file lies."""
    known = {words: server[fact] for fact, words in MODEL_FACTS.items() if server.get(fact) is not None}
    if path := server.get("model_path"):
        known["file"] = PureWindowsPath(str(path)).name
    return known


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat |= _flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
