"""The graded tests as the host knows them: which files, which functions, which ids. Nothing here runs a test.

Test files are those of test.patch, those that the eval script checks out and those that a graded id names; their
contents are the start state's (read from the image before any patch) with test.patch applied here, on the host.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from evals.grade.strict.result_file import worst
from tasks.task import Task

DIFF_HEADER = re.compile(r'^diff --git "?a/(.+?)"? "?b/(.+?)"?$', re.MULTILINE)
UNITTEST_ID = re.compile(r"^(\w+) \(([\w.]+)\)$")
Files = Mapping[str, bytes | None]
"""Path in the repository → content; None = the file is not there."""


class Named(NamedTuple):
    """What a graded id says of where its test is."""

    path: str
    """A file's path, or a module's path without `.py`; "" when the id does not say."""
    function: str


def test_paths(task: Task, restored: Iterable[str]) -> tuple[str, ...]:
    """Paths of all files that may hold graded tests or serve them; some may not exist."""
    paths = [name for pair in DIFF_HEADER.findall(task.patch_checks.test_patch) for name in pair]
    paths += restored
    for test_id in graded(task):
        path = named(test_id).path
        if path.endswith(".py"):
            paths.append(path)
        elif path:
            parents = [PurePosixPath(path), *PurePosixPath(path).parents]
            paths += [
                f"{root}{parent}.py" for parent in parents[:2] for root in ("", "tests/") if parent.name
            ]
    return tuple(dict.fromkeys(path for path in paths if _inside(path)))


def _inside(path: str) -> bool:
    return not path.startswith("/") and ".." not in PurePosixPath(path).parts


def graded(task: Task) -> tuple[str, ...]:
    return (*task.patch_checks.fail_to_pass, *task.patch_checks.pass_to_pass)


def named(test_id: str) -> Named:
    """Read pytest's `path::Class::function[…]`, unittest's `function (module.Class)`, SymPy's `function`."""
    if "::" in test_id:
        path, _, rest = test_id.partition("::")
        return Named(path, rest.partition("[")[0].split("::")[-1].split(" ")[0])
    if match := UNITTEST_ID.fullmatch(test_id):
        function, dotted = match.groups()
        return Named(dotted.removesuffix(f".{function}").replace(".", "/"), function)
    return Named("", test_id)


def function_of(test_id: str, by_docstring: Mapping[str, str]) -> str:
    """The name of the function behind a graded or reported id."""
    return by_docstring.get(test_id) or named(test_id).function


def with_test_patch(start: Files, test_patch: str) -> dict[str, bytes | None]:
    """The files after test.patch. Raises `ValueError` when it does not apply."""
    with tempfile.TemporaryDirectory(prefix="asclaimed-strict-") as directory:
        root = Path(directory)
        for name, content in start.items():
            if content is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
        done = subprocess.run(
            ["git", "apply", "-"],
            input=test_patch.encode(),
            cwd=root,
            capture_output=True,
            check=False,
            env={
                "PATH": "/usr/bin:/bin:/usr/local/bin",
                "GIT_CEILING_DIRECTORIES": directory,
                "HOME": directory,
            },
        )
        if test_patch.strip() and done.returncode:
            raise ValueError("test.patch does not apply to the start state")
        return {name: _regular(root / name) for name in start}


def _regular(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


class Reported:
    """Reported states, looked up the way the official parsers name tests."""

    def __init__(self, states: Mapping[str, str]) -> None:
        self._states = states
        self._by_name: dict[str, list[str]] = {}
        for name in states:
            for alias in {name, name.split(" ")[0] if "::" in name else name, _short_option(name)}:
                self._by_name.setdefault(alias, []).append(name)

    def names(self, test_id: str) -> list[str]:
        """Reported tests that the id may mean."""
        found = self._by_name.get(test_id) or self._by_name.get(" ".join(test_id.split())) or []
        if not found and test_id.count("[") > test_id.count("]"):
            found = [n for name, names in self._by_name.items() if name.startswith(test_id) for n in names]
        return found

    def state(self, test_id: str) -> str:
        """The worst state of all reported tests that the id may mean; `missing` when there is none."""
        found = self.names(test_id)
        return worst(self._states[name] for name in found) if found else "missing"


def _short_option(name: str) -> str:
    """pylint's and requests' parser keeps the last part of an option that is an absolute path."""
    test, _, rest = name.partition("[")
    option = rest.rpartition("]")[0]
    if option.startswith("/") and not option.startswith("//") and "*" not in option:
        return f"{test}[/{option.split('/')[-1]}]"
    return name


def by_docstring(tests: Files) -> dict[str, str]:
    """First line of a docstring → its function: unittest's verbose output, and so some graded ids, name tests so."""
    return {
        line: node.name
        for content in tests.values()
        if content is not None
        for node in _functions(content)
        if (line := (ast.get_docstring(node) or "").split("\n")[0].strip())
    }


def _functions(content: bytes) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    try:
        return [
            n for n in ast.walk(ast.parse(content)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
    except (SyntaxError, ValueError, RecursionError):
        return []
