"""A command's output over the connection of its `exec`: nothing is lost, however its first words come."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.docker.hijacked import Hijacked

HEAD = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n"
)


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, daemons = socket.socketpair()
    with ours, daemons:
        yield ours, daemons


def hijacked(ours: socket.socket) -> Hijacked:
    """As docker makes it: of what lies behind the answer's head, with the response kept beside."""
    answer = http.client.HTTPResponse(ours)
    answer.begin()
    wrapper: Any = answer.fp.raw  # type: ignore[attr-defined]
    wrapper._response = SimpleNamespace(raw=SimpleNamespace(_fp=answer), close=answer.close)
    return Hijacked(wrapper)


@pytest.mark.parametrize("early", range(0, 40, 3))
def test_what_came_with_the_answers_head_is_read_first(
    pair: tuple[socket.socket, socket.socket], early: int
) -> None:
    ours, daemons = pair
    said = frame(b"marker") + frame(b"", 2) + frame(b"words", 2) + frame(b"x" * 200_000)
    daemons.sendall(HEAD + said[:early])
    stream = hijacked(ours)
    later = threading.Thread(target=lambda: (daemons.sendall(said[early:]), daemons.close()))
    later.start()
    told = list(stream.output())
    assert [number for number, _ in groupby(told, itemgetter(0))] == [1, 2, 1]
    assert b"".join(piece for _, piece in told) == b"markerwords" + b"x" * 200_000
    later.join()
    stream.close()
    assert ours.fileno() == -1


def test_closing_wakes_a_reader(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, daemons = pair
    daemons.sendall(HEAD + frame(b"one"))
    stream, seen, first = hijacked(ours), list[tuple[int, bytes]](), threading.Event()

    def read() -> None:
        with suppress(OSError):  # closed between two pieces
            for piece in stream.output():
                seen.append(piece)
                first.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first.wait(10)
    stream.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == [(1, b"one")]
