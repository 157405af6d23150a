"""`asclaimed replay`: what a run recorded is the model, the scaffolds work again, and the first difference is named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands import output
from evals.commands.options import IdsOption, JsonOption

if TYPE_CHECKING:
    from evals.record import AttemptKey
    from evals.run.manifest import Manifest
    from evals.run.replay import Replayed
    from tasks.task import Task


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory with recorded exchanges.")],
    ids: IdsOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many attempts.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make recorded attempts again without a model: real scaffolds, real sandboxes, recorded answers.

    Exit code 0 where every request and patch came again, 1 where one did not.
    """
    from evals.report.text import plain
    from evals.run import manifest as manifests
    from tasks import selection
    from tasks.errors import UserError

    manifest = manifests.load(run)
    chosen = recorded(run, manifest, None if ids is None else set(selection.read_ids(ids)))[:limit]
    if not chosen:
        raise UserError(f"{run} has no recorded attempt to replay: exchanges.jsonl.gz beside a record.json")
    found = []
    for one in replayed(run, manifest, chosen):
        found.append(one)
        if not as_json:
            name = f"{one.key.scaffold}/{one.key.task_id}/{one.key.attempt}"
            said = plain(one.divergence, 400) if one.divergence else "as recorded"
            typer.echo(f"{name}: {one.calls} calls, {said}")
    if as_json:
        output.print_json([{**one._asdict(), "key": one.key.model_dump()} for one in found])
    raise typer.Exit(int(any(one.divergence for one in found)))


def recorded(run: Path, manifest: Manifest, ids: set[str] | None) -> list[AttemptKey]:
    """Attempts that were seen through and whose exchanges are there, in the order of work."""
    from evals.run.exchanges import FILE
    from evals.run.set_aside import seen_through

    keys = [key for key in manifest.frozen_keys() if ids is None or key.task_id in ids]
    places = ((key, key.directory(run)) for key in keys)
    return [
        key
        for key, at in places
        if (at / FILE).exists() and (at / "record.json").exists() and seen_through(at)
    ]


def replayed(run: Path, manifest: Manifest, keys: list[AttemptKey]) -> Iterator[Replayed]:
    """One after the other, each in a run directory of its own that is gone afterwards."""
    from evals.commands import session
    from evals.run.plan_tasks import load_tasks
    from evals.run.replay import TapeServer, replay_attempt

    by_id = same_tasks(manifest, load_tasks(manifest.plan))
    session.check_machine(run)
    with TapeServer() as server:
        for key in keys:
            with tempfile.TemporaryDirectory(prefix="asclaimed-replay-") as directory:
                context = session.make_context(manifest, Path(directory), manifest.plan)
                yield replay_attempt(run, key, by_id[key.task_id], context, server)


def same_tasks(manifest: Manifest, tasks: list[Task]) -> dict[str, Task]:
    """By id. Raises `UserError` where one is not as it was: another prompt would be no news."""
    from tasks.errors import UserError

    by_id = {task.id: task for task in tasks}
    for entry in manifest.tasks:
        if entry.id not in by_id or by_id[entry.id].content_hash != entry.hash:
            raise UserError(
                f"the task {entry.id} is not the one that the run had: replay with the tasks of that time"
            )
    return by_id
