"""A task's compose file, read for one question: whether what it asks for can be had here.

Harbor merges it into a file of its own: the service `main` is the agent's machine, made of the task's Dockerfile or image;
any other is a machine beside it. All that would be shared with the host, or keeps services apart from each other, is
refused for the worst of it, by name. Not here: what a service that can be had is (`services`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tasks.errors import TaskError
from tasks.harbor.variables import OF_HARBOR, filled, from_host, missing, texts, used_in

FILES = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
MAIN = "main"
PLAIN_NETWORKS = ("", "bridge", "none", "default")
IDLE = ("sleep", "tail -f", "tail, -f")
HARMLESS = frozenset({
    "build", "image", "command", "network_mode", "networks", "environment", "volumes", "deploy", "stdin_open", "tty", "init",
    "ports", "container_name", "restart", "pull_policy", "depends_on", "expose", "hostname", "labels", "logging",
    "cap_drop", "stop_grace_period", "stop_signal", "platform",
})  # fmt: skip
"""Keys that are looked at, or change nothing for a container of ours."""
OF_SERVICES = HARMLESS | {"entrypoint", "healthcheck", "tmpfs", "user", "working_dir", "profiles"}
BUILT_BY = frozenset({"context", "dockerfile"})
RIGHTS = {
    "privileged": "is privileged",
    "devices": "takes devices of the host",
    "cap_add": "takes rights over the host",
    "pid": "shares processes with the host",
    "ipc": "shares memory with the host",
    "userns_mode": "has rights of its own",
}
MOST = 300
"""Characters of a reason: names in a file may hold anything."""
VOLUME = re.compile(r"[A-Za-z0-9][\w.-]*")
GPUS, HOSTS, FROM_HOST, MOUNTS, OTHER = 5, 6, 7, 8, 9
"""How bad a thing is, after `RIGHTS`."""
Why = tuple[int, str]


class Document(NamedTuple):
    """A compose file: each part is a mapping, whatever the file had there."""

    services: Mapping[str, Mapping[str, Any]]
    """Without those that only a profile starts; `main` is there where the file names it."""
    volumes: Mapping[str, Any]
    networks: Mapping[str, Any]
    includes: bool

    @property
    def beside(self) -> dict[str, Mapping[str, Any]]:
        return {name: service for name, service in self.services.items() if name != MAIN}


def document(path: Path) -> Document:
    """Raises `TaskError` for no compose file."""
    try:
        top = yaml.safe_load(path.read_text(encoding="utf-8"))
        services = {str(name): dict(service or {}) for name, service in top["services"].items()}
        volumes, networks = dict(top.get("volumes") or {}), dict(top.get("networks") or {})
    except (
        OSError,
        UnicodeDecodeError,
        yaml.YAMLError,
        RecursionError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise unreadable(path) from error
    started = {name: service for name, service in services.items() if not service.get("profiles")}
    return Document(started, volumes, networks, bool(top.get("include")))


def unreadable(path: Path) -> TaskError:
    return TaskError(f"{path.parents[1].name}/environment/{path.name}: not a readable compose file")


def refusal(path: Path) -> str:
    """Why a task with this file cannot be run; "" where it can. Raises `TaskError` for no compose file."""
    found = document(path)
    try:
        worst = min(asked_by(found), default=None)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unreadable(path) from error
    return f"needs docker compose, and {' '.join(worst[1].split())[:MOST]}" if worst else ""


def asked_by(found: Document) -> Iterator[Why]:
    """What its parts ask for, each with its place from the worst on."""
    for name, service in found.services.items():
        whose = "" if name == MAIN else f"its service {name} "
        yield from ((place, f"{whose}{why}") for place, why in asked_by_one(name, service))
    if found.includes:
        yield OTHER, "includes other files"
    if found.beside:
        yield from asked_together(found)


def asked_by_one(name: str, service: Mapping[str, Any]) -> Iterator[Why]:
    for place, (key, why) in enumerate(RIGHTS.items()):
        if service.get(key):
            yield place, why
    if (((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}).get("devices"):
        yield GPUS, RIGHTS["devices"]
    if (mode := filled(str(service.get("network_mode") or ""))) not in PLAIN_NETWORKS:
        yield HOSTS, f"has the network {mode!r}"
    if keys := sorted(set(from_host(service.get("environment") or {}))):
        yield FROM_HOST, f"takes {', '.join(keys)} from the environment of whoever runs it"
    yield from ((MOUNTS, f"mounts {source}") for source in mounted(name, service))
    others = other_than_its_dockerfile(service) if name == MAIN else other_than_a_service(service)
    yield from ((OTHER, why) for why in others)


def mounted(name: str, service: Mapping[str, Any]) -> Iterator[str]:
    """What of the host, or of another machine, would be seen inside."""
    for volume in service.get("volumes") or ():
        source = source_of(volume)
        if not (used_in(source).keys() & OF_HARBOR if name == MAIN else is_own(volume)):
            yield source or str(volume)


def source_of(volume: Any) -> str:
    return str(volume.get("source", "") if isinstance(volume, Mapping) else volume).partition(":/")[0]


def is_own(volume: Any) -> bool:
    """Whether it is a volume, with or without a name, or memory; not a place of the host."""
    if isinstance(volume, Mapping):
        return volume.get("type") in ("volume", "tmpfs")
    source, colon, _ = str(volume).partition(":")
    return bool(VOLUME.fullmatch(source)) if colon else source.startswith("/")


def other_than_its_dockerfile(main: Mapping[str, Any]) -> Iterator[str]:
    """What would be lost of the machine if its Dockerfile and its variables alone were taken."""
    build = main.get("build")
    context = build.get("context", ".") if isinstance(build, Mapping) else build
    if context is not None and filled(str(context)) not in ("", ".", "./"):
        yield f"is built from {context}"
    if isinstance(build, Mapping) and build.get("dockerfile", "Dockerfile") != "Dockerfile":
        yield f"is built from {build['dockerfile']}"
    if main.get("command") and not any(word in str(main["command"]) for word in IDLE):
        yield "starts a service in its machine"
    if others := sorted(key for key in main if main[key] and key not in HARMLESS):
        yield f"sets {', '.join(others)}"


def other_than_a_service(service: Mapping[str, Any]) -> Iterator[str]:
    """What no container of ours would have."""
    build, deploy = service.get("build"), service.get("deploy") or {}
    if not (build or service.get("image")):
        yield "has neither an image nor a directory to build one from"
    if isinstance(build, Mapping) and (
        others := sorted(key for key in build if build[key] and key not in BUILT_BY)
    ):
        yield f"is built with {', '.join(others)}"
    if deploy.get("replicas") not in (None, 1):
        yield f"runs {deploy['replicas']} times"
    if others := sorted(key for key in service if service[key] and key not in OF_SERVICES):
        yield f"sets {', '.join(others)}"
    rest = {key: value for key, value in service.items() if key not in ("environment", "volumes", "deploy")}
    if outside := {name for text in texts(rest) for name in missing(text)}:
        yield f"takes {', '.join(sorted(outside))} from the environment of whoever runs it"


def asked_together(found: Document) -> Iterator[Why]:
    """What services ask for of each other that one loopback for all of them cannot give."""
    for name, network in found.networks.items():
        if (network or {}).get("external"):
            yield HOSTS, f"has the host's network {name}"
    for name, volume in found.volumes.items():
        if (volume or {}).get("external") or (volume or {}).get("driver_opts"):
            yield MOUNTS, f"mounts the host's volume {name}"
    networks = [networks_of(found.services.get(name) or {}) for name in (MAIN, *found.beside)]
    if not set.intersection(*networks):
        yield OTHER, "keeps its services apart in several networks"
    named = Counter(
        source for one in found.services.values() for source in {source_of(each) for each in one.get("volumes") or ()}
    )  # fmt: skip
    if both := sorted(name for name, users in named.items() if users > 1 and VOLUME.fullmatch(name)):
        yield OTHER, f"has services that share a volume ({', '.join(both)})"
    ports = Counter(port for one in found.beside.values() for port in set(served_by(one)))
    if twice := sorted(port for port, users in ports.items() if users > 1):
        yield OTHER, f"has several services on port {', '.join(twice)}, and here all share one loopback"


def served_by(service: Mapping[str, Any]) -> Iterator[str]:
    """Its own side of the ports that it names. None is opened on the host: that is for whoever develops the task."""
    for port in (*(service.get("expose") or ()), *(service.get("ports") or ())):
        inside = port.get("target") if isinstance(port, Mapping) else str(port).rpartition(":")[2]
        yield str(inside).partition("/")[0]


def networks_of(service: Mapping[str, Any]) -> set[str]:
    if filled(str(service.get("network_mode") or "")) == "none":
        return set()
    return {str(name) for name in service.get("networks") or ("default",)}
