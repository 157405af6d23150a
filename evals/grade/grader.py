"""From a patch to a grade: run the official eval script once, judge its log, run the strict grader, join both.

Reads the task and the recorded patch, nothing else: an attempt's trajectory, score or stop reason never matters.
Here: what is run, what is reused, and how the columns become one outcome. Elsewhere: the machine (`tasks.backend`), what
is kept (`store`), what a log means (`official`, `logs`), the strict column (`strict`).
"""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from evals.grade.logs import LogGrade, describe, grade_log, not_judged
from evals.grade.machine import Machine
from evals.grade.official import DEFAULT, DERIVES, OfficialGrader
from evals.grade.spec import NotJudged, TestSpecs
from evals.grade.store import (
    LOG,
    KeptRun,
    RunStore,
    StrictFacts,
    TestFacts,
    digest,
    grade_key,
    run_key,
    strict_version,
)
from evals.record import Grade, GraderVerdict, Outcome, Party, Record
from tasks.backend import (
    APPLY_COMMANDS,
    EVAL_FILE,
    Backend,
    Progress,
    RunRequest,
    RunTests,
    TestLimits,
    quiet,
)
from tasks.disk import cache_directory, exclusive
from tasks.docker.backend import DockerBackend
from tasks.sandbox import Limits
from tasks.task import Task

LARGE_BYTES = 10_000_000
HEADER = re.compile(rb"^(diff --git |--- |\+\+\+ )", re.MULTILINE)
NOT_RUN = "not run: official is not resolved"


