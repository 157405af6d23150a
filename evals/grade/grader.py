"""From a patch to a grade: run the official tests once, have them judged, run the strict grader, join both.

Reads the task and the recorded patch, nothing else: an attempt's trajectory, score or stop reason never matters.
Here: what is run, what is reused, and how the columns become one outcome. Elsewhere: the machine (`tasks.backend`), what
is kept (`store`), what is run and what it means (`judge`), the strict column (`strict`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from evals.grade.judge import Judge, Judgement, NotJudged
from evals.grade.machine import Machine, TaskImages, while_wanted
from evals.grade.oddities import oddities_of_run, why_not_applied
from evals.grade.official import DEFAULT
from evals.grade.pro import ProJudge
from evals.grade.store import (
    KeptRun,
    RunStore,
    StrictFacts,
    digest,
    grade_key,
    run_key,
    strict_version,
)
from evals.grade.swebench import SwebenchJudge
from evals.grade.verifier import VerifierGrader
from evals.record import Grade, GraderVerdict, Outcome, Party, Record
from evals.run.attempt import Abandoned
from tasks.backend import (
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
from tasks.errors import MachineError
from tasks.pro import PARSER
from tasks.task import Task

NOT_RUN = "not run: official is not resolved"


class Grader:
    """Grades patches with one official version. Threads may share it; close it, or use it in a `with` block."""

    def __init__(
        self,
        name: str = DEFAULT,
        *,
        limits: TestLimits | None = None,
        strict: bool = True,
        store: RunStore | None = None,
        cached: bool = True,
        progress: Progress = quiet,
        run: str = "",
        backend: Backend | None = None,
        judges: Mapping[str, Judge] | None = None,
        abandoned: threading.Event | None = None,
    ) -> None:
        """`name`: `swebench==VERSION`. `cached=False` runs tests even where their result is known.

        `run`: label of the machines, for `Backend.reap`. `backend`: Docker where none is given. `abandoned`: set before
        somebody takes the machines away; every call then ends in `Abandoned` and leaves nothing behind. `judges`: by
        benchmark, left open; every other one has SWE-bench's or SWE-bench Pro's format, and its judge.
        """
        self._limits = limits or TestLimits()
        self.name = name
        self._swebench, self._judges = SwebenchJudge(name, self._limits), judges or {}
        self._pro = ProJudge(self._limits)
        self._machine = Machine(backend or DockerBackend(), run, abandoned or threading.Event())
        self._images = TaskImages(self._machine.backend, progress)
        self._store, self._cached = store or RunStore(), cached
        self._strict_version = strict_version() if strict else ""
        self.states = VerifierGrader(self._machine, self._limits, progress, cached=cached)

    def grade(self, task: Task, record: Record, directory: Path) -> Grade:
        """Grade a recorded attempt. Reads `patch.diff`, reuses or writes `test.log` and `test.json` beside it.

        A state of a machine is `verifier`'s to grade.
        """
        if record.failure is not None:
            return self._no_verdict(task, NotJudged(record.failure.party, record.failure.message))
        if record.task_hash != task.content_hash:
            reason = "the task is not the one that was attempted"
            return self._no_verdict(task, NotJudged(Party.TASK, reason))
        if task.verifier:
            return self.states.grade(task, task.verifier, record, directory)
        try:
            patch = (directory / "patch.diff").read_bytes()
        except OSError as error:
            reason = f"patch.diff cannot be read: {error.strerror}"
            return self._no_verdict(task, NotJudged(Party.SANDBOX, reason))
        if digest(patch) != record.patch_sha256:
            reason = "patch.diff is not the one that the record names"
            return self._no_verdict(task, NotJudged(Party.SANDBOX, reason))
        return self.grade_patch(task, patch, directory)

    def grade_patch(self, task: Task, patch: bytes, directory: Path | None = None) -> Grade:
        """Grade `patch` on `task`; with a `directory`, reuse the test run in it or leave it there.

        Raises `MachineError` where there is no Docker or a grader cannot be installed; anything else is a grade.
        """
        if not patch.strip():
            column = GraderVerdict(outcome=Outcome.NO_PATCH, reason="the patch is empty")
            name = self._judge_of(task).name
            return Grade(outcome=Outcome.NO_PATCH, official=column, grader=name, key=grade_key("", name, ""))
        try:
            tested, official = self._tested(task, patch, directory)
            return self._join(task, patch, tested, official)
        except NotJudged as reason:
            return self._no_verdict(task, reason)

    def untouched(self, task: Task) -> GraderVerdict:
        """What the official grader says of the image as it is, with no patch at all; it must not be RESOLVED."""
        try:
            return self._tested(task, b"", None)[1].column
        except NotJudged as reason:
            return self._no_verdict(task, reason).official

    def calibrate(self, task: Task, wanted: Callable[[], bool] = lambda: True) -> str:
        """Make what strict needs of a task ahead of the first patch that passes; no more runs once it is not `wanted`.

        Why there is none, or "". A grade that needs it meanwhile waits for it.
        """
        if not self._strict_version:
            return ""
        try:
            self._machine.held(lambda: self._calibrate(task, wanted))
        except (NotJudged, MachineError, Abandoned) as error:
            return str(error)
        return ""

    def image(self, task: Task) -> str:
        """Id of the image that the task is graded in. Raises `NotJudged`."""
        return self._machine.held(lambda: self._images.of(task))

    def close(self) -> None:
        self._swebench.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judge_of(self, task: Task) -> Judge:
        usual = self._pro if task.patch_checks.log_parser == PARSER else self._swebench
        return self._judges.get(task.benchmark, usual)

    def _tested(self, task: Task, patch: bytes, directory: Path | None) -> tuple[KeptRun, Judgement]:
        """The runs of both columns, found or made, and the official column. Raises `NotJudged`."""
        request = self._judge_of(task).request(task, patch)
        found = KeptRun.load(directory) if directory is not None and self._cached else None
        if found and found.facts.key == run_key(task, found.facts.image, patch, self._limits):
            official = self._judge(task, patch, found)
            if found.facts.strict or not self._wants_strict(found, official.column):
                return found, official
        key = run_key(task, self.image(task), patch, self._limits)
        with exclusive(f"grade-{key}"):
            known = self._store.get(key) if self._cached else None
            tested = known or self._run(task, key, request)
            official = self._judge(task, patch, tested)
            tested = self._with_strict(task, request, tested, official.column)
            self._machine.check_not_abandoned()
            if tested is not known:
                self._store.put(tested)
        if directory is not None:
            tested.save(directory)
        return tested, official

    def _run(self, task: Task, key: str, request: RunRequest) -> KeptRun:
        tests = self._tests(task, EVAL_FILE)
        return KeptRun.of(key, self._images.of(task), self._machine.held(lambda: tests(request)))

    def _tests(self, task: Task, script_file: str | None, *, network: bool = True) -> RunTests:
        limits = self._limits if network else self._limits.model_copy(update={"network": False})
        return self._machine.tests(self._images.of(task), task.brief.workdir, limits, script_file)

    def _judge(self, task: Task, patch: bytes, tested: KeptRun) -> Judgement:
        """The official column. Raises `NotJudged`."""
        if tested.facts.applied_by:
            return self._judge_of(task).judge(task, tested)
        return Judgement(GraderVerdict(outcome=Outcome.UNRESOLVED, reason=why_not_applied(patch)))

    def _wants_strict(self, tested: KeptRun, official: GraderVerdict) -> bool:
        """A second opinion can only take a pass away: it costs a test run or more, and is had for passes alone."""
        results = tested.facts.applied_by and not tested.facts.timed_out and not tested.cut
        return bool(self._strict_version and results and official.outcome is Outcome.RESOLVED)

    def _with_strict(
        self, task: Task, request: RunRequest, tested: KeptRun, official: GraderVerdict
    ) -> KeptRun:
        """The same run with the strict column of this version, made where it is missing."""
        known = tested.facts.strict
        if not self._wants_strict(tested, official) or (known and known.version == self._strict_version):
            return tested
        made = self._run_strict(task, request, official)
        return tested._replace(facts=tested.facts.model_copy(update={"strict": made}))

    def _run_strict(self, task: Task, request: RunRequest, official: GraderVerdict) -> StrictFacts:
        from evals.grade.strict.verdict import strict_verdict

        verdict = self._machine.held(
            lambda: strict_verdict(
                task,
                request.script,
                request.patch,
                image_id=self._images.of(task),
                official=official,
                run_tests=self._tests(task, None, network=False),
                calibrations=cache_directory() / "calibrations",
            )
        )
        return StrictFacts.model_validate({"version": self._strict_version, **verdict._asdict()})

    def _calibrate(self, task: Task, wanted: Callable[[], bool]) -> None:
        from evals.grade.strict.baseline import calibrate_ahead

        script, image = self._judge_of(task).request(task, b"").script, self._images.of(task)
        tests = self._tests(task, None, network=False)
        calibrate_ahead(task, script, image, while_wanted(tests, wanted), cache_directory() / "calibrations")

    def _join(self, task: Task, patch: bytes, tested: KeptRun, official: Judgement) -> Grade:
        facts = tested.facts
        strict = facts.strict if self._strict_version and facts.applied_by else None
        column = self._strict_column(strict, official.column)
        extra = strict.seconds + strict.startup_seconds if strict else 0.0
        outcome, name = conservative(official.column, column), self._judge_of(task).name
        return Grade(
            outcome=outcome,
            party=Party.SANDBOX if outcome is Outcome.NOT_JUDGED else None,
            official=official.column,
            strict=column,
            grader=name,
            key=grade_key(facts.key, name, strict.version if strict else ""),
            evidence=(
                *self._evidence(task, patch, tested),
                *official.evidence,
                *(strict.evidence if strict else ()),
            ),
            seconds=round(facts.seconds + facts.startup_seconds + extra, 3),
            test_seconds=facts.seconds,
            guess=strict.guess if strict else None,
        )

    def _strict_column(self, facts: StrictFacts | None, official: GraderVerdict) -> GraderVerdict | None:
        """The strict opinion; it repeats the official column where there is none, and says why."""
        if facts is None:
            return official.model_copy(update={"reason": NOT_RUN}) if self._strict_version else None
        if facts.available:
            return facts.column
        return official.model_copy(update={"reason": facts.column.reason})

    def _evidence(self, task: Task, patch: bytes, tested: KeptRun) -> tuple[str, ...]:
        """Facts for a reader, none of which decided anything."""
        facts, found = tested.facts, [*oddities_of_run(tested.facts, patch)]
        if facts.timed_out and not facts.ended and not self._gold_ends(task, facts.image):
            found.append(
                "whether the gold patch's tests end in time here is not known: run `asclaimed tasks check`"
            )
        if facts.strict and self._strict_version not in ("", facts.strict.version):
            found.append("the strict column was made by another version of the strict grader")
        return tuple(found)

    def _gold_ends(self, task: Task, image: str) -> bool:
        gold = self._store.get(run_key(task, image, task.patch_checks.gold_patch.encode(), self._limits))
        return gold is not None and not gold.facts.timed_out

    def _no_verdict(self, task: Task, reason: NotJudged) -> Grade:
        return Grade(
            outcome=Outcome.NOT_JUDGED,
            party=reason.party,
            official=GraderVerdict(outcome=Outcome.NOT_JUDGED, reason=str(reason)),
            grader=VerifierGrader.name if task.verifier else self._judge_of(task).name,
            key="",
        )


def conservative(official: GraderVerdict, strict: GraderVerdict | None) -> Outcome:
    """RESOLVED only if both columns say so; a violation stands whatever the official grader believed.

    What strict could not judge is a pass for nobody, and no failure either.
    """
    if strict is not None and strict.outcome is Outcome.NOT_JUDGED:
        return Outcome.NOT_JUDGED if official.outcome is Outcome.RESOLVED else official.outcome
    if strict is None or strict.outcome is official.outcome:
        return official.outcome
    return Outcome.VIOLATION if strict.outcome is Outcome.VIOLATION else Outcome.UNRESOLVED
