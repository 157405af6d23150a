"""Where the Docker daemon is looked for, and one line for when none answers there."""

from __future__ import annotations

import os

from docker.context import ContextAPI
from docker.errors import DockerException

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""requests takes what these name before what docker asks for."""


def endpoint() -> str:
    """Where we connect, and what says so."""
    if host := os.environ.get("DOCKER_HOST"):
        return f"{host} (DOCKER_HOST)"
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except (DockerException, OSError, ValueError) as error:
        return f"the current Docker context, which cannot be read ({one_line(error)})"
    if context is None:
        return f"{DEFAULT_SOCKET} (the current Docker context does not exist)"
    return DEFAULT_SOCKET if context.name == "default" else f"{context.Host} (Docker context {context.name})"


def no_daemon(where: str, error: BaseException) -> str:
    """One line: where, why and what to do."""
    reason = one_line(root_cause(error))
    bundle = next((name for name in CA_VARIABLES if os.environ.get(name)), None)
    if "Permission denied" in reason:
        return f"may not use the Docker daemon at {where}: join the group `docker`"
    if "paramiko" in reason:
        advice = (
            "install it beside asclaimed (pip install paramiko), or forward the daemon's socket with `ssh -L`"
        )
    elif bundle and "CERTIFICATE_VERIFY_FAILED" in reason:
        advice = f"{bundle} names another CA bundle than Docker's: unset it for asclaimed"
    else:
        advice = "start it or run `make setup`, or point DOCKER_HOST or `docker context use` to one that runs"
    return f"no Docker daemon answers at {where} ({reason}): {advice}"


def root_cause(error: BaseException) -> BaseException:
    """What began it, below the wrappings of docker, requests and urllib3."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def one_line(text: object, most: int = 300) -> str:
    return " ".join(str(text).split())[:most]
