"""Variables in a compose file: what Harbor fills in by itself, what comes from the environment of whoever runs it, defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

GIVEN = re.compile(
    r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:?[-+?])(?P<word>[^{}]*))?\}|(?P<bare>\w+))"
)
"""A variable in a value, with its default; or a dollar, which is written twice."""
OF_HARBOR = frozenset({
    "CONTEXT_DIR", "MAIN_IMAGE_NAME", "PREBUILT_IMAGE_NAME", "TEST_DIR", "NETWORK_MODE", "CPUS", "MEMORY",
    "HOST_VERIFIER_LOGS_PATH", "ENV_VERIFIER_LOGS_PATH", "HOST_AGENT_LOGS_PATH", "ENV_AGENT_LOGS_PATH",
    "HOST_ARTIFACTS_PATH", "ENV_ARTIFACTS_PATH", "COMPOSE_PROJECT_NAME",
})  # fmt: skip
"""What Harbor or compose fills in by itself; anything else comes from the environment of whoever runs it."""
HERE = {
    "CONTEXT_DIR": ".",
    "TEST_DIR": "/tests",
    "ENV_VERIFIER_LOGS_PATH": "/logs/verifier",
    "ENV_AGENT_LOGS_PATH": "/logs/agent",
    "ENV_ARTIFACTS_PATH": "/logs/artifacts",
    "COMPOSE_PROJECT_NAME": "task",
}
"""What we fill in for them."""
NONE: Mapping[str, str] = MappingProxyType({})


def pairs(environment: Any) -> Iterator[tuple[str, Any]]:
    """Names and values, in either of compose's forms; None is the value of a name that stands alone."""
    if isinstance(environment, Mapping):
        yield from ((str(name), value) for name, value in environment.items())
        return
    for entry in environment:
        name, equals, value = str(entry).partition("=")
        yield name, value if equals else None


def texts(value: Any) -> Iterator[str]:
    """Every text in a value of YAML's; what stands in several places, or in itself, once."""
    seen, todo = set[int](), [value]
    while todo:
        one = todo.pop()
        if not isinstance(one, Mapping | list):
            yield str(one)
        elif id(one) not in seen:
            seen.add(id(one))
            todo += [*one, *one.values()] if isinstance(one, Mapping) else one


def used_in(text: str) -> dict[str, str]:
    """The variables of a text, and their defaults: "" for those without."""
    found = (match for match in GIVEN.finditer(text) if not match["dollar"])
    return {match["name"] or match["bare"]: default(match) for match in found}


def default(match: re.Match[str]) -> str:
    return match["word"] if (match["how"] or "").endswith("-") else ""


def missing(text: str) -> set[str]:
    """Variables of a text that whoever runs it would have to give."""
    return {name for name, value in used_in(text).items() if not value} - OF_HARBOR


def from_host(environment: Any) -> Iterator[str]:
    """Variables whose value comes from outside."""
    for name, value in pairs(environment):
        if name not in OF_HARBOR if value is None else missing(str(value)):
            yield name


def filled(text: str, values: Mapping[str, str] = NONE) -> str:
    """With `values` or defaults in the place of variables, and nothing for those that have neither."""

    def value(match: re.Match[str]) -> str:
        return match["dollar"] or values.get(match["name"] or match["bare"]) or default(match)

    return GIVEN.sub(value, text)
