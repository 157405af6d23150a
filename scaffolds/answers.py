"""How an answer without tools says what to change: the words that ask for it, and what reads it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from scaffolds.base import Settings, Step
from scaffolds.model import CUT_OFF, Message, Reply
from scaffolds.search_replace import parse_edits
from scaffolds.whole_files import Place, parse_files
from tasks.sandbox import Sandbox
from tasks.task import Brief, MachineBrief

TASK = """\
{files}

This was reported about the code above:

{issue}

{ask}"""


class AnswerFormat(StrEnum):
    """What the model writes."""

    WHOLE_FILES = "whole_files"
    """Each file that changes, from its first line to its last: a very small model can copy but cannot quote exactly."""
    SEARCH_REPLACE = "search_replace"
    """For each place, the lines as they are and as they should be."""


class Words(NamedTuple):
    """Of one format."""

    system: str
    ask: str


WORDS = {
    AnswerFormat.WHOLE_FILES: Words(
        "You repair programs. You answer with complete corrected files and nothing else.",
        # without an example of the form: a very small model answers with the example itself
        "Correct the code. Write each file that you change completely, from its first line to its last, in a ``` block, "
        "with its path on the line before the block. Keep everything that is right as it is.",
    ),
    AnswerFormat.SEARCH_REPLACE: Words(
        "You repair programs. You answer with blocks of changes and nothing else.",
        "Correct the code. For each place that you change write the path of its file on one line, and below it\n\n"
        "<<<<<<< SEARCH\nthe lines as they are now, copied exactly\n=======\nthe lines as they should be\n>>>>>>> REPLACE",
    ),
}


MACHINE_TASK = "{files}{issue}\n\n{ask}"
MACHINE_WORDS = {
    AnswerFormat.WHOLE_FILES: Words(
        "You answer with complete files and nothing else.",
        "Nothing that you write is run before it is checked. Write each file that this asks for, or that you change, "
        "completely, from its first line to its last, in a ``` block, with its path on the line before the block.",
    ),
    AnswerFormat.SEARCH_REPLACE: Words(
        "You answer with blocks of changes and nothing else.",
        f"Nothing that you write is run before it is checked. {WORDS[AnswerFormat.SEARCH_REPLACE].ask.partition('. ')[2]}\n\n"
        "A file that is not there yet has no lines to look for: leave that part empty.",
    ),
}
"""For a task that is about a machine, or asks for an answer in a file of it."""


class Answered(NamedTuple):
    """What of an answer may be written, and why the rest may not."""

    files: dict[str, str]
    """Path relative to the repository → whole new content."""
    refused: list[str]


def asked(form: AnswerFormat, files: Mapping[str, str], brief: Brief) -> tuple[str, str]:
    """The system prompt and the first message, with the files that the model is shown."""
    shown = "\n\n".join(f"{path}\n```\n{text.rstrip()}\n```" for path, text in files.items())
    issue = brief.problem_statement.strip()
    words = words_for(form, brief)
    if isinstance(brief, MachineBrief):
        shown += "\n\n" * bool(shown)
        return words.system, MACHINE_TASK.format(files=shown, issue=issue, ask=words.ask)
    return words.system, TASK.format(files=shown, issue=issue, ask=words.ask)


def words_for(form: AnswerFormat, brief: Brief) -> Words:
    return (MACHINE_WORDS if isinstance(brief, MachineBrief) else WORDS)[form]


def conversation(settings: Settings, system: str, task: str) -> list[Message]:
    """Its two messages, told to whom each step is told."""
    for source, text in (("system", system), ("user", task)):
        settings.on_step(Step(source=source, message=text))
    return [{"role": "system", "content": system}, {"role": "user", "content": task}]


def answered(
    form: AnswerFormat, reply: Reply, shown: Mapping[str, str], brief: Brief, sandbox: Sandbox
) -> Answered:
    """An answer is whole only where it ended by itself, and a file that was not shown may not be replaced."""
    if reply.finish_reason == CUT_OFF:
        return Answered({}, ["the answer was cut off at the limit of tokens: nothing of it is written"])
    place = Place(brief.workdir, anywhere=isinstance(brief, MachineBrief))
    if form is AnswerFormat.SEARCH_REPLACE:
        found, refused = parse_edits(reply.content, shown, place)
    else:
        found, refused = parse_files(reply.content, shown, place), []
    unseen = [p for p in found if p not in shown and _exists(sandbox, posixpath.join(brief.workdir, p))]
    refused += [f"{path}: not written: it exists and was not shown" for path in unseen]
    if not found and not refused:
        refused = [f"the answer holds no {'edit' if form is AnswerFormat.SEARCH_REPLACE else 'file'}"]
    return Answered({path: text for path, text in found.items() if path not in unseen}, refused)


def _exists(sandbox: Sandbox, path: str) -> bool:
    try:
        sandbox.read(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a directory, or a file that is too large to read
    return True


def put(sandbox: Sandbox, path: str, text: str) -> str:
    """Writes a file; what came of it, in words."""
    try:
        sandbox.write(path, text.encode("utf-8", "replace"))
    except OSError as error:
        return f"{path}: not written: {error}"
    return f"{path}: written"
