"""Scaffolds by name: those of the family that travels with the package, a YAML file, or a class of one's own.

Everything about a scaffold is read once, when a run begins: what a file says later does not reach an attempt. A class is
imported from where Python finds modules, the working directory last.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from scaffolds.base import Budget, Scaffold, Settings, ToolCallMode
from scaffolds.factors import Factors
from scaffolds.programs.program import Program
from scaffolds.sampling import UNSAID, Sampling
from tasks.errors import UserError, near

HOME = files("scaffolds") / "family"
PROGRAMS = files("scaffolds") / "programs"
FAMILY = "family"
"""Source of a scaffold that travels with the package."""
SUFFIX = (".yaml", ".yml")
OWN_CLASS = re.compile(r"^[\w.]+:\w+$")
SAFE_NAME = re.compile(r"^\w[\w.-]*$")
Kind = TypeVar("Kind", Factors, Program)
MOST_LIKE = 5
"""Files that a chain of `like` may have."""


@dataclass(frozen=True)
class Definition:
    """One scaffold, as a run needs it."""

    name: str
    """Of its directory in a run, and in every table."""
    source: str
    """`family`, the YAML file's path, or `module:Class`."""
    sha256: str
    """Of the YAML files, or of the class's package."""
    factors: Factors | None
    """None for a program, and for a class of one's own, of which nothing is known."""
    program: Program | None = None

    def in_force(self, budget: Budget, calls: ToolCallMode, sampling: Sampling = UNSAID) -> dict[str, str]:
        """What it consists of in a run, in words; nothing for a class of one's own."""
        if self.program:
            return self.program.in_force(budget, sampling)
        return self.factors.in_force(budget, calls, sampling) if self.factors else {}

    def prepare(self) -> None:
        """Have everything here that attempts need. Raises `MachineError`."""
        if self.program and self.program.package:
            from scaffolds.programs.install import installed

            installed(self.program)

    def make(self, settings: Settings) -> Scaffold:
        """A fresh scaffold for one attempt."""
        if self.program:
            from scaffolds.programs.agent import ProgramAgent

            return ProgramAgent(self.program, settings)
        if self.factors is None:
            scaffold: Scaffold = class_of(self.source)(settings)
            return scaffold
        from scaffolds.assembled import Assembled

        return Assembled(self.factors, settings)


@cache
def names() -> tuple[str, ...]:
    """Every scaffold of the family."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in HOME.iterdir()))


@cache
def programs() -> tuple[str, ...]:
    """Every agent program that is known by name."""
    return tuple(
        sorted(
            entry.name.removesuffix(".yaml") for entry in PROGRAMS.iterdir() if entry.name.endswith(".yaml")
        )
    )


def place_of(name: str) -> Any:
    return (PROGRAMS if name in programs() else HOME) / f"{name}.yaml"


def name_of(given: str) -> str:
    """What a scaffold is called in a run: a name, a file's stem, or a class's name."""
    if given.endswith(SUFFIX):
        return Path(given).stem
    return given.rpartition(":")[2]


def find(given: str, *, besides: Sequence[str] = ()) -> Definition:
    """Raises `UserError`, in one line, for what is none. `besides`: what else could have been meant."""
    if OWN_CLASS.match(given):
        return _of_class(given)
    if given.endswith(SUFFIX):
        return _of_file(given)
    if given not in all_names():
        known = (*all_names(), *besides)
        raise UserError(
            f"no scaffold is called {given!r}: choose from {', '.join(known)}{near(given, known)}"
        )
    return _defined(given, FAMILY, given, _chain(given, place_of(given), []))


def all_names() -> tuple[str, ...]:
    return (*names(), *programs())


def _of_file(given: str) -> Definition:
    name = name_of(given)
    if name in all_names() or not SAFE_NAME.match(name):
        raise UserError(f"{given}: call the file otherwise: {name!r} is taken, or no name for a directory")
    return _defined(name, given, given, _chain(given, Path(given), []))


def _chain(given: str, file: Any, seen: list[bytes]) -> list[bytes]:
    """A file, what it is like, and so on; the first is the file itself."""
    try:
        seen.append(file.read_bytes())
        values = yaml.safe_load(seen[-1])
    except OSError as error:
        raise UserError(f"cannot read the scaffold {given}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{given} is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(values, dict):
        raise UserError(f"{given} must hold keys and values, such as `tools: [bash]`")
    if (like := values.get("like")) is None:
        return seen
    if like not in all_names() or len(seen) >= MOST_LIKE:
        raise UserError(
            f"{given}: `like` names one of {', '.join(all_names())}{near(str(like), all_names())}"
        )
    return _chain(given, place_of(like), seen)


def _defined(name: str, source: str, given: str, texts: list[bytes]) -> Definition:
    """A file with `run`, its own or of what it is like, says how to start a program; any other, what a scaffold consists of."""
    values = _merged(texts)
    if "run" in values:
        return Definition(name, source, _digest(texts), None, _checked(given, Program, values))
    return Definition(name, source, _digest(texts), _checked(given, Factors, values))


def _merged(texts: list[bytes]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in reversed(texts):
        values.pop("about", None)
        values |= yaml.safe_load(text)
    values.pop("like", None)
    return values


def _checked(given: str, kind: type[Kind], values: dict[str, Any]) -> Kind:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{given}: {_complaint(error, kind)}") from None


def _complaint(error: ValidationError, kind: type[BaseModel]) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    last = where.rpartition(".")[2]
    if first["type"] == "extra_forbidden":
        known = [*Sampling.model_fields] if first["loc"][0] == "sampling" else [*kind.model_fields, "like"]
        return f"there is no key `{where}`{near(last, known) or '; there are ' + ', '.join(known)}"
    said = first["msg"].removeprefix("Value error, ")
    return f"`{where}`: {said}" if where else said


def _digest(texts: list[bytes]) -> str:
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _of_class(given: str) -> Definition:
    made, name = class_of(given), name_of(given)
    if name in all_names():
        raise UserError(
            f"{given}: call the class otherwise: {name!r} is a scaffold that travels with asclaimed"
        )
    return Definition(name, given, _source_hash(sys.modules[made.__module__]), None)


def class_of(given: str) -> Any:
    """The class. Raises `UserError` where the module or the class is missing or cannot be a scaffold."""
    module_name, _, class_name = given.partition(":")
    made = getattr(_module(given, module_name), class_name, None)
    if not isinstance(made, type):
        raise UserError(f"--scaffold {given}: {module_name} has no class {class_name}")
    solve = getattr(made, "solve", None)
    if (
        not _takes(made, "settings")
        or not callable(solve)
        or not _takes(solve, "self", "brief", "model", "sandbox")
    ):
        raise UserError(
            f"--scaffold {given}: a scaffold is made as {class_name}(settings) and has solve(brief, model, sandbox)"
        )
    return made


def _module(given: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return import_module(name)
    except Exception as error:  # noqa: BLE001 - whatever their module raises is their module's fault
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"--scaffold {given}: cannot import {name} ({cause})") from None


def _takes(function: Any, *arguments: str) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _source_hash(module: ModuleType) -> str:
    """sha256 over the module's file, or over every Python and YAML file of the package that it is in."""
    top = sys.modules[module.__name__.partition(".")[0]]
    roots = [Path(place) for place in getattr(top, "__path__", ())] or [Path(str(module.__file__))]
    digest = hashlib.sha256()
    for root in roots:
        found = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in (path for path in found if path.suffix in (".py", *SUFFIX)):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()
