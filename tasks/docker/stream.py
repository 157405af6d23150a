"""One request or connection on a channel: what has come of it so far, and what it may still send.

Not here: who reads the bytes and what requests there are (`channel`).
"""

from __future__ import annotations

import errno
import io
import os
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from tasks.docker.wire import WINDOW, BrokenFrame, Frame, Type, encode, encode_data

RESULT = struct.Struct("<iBQ")
FOREVER = float("inf")


class Lane(Protocol):
    """What a stream needs of its channel."""

    def send(self, data: bytes, deadline: float) -> None: ...

    def wait(self, ready: Callable[[], bool], deadline: float) -> None: ...

    def forget(self, number: int) -> None: ...

    def hang_up(self, stream: Stream) -> None: ...


class Result(NamedTuple):
    """How a request ended."""

    code: int
    """A command's exit code; 0 or the errno of a file."""
    timed_out: bool
    total: int
    """Bytes of output, whether or not they were sent."""

    @property
    def problem(self) -> str:
        """Why a file could not be read or written, or a port not be had."""
        return "not a regular file" if self.code == errno.EINVAL else os.strerror(self.code)


class Stream:
    """Our end of one request: what has come of it so far."""

    def __init__(self, channel: Lane, number: int) -> None:
        self.number = number
        self.result: Result | None = None
        self.ended = False
        self._channel, self._chunks, self._owed = channel, deque[bytes](), 0
        # bytes since the beginning, each counted by one thread alone: who reads the channel, or who uses the stream
        self._came, self._taken = 0, 0
        self._granted, self._sent = WINDOW, 0

    @property
    def _credit(self) -> int:
        """Bytes that may be sent now."""
        return self._granted - self._sent

    def take(self, frame: Frame) -> None:
        """One frame for this stream; called by whoever reads, under the channel's lock. Raises `BrokenFrame`."""
        match frame.type:
            case Type.DATA:
                self._chunks.append(frame.payload)
                self._came += len(frame.payload)
                if self._came - self._taken > 2 * WINDOW + (64 << 20):
                    raise BrokenFrame("more came from the sandbox than was asked for")
            case Type.GAP if len(frame.payload) == 8:
                omitted = int.from_bytes(frame.payload, "little")
                self._chunks.append(f"\n[… {omitted} bytes left out …]\n".encode())
            case Type.CREDIT if len(frame.payload) == 4:
                self._granted += int.from_bytes(frame.payload, "little")
            case Type.RESULT if len(frame.payload) == RESULT.size:
                code, timed_out, total = RESULT.unpack(frame.payload)
                self.result = Result(code, bool(timed_out), total)
                self.ended = True
            case Type.END | Type.RESET | Type.LISTEN:
                self.ended = True
            case _:
                raise BrokenFrame(f"an unexpected frame of type {frame.type.name}")

    def output(self, deadline: float) -> bytes:
        """The next piece; b"" at the end."""
        self._channel.wait(lambda: bool(self._chunks) or self.ended, deadline)
        if not self._chunks:
            return b""
        piece = self._chunks.popleft()
        self._taken += len(piece)
        self._owed += len(piece)
        if self._owed >= WINDOW // 2 and self.result is None and not self.ended:
            self._channel.send(encode(Type.CREDIT, self.number, struct.pack("<I", self._owed)), deadline)
            self._owed = 0
        return piece

    def everything(self, deadline: float) -> bytes:
        """All of it, once it has ended."""
        pieces = iter(lambda: self.output(deadline), b"")
        return b"".join(pieces)

    def finish(self, deadline: float) -> Result:
        self._channel.wait(lambda: self.result is not None, deadline)
        self._channel.forget(self.number)
        assert self.result is not None
        return self.result

    def open(self, request: bytes, data: bytes, deadline: float) -> None:
        """Send a request and the bytes that belong to it, in one piece where they are few; fewer if it ends meanwhile."""
        first, rest = data[:WINDOW], memoryview(data)[WINDOW:]
        self._sent += len(first)
        self._channel.send(request + b"".join(encode_data(self.number, first)), deadline)
        with suppress(BrokenPipeError):
            self.write(rest, deadline)

    def write(self, data: bytes | memoryview, deadline: float = FOREVER) -> None:
        """Bytes for a command's standard input or a connection, as the other side takes them."""
        data = memoryview(data)
        while data:
            self._channel.wait(lambda: self._credit > 0 or self.ended, deadline)
            if self.result is not None or (self.ended and self._credit <= 0):
                raise BrokenPipeError("nobody reads any more")
            credit = self._credit
            piece, data = data[:credit], data[credit:]
            self._sent += len(piece)
            self._channel.send(b"".join(encode_data(self.number, piece)), deadline)

    def close_input(self, deadline: float = FOREVER) -> None:
        self._channel.send(encode(Type.END, self.number), deadline)

    def reset(self, deadline: float = FOREVER) -> None:
        """End the command or connection now."""
        self._channel.send(encode(Type.RESET, self.number), deadline)


class Connection(io.RawIOBase):
    """One connection that something inside the container made to a forwarded port, as a blocking binary file."""

    def __init__(self, stream: Stream, channel: Lane) -> None:
        super().__init__()
        self._stream, self._channel, self._rest = stream, channel, b""

    @property
    def hung_up(self) -> bool:
        """Whether the other end has said that it sends no more, or is gone."""
        return self._stream.ended

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed: any writable buffer
        if not self._rest:
            self._rest = self._stream.output(FOREVER)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._stream.write(bytes(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._channel.hang_up(self._stream)
        super().close()
