"""The raw stream into which the daemon turns its answer to an `exec`: what a command writes, and what it is given to read.

Not covered: what is read ahead over a daemon's ssh connection.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tasks.docker.wire import Unwrapped


class Hijacked:
    """`attached`: what docker's `exec_start(socket=True)` gave; for a local daemon a wrapper around the socket.

    That object begins after all that was read together with the head of the answer, and so loses a command's first words
    where they came at once: they are fetched from where they were left.
    """

    def __init__(self, attached: Any) -> None:
        self._layers = (getattr(attached, "_sock", attached), getattr(attached, "_response", None), attached)
        self._socket = self._layers[0]

    def output(self) -> Iterator[tuple[int, bytes]]:
        """Pieces of output, each with the number of its stream, until the end. Raises `OSError`, also when closed meanwhile."""
        frames, data = Unwrapped(), self._read_ahead()
        self._socket.settimeout(None)
        yield from frames.feed(data)
        while data := self._socket.recv(1 << 16):
            yield from frames.feed(data)

    def give(self, content: bytes) -> None:
        """All that the command has to read; then waits for its end."""
        self._socket.sendall(content)
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 12):
            pass

    def close(self) -> None:
        """Also wakes a thread that reads. The wrapper keeps its response, and with it the connection, alive."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for layer in self._layers:
            if layer is not None:
                layer.close()

    def _read_ahead(self) -> bytes:
        """What is there already: in the buffer behind the answer's head, or else in the socket."""
        response = self._layers[1]
        reader = response.raw._fp.fp if response is not None else None
        if not isinstance(reader, io.BufferedReader):
            return b""
        self._socket.settimeout(0)
        with suppress(OSError):  # nothing yet, over TLS
            return reader.peek()
        return b""
