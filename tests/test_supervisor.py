"""The supervisor's program and its protocol, both ends, without Docker: built with sanitizers, and fed what nobody sends.

What a sandbox makes of it: test_sandbox_contract.py.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.docker.channel import Channel
from tasks.docker.stream import Connection, Result
from tasks.docker.wire import BrokenFrame, FrameReader, SocketStream, StreamClosed, Type, encode
from tasks.supervisor.build import sources

SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
LONG = 30.0


def soon(seconds: float = LONG) -> float:
    return time.monotonic() + seconds


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The supervisor with the sanitizers of the system's compiler."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no gcc and no clang: the sanitizers need one")
    path = tmp_path_factory.mktemp("supervisor") / "supervisor"
    files = [str(source) for source in sources() if source.suffix == ".c"]
    subprocess.run([compiler, "-std=c11", *SANITIZERS, "-o", path, *files], check=True, capture_output=True)
    return path


class Running:
    """One supervisor as a plain process of this machine."""

    def __init__(self, program: Path, directory: Path, complaints: Path, user: int | None = None) -> None:
        ours, theirs = socket.socketpair()
        environment = os.environ | {
            "ASAN_OPTIONS": f"log_path={complaints}",
            "UBSAN_OPTIONS": f"log_path={complaints}",
        }
        self.process = subprocess.Popen(
            [program, "1000", str(directory)], stdin=theirs, stdout=theirs, env=environment, user=user
        )
        theirs.close()
        self.stream = SocketStream(ours)
        self.channel = Channel(self.stream)
        self.directory, self._complaints = directory, complaints

    def run(
        self, command: str, *, seconds: float = LONG, head: int = 65536, tail: int = 65536
    ) -> tuple[bytes, Result]:
        deadline = soon(seconds + LONG)
        stream = self.channel.exec(
            command.encode(),
            str(self.directory),
            seconds=seconds,
            head=head,
            tail=tail,
            fallback=True,
            deadline=deadline,
        )
        return stream.everything(deadline), stream.finish(deadline)

    def end(self) -> None:
        """No sanitizer may have said anything."""
        self.channel.close()
        self.process.wait(LONG)
        said = [path.read_text() for path in self._complaints.parent.glob(f"{self._complaints.name}*")]
        assert said == []


@pytest.fixture
def running(program: Path, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "work").mkdir()
    one = Running(program, tmp_path / "work", tmp_path / "complaints")
    one.channel.start(soon())
    yield one
    one.end()


def test_commands_run_side_by_side(running: Running) -> None:
    """A slow one, a flood and a quick one: none waits for another, none gets another's output."""
    slow = running.channel.exec(
        b"sleep 1.5; echo slow", "/", seconds=LONG, head=100, tail=0, fallback=True, deadline=soon()
    )
    flood = running.channel.exec(
        b"head -c 300M /dev/zero", "/", seconds=LONG, head=100, tail=100, fallback=True, deadline=soon()
    )
    began = time.monotonic()
    assert running.run("echo quick")[0] == b"quick\n"
    assert time.monotonic() - began < 1.4
    assert flood.finish(soon()).total == 300 << 20
    assert slow.everything(soon()) == b"slow\n"


def test_who_does_not_read_does_not_hold_the_others(running: Running) -> None:
    """Output that nobody fetches stops at its credit; another command's flows."""
    stuck = running.channel.exec(
        b"head -c 5M /dev/zero", "/", seconds=LONG, head=1 << 40, tail=0, fallback=True, deadline=soon()
    )
    assert running.run("head -c 2M /dev/zero", head=1 << 40)[1].total == 2 << 20
    assert stuck.result is None
    assert len(stuck.everything(soon())) == 5 << 20


def test_standard_input_stays_open_until_it_is_closed(running: Running) -> None:
    stream = running.channel.exec(
        b'read -r name; echo "hello $name"; cat | wc -c',
        "/", seconds=LONG, head=1 << 40, tail=0, fallback=True, stdin=True, deadline=soon(),
    )  # fmt: skip
    stream.write(b"you\n", soon())
    assert stream.output(soon()) == b"hello you\n"
    stream.write(b"x" * 1_000_000, soon())
    stream.close_input(soon())
    assert stream.everything(soon()).split() == [b"1000000"]
    assert stream.finish(soon()).code == 0


def test_a_command_that_ended_takes_no_more_input(running: Running) -> None:
    stream = running.channel.exec(
        b"exec 0<&-; sleep 0.2", "/", seconds=LONG, head=9, tail=0, fallback=True, stdin=True, deadline=soon()
    )
    with pytest.raises(BrokenPipeError):
        stream.write(b"x" * 5_000_000, soon())


