"""From records and grades to one line a scaffold. Everything is read from disk; nothing is remembered.

A pass rate is over the judged attempts and between its two bounds: all unjudged attempts failed, all passed. These are
plain counts; the report puts the estimates and intervals of `verdict.rates` in their place, as `compare` does.
Verdicts against a claim are `verify`'s business, differences between scaffolds are `compare`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from evals.record import AttemptKey, Grade, Outcome, Party, Record, kept
from scaffolds.model import EmptyTurn
from tasks.task import Frozen


class Attempt(NamedTuple):
    """One attempt as scoring sees it. `record` is None when it was never made, `grade` when it was not graded.

    A grade comes without its lists of tests: nothing that sums up reads them, and they are nearly all of its size.
    """

    key: AttemptKey
    record: Record | None
    grade: Grade | None

    @property
    def outcome(self) -> Outcome | None:
        """None while there is neither a grade nor a failure."""
        if self.record is not None and self.record.failure is not None:
            return Outcome.NOT_JUDGED
        return self.grade.outcome if self.grade else None

    @property
    def party(self) -> Party | None:
        if self.record is not None and self.record.failure is not None:
            return self.record.failure.party
        return self.grade.party if self.grade else None

    @property
    def fix_not_shown(self) -> bool:
        """The scaffold chose what the model saw, and nothing that the reference fix changes was in it."""
        return self.record is not None and self.record.fix_shown is False

    @property
    def reason(self) -> str:
        """Why there is no verdict, or the official grader's line."""
        if self.record is not None and self.record.failure is not None:
            return self.record.failure.message
        return self.grade.official.reason if self.grade else ""


class Interval(NamedTuple):
    """Of a rate, in 0…1."""

    low: float
    high: float


class ScaffoldScore(Frozen):
    """One scaffold on the frozen task list. Rates in 0…1, tokens and seconds summed over attempts."""

    scaffold: str
    tasks: int
    attempts: int
    """The denominator that was frozen before the first attempt, excluded tasks taken out."""
    judged: int
    resolved: int
    official_resolved: int
    """What the official grader alone says: the number that compares with vendors'."""
    rate: float | None
    """resolved / judged; None when nothing was judged."""
    interval: Interval | None = None
    """95 %, as `compare` has it (`verdict.rates`): filled in by the report, because counting does not know it."""
    bounds: Interval
    """Rate if every unjudged or missing attempt had failed, and if it had passed."""
    official_rate: float | None = None
    """official_resolved / judged."""
    estimated: bool = False
    """Rates, interval and bounds are estimates for the whole benchmark, from tasks drawn with unequal chances."""
    outcomes: dict[str, int]
    unjudged_by: dict[str, int]
    missing: int
    """Attempts of the list without record or grade: the run is not finished."""
    stops: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    active_seconds: float
    calls_native: int = 0
    calls_recovered: int = 0
    """Tool calls that a lenient parser dug out of text: never invisible."""
    calls_malformed: int = 0
    model_calls: int = 0
    empty_turns: dict[str, int] = Field(default_factory=dict)
    """Model calls that brought neither text nor a tool call, by whose doing (`EmptyTurn`); each counts as a step."""
    ended_empty: int = 0
    """Judged attempts that ended on such a call."""
    rate_without_empty: float | None = None
    """Of the judged attempts that did not; None where none did. A plain count, whatever `estimated` says."""
    tool_calls: tuple[str, ...] = ()
    flagged: int = 0
    differing: tuple[str, ...] = Field(default=())
    """`task#attempt` where official and strict disagree."""

    @property
    def empty_share(self) -> float:
        """Of the model calls."""
        return sum(self.empty_turns.values()) / self.model_calls if self.model_calls else 0.0

    @property
    def empty_words(self) -> str:
        """The cell that every table of a report shows."""
        return f"{sum(self.empty_turns.values())}/{self.model_calls}"


