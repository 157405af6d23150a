"""Test runners by language: how their results get into the authenticated file, and how a test of theirs is broken.

Python's reporter listens in the tests' own process. Go's results are taken from `go test -json`, and jest's and vitest's by
a reporter of ours, each outside of the repository. Cargo has our program run each test (`rust`), Maven is asked by its exit
status and Gradle by a script of ours (`java`). Of other languages' runners every report is either printed by the tests
themselves or left where they can write: there is no strict column for them, and each grade says so. Of SWE-bench
Multilingual's 300 rows 42 run `go test`, 43 `cargo test`, 26 Maven or Gradle, and 17 jest or vitest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import PurePosixPath
from random import Random

from evals.grade.strict import mutate
from evals.grade.strict.java import JAVA
from evals.grade.strict.language import Names, Runner, filled, with_heads
from evals.grade.strict.mutate import NAMES, Mutant
from evals.grade.strict.rust import RUST
from evals.grade.strict.suite import named

SITECUSTOMIZE = """\
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
import {module}
{module}.install({results!r}, {key!r})
sys.path[:] = [entry for entry in sys.path if entry != {site!r}]
spec = PathFinder.find_spec("sitecustomize", sys.path)
if spec is not None and spec.loader is not None:
    module = sys.modules["sitecustomize"] = module_from_spec(spec)
    spec.loader.exec_module(module)
"""


# --- Python


def python_files(names: Names) -> dict[str, bytes]:
    source = (files("evals.grade.strict") / "reporter.py").read_bytes()
    start = SITECUSTOMIZE.format(module=names.module, results=names.results, key=names.key, site=names.site)
    return {f"{names.site}/{names.module}.py": source, f"{names.site}/sitecustomize.py": start.encode()}


def python_lines(names: Names) -> Sequence[str]:
    return (
        f'export PYTHONPATH="{names.site}${{PYTHONPATH:+:$PYTHONPATH}}"',
        f'export PYTEST_ADDOPTS="${{PYTEST_ADDOPTS:-}} -p {names.module} --tb=no"',
        "export TOX_TESTENV_PASSENV='PYTHONPATH PYTEST_ADDOPTS'",
        "export TOX_OVERRIDE=testenv.pass_env+=PYTHONPATH,PYTEST_ADDOPTS",
    )


# --- Go

GO_TEST = r"^func[ \t]+(?P<name>{names})\([ \t]*(?P<t>\w+)[ \t]+\*testing\.T[ \t]*\)[ \t]*\{{"


def go_lines(names: Names) -> Sequence[str]:
    """The program that seals results is built before any tested code runs, with nothing of the repository's settings."""
    built = f"{names.site}/{names.module}"
    settings = "GOFLAGS= GOWORK=off GO111MODULE=off GOTOOLCHAIN=local CGO_ENABLED=0"
    return (
        f"(cd {names.site} && {settings} go build -o {built} {names.module}.go) || exit 70",
        f'go() {{ if [ "${{1:-}}" != test ]; then command go "$@"; return; fi; shift; command go test -json "$@" '
        f'| {built}; return "${{PIPESTATUS[0]}}"; }}',
    )


