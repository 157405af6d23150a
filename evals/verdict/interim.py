"""Interim analyses of a run under way: a scaffold whose verdict on the plan's claim is decided at a planned look stops there.

A look is taken once, when all attempts at the first n counted tasks have an outcome. The verdict's error rates allow
for every planned look (`stats.sequential`). Not here: what the run does about it (`run`).
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from pathlib import Path

from evals.record import AttemptKey, Decision
from evals.results.load import from_run_dir
from evals.run.looks import FILE, Look, taken, withdraw
from evals.run.manifest import Manifest
from evals.verdict.verify import verify
from tasks.disk import write_json
from tasks.errors import UserError


class InterimAnalysis:
    """Knows which look comes next for each scaffold, and takes it. Safe to call from several threads."""

    def __init__(self, run: Path, manifest: Manifest) -> None:
        self._run, self._manifest, self._lock = run, manifest, threading.Lock()
        self._looks = taken(run)
        self._open: dict[str, list[tuple[int, set[AttemptKey]]]] = {}
        if manifest.claim is not None:
            settled = self._looks.settled()
            waiting = [name for name in manifest.scaffold_names if name not in settled]
            self._open = {name: list(self._ahead(name)) for name in waiting}

    @property
    def settled(self) -> frozenset[str]:
        """Scaffolds that need no more attempts."""
        return frozenset(self._looks.settled())

    def catch_up(self) -> list[Look]:
        """Take the looks that a session before this one completed and did not take."""
        with self._lock:
            return [look for name in list(self._open) if (look := self._take(name))]

    def after(self, key: AttemptKey) -> Look | None:
        """Call once for each attempt that has its outcome; the look that this one completed, if any."""
        with self._lock:
            for _, pending in self._open.get(key.scaffold, ()):
                pending.discard(key)
            return self._take(key.scaffold)

    def withdraw(self, keys: Collection[AttemptKey]) -> list[str]:
        """These attempts are made again: their looks with them. The scaffolds that are open again for it."""
        with self._lock:
            settled = self.settled
            self._looks = withdraw(self._run, keys)
            reopened = [name for name in settled if name not in self.settled]
            for name in {*self._open, *reopened}:
                self._open[name] = list(self._ahead(name, keys))
            return reopened

    def _ahead(
        self, scaffold: str, again: Collection[AttemptKey] = ()
    ) -> Iterator[tuple[int, set[AttemptKey]]]:
        """Looks not taken yet, each with the attempts that it waits for; `again`: what is about to be set aside."""
        done = {look.tasks for look in self._looks.looks if look.scaffold == scaffold}
        waiting = [key for key in self._manifest.counted_keys() if key.scaffold == scaffold]
        waiting = [k for k in waiting if k in again or not (k.directory(self._run) / "grade.json").exists()]
        counted = self._manifest.counted_tasks
        for look in self._manifest.plan.looks:
            if look not in done:
                first = set(counted[:look])
                yield look, {key for key in waiting if key.task_id in first}

    def _take(self, scaffold: str) -> Look | None:
        """The latest complete look; those before it are passed over, as if they had not been planned."""
        ahead = self._open.get(scaffold, [])
        complete = [tasks for tasks, pending in ahead if not pending]
        if not complete:
            return None
        look = self._verdict(scaffold, max(complete))
        self._looks = self._looks.model_copy(update={"looks": (*self._looks.looks, look)})
        write_json(self._run / FILE, self._looks)
        self._open[scaffold] = [] if look.decided else [one for one in ahead if one[0] > look.tasks]
        return look

    def _verdict(self, scaffold: str, tasks: int) -> Look:
        claim = self._manifest.claim
        assert claim is not None, "looks are only ahead where there is a claim"
        results = from_run_dir(self._run).first(tasks)
        (system,) = [one for one in results.systems if one.scaffold == scaffold]
        try:
            found = verify(claim, results.of(system))
        except UserError as error:  # nothing judged so far, say: the run goes on
            return Look(scaffold=scaffold, tasks=tasks, decision=Decision.UNDECIDED, reason=str(error))
        return Look(scaffold=scaffold, tasks=tasks, decision=found.decision, reason=found.reason)
