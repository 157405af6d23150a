"""Head and tail of what may be endless. The supervisor does the same where output arises (tasks/supervisor/command.c)."""

from __future__ import annotations

from collections import deque


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
