"""A pull that can be watched, stopped and told apart: what failed for good, what may work later, what needs room.

The daemon downloads; we read its messages on a connection of our own, because only cutting that connection makes the
daemon give up. Not covered: how long a registry wants us to wait (the daemon does not say); waiting is the caller's.
"""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import docker
from docker.errors import APIError
from docker.types.daemon import CancellableStream
from requests import PreparedRequest, Response

from tasks.backend import Progress, quiet
from tasks.docker.daemon import DAEMON_ERRORS, disk_is_full
from tasks.docker.endpoint import one_line
from tasks.errors import DiskFullError, TaskError
from tasks.sandbox import RegistryError

STALL_SECONDS = 180.0
"""Without progress, of which the daemon tells at every piece that it downloads or unpacks, a pull has stalled."""
LEAST_PROGRESS = 100_000
"""Bytes; less in `STALL_SECONDS` is none. A trickle would otherwise hold a run up for days."""
RETRYING = "Retrying in"
"""How the daemon's message begins that counts down to its own next try."""
TICK_SECONDS = 0.5
FINAL_STATUS = frozenset({400, 401, 403, 404})
FINAL = re.compile(
    r"^unauthorized|^denied|access denied|access to the resource is denied|no basic auth credentials"
    r"|manifest unknown|not found: |no matching manifest|invalid reference|no supported platform",
    re.IGNORECASE,
)
"""A registry's "no", as the daemon words it under status 500 or in the middle of its messages."""
UNREACHABLE = re.compile(
    r"no such host|connection refused|network is unreachable|no route to host|i/o timeout|server misbehaving"
    r"|proxyconnect|Client\.Timeout|context deadline exceeded"
)
Message = dict[str, Any]


class Unreachable(RegistryError):  # noqa: N818 - a fact about the network
    """No registry answered at all: this machine may have no network, and what can be built should be."""


def pull_image(reference: str, progress: Progress = quiet, *, patience: float | None = None) -> int:
    """Have the daemon fetch an image. `progress` is called at least once a second; one that raises ends the pull.

    Returns the bytes that were downloaded. `patience` in seconds without progress, None = `STALL_SECONDS`. Raises `TaskError` (not found, not allowed), `RegistryError` (may work later), `DiskFullError`, and what
    docker raises when the daemon itself fails.
    """
    layers = Layers(reference, progress)
    with (
        registry_errors(reference),
        Transfer(reference, STALL_SECONDS if patience is None else patience) as transfer,
    ):
        for message in transfer:
            if message is None:
                layers.still_waiting(transfer.silence)
            elif "error" in message:
                raise failure(reference, str(message["error"]))
            elif layers.heard(message):
                transfer.moved()
    return layers.downloaded


@contextmanager
def registry_errors(reference: str) -> Iterator[None]:
    """A registry's refusal, which the daemon passes on as its own, in our terms."""
    try:
        yield
    except APIError as error:
        status = error.response.status_code if error.response is not None else 0
        raise failure(reference, str(error.explanation or error), status) from error


def failure(reference: str, reason: str, status: int = 500) -> Exception:
    """What a failed pull is: final, without room, or worth another try."""
    said = one_line(reason)
    if disk_is_full(reason):
        return DiskFullError(f"the disk of the Docker daemon, which has no room for image {reference},")
    if status in FINAL_STATUS or FINAL.search(reason):
        return TaskError(f"image {reference} is not on this machine and cannot be pulled: {said}")
    kind = Unreachable if UNREACHABLE.search(reason) else RegistryError
    return kind(f"image {reference} cannot be pulled now: {said}")


def split(reference: str) -> tuple[str, str | None]:
    """Repository and tag; a reference by digest stays whole."""
    if "@" in reference:
        return reference, None
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


