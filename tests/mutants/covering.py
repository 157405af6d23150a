"""Which tests run which line, by coverage.py: measured once, and again for test files that changed or ran what changed."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest

from tests.mutants.mutate import Mutant
from tests.mutants.trial import QUICK, in_child

Measured = dict[str, Any]
"""Of one test file: `seconds` of each test, `lines`: source file → line → tests, and `ran`: files → digest, its own too."""
PACKAGES = ("evals", "scaffolds", "tasks")
BATCH = 8
"""Test files that one process measures; what it found is kept before the next begins."""
SLOWEST_SECONDS = 8.0
"""Slower tests are simulations; thousands of mutants cannot wait for them. All others together take minutes, the quick first."""

A_FILE_SECONDS = 15.0
"""Of a test file that was not measured."""


class Covering(NamedTuple):
    """All test files together."""

    seconds: dict[str, float]
    """Of CPU time."""
    lines: dict[str, dict[int, set[str]]]
    files: tuple[str, ...] = ()
    """Where not empty: these, whatever they run."""
    importers: Callable[[str], list[str]] | None = None
    """Where given: the test files that import a source file, and nothing is measured."""

    def of(self, mutant: Mutant) -> dict[str, float]:
        """Seconds of each test that runs a mutant; one that runs at import concerns all tests of its file."""
        if chosen := self.importers(mutant.file) if self.importers else self.files:
            return dict.fromkeys(chosen, A_FILE_SECONDS)
        lines = self.lines.get(mutant.file, {})
        names = set[str]().union(*(lines.get(line, ()) for line in mutant.lines))
        names = names or set[str]().union(*lines.values())
        return {name: self.seconds[name] for name in names if self.seconds[name] < SLOWEST_SECONDS}


def covering(copy: Path, cache: Path, sources: list[str]) -> Covering:
    """Measures what is not in `cache`, or was measured of other files than those in `copy`."""
    cache.mkdir(parents=True, exist_ok=True)
    names = [f"tests/{path.name}" for path in sorted((copy / "tests").glob("test_*.py"))]
    kept = {name: cache / f"{Path(name).stem}.json" for name in names}
    if stale := [name for name, path in kept.items() if is_stale(path, copy, sources)]:
        print(f"measuring what {len(stale)} test files run", flush=True)
    for n in range(0, len(stale), BATCH):
        batch = stale[n : n + BATCH]
        in_child(copy, lambda batch=batch: measure(batch, kept, sources), 3600)  # type: ignore[misc]
    return together(json.loads(path.read_text()) for path in kept.values() if path.exists())


def is_stale(path: Path, copy: Path, sources: list[str]) -> bool:
    if not path.exists():
        return True
    measured = json.loads(path.read_text())
    return not set(sources) <= set(measured["lines"]) or any(
        digest(copy / name) != known for name, known in measured["ran"].items()
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:24] if path.exists() else ""


def given(files: list[str]) -> Covering:
    return Covering({}, {}, tuple(files))


def importing(root: Path) -> Covering:
    """By import statements: a file that imports the mutant's module, or a module that does. Others may run it, too: what
    survives here is an upper bound."""
    return Covering({}, {}, importers=partial(importers, root))


@cache
def importers(root: Path, source: str) -> list[str]:
    """Nearest first, and of equally near ones those that import least of ours: the first test that notices ends a trial."""
    graph, name = imports(root), dotted(source)
    near = {name} | {other for other, found in graph.items() if name in found and not is_test(other)}
    chosen = [other for other, found in graph.items() if is_test(other) and found & near]
    chosen.sort(key=lambda other: (name not in graph[other], len(graph[other]), other))
    return [f"{other.replace('.', '/')}.py" for other in chosen]


@cache
def imports(root: Path) -> dict[str, frozenset[str]]:
    """Module → modules that it imports, within functions as well; a name that may be a module or not counts as both."""
    files = [path for package in (*PACKAGES, "tests") for path in sorted((root / package).rglob("*.py"))]
    names = {dotted(str(path.relative_to(root))): path for path in files if "bundled" not in path.parts}
    return {name: frozenset(imported(path.read_text()) & names.keys()) for name, path in names.items()}


def imported(text: str) -> set[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(str(module), aliases, 0):
                found |= {module, *(f"{module}.{alias.name}" for alias in aliases)}
    return found


def dotted(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def is_test(name: str) -> bool:
    return name.startswith("tests.test_")


def together(measured: Iterator[Measured]) -> Covering:
    whole = Covering({}, {})
    for one in measured:
        whole.seconds.update(one["seconds"])
        for file, lines in one["lines"].items():
            for line, names in lines.items():
                whole.lines.setdefault(file, {}).setdefault(int(line), set()).update(names)
    return whole


def measure(files: list[str], kept: dict[str, Path], sources: list[str]) -> int:
    """In a child: run test files and write what each of their tests ran."""
    for source in sources:  # before anything is measured: what runs at import is no test's own
        import_module(dotted(source))
    recorder = coverage.Coverage(
        data_file=None, include=[str(Path.cwd() / package / "*") for package in PACKAGES], config_file=False
    )
    plugin = Recorder(recorder)
    recorder.start()
    pytest.main([option for option in QUICK if option != "-x"] + files, plugins=[plugin])
    recorder.stop()
    data = recorder.get_data()
    for file in files:
        seconds = {name: took for name, took in plugin.seconds.items() if name.startswith(f"{file}::")}
        lines = {source: lines_of(data, source, seconds) for source in sources}
        ran = {name: digest(Path(name)) for name in [file, *files_of(data, seconds)]}
        kept[file].write_text(json.dumps({"seconds": seconds, "lines": lines, "ran": ran}))
    return 0


def files_of(data: coverage.CoverageData, tests: dict[str, float]) -> list[str]:
    """Files of ours of which one of the tests ran a line."""
    names = {str(Path(name).relative_to(Path.cwd())) for name in data.measured_files()}
    return sorted(name for name in names if lines_of(data, name, tests))


def lines_of(data: coverage.CoverageData, source: str, tests: dict[str, float]) -> dict[int, list[str]]:
    found = data.contexts_by_lineno(str(Path.cwd() / source))
    return {
        line: names for line, all_names in found.items() if (names := sorted(tests.keys() & set(all_names)))
    }


class Recorder:
    """A pytest plugin that names each test to coverage.py, and keeps the time of those that passed."""

    def __init__(self, recorder: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self._recorder = recorder
        self._wrong: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self._recorder.switch_context(item.nodeid)
        began = time.process_time()
        result = yield
        self._recorder.switch_context("")
        if item.nodeid not in self._wrong:
            self.seconds[item.nodeid] = round(time.process_time() - began, 3)
        return result

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test that fails or is skipped without any mutant would say nothing about one."""
        if not report.passed:
            self._wrong.add(report.nodeid)
