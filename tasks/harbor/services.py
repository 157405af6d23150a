"""A task's compose file → the machines beside the agent's, and the variables of the agent's own.

For files that `compose.refusal` has nothing against. Values that no compose would take are a `TaskError` that names them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from tasks.errors import TaskError
from tasks.harbor.compose import MAIN, document
from tasks.harbor.variables import HERE, OF_HARBOR, filled, pairs
from tasks.task import Compose, HealthCheck, ImageSpec, Service

OWN_IMAGE = "${MAIN_IMAGE_NAME}"
STARTED, HEALTHY, ENDED = "service_started", "service_healthy", "service_completed_successfully"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
SPAN = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
TMPFS = re.compile(r"(size|mode|uid|gid)=\w+")


def read_compose(path: Path, main: ImageSpec, given: Mapping[str, str]) -> Compose:
    """`main`: the image of the agent's machine; `given`: variables of that from elsewhere. Raises `TaskError`."""
    where = f"{path.parents[1].name}/environment/{path.name}"
    found = document(path)
    try:
        services = {name: service_of(path, name, one, main) for name, one in found.beside.items()}
        awaited = {name for one in services.values() for name, how in one.after.items() if how == ENDED}
        awaited |= {name for name, how in depends(found.services.get(MAIN) or {}).items() if how == ENDED}
        order = TopologicalSorter({name: one.after for name, one in services.items()}).static_order()
        ordered = [services[name].model_copy(update={"ends": name in awaited}) for name in order]
        own = variables((found.services.get(MAIN) or {}).get("environment"))
        return Compose(environment=own | dict(given), services=tuple(ordered))
    except CycleError as error:
        raise TaskError(f"{where}: its services wait for each other: {' → '.join(error.args[1])}") from error
    except KeyError as error:
        raise TaskError(
            f"{where}: a service waits for {error.args[0]!r}, which is none of its services"
        ) from error
    except (TypeError, ValueError, AttributeError, ValidationError) as error:
        what = (
            f"`{'.'.join(map(str, error.errors()[0]['loc']))}`"
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise TaskError(f"{where}: not as compose has it: {what}") from error


def service_of(path: Path, name: str, given: Mapping[str, Any], main: ImageSpec) -> Service:
    names = [name, *aliases(given)]
    for one in names:
        if not NAME.fullmatch(one):
            raise ValueError(f"{one!r} cannot be the name of a service")
    return Service(
        name=name,
        image=image_of(path, name, given, main),
        aliases=tuple(dict.fromkeys(names[1:])),
        entrypoint=words(given.get("entrypoint")),
        command=words(given.get("command")),
        environment=variables(given.get("environment")),
        workdir=text(given.get("working_dir")),
        user=text(given.get("user")),
        after={one: how for one, how in depends(given).items() if one != MAIN},
        health=health_of(given["healthcheck"]) if given.get("healthcheck") else None,
        restart=text(given.get("restart") or "no").partition(":")[0],
        tmpfs=tuple(memory_of(given)),
        volumes=tuple(disks_of(given)),
    )


def text(value: Any) -> str:
    """As compose reads a value: variables filled in, "" for none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else filled(str(value), HERE)


def words(value: Any) -> tuple[str, ...] | None:
    """A command, as words or as a line that is split into some; no shell reads it."""
    if value is None:
        return None
    return tuple(map(text, value)) if isinstance(value, list) else tuple(shlex.split(text(value)))


def variables(environment: Any) -> dict[str, str]:
    return {name: text(value) for name, value in pairs(environment or {}) if name not in OF_HARBOR}


def aliases(given: Mapping[str, Any]) -> Iterator[str]:
    yield from (text(given[key]) for key in ("container_name", "hostname") if given.get(key))
    networks = given.get("networks")
    for network in networks.values() if isinstance(networks, Mapping) else ():
        yield from map(text, (network or {}).get("aliases") or ())


def depends(given: Mapping[str, Any]) -> dict[str, str]:
    found = given.get("depends_on") or {}
    if not isinstance(found, Mapping):
        return {str(name): STARTED for name in found}
    return {str(name): str((how or {}).get("condition") or STARTED) for name, how in found.items()}


def image_of(path: Path, name: str, given: Mapping[str, Any], main: ImageSpec) -> ImageSpec:
    build = given.get("build")
    if not build:
        return main if str(given["image"]).strip() == OWN_IMAGE else ImageSpec(reference=text(given["image"]))
    how = build if isinstance(build, Mapping) else {"context": build}
    context = inside(path.parent, text(how.get("context") or "."))
    dockerfile = text(how.get("dockerfile") or "Dockerfile")
    if not inside(context, dockerfile).is_file():
        raise ValueError(f"its service {name} has no {dockerfile} in {context.name}")
    return ImageSpec(
        reference=f"asclaimed/harbor-{path.parents[1].name}-{name}".lower(),
        context=context,
        dockerfile=str(PurePosixPath(dockerfile)),
    )


def inside(home: Path, below: str) -> Path:
    found = (home / below).resolve()
    if not found.is_relative_to(home.resolve()):
        raise ValueError(f"{below} is outside of {home.name}")
    return found


def health_of(given: Mapping[str, Any]) -> HealthCheck:
    if given.get("disable"):
        return HealthCheck(test=("NONE",))
    test = given.get("test") or ()
    found: dict[str, Any] = {
        key: span(given[key]) for key in ("interval", "timeout", "start_period") if given.get(key)
    }
    if given.get("retries"):
        found["retries"] = int(given["retries"])
    found["test"] = tuple(map(text, test)) if isinstance(test, list | tuple) else ("CMD-SHELL", text(test))
    return HealthCheck.model_validate(found)


def span(value: Any) -> float:
    """`1m30s` → seconds."""
    said = text(value)
    parts = SPAN.findall(said)
    if not parts or "".join(number + unit for number, unit in parts) != said:
        raise ValueError(f"{said!r} is no time such as 10s")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def memory_of(given: Mapping[str, Any]) -> Iterator[str]:
    """Paths with their options, as `docker run --tmpfs` takes them."""
    found = given.get("tmpfs") or ()
    for entry in [found] if isinstance(found, str) else found:
        path, _, options = text(entry).partition(":")
        kept = ",".join(option for option in options.split(",") if TMPFS.fullmatch(option))
        yield f"{path}:{kept}" if kept else path
    yield from (text(one["target"]) for one in volumes_of(given) if one.get("type") == "tmpfs")


def disks_of(given: Mapping[str, Any]) -> Iterator[str]:
    yield from (text(one["target"]) for one in volumes_of(given) if one.get("type") == "volume")


def volumes_of(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """In compose's long form."""
    for volume in given.get("volumes") or ():
        if isinstance(volume, Mapping):
            yield volume
        else:
            named, _, rest = str(volume).partition(":")
            yield {"type": "volume", "target": (rest or named).partition(":")[0]}
