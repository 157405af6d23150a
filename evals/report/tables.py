"""The summary as tables: Rich for the terminal, Markdown for a file. Same rows, drawn twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from evals.report import load
from evals.report.summary import Summary, VerdictLine, ranked
from evals.report.terminal import fitting
from evals.report.text import counted, markdown, plain
from evals.results.score import ScaffoldScore

LONGEST = 1000
"""Characters of a line above the tables."""
Row = tuple[str, ...]
Section = tuple[str, Row, list[Row]]
"""Title, column heads, rows."""


def percent(rate: float | None) -> str:
    return "–" if rate is None else f"{100 * rate:.1f}"


def counts(found: dict[str, int]) -> str:
    """`submitted 9, step_limit 3`."""
    return ", ".join(f"{name} {count}" for name, count in found.items()) or "–"


def sections(summary: Summary) -> list[Section]:
    """Everything a reader gets, in reading order."""
    return [
        ("As measured", SCORE_HEAD, [_score_row(line) for line in ranked(summary.scores)]),
        (
            "How attempts ended, and what they cost",
            COST_HEAD,
            [_cost_row(line) for line in ranked(summary.scores)],
        ),
        (
            "Differences, points (paired over tasks)",
            ("first − second", "tasks", "difference", "95 % interval", "adjusted p", "they differ in"),
            [
                (
                    f"{pair.first} − {pair.second}",
                    str(pair.tasks),
                    f"{pair.difference:+.1f}",
                    f"{pair.low:+.1f} … {pair.high:+.1f}",
                    "–" if pair.p_adjusted is None else f"{pair.p_adjusted:.2g}",
                    "not known" if pair.factors is None else "; ".join(pair.factors),
                )
                for pair in summary.pairs
            ],
        ),
        ("What the server gave", load.HEAD, [load.row(span) for span in summary.load]),
        (
            "As claimed",
            ("claim", "model", "claimed %", "by", "with scaffold"),
            [
                (claim.id, claim.model, f"{claim.score:.1f}", claim.who, claim.scaffold)
                for claim in summary.claims
            ],
        ),
    ]


SCORE_HEAD = ("scaffold", "pass %", "95 % interval", "bounds", "solved/judged/all", "official %")


def _score_row(line: ScaffoldScore) -> Row:
    return (
        line.scaffold,
        percent(line.rate),
        f"{percent(line.interval.low)} – {percent(line.interval.high)}" if line.interval else "–",
        f"{percent(line.bounds.low)} – {percent(line.bounds.high)}",
        f"{line.resolved}/{line.judged}/{line.attempts}",
        percent(line.official_rate),
    )


COST_HEAD = (
    "scaffold",
    "stops",
    "unjudged",
    "calls nat/rec/mal",
    "empty/all turns",
    "tokens in/out",
    "agent s",
)


def _cost_row(line: ScaffoldScore) -> Row:
    return (
        line.scaffold,
        counts(line.stops),
        counts(line.unjudged_by),
        f"{line.calls_native}/{line.calls_recovered}/{line.calls_malformed}",
        line.empty_words,
        f"{line.prompt_tokens:,}/{line.completion_tokens:,}",
        f"{line.active_seconds:,.0f}",
    )


def headline(summary: Summary) -> list[str]:
    """What was measured in two or three lines, and what that makes of the claim that was to be verified."""
    state = "" if summary.finished else " (unfinished)"
    server = f" · {summary.server}" if summary.server else ""
    lines = [
        f"{summary.run_id}{state}: {summary.benchmark}, {counted(summary.tasks, 'task')} × {counted(summary.attempts, 'attempt')}",
        f"model {summary.model}{server} · grader {summary.grader} · tool calls {summary.tool_calls}",
    ]
    lines += [said for line in summary.verdicts for said in _verdict(line)]
    lines += [summary.scaffold_range] if summary.scaffold_range else []
    if not summary.claims:
        lines.append(f"As claimed: no vendor reports a number on {summary.benchmark!r}.")
    elif not any(claim.same_model for claim in summary.claims):
        lines.append(f"As claimed: nothing known for {summary.model!r}; others on this benchmark are listed.")
    return lines


def _verdict(line: VerdictLine) -> Iterator[str]:
    """The verdict in one line, and what bears on it in lines of their own: nothing is long enough to be cut."""
    yield (
        f"{line.headline} with {line.scaffold}: {line.claimed:.1f} % claimed, {line.measured:.1f} % measured, "
        f"difference {line.difference:+.1f}, {line.low:+.1f} to {line.high:+.1f} (90 %), margin ±{line.margin:g}"
    )
    yield f"{line.certain}; {line.reason}"
    yield from (said for said in (line.scaffold_share, line.carried) if said)


def to_markdown(summary: Summary) -> str:
    """The report as a Markdown document; hostile text in it is inert."""
    parts = [f"# As claimed / as measured: {markdown(summary.run_id)}", *map(_paragraph, headline(summary))]
    for title, head, rows in sections(summary):
        if rows:
            parts += [f"## {title}", _markdown_table(head, rows)]
    if summary.findings:
        parts += [
            "## Read before you believe it",
            "\n".join(f"- {markdown(line, 300)}" for line in summary.findings),
        ]
    return "\n\n".join(parts) + "\n"


def _paragraph(line: str) -> str:
    return markdown(line, LONGEST)


def _markdown_table(head: Row, rows: list[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(markdown(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def print_summary(summary: Summary, console: Console) -> None:
    """The report on a terminal; nothing in it can steer the terminal."""
    console.print(
        Group(
            *(
                Text(plain(line, LONGEST), style="bold" if not n else "")
                for n, line in enumerate(headline(summary))
            )
        )
    )
    for title, head, rows in sections(summary):
        if rows:
            console.print(fitting(_rich_table(title, head, rows, plain), console))
    for line in summary.findings:
        console.print(Text(f"! {plain(line, 300)}", style="yellow"))


def _rich_table(title: str, head: Row, rows: list[Row], clean: Callable[[object], str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, name in enumerate(head):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    return table
