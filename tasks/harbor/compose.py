"""A task's compose file, read for one question: whether its machine is more than the one container that we make of its Dockerfile.

Many files have the service `main` alone, with what Harbor itself fills in: the image's name, places for logs, limits. Such
a task needs no compose. Anything else is refused for the worst that it asks for, by name. Not covered: running services.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import TaskError

FILES = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
MAIN = "main"
GIVEN = re.compile(r"\$\{?(\w+)(?:(:?-)([^}]*))?\}?")
"""A variable in a value, and its default."""
OF_HARBOR = frozenset({
    "CONTEXT_DIR", "MAIN_IMAGE_NAME", "PREBUILT_IMAGE_NAME", "TEST_DIR", "NETWORK_MODE", "CPUS", "MEMORY",
    "HOST_VERIFIER_LOGS_PATH", "ENV_VERIFIER_LOGS_PATH", "HOST_AGENT_LOGS_PATH", "ENV_AGENT_LOGS_PATH",
    "HOST_ARTIFACTS_PATH", "ENV_ARTIFACTS_PATH",
})  # fmt: skip
"""What Harbor fills in by itself; anything else comes from the environment of whoever runs it."""
PLAIN_NETWORKS = ("", "bridge", "none", "default")
IDLE = ("sleep", "tail -f", "tail, -f")
HARMLESS = frozenset({
    "build", "image", "command", "network_mode", "networks", "environment", "volumes", "deploy", "stdin_open", "tty", "init",
    "ports", "container_name", "restart", "pull_policy",
})  # fmt: skip
"""Keys of `main` that are looked at, or change nothing for a container of ours."""
RIGHTS = {
    "privileged": "is privileged",
    "devices": "takes devices of the host",
    "cap_add": "takes rights over the host",
    "pid": "shares processes with the host",
    "ipc": "shares memory with the host",
    "userns_mode": "has rights of its own",
}


def refusal(path: Path) -> str:
    """Why a task with this file cannot be run; "" where its Dockerfile says all. Raises `TaskError` for no compose file."""
    where = f"{path.parents[1].name}/environment/{path.name}"
    try:
        services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
        found = [why for name, service in services.items() for why in asked_by(str(name), dict(service))]
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise TaskError(f"{where}: not a readable compose file") from error
    beside = sorted(str(name) for name in services if name != MAIN)
    if beside:
        found.append((9, f"has services beside its own machine ({', '.join(beside)})"))
    worst = min(found, default=None)
    return f"needs docker compose, and {worst[1]}" if worst else ""


def asked_by(name: str, service: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """What one service asks for, each with its place from the worst on."""
    for place, (key, why) in enumerate(RIGHTS.items()):
        if service.get(key):
            yield place, why
    if (mode := filled(str(service.get("network_mode") or ""))) not in PLAIN_NETWORKS:
        yield 6, f"has the network {mode!r}"
    if keys := sorted(set(from_host(service.get("environment") or {}))):
        yield 7, f"takes {', '.join(keys)} from the environment of whoever runs it"
    for volume in service.get("volumes") or ():
        source = str(volume.get("source", "") if isinstance(volume, Mapping) else volume).partition(":/")[0]
        if not {variable for variable, _, _ in GIVEN.findall(source)} & OF_HARBOR:
            yield 8, f"mounts {source}"
    if service.get("ports"):
        yield 8, "opens ports of the host"
    if name == MAIN:
        yield from ((9, why) for why in other_than_its_dockerfile(service))


def other_than_its_dockerfile(main: Mapping[str, Any]) -> Iterator[str]:
    """What would be lost of the machine if its Dockerfile alone were taken."""
    build = main.get("build")
    context = build.get("context", ".") if isinstance(build, Mapping) else build
    if context is not None and filled(str(context)) not in ("", ".", "./"):
        yield f"is built from {context}"
    if set(names_in(main.get("environment") or {})) - OF_HARBOR:
        yield "sets variables in the environment of its machine"
    if main.get("command") and not any(word in str(main["command"]) for word in IDLE):
        yield "starts a service in its machine"
    if others := sorted(key for key in main if main[key] and key not in HARMLESS):
        yield f"sets {', '.join(others)}"


def names_in(environment: Any) -> Iterator[str]:
    return (str(entry).partition("=")[0] for entry in environment)


def from_host(environment: Any) -> Iterator[str]:
    """Variables whose value comes from outside."""
    pairs = (
        environment.items()
        if isinstance(environment, Mapping)
        else (str(e).partition("=")[::2] for e in environment)
    )
    for name, value in pairs:
        used = {variable for variable, _, _ in GIVEN.findall(str(value or ""))}
        if used - OF_HARBOR and not all(default for _, _, default in GIVEN.findall(str(value))):
            yield str(name)


def filled(text: str) -> str:
    """With defaults in the place of variables, and nothing for those without."""
    return GIVEN.sub(lambda match: match[3] or "", text)
