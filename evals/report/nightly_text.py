"""A night as Markdown for people and as JUnit XML for a CI server. What tasks and models say is made inert.

In the JUnit file only the verdict of a scaffold can fail: single tasks come and go with luck, and a CI that is red for
luck is a CI that nobody reads. They are listed as passed or skipped. The XML keeps to Jenkins' own schema for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from evals.record import Outcome
from evals.report.text import markdown, plain

if TYPE_CHECKING:
    from evals.nightly.evidence import Standing, Watched
    from evals.nightly.night import Night
    from evals.results.table import Row

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
SUITES = "asclaimed nightly"
KINDS = ("failures", "errors", "skipped")


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
    ]
    return "\n".join(lines) + "\n"


def row(one: Standing, shown: Watched) -> str:
    """Unjudged attempts leave a range open."""
    low, high = shown.worst.passes, shown.best.passes
    passes = (
        f"{low if low == high else f'{low} to {high}'} of {len(shown.tasks)}" if shown.tasks else "none made"
    )
    expected = f"{shown.expected:.1f}" if shown.tasks else "–"
    return (
        f"| {markdown(one.scaffold)} | {one.nights} | {one.compared} | {passes} | {expected} "
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
    alone = Xml.Element("testsuite", name=SUITES)
    case = Xml.SubElement(alone, "testcase", classname=SUITES, name="night")
    Xml.SubElement(case, "error", message=safe(reason))
    return document([alone])


def suite(night: Night, one: Standing, rows: Sequence[Row]) -> Xml.Element:
    made = Xml.Element("testsuite", name=safe(one.scaffold))
    add_verdict(
        Xml.SubElement(made, "testcase", classname=safe(one.scaffold), name="no regression"), night, one
    )
    for each in rows:
        if each.system.scaffold == one.scaffold:
            add_attempt(made, each)
    return made


def document(suites: Sequence[Xml.Element]) -> bytes:
    """Suites with their totals: some readers count for themselves, others believe what is written."""
    root = Xml.Element("testsuites", name=SUITES)
    for one in suites:
        count(one)
        root.append(one)
    for kind in ("tests", *KINDS):
        root.set(kind, str(sum(int(one.get(kind, 0)) for one in suites)))
    data: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def count(one: Xml.Element) -> None:
    cases = one.findall("testcase")
    one.set("tests", str(len(cases)))
    for kind, tag in zip(KINDS, ("failure", "error", "skipped"), strict=True):
        one.set(kind, str(len(one.findall(f"testcase/{tag}"))))
    one.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.1f}")


def add_verdict(case: Xml.Element, night: Night, one: Standing) -> None:
    message = safe(night.reason)
    if night.exit.code == 3:
        Xml.SubElement(case, "error", message=message)
    elif one.alarm:
        Xml.SubElement(case, "failure", message=message)
    elif night.exit.code == 2:
        Xml.SubElement(case, "skipped", message=message)


def add_attempt(made: Xml.Element, each: Row) -> None:
    name = safe(f"{each.task} #{each.attempt}")
    case = Xml.SubElement(
        made, "testcase", classname=safe(each.system.scaffold), name=name, time=f"{each.seconds:.1f}"
    )
    if each.outcome is not Outcome.RESOLVED:
        Xml.SubElement(case, "skipped", message=safe(each.outcome.value))


def safe(text: str) -> str:
    """One line that XML 1.0 can hold."""
    return NOT_XML.sub("", plain(text, 300))
