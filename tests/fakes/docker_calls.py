"""A transport under the Docker client: a test acts before each call that the product makes to the daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, NotFound
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from tasks.docker.daemon import client


class Watched(BaseAdapter):
    """Docker's own transport behind a function that sees, and may change or answer, each request."""

    def __init__(self, inner: BaseAdapter, act: Callable[[PreparedRequest], Response | None]) -> None:
        super().__init__()
        self._inner, self._act = inner, act

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        answer = self._act(request)  # one that refuses is false
        return self._inner.send(request, *arguments, **options) if answer is None else answer

    def close(self) -> None:
        """The inner transport stays in use."""


@contextmanager
def before_each_call(act: Callable[[PreparedRequest], Response | None]) -> Iterator[None]:
    api: Any = client().api
    before = dict(api.adapters)
    api.mount(api.base_url, Watched(api.get_adapter(api.base_url), act))
    try:
        yield
    finally:
        api.adapters.clear()
        api.adapters.update(before)


def refusing(method: str, end: str, message: str) -> Callable[[PreparedRequest], Response | None]:
    """Answers as a daemon does that fails at one kind of call: for those of its versions that this machine has not."""

    def act(request: PreparedRequest) -> Response | None:
        if request.method != method or not urlsplit(str(request.url)).path.endswith(end):
            return None
        answer = Response()
        answer.status_code, answer.request, answer.url = 500, request, str(request.url)
        answer._content = json.dumps({"message": message}).encode()
        return answer

    return act


def is_grading_call(request: PreparedRequest) -> bool:
    """A call that is about one container or one command in it: not a ping, not an image."""
    return "/containers/" in str(request.url) or "/exec/" in str(request.url)


def remove_grading_containers() -> None:
    """As `docker rm -f` does, by somebody else: with a connection of its own."""
    elsewhere = docker.from_env()
    labels: Any = [f"asclaimed.pid={os.getpid()}", "asclaimed.purpose=grading"]
    for container in elsewhere.containers.list(all=True, filters={"label": labels}, ignore_removed=True):
        try:
            container.remove(force=True)
        except (NotFound, APIError):
            continue
    elsewhere.close()