class Layers:
    """The daemon's messages about single layers as one fraction of the bytes announced so far."""

    def __init__(self, reference: str, progress: Progress) -> None:
        self._reference, self._progress = reference, progress
        self._steps: dict[str, dict[str, tuple[int, int]]] = {"Downloading": {}, "Extracting": {}}
        self._last: tuple[str, float | None] = (f"pulling {reference}", None)
        self._told: set[tuple[str, str]] = set()
        self._counted = 0

    @property
    def downloaded(self) -> int:
        return sum(total for _, total in self._steps["Downloading"].values())

    def heard(self, message: Message) -> bool:
        """Whether that was progress: a step that a layer had not taken yet, or some more bytes."""
        detail = message.get("progressDetail") or {}
        step, layer = str(message.get("status", "")), str(message.get("id", ""))
        if step in self._steps and detail.get("total"):
            self._steps[step][layer] = (detail["current"], detail["total"])
            self._last = self._summary(step)
        self._progress(*self._last)
        return self._moved(step, layer)

    def _moved(self, step: str, layer: str) -> bool:
        bytes_now = sum(current for steps in self._steps.values() for current, _ in steps.values())
        if step.startswith(RETRYING) or (
            (step, layer) in self._told and bytes_now < self._counted + LEAST_PROGRESS
        ):
            return False
        self._told.add((step, layer))
        self._counted = bytes_now
        return True

    def still_waiting(self, seconds: float) -> None:
        """There was no progress for so long."""
        note = f" (no progress for {seconds:.0f} s)" if seconds > 10 else ""
        self._progress(self._last[0] + note, self._last[1])

    def _summary(self, step: str) -> tuple[str, float]:
        done, total = (sum(column) for column in zip(*self._steps[step].values(), strict=True))
        verb = "pulling" if step == "Downloading" else "unpacking"
        return f"{verb} {self._reference} ({done / 1e6:.0f} of {total / 1e6:.0f} MB)", done / total


class Transfer:
    """One pull under way, as an iterator of messages; None says that none came for `TICK_SECONDS`.

    Leaving the block cuts the connection, and with it the download.
    """

    def __init__(self, reference: str, patience: float) -> None:
        self.silence = 0.0
        self._reference, self._patience = reference, patience
        self._moved = time.monotonic()
        self._heard: queue.SimpleQueue[Message | Exception | None] = queue.SimpleQueue()
        api = PullClient.from_env(timeout=int(patience) + 5).api
        assert isinstance(api, PullAPI)
        self._api = api
        self._reader = threading.Thread(target=self._read, name=f"pull {reference}", daemon=True)

    def __enter__(self) -> Self:
        self.moved()
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._api.cut()

    def moved(self) -> None:
        """There was progress just now."""
        self._moved = time.monotonic()

    def __iter__(self) -> Iterator[Message | None]:
        while True:
            try:
                item = self._heard.get(timeout=TICK_SECONDS)
            except queue.Empty:
                self._check_progress()
                yield None
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
            self._check_progress()

    def _check_progress(self) -> None:
        self.silence = time.monotonic() - self._moved
        if self.silence > self._patience:
            raise RegistryError(
                f"image {self._reference} cannot be pulled now: there was no progress for {self.silence:.0f} s"
            )

    def _read(self) -> None:
        repository, tag = split(self._reference)
        try:
            for message in self._api.pull(repository, tag=tag, stream=True, decode=True):
                self._heard.put(message)
            self._heard.put(None)
        except (*DAEMON_ERRORS, ValueError) as error:  # ValueError: half a message, then the connection's end
            self._heard.put(error)
        finally:
            self._api.finish()


class PullAPI(docker.APIClient):
    """A connection of its own, whose silence ends and that can be cut; docker's own waits for ever."""

    _answer: Response | None = None
    _was_cut = False

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        options["timeout"] = self.timeout
        answer = self._answer = super().send(request, **options)
        if self._was_cut:  # while the answer was on its way
            self.cut()
            raise OSError("the pull was broken off")
        return answer

    def finish(self) -> None:
        """Whoever read the answer is done with it: only then is a connection that was cut let go of."""
        with suppress(*DAEMON_ERRORS, AttributeError):
            if self._answer is not None:
                self._answer.close()
        self.close()

    def cut(self) -> None:
        """Close the connection under whoever reads it. Not over ssh, where the read's timeout ends it later."""
        self._was_cut = True
        with suppress(*DAEMON_ERRORS, AttributeError):  # AttributeError: it ended already, all of it
            if self._answer is not None:
                CancellableStream(iter(()), self._answer).close()
        self.close()


class PullClient(docker.DockerClient):
    """`docker.from_env` for a `PullAPI`: reads the environment and `docker login`'s file anew."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.api = PullAPI(*args, **options)
