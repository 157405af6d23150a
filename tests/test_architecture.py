"""The house keeps its shape: who may import whom, and what `--help` may cost."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "tasks": {"tasks"},
    "scaffolds": {"tasks", "scaffolds"},
    "evals": {"tasks", "scaffolds", "evals"},
}
HEAVY = ("openai", "docker", "datasets", "swebench", "pandas", "scipy", "statsmodels", "numpy")


def house_imports(source: Path) -> set[str]:
    """Top-level names of the three packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names & set(MAY_IMPORT)


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_imports_only_what_lies_upstream(package: str) -> None:
    files = [f for f in (ROOT / package).rglob("*.py") if "bundled" not in f.parts]
    assert files
    wrong = {str(f.relative_to(ROOT)): bad for f in files if (bad := house_imports(f) - MAY_IMPORT[package])}
    assert wrong == {}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['asclaimed', '--help']\n"
        "from evals.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_run_starts_without_its_statistics() -> None:
    """They take longer to import than everything else, and only a claim needs them before the report."""
    code = (
        "import sys, evals.session\nprint([m for m in ('scipy', 'statsmodels', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    """Best of five: CPU seconds of `asclaimed --help`, start of the interpreter included."""
    command = [str(Path(sys.executable).with_name("asclaimed")), "--help"]

    def cpu() -> float:
        before = os.times()
        subprocess.run(command, capture_output=True, check=True)
        after = os.times()
        return (after.children_user - before.children_user) + (after.children_system - before.children_system)

    cpu(), time.sleep(0)
    assert min(cpu() for _ in range(5)) < 0.3
