"""The row's own eval script, with our test files and our reporter in place of its test patch.

Setup lines and test commands stay as the row has them; where the script would check out and patch test files, ours
are copied in. The text is one shell function, so that bash has read all of it before the first line runs: a test
that rewrites the script changes nothing. Not covered: scripts without the two output markers.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from evals.grade.strict.language import Names, Runner

START_MARKER = ">>>>> Start Test Output"
END_MARKER = ">>>>> End Test Output"
EXIT_CODE_VARIABLE = "SWEBENCH_TEST_EXIT_CODE="
HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1\s*$")
CHECKOUT = re.compile(r"^\s*git checkout [0-9a-f]{7,40} ")


class Parts(NamedTuple):
    """An eval script, taken apart."""

    setup: tuple[str, ...]
    tests: tuple[str, ...]
    restored: tuple[str, ...]
    """Paths that the script checks out: test files that a model's changes must not reach."""


def take_apart(eval_script: str) -> Parts | None:
    """Setup and test lines without test patch and checkouts; None when the output markers are not there."""
    setup: list[str] = []
    tests: list[str] = []
    restored: list[str] = []
    target, heredoc_end = setup, ""
    for line in eval_script.split("\n"):
        if heredoc_end:
            heredoc_end = "" if line == heredoc_end else heredoc_end
        elif START_MARKER in line:
            target = tests
        elif END_MARKER in line:
            return Parts(tuple(setup), tuple(tests), tuple(dict.fromkeys(restored)))
        elif (match := HEREDOC.search(line)) and "git apply" in line:
            heredoc_end = match[2]
        elif CHECKOUT.match(line):
            restored += shlex.split(line)[3:]
        elif not line.startswith((EXIT_CODE_VARIABLE, "#!")):
            target.append(line)
    return None


def put_together(
    parts: Parts, runner: Runner, names: Names, *, copies: Mapping[str, str], deleted: Sequence[str]
) -> str:
    """The strict run's script. Its status is that of the last test command.

    `copies`: repository path → delivered file; `deleted`: paths that test.patch removes. Relative paths are from the
    directory the script starts in.
    """
    lines = ["main() {", 'start="$PWD"', *parts.setup, 'there="$PWD"; cd "$start"']
    lines += [_copy(path, source) for path, source in copies.items()]
    lines += [f"rm -rf {shlex.quote(path)}" for path in deleted]
    lines += [
        'cd "$there"',
        *runner.before(names),
        *(runner.command(names, line) for line in parts.tests),
        "exit $?",
        "}",
        "main",
        "",
    ]
    return "\n".join(lines)


def _copy(path: str, source: str) -> str:
    """Links on the way go first: the copy must land at the path, not where a patch points it."""
    steps = [shlex.quote(str(step)) for step in (PurePosixPath(path), *PurePosixPath(path).parents[:-1])]
    unlink = "; ".join(f"[ -L {step} ] && rm -f {step}" for step in reversed(steps))
    return f'{unlink}; mkdir -p "$(dirname {steps[0]})" && cp {shlex.quote(source)} {steps[0]}'
