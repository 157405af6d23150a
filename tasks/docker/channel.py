"""The wire between us and the supervisor in a container: requests out, one long answer stream in.

The stream is Docker's multiplexed attach stream; inside it, answers are framed by a nonce that the answered
command cannot know (tasks/image/supervisor.bash). Not covered: a process in the container that reads the
supervisor's memory and forges an answer. It would only deceive the agent that runs it: no verdict rests on output.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

CHUNK_BYTES = 1 << 18


class ChannelClosed(Exception):  # noqa: N818 - a fact, whose fault it is gets decided above
    """The stream ended: the supervisor died, or the way to it did."""


class ChannelSilent(Exception):  # noqa: N818
    """No end of the answer until the deadline: the supervisor is stopped, or the daemon hangs."""


class Capture:
    """Head and tail of a byte stream of any length, in bounded memory."""

    def __init__(self, head: int, tail: int) -> None:
        self.total = 0
        self._head_size, self._tail_size = head, tail
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_held = 0

    def feed(self, data: bytes) -> None:
        self.total += len(data)
        if (room := self._head_size - len(self._head)) > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail.append(data)
        self._tail_held += len(data)
        while self._tail and self._tail_held - len(self._tail[0]) >= self._tail_size:
            self._tail_held -= len(self._tail.popleft())

    @property
    def omitted(self) -> int:
        """Bytes between head and tail that are not held."""
        return max(0, self.total - len(self._head) - self._tail_size)

    def contents(self) -> bytes:
        """Everything, or head, a line that counts what is missing, and tail."""
        tail = b"".join(self._tail)
        if not self.omitted:
            return bytes(self._head) + tail
        note = f"\n[… {self.omitted} bytes left out …]\n".encode()
        return bytes(self._head) + note + tail[len(tail) - self._tail_size :]


class Answer(NamedTuple):
    """One finished request."""

    capture: Capture
    exit_code: int
    timed_out: bool


class Channel:
    """Requests and answers over one attached socket; one request at a time."""

    def __init__(self, attached: Any) -> None:
        """`attached`: what docker's `attach_socket` gave; for a local daemon a wrapper around the socket."""
        self._attached = attached
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._buffer = bytearray(CHUNK_BYTES)
        self._stream = self._payloads()
        self._carry = b""
        self._deadline = 0.0

    def start(self, supervisor: str, workdir: str, *, idle_seconds: int, patience: float) -> None:
        """Hand the supervisor its program and wait until it runs. `patience` in seconds."""
        nonce = secrets.token_hex(16)
        place = workdir.encode()
        first = f"{nonce} {idle_seconds} {len(place)}\n".encode() + place
        self._exchange(nonce, supervisor.encode() + b"\0" + first, patience, Capture(0, 0))

    def request(
        self, kind: str, place: str, body: bytes, *, seconds: float, grace: float, capture: Capture
    ) -> Answer:
        """One request; the container enforces `seconds`, we give up `grace` seconds later.

        Raises `ChannelClosed` and `ChannelSilent`. The channel is of no use after either.
        """
        nonce = secrets.token_hex(16)
        where = place.encode(errors="surrogateescape")
        header = f"{nonce} {kind} {seconds:.3f} {len(where)} {len(body)}\n".encode()
        return self._exchange(nonce, header + where + body, seconds + grace, capture)

    def close(self) -> None:
        for layer in (getattr(self._attached, "_response", None), self._attached, self._socket):
            if layer is not None:
                layer.close()

    def _exchange(self, nonce: str, message: bytes, patience: float, capture: Capture) -> Answer:
        self._deadline = time.monotonic() + patience
        self._send(message)
        self._take_until(f"\0{nonce}<\0".encode(), Capture(0, 0))
        self._take_until(f"\0{nonce}>".encode(), capture)
        ending = Capture(64, 0)
        self._take_until(b"\0", ending)
        code, expired = ending.contents().split()
        return Answer(capture, int(code), expired == b"1")

    def _send(self, message: bytes) -> None:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            self._socket.sendall(message)
        except TimeoutError as error:
            raise ChannelSilent("requests are not taken") from error
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def _take_until(self, marker: bytes, capture: Capture) -> None:
        """Feed everything before `marker` to `capture`; what follows it stays for the next call."""
        window, keep = self._carry, len(marker) - 1
        while (at := window.find(marker)) < 0:
            start = window.rfind(b"\0", max(0, len(window) - keep))  # where a marker may have begun
            if start < 0:
                capture.feed(window)
                window = next(self._stream)
            else:
                capture.feed(window[:start])
                window = window[start:] + next(self._stream)
        capture.feed(window[:at])
        self._carry = window[at + len(marker) :]

    def _payloads(self) -> Iterator[bytes]:
        """Contents of Docker's frames (1 byte stream, 3 zero, 4 length), in the pieces in which they come."""
        header = bytearray()
        left = 0
        while True:
            data = memoryview(self._buffer)[: self._receive()]
            while data:
                if left:
                    yield bytes(data[:left])
                    data, left = data[left:], max(0, left - len(data))
                    continue
                need = 8 - len(header)
                header += data[:need]
                data = data[need:]
                if len(header) == 8:
                    left = int.from_bytes(header[4:], "big")
                    header.clear()

    def _receive(self) -> int:
        self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
        try:
            count = self._socket.recv_into(self._buffer)
        except TimeoutError as error:
            raise ChannelSilent("no answer in time") from error
        except OSError as error:
            raise ChannelClosed(str(error)) from error
        if count == 0:
            raise ChannelClosed("the stream ended")
        return count
