"""Commands, files and forwarded connections over one stream to the supervisor of a container, several at once.

Whoever waits for its own answer reads the stream for everybody (one reader at a time, the others wait for news), so a
sandbox that runs one command after the other needs no thread. Not covered: a process in the container that forges
the supervisor's frames. It would only deceive the agent that runs it: no verdict rests on output.
"""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tasks.docker.stream import FOREVER, Connection, Result, Stream
from tasks.docker.wire import (
    WINDOW,
    BrokenFrame,
    ByteStream,
    Frame,
    FrameReader,
    StreamClosed,
    StreamSilent,
    Type,
    encode,
    encode_data,
)

VERSION = b"\x02"
DEFAULT_DIRECTORY, KEEP_STDIN = 1, 2


class Channel:
    """Any number of requests at once over one `ByteStream`. All methods raise what the stream raises, and `BrokenFrame`."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream, self._reader = stream, FrameReader()
        self._streams: dict[int, Stream] = {}
        self._handlers: dict[int, Callable[[Connection], None]] = {}
        self._numbers = itertools.count(1)
        self._news = threading.Condition()
        self._sending = threading.Lock()
        self._reading = False
        self._broken: Exception | None = None
        self._begun: list[Frame] = []

    def start(self, deadline: float) -> str:
        """Wait until the supervisor takes requests; its shell's name."""
        self.wait(lambda: bool(self._begun), deadline)
        if self._begun[0].type is not Type.HELLO or self._begun[0].payload != VERSION:
            raise BrokenFrame("another version of the supervisor, or none")
        self.wait(lambda: len(self._begun) > 1, deadline)
        return self._begun[1].payload.decode(errors="replace")

    @property
    def said_hello(self) -> bool:
        """The supervisor's program ran: whatever failed, this machine's CPU can execute it."""
        return bool(self._begun)

    def exec(
        self,
        command: bytes,
        directory: str,
        *,
        seconds: float,
        head: int,
        tail: int,
        fallback: bool,
        stdin: bool = False,
        deadline: float,
    ) -> Stream:
        """Start a command. The supervisor enforces `seconds`, and sends `head` and `tail` bytes of what is printed.

        `fallback`: run in / where `directory` is gone. `stdin`: leave it open, for `Stream.write`.
        """
        stream = self._new()
        flags = DEFAULT_DIRECTORY * fallback + KEEP_STDIN * stdin
        limits = struct.pack("<BQQQI", flags, max(0, int(seconds * 1000)), head, tail, len(command))
        opening = encode(Type.EXEC, stream.number, limits + directory.encode(errors="surrogateescape"))
        stream.open(opening, command, deadline)
        return stream

    def read(self, path: str, most: int, deadline: float) -> tuple[bytes, Result]:
        """The first `most` bytes of a file."""
        stream = self._new()
        where = path.encode(errors="surrogateescape")
        self.send(encode(Type.READ, stream.number, most.to_bytes(8, "little") + where), deadline)
        return stream.everything(deadline), stream.finish(deadline)

    def write(self, path: str, data: bytes, deadline: float) -> Result:
        """Create or replace a file."""
        stream = self._new()
        opening = encode(Type.WRITE, stream.number, path.encode(errors="surrogateescape"))
        ending = encode(Type.END, stream.number)
        frames = itertools.chain((opening,), encode_data(stream.number, data), (ending,))
        for piece in frames if len(data) > WINDOW else (b"".join(frames),):
            if stream.ended:
                break
            self.send(piece, deadline)
        return stream.finish(deadline)

    def listen(self, port: int, handler: Callable[[Connection], None], deadline: float) -> None:
        """Serve 127.0.0.1:`port` of the container: each connection gets `handler` in a thread of its own.

        Raises `OSError` where the port cannot be had.
        """
        stream = self._new()
        self._handlers[stream.number] = handler
        self.send(encode(Type.LISTEN, stream.number, port.to_bytes(2, "little")), deadline)
        self.wait(lambda: stream.ended, deadline)
        if stream.result is not None:
            raise OSError(stream.result.code, f"port {port} inside the sandbox: {stream.result.problem}")
        threading.Thread(target=self._read_for_all, name="forwarding", daemon=True).start()

    def hang_up(self, stream: Stream) -> None:
        """End a connection in both directions."""
        self.forget(stream.number)
        with suppress(StreamClosed, StreamSilent):  # the container is gone, and the connection with it
            self.send(encode(Type.END, stream.number), time.monotonic() + 10)
            if not stream.ended:
                stream.reset(time.monotonic() + 10)

    def send(self, data: bytes, deadline: float) -> None:
        with self._sending:
            self._stream.send(data, deadline)

    def wait(self, ready: Callable[[], bool], deadline: float) -> None:
        """Until `ready`; reads the stream unless somebody else does."""
        with self._news:
            while not ready():
                if self._broken is not None:
                    raise self._broken
                if not self._reading:
                    self._read(deadline)
                elif not self._news.wait(min(deadline - time.monotonic(), 1e6)):
                    raise StreamSilent("no answer in time")

    def forget(self, number: int) -> None:
        with self._news:
            self._streams.pop(number, None)

    def close(self) -> None:
        with self._news:
            self._broken = self._broken or StreamClosed("it was closed")
            self._news.notify_all()
        self._stream.close()

    def _new(self) -> Stream:
        with self._news:
            stream = Stream(self, next(self._numbers))
            self._streams[stream.number] = stream
            return stream

    def _read(self, deadline: float) -> None:
        """One piece of the stream, without the lock; its frames under it."""
        self._reading = True
        self._news.release()
        data = b""
        failed: Exception | None = None
        try:
            data = self._stream.receive(deadline)
        except (StreamClosed, StreamSilent) as error:
            failed = error
        finally:
            self._news.acquire()
            self._reading = False
            self._news.notify_all()
        if failed is None:
            failed = self._dispatched(data)
        if failed is not None:
            if not isinstance(failed, StreamSilent):
                self._broken = failed
            raise failed

    def _dispatched(self, data: bytes) -> BrokenFrame | None:
        try:
            for frame in self._reader.feed(data):
                self._take(frame)
        except BrokenFrame as error:
            return error
        return None

    def _take(self, frame: Frame) -> None:
        if frame.type in (Type.HELLO, Type.READY):
            if len(self._begun) >= 2:
                raise BrokenFrame("the supervisor began twice")
            self._begun.append(frame)
        elif frame.type is Type.ACCEPT:
            self._accept(frame)
        elif stream := self._streams.get(frame.stream):
            stream.take(frame)

    def _accept(self, frame: Frame) -> None:
        handler = self._handlers.get(int.from_bytes(frame.payload[:4], "little"))
        if handler is None or frame.stream in self._streams:
            raise BrokenFrame("a connection to nobody")
        stream = self._streams[frame.stream] = Stream(self, frame.stream)
        connection = Connection(stream, self)
        threading.Thread(target=_serve, args=(handler, connection), name="forwarded", daemon=True).start()

    def _read_for_all(self) -> None:
        with suppress(StreamClosed, StreamSilent, BrokenFrame):  # whoever waits for an answer hears of it
            self.wait(lambda: False, FOREVER)


def _serve(handler: Callable[[Connection], None], connection: Connection) -> None:
    with suppress(StreamClosed, BrokenFrame, OSError), connection:  # the other end is gone
        handler(connection)