def test_what_a_command_left_running_sees_the_end_of_its_input(running: Running) -> None:
    stream = running.channel.exec(
        b"{ cat; echo over >over; } <&0 >/dev/null & exit 3", str(running.directory),
        seconds=LONG, head=9, tail=0, fallback=True, stdin=True, deadline=soon(),
    )  # fmt: skip
    assert stream.finish(soon()).code == 3
    deadline = soon()
    while not (running.directory / "over").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (running.directory / "over").exists()


def test_a_command_can_be_ended_early(running: Running) -> None:
    stream = running.channel.exec(
        b"trap '' TERM; echo on; sleep 300", "/", seconds=300, head=9, tail=0, fallback=True, deadline=soon()
    )
    assert stream.output(soon()) == b"on\n"
    stream.reset(soon())
    assert stream.finish(soon()).timed_out


def test_a_timeout_ends_its_own_command_only(running: Running) -> None:
    """Also what cleared its environment and left its session; not what runs beside it, begun later."""
    pids = running.directory / "pids"
    hidden = "import os,time; open('pids','w').write(str(os.getpid())); time.sleep(300)"
    one = running.channel.exec(
        f"env -i /usr/bin/setsid {shutil.which('python3')} -c \"{hidden}\" & sleep 300".encode(),
        str(running.directory), seconds=1.5, head=9, tail=0, fallback=True, deadline=soon(),
    )  # fmt: skip
    other = running.channel.exec(
        b"(setsid sleep 2.5; echo lived >other) & wait", str(running.directory),
        seconds=LONG, head=9, tail=0, fallback=True, deadline=soon(),
    )  # fmt: skip
    assert one.finish(soon()).timed_out
    assert not Path(f"/proc/{pids.read_text()}").exists()
    assert other.finish(soon()).code == 0
    assert (running.directory / "other").read_text() == "lived\n"


def test_long_output_is_cut_where_it_arises(running: Running) -> None:
    output, result = running.run("echo first; yes | head -c 3000000; echo last", head=1000, tail=1000)
    assert result.total == 3_000_000 + 11
    assert output.startswith(b"first\ny\n")
    assert output.endswith(b"y\nlast\n")
    assert f"[… {result.total - 2000} bytes left out …]".encode() in output


@pytest.mark.parametrize("length", [99_000, 101_000, 2_000_000])
def test_a_command_may_be_long(running: Running, length: int) -> None:
    output, _ = running.run(f"cat <<'END' | wc -c\n{'é' * (length // 2)}\nEND")
    assert int(output) == length + 1


def spare(running: Running) -> int:
    """The shell that waits for the next command, under the supervisor's name; another one waits for the command after it."""
    deadline = soon()
    while time.monotonic() < deadline:
        # The older keeper's: two that begin theirs at once may do so in either order.
        keepers = sorted(children(running.process.pid))
        shells = [shell for keeper in keepers for shell in children(keeper)]
        waiting = [one for one in shells if Path(f"/proc/{one}/comm").read_text() == "supervisor\n"]
        if len(waiting) == 2:
            return waiting[0]
        time.sleep(0.01)
    raise AssertionError("no shell was begun")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_shell_that_was_begun_beforehand_is_like_any_other(running: Running) -> None:
    """Also in what it says of itself: its name, its age, its parent, the descriptors that are open."""
    facts = "cat /proc/$$/comm; echo $SECONDS $PWD; echo /proc/$$/fd/*; kill -9 $PPID; sleep 0.2; exit 5"
    first = running.run(facts)
    waiting = spare(running)
    time.sleep(1.1)
    output, result = running.run(f"echo $$; {facts}")
    assert output.decode().split("\n", 1)[0] == str(waiting)
    assert (first[1].code, result.code) == (5, 5)
    assert first[0].split()[:3] == output.split()[1:4] == [b"bash", b"0", bytes(running.directory)]
    open_files = [Path(name).name for name in output.decode().split()[4:]]
    assert open_files == ["0", "1", "2", "3"]  # 3 is the listing's own


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
def test_a_shell_that_somebody_signalled_before_its_command_came_spoils_nothing(
    running: Running, end: int
) -> None:
    running.run("true")
    waiting = spare(running)
    os.kill(waiting, end)
    output, result = running.run("echo $$", seconds=LONG)
    assert result == (0, False, len(output))
    assert end == signal.SIGSTOP or int(output) != waiting


def test_a_directory_that_was_replaced_is_seen(running: Running) -> None:
    running.run("touch old; mv ../work ../gone; mkdir ../work")
    spare(running)
    output, _ = running.run("touch new; ls; mv ../work ../gone2")
    assert output == b"new\n"
    assert running.run("pwd")[0] == f"[{running.directory} is gone: running in /]\n/\n".encode()


def test_files_of_any_bytes(running: Running) -> None:
    data = os.urandom(3_000_000) + bytes(range(256))
    assert running.channel.write("a/b c/file", data, soon()).code == 0
    read, result = running.channel.read("a/b c/file", 1 << 30, soon())
    assert (read, result.code) == (data, 0)
    assert running.channel.read("a/b c/file", 10, soon())[0] == data[:10]


