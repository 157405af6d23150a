"""What answers on a port, as far as a llama-server tells."""

from __future__ import annotations

import socket
from typing import NamedTuple

HOST = "127.0.0.1"
"""The server listens here and nowhere else: it has no password."""
ANSWER_SECONDS = 5
LOADING = 503
"""llama-server's status while it loads its model."""


class Answer(NamedTuple):
    """Facts of a llama-server that is ready."""

    model: str
    """The name under which it serves its model."""
    context: int
    """Tokens that one conversation may have."""
    slots: int
    """Conversations at once."""


class NotReady(Exception):  # noqa: N818 - a state, and the way out of `ask`
    """Something listens, and it is either still `loading` or no llama-server; the message says what it answered."""

    def __init__(self, message: str, *, loading: bool = False) -> None:
        super().__init__(message)
        self.loading = loading


def is_taken(port: int) -> bool:
    """Whether anything listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def ask(port: int) -> Answer:
    """Facts of the llama-server on `port`. Raises `NotReady`."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands between us and this machine
            props = session.get(f"http://{HOST}:{port}/props", timeout=ANSWER_SECONDS)
            models = session.get(f"http://{HOST}:{port}/v1/models", timeout=ANSWER_SECONDS)
        if not (props.ok and models.ok):
            worst = max(props.status_code, models.status_code)
            raise NotReady(f"HTTP {worst}", loading=worst == LOADING)
        facts, model = props.json(), models.json()["data"][0]["id"]
        return Answer(
            str(model), int(facts["default_generation_settings"]["n_ctx"]), int(facts["total_slots"])
        )
    except requests.RequestException as error:
        raise NotReady(type(error).__name__) from None
    except (KeyError, IndexError, TypeError, ValueError):
        raise NotReady("answers that are not llama-server's") from None
