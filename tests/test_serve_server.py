"""One server a port: reused, refused, started, stopped. A small program stands in for llama-server on PATH."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from evals.serve import ensure_server, stop_servers
from tasks.docker.images import sandbox_base
from tasks.docker.service import Program, Service
from tasks.errors import MachineError, UserError
from tasks.sandbox import SandboxError

LOOKALIKE = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
option = lambda name: sys.argv[sys.argv.index(name) + 1]
if "mute" in option("--alias"):
    sys.exit("\\x1b[2Jout of memory")
slots, loading = int(option("--parallel")), [True, True]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        facts = {{"default_generation_settings": {{"n_ctx": int(option("--ctx-size")) // slots}}, "total_slots": slots,
                 "data": [{{"id": option("--alias")}}], "threads": option("--threads")}}
        self.send_response(503 if loading and loading.pop() else 200)
        self.end_headers()
        self.wfile.write(json.dumps(facts).encode())
HTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()
"""

FINISHES = (
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); "
    "print('up', flush=True); time.sleep(60)"
)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH has a `llama-server`, an empty cache, and a directory for models."""
    binary = tmp_path / "bin" / "llama-server"
    binary.parent.mkdir()
    binary.write_text(LOOKALIKE.format(python=sys.executable))
    binary.chmod(0o755)
    monkeypatch.setenv("PATH", str(binary.parent), prepend=":")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def model(directory: Path, name: str) -> str:
    path = directory / f"{name}.gguf"
    path.write_bytes(b"GGUF\3")
    return str(path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def web_server() -> Iterator[int]:
    """Something on a port that is no llama-server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_starts_waits_reuses_and_stops(machine: Path) -> None:
    port, small = free_port(), model(machine, "small")
    with ensure_server(small, port=port, context=512, slots=3, threads=1) as server:
        assert (server.model_name, server.context, server.slots) == ("small", 512, 3)
        assert server.started_here
        with ensure_server(small, port=port, context=512, slots=2) as again:
            assert not again.started_here
        assert listens(port), "who found it running leaves it running"
        with urllib.request.urlopen(f"{server.base_url}/models") as answer:
            assert json.load(answer)["threads"] == "1"
    assert not listens(port)


def test_refuses_a_server_that_is_not_what_was_asked_for(machine: Path) -> None:
    port, small = free_port(), model(machine, "small")
    with ensure_server(small, port=port, context=512, slots=1):
        with pytest.raises(UserError, match="already serves 'small'"):
            ensure_server(model(machine, "other"), port=port)
        with pytest.raises(UserError, match="fewer than 1 × 9999"):
            ensure_server(small, port=port, context=9999, slots=1)


def test_a_later_command_finds_and_stops_it(machine: Path) -> None:
    port = free_port()
    asclaimed = [str(Path(sys.executable).with_name("asclaimed")), "serve", "--port", str(port)]
    subprocess.run(
        [*asclaimed, "--detach", "--model", model(machine, "small")], check=True, capture_output=True
    )
    assert listens(port)
    stopped = subprocess.run([*asclaimed, "--stop"], check=True, capture_output=True, text=True)
    assert f"port {port}" in stopped.stderr
    assert not listens(port)
    assert stop_servers(port) == []


def test_runs_a_command_beside_the_server(machine: Path) -> None:
    port = free_port()
    asclaimed = [str(Path(sys.executable).with_name("asclaimed")), "serve", "--port", str(port)]
    probe = f"import socket, sys; sys.exit(7 + socket.socket().connect_ex(('127.0.0.1', {port})))"
    command = [*asclaimed, "--model", model(machine, "small"), "--", sys.executable, "-c", probe]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 7
    assert not listens(port)


@pytest.mark.parametrize(
    ("ending", "code"),
    [("import time; print('up', flush=True); time.sleep(60)", 143), (FINISHES, 5)],
)
def test_a_command_that_is_ended_ends_the_server(machine: Path, ending: str, code: int) -> None:
    """SIGTERM reaches the command, which may finish; then the server goes."""
    port = free_port()
    asclaimed = [str(Path(sys.executable).with_name("asclaimed")), "serve", "--port", str(port)]
    command = [*asclaimed, "--model", model(machine, "small"), "--", sys.executable, "-c", ending]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "up\n"
        running.terminate()
        assert running.wait(30) == code
    assert not listens(port)


@pytest.mark.docker
def test_a_container_that_does_not_start_is_removed(docker_daemon: None, tmp_path: Path) -> None:
    """Its port was taken meanwhile."""
    weights = tmp_path / "weights"
    weights.touch()
    program = Program(sandbox_base().id, ["true"], {}, weights, "/weights")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(SandboxError, match="cannot start a server"):
            Service.start(program, port)
    assert Service.find(port) == []


def test_a_server_that_dies_says_why_in_one_clean_line(machine: Path) -> None:
    with pytest.raises(MachineError, match="out of memory") as death:
        ensure_server(model(machine, "mute"), port=free_port())
    assert str(death.value).isprintable()


def test_a_port_that_something_else_has(web_server: int) -> None:
    with pytest.raises(UserError, match="taken by something else"):
        ensure_server("0.5b", port=web_server)


def test_an_unknown_model_is_one_line() -> None:
    command = [str(Path(sys.executable).with_name("asclaimed")), "serve", "--model", "7b"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "choose 0.5b, 1.5b or the path" in done.stderr