@pytest.mark.parametrize(
    "make", ["mkfifo x", "ln -s /dev/zero x", "ln -s x x", "mkdir x", ": >y; ln -s y/z x"]
)
def test_what_is_no_file_is_an_error_and_holds_nobody(running: Running, make: str) -> None:
    running.run(make)
    assert running.channel.read("x", 10, soon())[1].code != 0
    assert running.channel.write("x", b"1", soon()).code != 0
    assert running.run("echo on")[0] == b"on\n"


def echo_upper(connection: Connection) -> None:
    with io.BufferedReader(connection) as lines:
        while line := lines.readline():
            connection.write(line.upper())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_forwarding_carries_connections_both_ways(running: Running) -> None:
    port = free_port()
    running.channel.listen(port, echo_upper, soon())
    program = (
        f"import socket\nfor n in range(3):\n s = socket.create_connection(('127.0.0.1', {port}))\n"
        " s.sendall(b'x' * 700_000 + b'\\n')\n f = s.makefile('rb')\n print(len(f.readline()))\n s.close()"
    )
    assert running.run(f'python3 -c "{program}"')[0].split() == [b"700001"] * 3


def test_many_connections_at_once(running: Running) -> None:
    port = free_port()
    running.channel.listen(port, echo_upper, soon())

    def client(number: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=LONG) as one, one.makefile("rb") as lines:
            for _ in range(20):
                one.sendall(f"n{number}\n".encode())
                answers.append(lines.readline() == f"N{number}\n".encode())

    answers: list[bool] = []
    threads = [threading.Thread(target=client, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert answers == [True] * 640


def test_a_port_that_is_taken_is_an_error(running: Running) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=f"port {taken.getsockname()[1]} inside the sandbox"):
            running.channel.listen(taken.getsockname()[1], echo_upper, soon())


def test_it_ends_when_the_host_does(running: Running) -> None:
    running.stream.close()
    assert running.process.wait(10) is not None


# --- what nobody sends -------------------------------------------------------------------------------------------

FRAMES = st.builds(
    lambda kind, stream, payload: struct.pack("<BII", kind, stream, len(payload)) + payload,
    st.sampled_from([*range(16), 255]),
    st.sampled_from([0, 1, 2, 3, 1 << 31, (1 << 31) + 1, (1 << 32) - 1]),
    st.one_of(st.binary(max_size=64), st.just(b"\0" * 29 + b"/"), st.just(bytes([2]) + b"\xff" * 28 + b"/")),
)
BYTES = st.one_of(st.binary(max_size=400), st.lists(FRAMES, max_size=12).map(b"".join))


class Canned:
    """A stream that holds what a hostile container wrote."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data[at : at + 7] for at in range(0, len(data), 7)]

    def send(self, data: bytes, deadline: float) -> None:
        pass

    def receive(self, deadline: float) -> bytes:
        if not self._pieces:
            raise StreamClosed("the end")
        return self._pieces.pop(0)

    def close(self) -> None:
        pass


def use(channel: Channel) -> None:
    """Every kind of request, until the channel has had enough."""
    channel.start(soon())
    while True:
        stream = channel.exec(b"true", "/", seconds=1, head=9, tail=9, fallback=True, deadline=soon())
        stream.everything(soon())
        stream.finish(soon())
        channel.write("file", b"1", soon())
        channel.read("file", 9, soon())


@given(BYTES)
@settings(max_examples=300, deadline=None)
def test_our_end_takes_anything_for_an_answer_and_raises_two_things(data: bytes) -> None:
    with pytest.raises((BrokenFrame, StreamClosed)):
        use(Channel(Canned(data)))


def test_a_frame_that_claims_to_be_huge_is_refused_before_it_is_held() -> None:
    with pytest.raises(BrokenFrame):
        list(FrameReader().feed(struct.pack("<BII", Type.DATA, 1, 1 << 30)))


@pytest.fixture
def harmless(program: Path) -> Iterator[tuple[Path, int | None]]:
    """The program and a directory for a user who can do no harm: random bytes are about to be somebody's commands."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        shutil.copy(program, directory)
        directory.chmod(0o777)
        yield directory, 65534 if os.geteuid() == 0 else None


@given(BYTES)
@example(encode(Type.WRITE, 1))  # an empty path
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_their_end_survives_any_request(harmless: tuple[Path, int | None], data: bytes) -> None:
    directory, nobody = harmless
    one = Running(directory / "supervisor", directory, directory / "complaints", nobody)
    one.channel.start(soon())
    one.stream.send(data, soon())
    with suppress(StreamClosed):  # it may have given up by now
        one.stream.send(encode(Type.END, 1), soon())
    one.end()