def go_broken(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    """One more condition at the head of each test, which cannot hold: the rest of it runs on."""

    def condition(match: re.Match[str]) -> str:
        small, large, name = random.randint(2, 40), random.randint(41, 99), random.choice(NAMES)
        fails = f'{match["t"]}.Errorf("{name} = %d, want %d", {name}, {large})'
        return (
            f"\n\tif {name} := {small}; {name} != {large} {{\n\t\t{fails}\n\t}}" if match["t"] != "_" else ""
        )

    return with_heads(source, GO_TEST, functions, condition)


# --- JavaScript and TypeScript

JS_TEST = r"""\b(?:it|test)\(\s*(['"`])(?P<name>{names})\1\s*,\s*(?:async\s*)?(?:\(\s*\)\s*=>|function\s*\(\s*\))\s*\{{"""
RUNS_TESTS = re.compile(r"\b(?:jest|vitest)\b|\b(?:npm|yarn|pnpm)\s+(?:run\s+)?test\b")
VITEST = re.compile(r"\bvitest\b|--reporter[= ]")


def js_command(names: Names, line: str) -> str:
    """Both runners take several reporters, from any path; what is piped on keeps its own."""
    if not RUNS_TESTS.search(line):
        return line
    command, pipe, rest = line.partition(" | ")
    place = f"{names.site}/{names.module}.cjs"
    ours = f" --reporter={place}" if VITEST.search(command) else f" --reporters=default --reporters={place}"
    return f"{command}{ours}{pipe}{rest}"


def js_broken(source: bytes, functions: Iterable[str], random: Random) -> Mutant:
    def assertion(_match: re.Match[str]) -> str:
        return f" expect({random.randint(2, 40)}).toBe({random.randint(41, 99)});"

    return with_heads(source, JS_TEST, functions, assertion)


PYTHON = Runner(
    "Python", (".py",), python_files, python_lines, lambda _names, line: line,
    lambda test_id: named(test_id).function, mutate.break_bodies,
)  # fmt: skip
GO = Runner(
    "Go", (".go",), lambda names: {f"{names.site}/{names.module}.go": filled("seal.go", names)}, go_lines,
    lambda _names, line: line, lambda test_id: test_id.partition("/")[0], go_broken,
)  # fmt: skip
JAVASCRIPT = Runner(
    "JavaScript", (".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs"),
    lambda names: {f"{names.site}/{names.module}.cjs": filled("reporter.cjs", names)},
    lambda _names: (), js_command, lambda test_id: test_id.rpartition(" > ")[2], js_broken,
)  # fmt: skip
PRINTED = "its runner prints what the tests print"
SAME_PROCESS = "its runner is no other than the tests' own process"
BY_COMMAND: tuple[tuple[re.Pattern[str], Runner | str], ...] = (
    (re.compile(r"pytest|runtests\.py|\btox\b|bin/test\b|\bpython"), PYTHON),
    (re.compile(r"\bgo test\b"), GO),
    (re.compile(r"\bcargo\b"), RUST),
    (
        re.compile(r"\b(?:mocha|karma|qunit|jasmine|ava)\b"),
        f"JavaScript, and neither jest nor vitest: {PRINTED}",
    ),
    (re.compile(r"\b(?:mvn[dw]?|gradlew?)\b"), JAVA),
    (re.compile(r"\bant\b"), f"Java under Ant: {PRINTED}"),
    (re.compile(r"\bphpunit\b|\bpest\b"), f"PHP: {SAME_PROCESS}"),
    (re.compile(r"\b(?:rspec|rake|ruby|bundle)\b"), f"Ruby: {SAME_PROCESS}"),
    (RUNS_TESTS, JAVASCRIPT),
    (re.compile(r"\b(?:ctest|make|runtest|meson)\b"), f"C or C++: {PRINTED}"),
)
"""What a test command says → its runner, or why there is no strict column; the first that fits."""
LANGUAGES = (PYTHON, GO, JAVASCRIPT, RUST, JAVA)
BY_SUFFIX = {suffix: runner for runner in LANGUAGES for suffix in runner.suffixes if suffix != ".snap"}


def runner_of(commands: Iterable[str], paths: Iterable[str]) -> Runner | str:
    """By the row's test commands, else by the test files' names; where there is none, why."""
    suffixes = [PurePosixPath(path).suffix for path in paths]
    text = "\n".join(commands)
    found = (made for pattern, made in BY_COMMAND if pattern.search(text))
    by_name = (BY_SUFFIX[suffix] for suffix in sorted(suffixes) if suffix in BY_SUFFIX)
    return next(found, None) or next(by_name, "no runner of theirs is known to it")
