"""What single operations of a sandbox cost, and the least that they could: `python -m evals.bench.pieces IMAGE URL` prints JSON.

Columns: `ours`, `docker` (its own client program) and `host` (the same on the bare machine: what no sandbox can beat).
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from scaffolds.base import Budget, Settings, Stop, ToolCallMode, Trajectory
from scaffolds.openai.client import OpenAIModel, conversation
from scaffolds.openai.config import ModelConfig
from scaffolds.programs.gateway import Gateway
from scaffolds.programs.http import serve
from tasks.docker.sandbox import DockerSandbox, open_sandbox
from tasks.docker.stream import Connection
from tasks.sandbox import Limits

ROUNDS, STARTS = 60, 7
PORT = 8012
HEREDOC = f"cat >bench <<'END'\n{'x' * 79 + chr(10)}" + ("y" * 79 + "\n") * 102 + "END"
"""8 KB, as a model writes files with."""
REQUESTS = """
import http.client, statistics, sys, time
port, path, token, *body = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port))
def ask():
    began = time.perf_counter()
    connection.request("POST" if body else "GET", path, *body, headers={"Authorization": f"Bearer {token}"})
    connection.getresponse().read()
    return time.perf_counter() - began
print(statistics.median([ask() for _ in range(200)][20:]))
"""
MESSAGES = [{"role": "user", "content": "x" * 80_000}]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Numbers = dict[str, dict[str, float]]


def measure(image: str, url: str) -> Numbers:
    """`url`: of a scripted server."""
    with open_sandbox(image, workdir="/", limits=Limits(memory=256 << 20)) as box:
        run(box, "true")
        ours = {
            "heredoc_ms": median_ms(lambda: run(box, HEREDOC)),
            "write_10mb_ms": median_ms(lambda: box.write("ten", bytes(10 << 20)), STARTS),
            "http_ms": forwarded(box) * 1000,
            "model_ms": through_gateway(box, url) * 1000,
        }
    ours["start_ms"] = median_ms(lambda: start(image), STARTS)
    docker = {"start_ms": median_ms(lambda: docker_run(image), STARTS)} if shutil.which("docker") else {}
    host = {
        "exec_true_ms": median_ms(lambda: bash("true")),
        "heredoc_ms": median_ms(lambda: bash(HEREDOC.replace(">bench", ">/dev/null"))),
        "http_ms": direct() * 1000,
        "model_ms": median_ms(lambda: model(url).complete(MESSAGES)),
    }
    return {"ours": ours, "docker": docker, "host": host}


def median_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return statistics.median(timed(work) for _ in range(rounds)) * 1000


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(box: DockerSandbox, command: str) -> None:
    assert box.exec(command, timeout=60).exit_code == 0


def start(image: str) -> None:
    with open_sandbox(image, workdir="/") as box:
        run(box, "true")


def docker_run(image: str) -> None:
    subprocess.run(["docker", "run", "--rm", "--network", "none", image, "true"], check=True)


def bash(command: str) -> None:
    """One vfork and exec of bash."""
    os.waitpid(os.posix_spawn("/bin/bash", ["bash", "-c", command], os.environ), 0)


def forwarded(box: DockerSandbox) -> float:
    """Seconds of one HTTP request from inside to a handler of the host."""
    box.forward(PORT, lambda connection: answer(connection))
    box.write("ask.py", REQUESTS.encode())
    return float(box.exec(f"python3 ask.py {PORT} / none", timeout=60).output)


def through_gateway(box: DockerSandbox, url: str) -> float:
    """Seconds of one streamed answer of a model, as an agent program inside gets it."""
    settings = Settings(budget=Budget(steps=10**6))
    gateway = Gateway(
        model(url), settings, Trajectory(Stop.SUBMITTED), has_tools=False, mode=ToolCallMode.NATIVE
    )
    box.forward(PORT + 1, partial(serve, gateway))
    box.write("body", json.dumps({"stream": True, "messages": MESSAGES}).encode())
    ask = f'python3 ask.py {PORT + 1} /v1/chat/completions {gateway.token} "$(cat body)"'
    done = box.exec(ask, timeout=60)
    gateway.close()
    return float(done.output)


def model(url: str) -> OpenAIModel:
    """The client, which the gateway has behind it and any other scaffold has at once."""
    return conversation(ModelConfig(base_url=url, model="scripted"))


def direct() -> float:
    """The same over this machine's own loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        command = [sys.executable, "-c", REQUESTS, str(server.getsockname()[1]), "/", "none"]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def accept(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, connection.makefile("rwb", 0) as file:
        answer(file)


def answer(connection: Connection | io.RawIOBase | socket.SocketIO) -> None:
    with io.BufferedReader(connection) as lines:
        while line := lines.readline():
            if line == b"\r\n":
                connection.write(ANSWER)


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
