"""A night as Markdown for people and as JUnit XML for a CI server. What tasks and models say is made inert.

In the JUnit file only the verdict of a scaffold can fail: single tasks come and go with luck, and a CI that is red for
luck is a CI that nobody reads. They are listed as passed or skipped. The XML keeps to Jenkins' own schema for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from evals.record import Outcome
from evals.report.text import counted, markdown, plain

if TYPE_CHECKING:
    from evals.nightly.evidence import Standing, Watched
    from evals.nightly.night import Night
    from evals.results.table import Row

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SUITES = "asclaimed nightly"


def to_markdown(night: Night) -> str:
    """A summary of one screen, for a job's page or a mail."""
    actions = ", ".join(f"{count} {action}" for action, count in night.actions.items())
    lines = [
        f"# {markdown(night.name)}: {night.exit}",
        "",
        f"{markdown(night.reason, 500)}. Attempts: {actions or 'none'}. Baseline: {markdown(night.baseline)}.",
        "",
        "| scaffold | nights | compared | passed tonight | expected | evidence | alarm at |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *(row(one, shown) for one, shown in zip(night.standings, night.watched, strict=True)),
        "",
        "Evidence is the logarithm of an e-value over all nights; below its alarm it says nothing. Compared, passed and "
        "expected are of attempts that were made anew; a reused one is no evidence.",
        *(["", "Differs from the baseline's run:", ""] if night.differs else []),
        *(f"- {markdown(line, 500)}" for line in night.differs),
        *(["", *(f"- {markdown(line, 500)}" for line in night.outlook)] if night.outlook else []),
    ]
    return "\n".join(lines) + "\n"


def to_lines(night: Night) -> list[str]:
    """The numbers of each scaffold, and what differs from the baseline, a line each, for a terminal."""
    return [
        f"{plain(one.scaffold)}: passed {passes(shown)}"
        + (f", {shown.expected:.1f} expected" if shown.tasks else "")
        + f"; evidence {one.evidence:+.2f} after {counted(one.nights, 'night')}, alarm at {one.needed:.2f}"
        for one, shown in zip(night.standings, night.watched, strict=True)
    ] + [f"differs from the baseline: {plain(line, 300)}" for line in night.differs]


def passes(shown: Watched) -> str:
    """Unjudged attempts leave a range open."""
    low, high = shown.worst.passes, shown.best.passes
    return (
        f"{low if low == high else f'{low} to {high}'} of {len(shown.tasks)}" if shown.tasks else "none made"
    )


def row(one: Standing, shown: Watched) -> str:
    expected = f"{shown.expected:.1f}" if shown.tasks else "–"
    return (
        f"| {markdown(one.scaffold)} | {one.nights} | {one.compared} | {passes(shown)} | {expected} "
        f"| {one.evidence:+.2f} | {one.needed:.2f} |"
    )


def failed_markdown(reason: str) -> str:
    """The summary of a night that came to nothing."""
    return f"# night: infrastructure\n\n{markdown(reason, 1000)}\n"


def to_junit(night: Night, rows: Sequence[Row]) -> bytes:
    """One suite a scaffold: its verdict, then the attempts of tonight's run directory."""
    return document([suite(night, one, rows) for one in night.standings])


def failed_junit(reason: str) -> bytes:
    """The file of a night that came to nothing: one error, so that no CI shows the night before."""
    alone = TestSuite(SUITES)
    alone.append(case("night", SUITES, Error(safe(reason))))
    return document([alone])


def suite(night: Night, one: Standing, rows: Sequence[Row]) -> TestSuite:
    made = TestSuite(safe(one.scaffold))
    made.append(case("no regression", one.scaffold, verdict(night, one)))
    made.extend([attempt(each) for each in rows if each.system.scaffold == one.scaffold])
    return made


def document(suites: Sequence[TestSuite]) -> bytes:
    """Suites with their totals: some readers count for themselves, others believe what is written."""
    root = JUnitXml(SUITES)
    root.extend(suites)
    root.update_statistics()
    text = BytesIO()
    root.write(text)
    return text.getvalue()


def verdict(night: Night, one: Standing) -> FinalResult | None:
    """What tonight says of a scaffold; None where it passed."""
    message = safe(night.reason)
    if night.exit.code == 3:
        return Error(message)
    if one.alarm:
        return Failure(message)
    return Skipped(message) if night.exit.code == 2 else None


def attempt(each: Row) -> TestCase:
    result = None if each.outcome is Outcome.RESOLVED else Skipped(safe(each.outcome.value))
    return case(f"{each.task} #{each.attempt}", each.system.scaffold, result, round(each.seconds, 1))


def case(name: str, scaffold: str, result: FinalResult | None, seconds: float | None = None) -> TestCase:
    made = TestCase(safe(name), safe(scaffold), seconds)
    if result is not None:
        made.result = [result]
    return made


def safe(text: str) -> str:
    """One line that XML 1.0 can hold."""
    return NOT_XML.sub("", plain(text, 300))