class Grader:
    """Grades patches with one official version. Threads may share it; close it, or use it in a `with` block."""

    def __init__(
        self,
        name: str = DEFAULT,
        container: Limits | None = None,
        *,
        limits: TestLimits | None = None,
        strict: bool = True,
        store: RunStore | None = None,
        cached: bool = True,
        progress: Progress = quiet,
        run: str = "",
        backend: Backend | None = None,
        abandoned: threading.Event | None = None,
    ) -> None:
        """`name`: `swebench==VERSION`. `cached=False` runs tests even where their result is known.

        `run`: label of the machines, for `Backend.reap`. `backend`: Docker where none is given. `abandoned`: set before
        somebody takes the machines away; every call then ends in `Abandoned` and leaves nothing behind.
        """
        self._limits = limits or TestLimits(container=container or Limits())
        self._graders = {n: OfficialGrader(n) for n in (name, DEFAULT, DERIVES)}
        self.official = self._graders[name]
        self._machine = Machine(backend or DockerBackend(), run, abandoned or threading.Event())
        self._specs = TestSpecs(self._graders, self._machine.backend, progress)
        self._store, self._cached = store or RunStore(), cached
        self._strict_version = strict_version() if strict else ""

    def grade(self, task: Task, record: Record, directory: Path) -> Grade:
        """Grade a recorded attempt. Reads `patch.diff`, reuses or writes `test.log` and `test.json` beside it."""
        if record.failure is not None:
            return self._no_verdict(NotJudged(record.failure.party, record.failure.message))
        try:
            patch = (directory / "patch.diff").read_bytes()
        except OSError as error:
            return self._no_verdict(NotJudged(Party.SANDBOX, f"patch.diff cannot be read: {error.strerror}"))
        if digest(patch) != record.patch_sha256:
            return self._no_verdict(
                NotJudged(Party.SANDBOX, "patch.diff is not the one that the record names")
            )
        if record.task_hash != task.content_hash:
            return self._no_verdict(NotJudged(Party.TASK, "the task is not the one that was attempted"))
        return self.grade_patch(task, patch, directory)

    def grade_patch(self, task: Task, patch: bytes, directory: Path | None = None) -> Grade:
        """Grade `patch` on `task`; with a `directory`, reuse the test run in it or leave it there.

        Raises `MachineError` where there is no Docker or a grader cannot be installed; anything else is a grade.
        """
        if not patch.strip():
            column = GraderVerdict(outcome=Outcome.NO_PATCH, reason="the patch is empty")
            return Grade(
                outcome=Outcome.NO_PATCH, official=column, grader=self.official.name, key=self._key("", None)
            )
        try:
            tested, official = self._tested(task, patch, directory)
            return self._join(task, patch, tested, official)
        except NotJudged as reason:
            return self._no_verdict(reason)

    def untouched(self, task: Task) -> GraderVerdict:
        """What the official grader says of the image as it is, with no patch at all; it must not be RESOLVED."""
        try:
            return self._tested(task, b"", None)[1].column
        except NotJudged as reason:
            return self._no_verdict(reason).official

    def image(self, task: Task) -> str:
        """Id of the image that the task is graded in. Raises `NotJudged`."""
        return self._machine.held(lambda: self._specs.image(task))

    def close(self) -> None:
        for grader in self._graders.values():
            grader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tested(self, task: Task, patch: bytes, directory: Path | None) -> tuple[KeptRun, LogGrade]:
        """The runs of both columns, found or made, and the official column. Raises `NotJudged`."""
        row = self._specs.of(task).row
        found = KeptRun.load(directory) if directory is not None and self._cached else None
        if found and found.facts.key == run_key(task, found.facts.image, patch, self._limits):
            official = self._judge(self.official, row, patch, found)
            if found.facts.strict or not self._wants_strict(found, official.column):
                return found, official
        key = run_key(task, self.image(task), patch, self._limits)
        with exclusive(f"grade-{key}"):
            known = self._store.get(key) if self._cached else None
            tested = known or self._run(task, key, patch)
            official = self._judge(self.official, row, patch, tested)
            tested = self._with_strict(task, patch, tested, official.column)
            self._machine.check_not_abandoned()
            if tested is not known:
                self._store.put(tested)
        if directory is not None:
            tested.save(directory)
        return tested, official

    def _run(self, task: Task, key: str, patch: bytes) -> KeptRun:
        image, request = self._specs.image(task), RunRequest(patch, {}, self._specs.of(task).script)
        tests = self._tests(task, EVAL_FILE)
        run = self._machine.held(lambda: tests(request))
        facts = TestFacts(
            key=key,
            image=image,
            applied_by=run.applied_by,
            exit_code=run.exit_code,
            timed_out=run.timed_out,
            crowded=run.crowded,
            log_bytes=run.log_bytes,
            log_sha256=digest(run.log),
            seconds=round(run.seconds, 3),
            startup_seconds=round(run.startup_seconds, 3),
        )
        return KeptRun(facts, run.log)

    def _tests(self, task: Task, script_file: str | None, *, network: bool = True) -> RunTests:
        limits = self._limits if network else self._limits.model_copy(update={"network": False})
        return self._machine.tests(self._specs.image(task), task.brief.workdir, limits, script_file)

    def _judge(self, grader: OfficialGrader, row: dict[str, Any], patch: bytes, tested: KeptRun) -> LogGrade:
        """What one official version says of a test run. Raises `NotJudged` where it cannot use the row."""
        facts = tested.facts
        if not facts.applied_by:
            return _unresolved(why_not_applied(patch))
        if facts.crowded:
            return _unresolved("the tests' processes starved the machine, and they were ended")
        if facts.timed_out:
            return _unresolved(f"the tests did not end within {self._limits.seconds:g} s")
        if tested.cut:
            return _unresolved(f"the tests wrote {facts.log_bytes / 1e6:.0f} MB, more than is kept of a log")
        with tempfile.TemporaryDirectory(prefix="asclaimed-") as scratch:
            log = Path(scratch) / LOG
            log.write_bytes(tested.log)
            grade = grade_log(grader, row, log)
        if grade.party is not None:
            raise NotJudged(grade.party, grade.column.reason)
        return grade

    def _wants_strict(self, tested: KeptRun, official: GraderVerdict) -> bool:
        """A second opinion can only take a pass away: it costs several test runs, and is had for passes alone."""
        results = tested.facts.applied_by and not tested.facts.timed_out and not tested.cut
        return bool(self._strict_version and results and official.outcome is Outcome.RESOLVED)

    def _with_strict(self, task: Task, patch: bytes, tested: KeptRun, official: GraderVerdict) -> KeptRun:
        """The same run with the strict column of this version, made where it is missing."""
        known = tested.facts.strict
        if not self._wants_strict(tested, official) or (known and known.version == self._strict_version):
            return tested
        made = self._run_strict(task, patch, official)
        return tested._replace(facts=tested.facts.model_copy(update={"strict": made}))

    def _run_strict(self, task: Task, patch: bytes, official: GraderVerdict) -> StrictFacts:
        from evals.grade.strict.verdict import strict_verdict

        verdict = self._machine.held(
            lambda: strict_verdict(
                task,
                self._specs.of(task).script,
                patch,
                image_id=self._specs.image(task),
                official=official,
                run_tests=self._tests(task, None, network=False),
                calibrations=cache_directory() / "calibrations",
            )
        )
        return StrictFacts(
            version=self._strict_version,
            column=verdict.column,
            available=verdict.available,
            evidence=verdict.evidence,
            seconds=round(verdict.seconds, 3),
            startup_seconds=round(verdict.startup_seconds, 3),
        )

    def _join(self, task: Task, patch: bytes, tested: KeptRun, official: LogGrade) -> Grade:
        facts = tested.facts
        strict = facts.strict if self._strict_version and facts.applied_by else None
        column = self._strict_column(strict, official.column)
        extra = strict.seconds + strict.startup_seconds if strict else 0.0
        outcome = conservative(official.column, column)
        return Grade(
            outcome=outcome,
            party=Party.SANDBOX if outcome is Outcome.NOT_JUDGED else None,
            official=official.column,
            strict=column,
            grader=self.official.name,
            key=self._key(facts.key, strict),
            evidence=(*self._evidence(task, patch, tested, official), *(strict.evidence if strict else ())),
            seconds=round(facts.seconds + facts.startup_seconds + extra, 3),
            test_seconds=facts.seconds,
        )

    def _strict_column(self, facts: StrictFacts | None, official: GraderVerdict) -> GraderVerdict | None:
        """The strict opinion; it repeats the official column where there is none, and says why."""
        if facts is None:
            return official.model_copy(update={"reason": NOT_RUN}) if self._strict_version else None
        if facts.available:
            return facts.column
        return official.model_copy(update={"reason": facts.column.reason})

    def _evidence(self, task: Task, patch: bytes, tested: KeptRun, official: LogGrade) -> tuple[str, ...]:
        """Facts for a reader, none of which decided anything."""
        facts, found = tested.facts, list[str]()
        if facts.applied_by and facts.applied_by != APPLY_COMMANDS[0]:
            found.append(f"the patch was applied by `{facts.applied_by}` after `git apply` refused it")
        found += [f"the patch: {fact}" for fact in oddities(patch) if facts.applied_by]
        if facts.applied_by and not facts.timed_out and (facts.exit_code is None or facts.exit_code > 128):
            found.append("the eval script was killed, or its container was")
        if official.infra:
            found.append(
                f"{self.official.name} guesses at an environment fault from the log: {official.infra}"
            )
        if facts.timed_out and not facts.crowded and not self._gold_ends(task, facts.image):
            found.append(
                "whether the gold patch's tests end in time here is not known: run `asclaimed tasks check`"
            )
        if facts.strict and self._strict_version not in ("", facts.strict.version):
            found.append("the strict column was made by another version of the strict grader")
        if self.official.name != DEFAULT:
            other = self._judge(self._graders[DEFAULT], self._specs.of(task).row, patch, tested)
            if other.column.outcome is not official.column.outcome:
                found.append(f"{DEFAULT} differs: {describe(other)}")
        return tuple(found)

    def _gold_ends(self, task: Task, image: str) -> bool:
        gold = self._store.get(run_key(task, image, task.checks.gold_patch.encode(), self._limits))
        return gold is not None and not gold.facts.timed_out

    def _no_verdict(self, reason: NotJudged) -> Grade:
        return Grade(
            outcome=Outcome.NOT_JUDGED,
            party=reason.party,
            official=not_judged(reason.party, str(reason)).column,
            grader=self.official.name,
            key="",
        )

    def _key(self, run: str, strict: StrictFacts | None) -> str:
        return grade_key(run, self.official.name, strict.version if strict else "")


