"""The commands by name, each with the module that has it: enough for `asclaimed --help`, which loads none of them.

Importing Typer alone costs more than `--help` may take, so the page is put together here, and a test holds it to what
Typer itself would print. A command's module is loaded when the command is called.
"""

from __future__ import annotations

from typing import NamedTuple

ABOUT = "Measure what a model scores, and set it beside what its vendor claims."


class Entry(NamedTuple):
    """Where a command is, and what the help says of it."""

    summary: str
    """At most 66 characters, so that a line of the help is never cut."""
    module: str
    name: str
    """Of the function, or of the Typer application of a group of commands."""
    command_class: str | None = None


COMMANDS = {
    "run": Entry("Run scaffolds over tasks, grade every attempt, report.", "run", "run"),
    "grade": Entry("Grade a run, somebody's predictions, or recorded test logs.", "grade", "grade"),
    "report": Entry("Sum runs up: on the terminal, as HTML, Markdown and JSON.", "run", "report"),
    "replay": Entry("Run a run's scaffolds again, its recording as the model.", "replay", "replay"),
    "import": Entry("Turn results of others into runs.", "imports", "import_results"),
    "verify": Entry("Say whether a run reproduces a claim.", "verdicts", "verify"),
    "plan": Entry("Say what a verdict on a claim takes, in attempts and hours.", "verdicts", "plan"),
    "compare": Entry("Set systems side by side on the tasks that they share.", "verdicts", "compare"),
    "nightly": Entry("Test tonight's run against a frozen baseline.", "nightly", "nightly", "NightlyCommand"),
    "serve": Entry("Run a real llama-server with a small model.", "serve", "serve"),
    "doctor": Entry("Look at a model server before the night, or at this machine.", "doctor", "doctor"),
    "cache": Entry("List and prune what is kept on this machine beside runs.", "cache", "app"),
    "images": Entry("Plan, fetch and remove the images of tasks.", "images", "app"),
    "bench": Entry("Measure what a step costs beside other harnesses.", "bench", "bench"),
    "subset": Entry("Draw tasks that tell most about a rate on all of them.", "subset", "subset"),
    "estimate": Entry("Estimate the rate on all tasks from results on a subset.", "subset", "estimate"),
    "scaffolds": Entry("List scaffolds, show one, say in what two differ.", "scaffolds", "app"),
    "tasks": Entry("List and check the tasks of a benchmark.", "tasks", "app"),
    "claims": Entry("List, show and check what vendors claim.", "claims", "app"),
}
OPTIONS = {
    "--version": "Print the version and exit.",
    "-h, --help": "Show this message and exit.",
}
WIDTH = 80
"""Of a terminal on which no line of the page needs a break."""


def help_page() -> str:
    """What `asclaimed --help` prints on a terminal of at least `WIDTH` columns."""
    blocks = {"Options": OPTIONS, "Commands": {name: entry.summary for name, entry in COMMANDS.items()}}
    return "\n".join(
        [
            "Usage: asclaimed [OPTIONS] COMMAND [ARGS]...",
            f"\n  {ABOUT}",
            *(f"\n{title}:\n{_columns(lines)}" for title, lines in blocks.items()),
            "",
        ]
    )


def _columns(lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in lines.items())
