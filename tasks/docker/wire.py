"""Frames between us and the supervisor in a container, and Docker's attach stream that carries them.

Both ends of the format: tasks/supervisor/supervisor.h. What arrives is untrusted: whatever breaks the format raises
`BrokenFrame`, nothing else. Not here: what the frames of a stream mean (`channel`).
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

DOCKER_HEADER_BYTES = 8
CHUNK_BYTES = 1 << 18
MAX_PAYLOAD = 1 << 16
WINDOW = 1 << 18
"""Bytes that either side may send on a stream before the other grants more."""
HEADER = struct.Struct("<BII")


class Type(IntEnum):
    """What a frame is; see supervisor.h."""

    HELLO = 1
    READY = 2
    EXEC = 3
    READ = 4
    WRITE = 5
    LISTEN = 6
    ACCEPT = 7
    DATA = 8
    GAP = 9
    END = 10
    RESET = 11
    CREDIT = 12
    RESULT = 13


TYPES = frozenset(Type)


class Frame(NamedTuple):
    """One message on one stream."""

    type: Type
    stream: int
    payload: bytes


class StreamClosed(Exception):  # noqa: N818 - a fact, whose fault it is gets decided above
    """The stream ended: the supervisor died, or the way to it did."""


class StreamSilent(Exception):  # noqa: N818
    """Nothing came, or nothing was taken, until the deadline."""


class BrokenFrame(Exception):  # noqa: N818
    """Something inside the container wrote what the supervisor never writes."""


class ByteStream(Protocol):
    """The way to a supervisor. `deadline`: as `time.monotonic` counts. Both raise `StreamClosed`, `StreamSilent`."""

    def send(self, data: bytes, deadline: float) -> None: ...

    def receive(self, deadline: float) -> bytes:
        """Some bytes, at least one."""
        ...

    def close(self) -> None: ...


def encode(kind: Type, stream: int, payload: bytes | memoryview = b"") -> bytes:
    return HEADER.pack(kind, stream, len(payload)) + payload


def encode_data(stream: int, data: bytes | memoryview) -> Iterator[bytes]:
    """DATA frames for bytes of any number."""
    for at in range(0, len(data), MAX_PAYLOAD):
        yield encode(Type.DATA, stream, data[at : at + MAX_PAYLOAD])


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises `BrokenFrame`."""
        held = self._held
        held += data
        at = 0
        while len(held) - at >= HEADER.size:
            kind, stream, size = HEADER.unpack_from(held, at)
            if kind not in TYPES or size > MAX_PAYLOAD:
                raise BrokenFrame("what came from the sandbox is no frame of its supervisor")
            if len(held) - at < HEADER.size + size:
                break
            at += HEADER.size + size
            yield Frame(Type(kind), stream, bytes(held[at - size : at]))
        del held[:at]


class SocketStream:
    """A connected socket as a `ByteStream`."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray(CHUNK_BYTES)

    def send(self, data: bytes, deadline: float) -> None:
        # a receiver in another thread may set another timeout meanwhile: sendall keeps the one it began with
        try:
            self._socket.settimeout(max(0.001, min(deadline - time.monotonic(), 1e6)))
            self._socket.sendall(data)
        except TimeoutError as error:
            raise StreamSilent("requests are not taken") from error
        except (OSError, ValueError) as error:
            raise StreamClosed(str(error)) from error

    def receive(self, deadline: float) -> bytes:
        try:
            self._socket.settimeout(max(0.001, min(deadline - time.monotonic(), 1e6)))
            count = self._socket.recv_into(self._buffer)
        except TimeoutError as error:
            raise StreamSilent("no answer in time") from error
        except (OSError, ValueError) as error:
            raise StreamClosed(str(error)) from error
        if count == 0:
            raise StreamClosed("the stream ended")
        return bytes(memoryview(self._buffer)[:count])

    def close(self) -> None:
        """Also wakes a thread that is receiving."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Unwrapped:
    """Takes Docker's own frames off what comes over an attached stream (1 byte stream, 3 zero, 4 length)."""

    def __init__(self) -> None:
        self._header, self._left = bytearray(), 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Each piece with the number of its stream; a frame that is not all there yet comes in several."""
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                yield self._header[0], piece
                continue
            if len(self._header) == DOCKER_HEADER_BYTES:
                self._header.clear()
            piece = data[at : at + DOCKER_HEADER_BYTES - len(self._header)]
            self._header += piece
            at += len(piece)
            if len(self._header) == DOCKER_HEADER_BYTES:
                self._left = int.from_bytes(self._header[4:], "big")


class AttachStream(SocketStream):
    """Docker's attach socket, which begins before its container does."""

    def __init__(self, attached: Any) -> None:
        """`attached`: what docker's `attach_socket` gave; for a local daemon a wrapper around the socket."""
        super().__init__(getattr(attached, "_sock", attached))
        self._attached, self._frames = attached, Unwrapped()

    def receive(self, deadline: float) -> bytes:
        while not (found := b"".join(piece for _, piece in self._frames.feed(super().receive(deadline)))):
            pass
        return found

    def close(self) -> None:
        super().close()
        for layer in (getattr(self._attached, "_response", None), self._attached):
            if layer is not None:
                layer.close()
