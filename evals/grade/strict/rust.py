"""Rust's tests: `cargo test` hands each test binary to a program of ours, which judges each test by an exit status.

Cargo builds and selects as the row says and calls the program as its `runner`. That lists the binary's tests and runs
them one after the other in a process each, as cargo-nextest does, so that what a test prints decides nothing, and
what leaves the process with status 0 passes the broken tests of the control as well. (libtest's own JSON would be
printed by the tests' process, and asks for a nightly.) Official ids name no doc tests, and there are no results of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import Random

from evals.grade.strict.language import Names, Runner, filled, with_heads
from evals.grade.strict.mutate import NAMES, Mutant

TEST = (
    r"(?:\][ \t]*(?://[^\n]*)?\s*(?:pub(?:\([^()\n]*\))?[ \t]+)?(?:async[ \t]+)?fn[ \t]+|!\(\s*)(?P<name>{names})"
    r"(?:[ \t]*\([^{{}};]*|\s*,\s*(?:move\s*)?\|[^|]*\|\s*)\{{"
)
"""A function below an attribute, or a closure that a macro makes a test of: `rgtest!(name, |dir| {`."""
CARGO_TEST = re.compile(r"\bcargo(?:\s+\+\S+)?\s+test\b")
GOES_ON = re.compile(r"\s--no-(?:fail-fast|run)\b")
SNAPSHOT = b"---\nsource: "
"""How insta's files begin."""
CASE = re.compile(r"case_\d+(?:_\w+)?")
"""What rstest appends to a function's name for each of its cases."""


def lines(names: Names) -> Sequence[str]:
    """The program is built before any tested code is; cargo takes it from a variable that no file of the repository beats."""
    built = f"{names.site}/{names.module}"
    return (
        f"(cd {names.site} && rustc --edition 2018 -o {built} {names.module}.rs) || exit 70",
        """export "CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z.-' 'A-Z__')_RUNNER="""
        + f'{built}"',
    )


def command(_names: Names, line: str) -> str:
    """No stopping at the first failure, or the tests behind one that a control breaks give no result."""
    return line if GOES_ON.search(line) else CARGO_TEST.sub(lambda match: f"{match[0]} --no-fail-fast", line)


def function_of(test_id: str) -> str:
    *outer, last = test_id.split("::")
    return outer[-1] if outer and CASE.fullmatch(last) else last


def broken(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """Each test gets a value whose end is a panic: all of the test runs first, and with it the tested code.

    A snapshot does not say which tests it serves: those of them that fail then on gold.
    """
    if source.startswith(SNAPSHOT):
        return Mutant(another_line(source, random), frozenset(functions))

    def guard(_match: re.Match[str]) -> str:
        small, large, name = random.randint(2, 40), random.randint(41, 99), random.choice(NAMES)
        kind = name.capitalize()
        drop = f"fn drop(&mut self) {{ if !::std::thread::panicking() {{ assert_eq!(self.0, {large}); }} }}"
        return f" struct {kind}(u32); impl Drop for {kind} {{ {drop} }} let _{name} = {kind}({small});"

    return with_heads(source, TEST, functions, guard)


def another_line(snapshot: bytes, random: Random) -> bytes:
    """One of the lines below the heading twice."""
    heading, rule, text = snapshot.partition(b"\n---\n")
    lines = text.split(b"\n")
    filled = [place for place, line in enumerate(lines) if line.strip()]
    place = random.choice(filled) if filled else 0
    lines.insert(place, lines[place] if filled else random.choice(NAMES).encode())
    return heading + rule + b"\n".join(lines)


RUST = Runner(
    "Rust", (".rs", ".snap"), lambda names: {f"{names.site}/{names.module}.rs": filled("seal.rs", names)}, lines,
    command, function_of, broken,
)  # fmt: skip
