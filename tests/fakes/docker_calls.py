"""A transport under the Docker client: a test acts before each call that the product makes to the daemon."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import APIError, NotFound
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from tasks.docker.daemon import client


class Watched(BaseAdapter):
    """Docker's own transport behind a function that sees, and may change, each request."""

    def __init__(self, inner: BaseAdapter, act: Callable[[PreparedRequest], None]) -> None:
        super().__init__()
        self._inner, self._act = inner, act

    def send(self, request: PreparedRequest, *arguments: Any, **options: Any) -> Response:
        self._act(request)
        return self._inner.send(request, *arguments, **options)

    def close(self) -> None:
        """The inner transport stays in use."""


@contextmanager
def before_each_call(act: Callable[[PreparedRequest], None]) -> Iterator[None]:
    api: Any = client().api
    before = dict(api.adapters)
    api.mount(api.base_url, Watched(api.get_adapter(api.base_url), act))
    try:
        yield
    finally:
        api.adapters.clear()
        api.adapters.update(before)


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
