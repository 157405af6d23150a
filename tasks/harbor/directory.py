"""A Harbor task directory → a task: `instruction.md`, `task.toml`, `environment/`, `tests/test.sh`, `solution/solve.sh`.

What cannot be run here is a task all the same, with the reason in `Verifier.refused`: it is listed and excluded, never
lost. What is broken (no instruction, no script, no TOML) is a `TaskError`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tasks.errors import TaskError
from tasks.harbor import compose
from tasks.harbor.config import FROM_HOST, TaskConfig, read_config
from tasks.harbor.script import needs, report_path
from tasks.harbor.services import read_compose
from tasks.harbor.skills import skills_of
from tasks.swebench import SAFE_ID
from tasks.task import Compose, ImageSpec, MachineBrief, Task, Verifier

INSTRUCTION, CONFIG, TEST, SOLUTION = "instruction.md", "task.toml", "tests/test.sh", "solution/solve.sh"
WORKDIR = re.compile(r"^\s*(FROM|WORKDIR)\s+(.+?)\s*$", re.MULTILINE | re.IGNORECASE)


def is_task(path: Path) -> bool:
    return (path / CONFIG).is_file()


def task_from_directory(directory: Path, benchmark: str) -> Task:
    """Raises `TaskError` naming the file that is missing or wrong."""
    config = read_config(directory / CONFIG)
    instruction = read(directory, INSTRUCTION)
    script = read(directory, TEST)
    at = workdir(directory, config)
    category = str(config.metadata.get("category") or benchmark)
    task_id = directory.name
    if not SAFE_ID.fullmatch(task_id):
        raise TaskError(f"{task_id!r} cannot be the name of a task: it becomes a directory of a run")
    own, checks = image(directory, config), verifier(directory, config, script)
    return Task(
        id=task_id,
        benchmark=benchmark,
        image=own,
        brief=MachineBrief(
            task_id=task_id,
            repo=category,
            problem_statement=instruction,
            workdir=at,
            skills=skills_of(directory / "environment", at),
        ),
        checks=checks,
        compose=Compose() if checks.refused else surroundings(directory, config, own),
    )


def verifier(directory: Path, config: TaskConfig, script: str) -> Verifier:
    fetched = needs(script)
    return Verifier(
        directory=directory.absolute(),
        digest=digest(directory),
        seconds=config.verifier.timeout_sec,
        env=config.verifier.env,
        solution_env={k: v for k, v in config.solution.env.items() if not FROM_HOST.search(v)},
        packages=fetched.packages,
        tools=fetched.tools,
        ctrf=report_path(script),
        agent_seconds=config.agent.timeout_sec,
        memory=config.memory,
        cpus=config.environment.cpus,
        wants_network=config.wants_network,
        difficulty=str(config.metadata.get("difficulty") or ""),
        refused=refusal(directory, config, fetched.impossible),
    )


def refusal(directory: Path, config: TaskConfig, impossible: tuple[str, ...]) -> str:
    """Why asclaimed cannot run it; "" when it can."""
    if config.refusal:
        return config.refusal
    for name in compose.FILES:
        path = directory / "environment" / name
        if path.is_file() and (why := compose.refusal(path)):
            return why
    if "$" in workdir(directory, config):
        return "has a Dockerfile that computes its working directory; `environment.workdir` in task.toml can say it"
    if impossible:
        return f"has a verifier that installs {impossible[0]}, which is on no package index"
    return ""


def surroundings(directory: Path, config: TaskConfig, own: ImageSpec) -> Compose:
    """What its compose file and its configuration add to its machine."""
    given = config.environment.env
    paths = (directory / "environment" / name for name in compose.FILES)
    found = next((path.absolute() for path in paths if path.is_file()), None)
    return read_compose(found, own, given) if found else Compose(environment=given)


def image(directory: Path, config: TaskConfig) -> ImageSpec:
    """The published image, or what its Dockerfile makes."""
    context = directory / "environment"
    has_dockerfile = (context / "Dockerfile").is_file()
    name = config.environment.docker_image
    if not name and not has_dockerfile and not any((context / c).is_file() for c in compose.FILES):
        raise TaskError(f"{directory.name}: neither `docker_image` in {CONFIG} nor environment/Dockerfile")
    return ImageSpec(
        reference=name or f"asclaimed/harbor-{directory.name.lower()}",
        context=context.absolute() if has_dockerfile else None,
    )


def workdir(directory: Path, config: TaskConfig) -> str:
    """As the task says, else where the last stage of its Dockerfile ends, else the root."""
    if config.environment.workdir:
        return config.environment.workdir
    at, file = PurePosixPath("/"), directory / "environment" / "Dockerfile"
    text = read(directory, "environment/Dockerfile") if file.is_file() else ""
    for instruction, value in WORKDIR.findall(text):
        at = PurePosixPath("/") if instruction.upper() == "FROM" else at / value.strip("\"'")
    return str(at)


def read(directory: Path, name: str) -> str:
    try:
        return (directory / name).read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise TaskError(f"{directory.name}: {name} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{directory.name}: cannot read {name}: {error}") from error


def digest(directory: Path) -> str:
    """sha256 over names, executable bits and contents of all files of a task."""
    found = hashlib.sha256()
    for path in files(directory):
        data = path.read_bytes()
        head = f"{path.relative_to(directory)}\0{path.stat().st_mode & 0o100:o}\0{len(data)}\0"
        found.update(head.encode() + data)
    return found.hexdigest()


def files(directory: Path) -> Iterator[Path]:
    """Regular files below, sorted. A link is read where it leads within the directory. Raises `TaskError` for any other."""
    for path in sorted(directory.rglob("*")):
        if "__pycache__" in path.parts or path.is_dir():
            continue
        if not path.is_file() or not path.resolve().is_relative_to(directory.resolve()):
            raise TaskError(f"{directory.name}: {path.relative_to(directory)} is no file of the task")
        yield path
