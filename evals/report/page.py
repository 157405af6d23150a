"""The report as one HTML file: no script, nothing loaded from anywhere, readable on a phone, on paper and in the dark.

Every text that reaches the template goes through `plain` and is then escaped, whoever wrote it; markup comes from the
template alone. Not covered: charts that react; a reader who wants other figures has `report.json`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evals.record import Decision
from evals.report import load
from evals.report.page_figures import signed
from evals.report.page_plots import SCATTER_HEIGHT
from evals.report.page_view import view
from evals.report.summary import ranked
from evals.report.tables import percent
from evals.report.text import counted, plain
from evals.report.verdict_text import headline
from evals.verdict.verify import Verdict

if TYPE_CHECKING:
    from evals.report.summary import Report

LONGEST = 400
"""Characters of one text; ids and names are cut shorter where they are shown."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
HERE = Path(__file__).parent
DECISIONS = {  # sign and CSS class
    Decision.REPRODUCED: ("✓", "yes"),
    Decision.NOT_REPRODUCED: ("≠", "no"),
    Decision.EXCEEDS: ("↑", "yes"),
    Decision.AT_LEAST: ("✓", "yes"),
    Decision.BELOW: ("≠", "no"),
    Decision.UNDECIDED: ("?", "open"),
}


def to_html(report: Report) -> str:
    """`report.html` for a run that was read."""
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            v=view(report),
            css=Markup((HERE / "page.css").read_text("utf-8")),  # noqa: S704 - our own file
            policy=POLICY,
            decisions=DECISIONS,
            scatter_height=SCATTER_HEIGHT,
        )
    )


@cache
def environment() -> Environment:
    """Escapes everything; an unknown name is an error, not an empty space."""
    found = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": percent,
        "short": short,
        "signed": signed,
        "thousands": thousands,
        "counted": counted,
        "headline": headline,
        "sentence": sentence,
    }
    found.globals |= {"alone": alone, "ranked": ranked, "load": load}
    return found


def harmless(value: Any) -> Any:
    """Text without controls and direction marks, on one line, a blank at its ends kept; markup of ours as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return (
        " " * value.startswith(" ") + plain(value, LONGEST) + " " * (len(value) > 1 and value.endswith(" "))
    )


def short(text: object, limit: int = 80) -> str:
    return plain(text, limit)


def sentence(text: str) -> str:
    """With a capital first letter; names and flags further on stay as they are."""
    return text[:1].upper() + text[1:]


def thousands(value: float) -> str:
    return f"{value:,.0f}"


def alone(verdict: Verdict) -> list[Any]:
    """Every reading of the results that a verdict stands on or is measured against."""
    return [*verdict.bounds, *verdict.sensitivity]
