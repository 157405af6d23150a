"""The house keeps its shape: who may import whom, where Docker and OpenAI are spoken to, what `--help` may cost.

A room is a folder of `evals/` or a file beside them, and each of the packages `tasks` and `scaffolds` as a whole.
Imports within functions count as well: they cost later, and tie rooms together just the same.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from statistics import median

import pytest

from evals.record import Outcome
from evals.run.ledger import Ledger
from tests.runs_on_disk import write_run

ROOT = Path(__file__).parents[1]
PACKAGES = ("tasks", "scaffolds", "evals")
FLOORS = (
    ("tasks",),
    ("scaffolds", "evals.claims"),
    ("evals.record", "evals.serve"),
    ("evals.stats",),
    ("evals.grade.strict",),
    ("evals.run",),
    ("evals.grade", "evals.results", "evals.bench", "evals.imports"),
    ("evals.nightly", "evals.verdict"),
    ("evals.calibrate", "evals.report"),
    ("evals.commands",),
    ("evals.cli",),
    ("evals.__main__",),
)
"""The order in which data flows: a room imports from earlier lines only."""
MOST_ROOMS, MOST_ARROWS = 20, 90
AT_HOME = {"docker": "tasks/docker/", "openai": "scaffolds/openai/"}
"""Library → the one folder that may import it."""
IMPORT_NAMES = {"yaml": "pyyaml", "minisweagent": "mini_swe_agent"}
"""Import package → distribution, where they differ."""
HEAVY = ("openai", "docker", "datasets", "swebench", "pandas", "scipy", "statsmodels", "numpy")


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {module_name(file): file for file in files if "bundled" not in file.parts}


@cache
def imported(file: Path) -> frozenset[str]:
    """Full names of what a file imports, anywhere in it; a module's name where a module is imported from its package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules() else node.module for name in full}
    return frozenset(names)


def room(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "evals":
        return parts[0]
    depth = 3 if parts[1:3] == ["grade", "strict"] else 2
    return ".".join(parts[:depth])


@cache
def arrows() -> dict[tuple[str, str], str]:
    """(room, room it imports from) → a module that does, for the message."""
    found = {}
    for name, file in modules().items():
        for target in imported(file) & modules().keys():
            if room(target) != room(name):
                found[room(name), room(target)] = f"{name} imports {target}"
    return found


def floor(name: str) -> int:
    return next(n for n, rooms in enumerate(FLOORS) if name in rooms)


def test_every_room_has_its_floor() -> None:
    named = {name for rooms in FLOORS for name in rooms}
    assert {room(name) for name in modules()} - {"evals"} <= named


def test_rooms_import_downwards_only() -> None:
    """No cycle can exist where every arrow leads to a lower floor."""
    wrong = [why for (source, target), why in arrows().items() if floor(target) >= floor(source)]
    assert wrong == []


def test_the_house_stays_small() -> None:
    assert len({room(name) for name in modules()}) <= MOST_ROOMS
    assert len(arrows()) <= MOST_ARROWS


def test_functions_are_short() -> None:
    """Lines of each, decorators included: at the median and for nine in ten."""
    nodes = [node for file in modules().values() for node in ast.walk(ast.parse(file.read_text()))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    first = [min([node.lineno, *(d.lineno for d in node.decorator_list)]) for node in functions]
    lines = [(node.end_lineno or 0) - start + 1 for node, start in zip(functions, first, strict=True)]
    assert median(lines) <= 8
    assert sorted(lines)[len(lines) * 9 // 10] <= 20


@pytest.mark.parametrize("library", sorted(AT_HOME))
def test_a_library_is_spoken_to_in_one_folder(library: str) -> None:
    users = {
        str(file.relative_to(ROOT))
        for file in modules().values()
        if any(name.split(".")[0] == library for name in imported(file))
    }
    assert {user for user in users if not user.startswith(AT_HOME[library])} == set()


def test_runs_know_a_backend_and_not_docker() -> None:
    """`tasks.backend` is the seam: another kind of machine needs no change there."""
    users = {
        name for name, file in modules().items() if any(i.startswith("tasks.docker") for i in imported(file))
    }
    assert {room(user) for user in users} & {"scaffolds", "evals.run", "evals.nightly"} == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_path_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"\b(?:tasks|scaffolds|evals|tests)/[\w/.-]*\w", (ROOT / page).read_text())
    generic = ("MAKER.yaml", "NAME.yaml")
    assert [path for path in named if not (ROOT / path).exists() and not path.endswith(generic)] == []


def test_what_is_imported_is_declared() -> None:
    """A library that only comes along with another one can go away with it."""
    everything = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, builds = everything["project"], everything["build-system"]["requires"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["mini"], *builds]
    declared = {re.split(r"[^\w-]", line)[0].replace("-", "_").lower() for line in wanted}
    used = {name.split(".")[0] for file in modules().values() for name in imported(file)}
    others = used - set(sys.stdlib_module_names) - set(PACKAGES)
    assert {IMPORT_NAMES.get(name, name) for name in others} - declared == set()


def after(code: str, names: tuple[str, ...]) -> list[str]:
    """Which of `names` are loaded in a new interpreter after `code`."""
    end = f"\nimport sys; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + end], capture_output=True, text=True, check=True)
    loaded: list[str] = ast.literal_eval(done.stdout.splitlines()[-1])
    return loaded


def command(*arguments: str) -> str:
    """Python code that runs one command of ours to its end."""
    return (
        f"import sys; sys.argv = {['asclaimed', *arguments]}\n"
        "from evals.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code"
    )


def test_help_loads_nothing_heavy() -> None:
    assert after(command("--help"), HEAVY) == []


def test_a_run_starts_without_its_statistics() -> None:
    """They take longer to import than everything else, and only a claim needs them before the report."""
    assert after("import evals.commands.session", ("scipy", "statsmodels", "numpy")) == []


CLAIM = "qwen3.6-27b/swe-bench-verified"


@pytest.mark.parametrize(
    "words", [("report",), ("compare", "--by", "scaffold"), ("verify", CLAIM, "--margin", "5")]
)
def test_what_reads_a_run_needs_neither_docker_nor_openai(words: tuple[str, ...], tmp_path: Path) -> None:
    """A run is judged wherever its directory is."""
    run = write_run(tmp_path / "run", lambda _key: Outcome.RESOLVED)
    ledger = Ledger(run / "ledger.jsonl")
    ledger.append("work-ended")
    ledger.close()
    assert after(command(*words, str(run)), tuple(AT_HOME)) == []


def test_help_is_quick() -> None:
    """Best of five: CPU seconds of `asclaimed --help`, start of the interpreter included."""
    command = [str(Path(sys.executable).with_name("asclaimed")), "--help"]

    def cpu() -> float:
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    assert min(cpu() for _ in range(5)) < 0.1