def load_attempts(run: Path, keys: Sequence[AttemptKey]) -> list[Attempt]:
    """Every attempt of the frozen list, made or not."""
    return [_load(run, key) for key in keys]


def _load(run: Path, key: AttemptKey) -> Attempt:
    directory = key.directory(run)
    record, grade = directory / "record.json", directory / "grade.json"
    return Attempt(
        key,
        kept(Record, record) if record.exists() else None,
        without_tests(kept(Grade, grade)) if grade.exists() else None,
    )


def without_tests(grade: Grade) -> Grade:
    """The verdicts alone."""
    official, strict = (
        one and one.model_copy(update={"tests": {}}) for one in (grade.official, grade.strict)
    )
    return grade.model_copy(update={"official": official, "strict": strict})


def score(scaffold: str, attempts: Sequence[Attempt]) -> ScaffoldScore:
    """The line of one scaffold. `attempts`: all of that scaffold's, excluded tasks already taken out."""
    outcomes = Counter(attempt.outcome for attempt in attempts if attempt.outcome)
    judged = [a for a in attempts if a.outcome not in (None, Outcome.NOT_JUDGED)]
    resolved = outcomes[Outcome.RESOLVED]
    officially = sum(bool(a.grade and a.grade.official.outcome is Outcome.RESOLVED) for a in judged)
    records = [a.record for a in attempts if a.record and a.record.failure is None]
    others = [a for a in judged if a.record is None or a.record.ended_empty is None]
    return ScaffoldScore(
        scaffold=scaffold,
        tasks=len({a.key.task_id for a in attempts}),
        attempts=len(attempts),
        judged=len(judged),
        resolved=resolved,
        official_resolved=officially,
        rate=resolved / len(judged) if judged else None,
        bounds=bounds(resolved, len(judged), len(attempts)),
        official_rate=officially / len(judged) if judged else None,
        outcomes={outcome: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        unjudged_by=dict(
            Counter(str(a.party or "unknown") for a in attempts if a.outcome is Outcome.NOT_JUDGED)
        ),
        missing=sum(a.outcome is None for a in attempts),
        stops=dict(Counter(str(r.stop or "unknown") for r in records).most_common()),
        prompt_tokens=sum(r.prompt_tokens for r in records),
        completion_tokens=sum(r.completion_tokens for r in records),
        active_seconds=round(sum(r.active_seconds for r in records), 1),
        calls_native=sum(r.calls_native for r in records),
        calls_recovered=sum(r.calls_recovered for r in records),
        calls_malformed=sum(r.calls_malformed for r in records),
        model_calls=sum(r.steps for r in records),
        empty_turns=empty_turns(records),
        ended_empty=len(judged) - len(others),
        rate_without_empty=solved_share(others) if len(others) < len(judged) else None,
        tool_calls=tuple(sorted({str(r.tool_calls) for r in records})),
        flagged=sum(bool(r.flags) for r in records),
        differing=tuple(f"{a.key.task_id}#{a.key.attempt}" for a in judged if _differs(a.grade)),
    )


def bounds(resolved: int, judged: int, attempts: int) -> Interval:
    """The rate if all that were not judged had failed, and if they had passed."""
    return (
        Interval(resolved / attempts, (resolved + attempts - judged) / attempts)
        if attempts
        else Interval(0.0, 1.0)
    )


def empty_turns(records: Sequence[Record]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for record in records:
        counts.update({str(kind): count for kind, count in record.empty_turns.items()})
    return {kind: counts[kind] for kind in EmptyTurn if counts[kind]}


def solved_share(attempts: Sequence[Attempt]) -> float | None:
    """Of judged attempts; None of none."""
    return sum(a.outcome is Outcome.RESOLVED for a in attempts) / len(attempts) if attempts else None


def _differs(grade: Grade | None) -> bool:
    return bool(grade and grade.strict and grade.official.outcome != grade.strict.outcome)