def _unresolved(reason: str) -> LogGrade:
    """swebench makes no log, or calls it an error, in these cases: not resolved, and in its denominator."""
    return LogGrade(GraderVerdict(outcome=Outcome.UNRESOLVED, reason=reason), applied=False)


def conservative(official: GraderVerdict, strict: GraderVerdict | None) -> Outcome:
    """RESOLVED only if both columns say so; a violation stands whatever the official grader believed.

    What strict could not judge is a pass for nobody, and no failure either.
    """
    if strict is not None and strict.outcome is Outcome.NOT_JUDGED:
        return Outcome.NOT_JUDGED if official.outcome is Outcome.RESOLVED else official.outcome
    if strict is None or strict.outcome is official.outcome:
        return official.outcome
    return Outcome.VIOLATION if strict.outcome is Outcome.VIOLATION else Outcome.UNRESOLVED


def oddities(patch: bytes) -> tuple[str, ...]:
    """Facts about the bytes of a patch that is not empty, most telling first."""
    found = []
    if not HEADER.search(patch):
        found.append("it is not a unified diff")
    if b"\nBinary files " in patch and b"\nGIT binary patch" not in patch:
        found.append("it changes a binary file without carrying its content")
    if patch.count(b"\r\n") * 2 > patch.count(b"\n"):
        found.append("its lines end in CRLF")
    if not patch.endswith(b"\n"):
        found.append("it does not end in a newline")
    if len(patch) >= LARGE_BYTES:
        found.append(f"it is {len(patch) / 1e6:.1f} MB large")
    return tuple(found)


def why_not_applied(patch: bytes) -> str:
    """One line for a patch that none of the four commands applied."""
    return "the patch does not apply" + "".join(f"; {fact}" for fact in oddities(patch)[:2])
