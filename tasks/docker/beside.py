"""The services of a task, each in a container of its own, confined, limited and watched as the agent's sandbox is.

They live in the sandbox's network, which has a loopback and nothing else, each name an address of 127/8: a bridge, an
internal one too, would lead to whatever listens on the host. So a service binds its ports beside all others, and takes
whoever asks for a neighbour from its own machine. Each has our supervisor for its main process, whose end is that of the
stream to it: a service outlives neither its sandbox nor this process, however that ends.

Not covered: a network that parts services from each other, restarts of a whole container.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from docker.types import Mount

from tasks.docker.create import image_config
from tasks.docker.endpoint import one_line
from tasks.docker.images import resolve
from tasks.docker.process import Process
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.stalls import stalls
from tasks.errors import ServiceError
from tasks.sandbox import Limits, SandboxError, SandboxGone
from tasks.task import Compose, HealthCheck, Service

LONGEST_START = 600.0
"""Seconds until a service must be what it is waited for."""
LONGEST_LIFE = 10 * 365 * 86400.0
LOOK_SECONDS, PAUSE = 10.0, 0.5
SAID_BYTES = 4 << 10
"""Kept of the first and of the last that a service prints."""
MAIN = "main"
NANO = 1e-9
HEALTHY, ENDED = "service_healthy", "service_completed_successfully"
AGAIN = {
    "always": "while :; do {}; sleep 1; done",
    "unless-stopped": "while :; do {}; sleep 1; done",
    "on-failure": "until {}; do sleep 1; done",
}


def addresses(compose: Compose) -> dict[str, str]:
    """Name → address, the agent's machine included; 127.0.0.1 stays nobody's name."""
    everybody = [(MAIN,), *((service.name, *service.aliases) for service in compose.services)]
    return {
        name: f"127.0.0.{number}" for number, names in reversed([*enumerate(everybody, 2)]) for name in names
    }


def options(compose: Compose) -> Mapping[str, Any]:
    """What the sandbox itself needs for them."""
    return {"extra_hosts": addresses(compose)} if compose.services else {}


def accompany(sandbox: DockerSandbox, compose: Compose, limits: Limits, labels: Mapping[str, str]) -> None:
    """Start the services beside a sandbox, which closes them with itself, and wait until all of them serve.

    Raises `ServiceError` for one that does not, `TaskError` for its image, `SandboxError`.
    """
    running: dict[str, Running] = {}
    for service in compose.services:
        for name, how in service.after.items():
            running[name].wait(how)
        running[service.name] = Running(service, sandbox, limits, labels)
    for one in running.values():
        one.wait(ENDED if one.service.ends else HEALTHY)


class Running:
    """One service."""

    def __init__(
        self, service: Service, beside: DockerSandbox, limits: Limits, labels: Mapping[str, str]
    ) -> None:
        self.service = service
        image = resolve(service.image).id
        config = image_config(image)
        line = command_line(service, config)
        self._health = health_of(service, config)
        self._sandbox = open_sandbox(
            image,
            workdir=service.workdir or str(config.get("WorkingDir") or "/"),
            limits=limits.model_copy(update={"output_head": SAID_BYTES, "output_tail": SAID_BYTES}),
            labels={**labels, "service": service.name},
            user=service.user,
            environment=service.environment,
            volumes=[Mount(path, None, type="volume") for path in service.volumes],
            more={"network_mode": f"container:{beside.container_id}", "tmpfs": memory(service)},
        )
        beside.beside.append(self)
        self._process: Process = self._sandbox.start(line, timeout=LONGEST_LIFE, followed=False)
        self._began = time.monotonic()
        self._served = False

    def wait(self, how: str) -> None:
        """Until it is healthy, or has done its work; nothing for one that is only to be started."""
        try:
            if how == ENDED:
                self._until(self._has_ended, LONGEST_START, "has not done its work")
            elif how == HEALTHY and not self._served:
                check = self._health
                self._until(self._is_healthy, patience(check) if check else 0.0, "is not healthy")
                self._served = True
        except SandboxGone as error:
            raise ServiceError(f"its service {self.service.name} is gone: {error}") from error

    def check(self) -> None:
        """Raises `SandboxError` where not it, but the machine around it, ended it; what it did itself is a part of the task."""
        with suppress(SandboxGone):
            self._look()
        if self._sandbox.ooms.by_the_host():
            raise SandboxError(
                "this machine ran out of memory: its kernel killed in a service beside the sandbox"
            )

    def close(self) -> None:
        self._sandbox.close()

    def _until(self, reached: Callable[[], str], seconds: float, failure: str) -> None:
        """`reached`: why not yet, "" when it is. Raises `ServiceError` once it is too late, or can be no more."""
        while why := reached():
            if time.monotonic() - self._began > seconds:
                stalls().check(self._began, seconds, f"service {self.service.name} started")
                raise ServiceError(
                    f"its service {self.service.name} {failure} after {seconds:.0f} s: {one_line(why, 200)}"
                )
            time.sleep(PAUSE)

    def _has_ended(self) -> str:
        self._look()
        if not self._process.ended:
            return "it still runs"
        if code := self._ended()[0]:
            raise ServiceError(
                f"its service {self.service.name} failed with status {code}: {self._ended()[1]}"
            )
        return ""

    def _is_healthy(self) -> str:
        check = self._health
        if check is None:
            self._look()
        result = check and self._sandbox.exec(question(check), timeout=check.timeout)
        if self._process.ended:
            code, said = self._ended()
            raise ServiceError(f"its service {self.service.name} ended with status {code}: {said}")
        return (result.output or f"status {result.exit_code}") if result and result.exit_code else ""

    def _look(self) -> None:
        """Hears whether it ended. Raises `SandboxGone` when its container did."""
        self._sandbox.exec(":", timeout=LOOK_SECONDS)

    def _ended(self) -> tuple[int, str]:
        said = one_line(self._process.said().decode(errors="replace")[-200:])
        return self._process.status(), said or "it printed nothing"


def command_line(service: Service, config: Mapping[str, Any]) -> str:
    """As Docker puts it together: an entrypoint of the file's drops the image's command as well."""
    command = service.command if service.command is not None else ()
    if service.command is None and service.entrypoint is None:
        command = tuple(config.get("Cmd") or ())
    entrypoint = (
        service.entrypoint if service.entrypoint is not None else tuple(config.get("Entrypoint") or ())
    )
    if not (words := (*entrypoint, *command)):
        raise ServiceError(f"its service {service.name} has no command, and its image has none")
    line = shlex.join(words)
    return AGAIN[service.restart].format(line) if service.restart in AGAIN else f"exec {line}"


def health_of(service: Service, config: Mapping[str, Any]) -> HealthCheck | None:
    """The file's, with the image's question where it asks none; None where nobody asks."""
    own: Mapping[str, Any] = config.get("Healthcheck") or {}
    found = service.health or HealthCheck.model_validate(from_image(own))
    if not found.test:
        found = found.model_copy(update={"test": tuple(own.get("Test") or ())})
    return found if len(found.test) > 1 else None


def from_image(own: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's nanoseconds; 0 is its default."""
    spans = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    found: dict[str, Any] = {name: own[key] * NANO for name, key in spans.items() if own.get(key)}
    return found | ({"retries": own["Retries"]} if own.get("Retries") else {})


def question(check: HealthCheck) -> str:
    kind, *words = check.test
    return f"sh -c {shlex.quote(words[0])}" if kind == "CMD-SHELL" else shlex.join(words)


def patience(check: HealthCheck) -> float:
    """Seconds after which Docker would call it unhealthy, if all its looks took as long as they may."""
    return min(LONGEST_START, check.start_period + check.retries * (check.interval + check.timeout))


def memory(service: Service) -> dict[str, str]:
    return {path: given for path, _, given in (entry.partition(":") for entry in service.tmpfs)}
