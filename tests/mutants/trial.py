"""Runs chosen tests in a copy of the repository: in a child of this process, which has the slow libraries loaded already."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
QUICK = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not docker and not model", "--timeout=120")
SLOW_TO_IMPORT = (
    "numpy",
    "scipy.stats",
    "pydantic",
    "typer",
    "rich.console",
    "jinja2",
    "yaml",
)


@contextmanager
def copy_of(directory: Path) -> Iterator[Path]:
    """The working tree's files (not git's), with `../shared` beside them and their bytecode made."""
    copy = directory / "asclaimed"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    if (ROOT.parent / "shared").exists():
        (directory / "shared").symlink_to((ROOT.parent / "shared").resolve())
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", *(str(copy / p) for p in ("evals", "scaffolds", "tests"))],
        check=False,
    )
    yield copy


class Chosen:
    """A pytest plugin: only these tests, the quick ones first."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if any("::" in name for name in self.seconds):
            chosen = (item for item in items if item.nodeid in self.seconds)
            items[:] = sorted(chosen, key=lambda item: self.seconds[item.nodeid])


def notice(copy: Path, seconds: dict[str, float]) -> bool:
    """Whether one of these tests fails in the copy, or does not come to an end. `seconds`: what each takes."""
    files = list(dict.fromkeys(name.partition("::")[0] for name in seconds))
    code = in_child(
        copy, lambda: pytest.main([*QUICK, *files], plugins=[Chosen(seconds)]), 60 + 4 * sum(seconds.values())
    )
    return code != 0


def in_child(copy: Path, work: Callable[[], int], patience: float) -> int | None:
    """`work`'s number from a child in the copy; None where it did not end in time."""
    if not (child := os.fork()):
        os.setsid()
        os.chdir(copy)
        os.environ["PYTHONPATH"] = str(copy)  # for what tests start themselves
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(copy))
        forget(("tests", "evals", "scaffolds", "tasks"))
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        try:
            os._exit(int(work()))
        finally:
            os._exit(9)
    return wait(child, patience)


def wait(child: int, patience: float) -> int | None:
    """Its exit code; None for one that had to be killed."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def forget(packages: Collection[str]) -> None:
    """So that the child imports them from its copy."""
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
