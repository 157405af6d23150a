"""The step of `pip install` that builds the supervisor and takes the plans along; pyproject.toml names it, setuptools loads this file alone."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

from setuptools.command.build_py import build_py  # type: ignore[import-untyped] # ships no types


class BuildPy(build_py):  # type: ignore[misc]
    """Builds both programs before setuptools looks for package data; `runs/plans/*.yaml` become `evals/plans/`."""

    def run(self) -> None:
        builder().build()
        self.__dict__.pop("data_files", None)  # what was found before there was anything to find
        super().run()
        if not self.editable_mode:
            plans = Path(self.build_lib, "evals", "plans")
            plans.mkdir(parents=True, exist_ok=True)
            for plan in Path("runs/plans").glob("*.yaml"):
                shutil.copy(plan, plans)


def builder() -> ModuleType:
    """build.py by its path: at installation the package's own imports are not there yet."""
    spec = importlib.util.spec_from_file_location("build_supervisor", Path(__file__).with_name("build.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
