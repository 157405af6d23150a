"""Java's tests, under Maven and Gradle: what runs the tests is another process than they, and it is that which is asked.

SWE-bench's rows call Maven once a test (`-Dtest=Class#method`), and its official ids are these arguments; so the result
is Maven's exit status, noted behind each command. Gradle tells a script of ours, given to it from outside of the
repository. Not covered: Ant, whose JUnit task hears of single tests from the tests' own process alone; Maven commands
without `-Dtest=`, which give no ids.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from random import Random

from evals.grade.strict.language import Names, Runner, filled
from evals.grade.strict.mutate import Mutant

MAVEN = re.compile(r"(?:^|[\s/])mvn[dw]?\s")
ASKED = re.compile(r"\s-Dtest=(['\"]?)([\w.$#*,+-]+)\1(?=\s|$)", re.ASCII)
GRADLE = re.compile(r"(?:^|(?<=[\s/]))gradlew?(?=\s+[\w:-])")
METHOD = re.compile(r"\bvoid\s+(\w+)\s*\([^()]*\)\s*(?:throws\b[\w.,\s]+)?\{")
BEHIND = re.compile(r"[\[({ ]")
"""What comes behind a method's name where it has arguments."""
TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/|[{}]', re.DOTALL
)
ASSERTIONS = (
    ("org.junit.jupiter", "org.junit.jupiter.api.Assertions.assertEquals"),
    ("org.testng", "org.testng.Assert.assertEquals"),
    ("org.junit.", "org.junit.Assert.assertEquals"),
    ("", "assertEquals"),
)
"""By what a file's text has; the last is a test class's own, inherited."""


def command(names: Names, line: str) -> str:
    """Maven's exit status is noted, Gradle gets a script of ours."""
    place = f"{names.site}/{names.module}"
    if MAVEN.search(line) and (asked := ASKED.search(line)):
        test = shlex.quote(asked[2])
        return f"touch {place}.began\n{line}\nbash {place}.sh $? {place}.began {test}"
    return GRADLE.sub(lambda match: f"{match[0]} --init-script {place}.gradle", line)


def function_of(test_id: str) -> str:
    """The method of `Class#method` and of `Class > method[…]`; the class of what names no method."""
    named = re.split(r"#| > ", test_id)
    return BEHIND.split(named[-1])[0] if len(named) > 1 else test_id.rpartition(".")[2]


def broken(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """An assertion that cannot hold at each test's end: all of it runs first, and with it the tested code."""
    text, wanted = source.decode("utf-8", "surrogateescape"), set(functions)
    assertion = next(call for mark, call in ASSERTIONS if mark in text)
    classes = {name for name in wanted if re.search(rf"\bclass\s+{re.escape(name)}\b", text)}
    found, pieces, reached = set[str](), [], 0
    for method in _tests(text, wanted, bool(classes)):
        end = _end(text, method.end())
        if method.start() < reached or end is None:
            continue
        fails = f"{assertion}({random.randint(2, 40)}, {random.randint(41, 99)});"
        pieces += [
            text[reached : method.end()],
            " try {",
            text[method.end() : end],
            f"}} finally {{ {fails} }} ",
        ]
        found |= {method[1]} & wanted or classes
        reached = end
    changed = "".join([*pieces, text[reached:]])
    return Mutant(changed.encode("utf-8", "surrogateescape"), frozenset(found))


def _tests(text: str, wanted: set[str], all_of_them: bool) -> Iterator[re.Match[str]]:
    for method in METHOD.finditer(text):
        before = re.split(r"[;{}]", text[max(0, method.start() - 400) : method.start()])[-1]
        if method[1] in wanted or (all_of_them and "Test" in before):
            yield method


def _end(text: str, start: int) -> int | None:
    """Where the brace is that closes the one before `start`."""
    depth = 1
    for token in TOKEN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return None


JAVA = Runner(
    "Java", (".java",),
    lambda names: {
        f"{names.site}/{names.module}.sh": filled("status.sh", names),
        f"{names.site}/{names.module}.gradle": filled("results.gradle", names),
    },
    lambda _names: (), command, function_of, broken,
)  # fmt: skip
