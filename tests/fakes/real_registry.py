"""Debian's `docker-registry` on loopback, small images in it, and a proxy in front of it that fails on demand.

The registry is the real one; what a network or a busy registry does to its answers is the proxy's.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.registry import CODES, CONFIG_TYPE, HERE, LAYER_TYPE, MANIFEST_TYPE, digest, tar_of

INDEX_TYPE = "application/vnd.docker.distribution.manifest.list.v2+json"
PROGRAM = "docker-registry"
PIECE = 1 << 14


def require_program() -> None:
    """Installs Debian's package where that can be done; in CI it must be there, elsewhere the test is skipped."""
    if shutil.which(PROGRAM) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-q", "-y", PROGRAM], check=False, capture_output=True)
    if shutil.which(PROGRAM):
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {PROGRAM}, and CI needs it: .ci/run must install it")
    pytest.skip(f"no {PROGRAM}: apt-get install {PROGRAM}")


class RealRegistry:
    """`host` is the proxy's address, which image names begin with; its faults may change at any time."""

    def __init__(self, backend: str) -> None:
        self.backend, self.host = backend, ""
        self.status = 0
        """Answer manifests with this HTTP status; 0 = pass on what the registry says."""
        self.refuse_next = 0
        """Answer so many manifests with 429, then pass on."""
        self.cut_blobs = 0
        """Close the connection in the middle of so many blobs."""
        self.stall_blobs = 0
        """Send half of so many blobs, and then nothing."""
        self.bytes_a_second = 0
        """Of each blob; 0 = as fast as it goes."""
        self.asked: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def let_go(self) -> None:
        """End what stalls."""
        self.closing.set()
        self.closing = threading.Event()

    def image(self, name: str) -> str:
        return f"{self.host}/{name}"

    def blobs(self) -> list[str]:
        """Digests of what was downloaded."""
        return [
            path.rpartition("/")[2]
            for method, path in list(self.asked)
            if method == "GET" and "/blobs/" in path
        ]

    def push(
        self, name: str, layers: Sequence[bytes], *, architecture: str = HERE, index: bool = False
    ) -> str:
        """An image of these layers (tar files); returns its digest. With `index` it stands in a list of processors."""
        repository, _, tag = name.partition(":")
        sent = [gzip.compress(layer, mtime=0) for layer in layers]
        config = {
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/file"], "Labels": {"name": name}},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }  # fmt: skip
        body = json.dumps(config).encode()
        for blob in (*sent, body):
            self._upload(repository, blob)
        described = {
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "size": len(body), "digest": digest(body)},
            "layers": [{"mediaType": LAYER_TYPE, "size": len(one), "digest": digest(one)} for one in sent],
        }  # fmt: skip
        manifest = json.dumps(described).encode()
        if not index:
            return self._put(repository, tag or "latest", manifest, MANIFEST_TYPE)
        self._put(repository, digest(manifest), manifest, MANIFEST_TYPE)
        one = {"mediaType": MANIFEST_TYPE, "size": len(manifest), "digest": digest(manifest),
               "platform": {"architecture": architecture, "os": "linux"}}  # fmt: skip
        listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [one]}).encode()
        return self._put(repository, tag or "latest", listed, INDEX_TYPE)

    def _put(self, repository: str, tag: str, body: bytes, kind: str) -> str:
        self._send(
            "PUT", f"http://{self.backend}/v2/{repository}/manifests/{tag}", body, {"Content-Type": kind}
        )
        return digest(body)

    def _upload(self, repository: str, blob: bytes) -> None:
        begun = self._send("POST", f"http://{self.backend}/v2/{repository}/blobs/uploads/", b"", {})
        place = begun["Location"]
        self._send(
            "PUT", f"{place}&digest={digest(blob)}", blob, {"Content-Type": "application/octet-stream"}
        )

    def _send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()
            return dict(answer.headers)


def layer(seed: str, size: int = 100_000) -> bytes:
    """A tar file that does not compress, the same for the same seed."""
    return tar_of(
        {f"file-{hashlib.sha256(seed.encode()).hexdigest()[:8]}": random.Random(seed).randbytes(size)}
    )


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: RealRegistry

    def do_GET(self) -> None:
        registry = self.registry
        registry.asked.append((self.command, self.path))
        if "/manifests/" in self.path and registry.status:
            self._fail(registry.status)
        elif "/manifests/" in self.path and registry.refuse_next > 0:
            registry.refuse_next -= 1
            self._fail(429)
        else:
            self._pass_on()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass

    def _pass_on(self) -> None:
        names = {name.lower() for name in self.headers} - {"host"}
        headers = {name: ", ".join(self.headers.get_all(name, ())) for name in names}
        upstream = http.client.HTTPConnection(self.registry.backend, timeout=30)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, headers=headers)
            answer = upstream.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "date"):
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(ConnectionError):  # whoever pulled may have given up
                    self._body(answer.read())

    def _body(self, body: bytes) -> None:
        registry, blob = self.registry, "/blobs/" in self.path and len(body) > 10_000
        half = len(body) // 2
        if blob and registry.cut_blobs > 0:
            registry.cut_blobs -= 1
            self.wfile.write(body[:half])
            self.close_connection = True
        elif blob and registry.stall_blobs > 0:
            registry.stall_blobs -= 1
            self.wfile.write(body[:half])
            self.wfile.flush()
            registry.closing.wait(60)
            self.close_connection = True
        else:
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])
                if blob and registry.bytes_a_second:
                    self.wfile.flush()
                    registry.closing.wait(PIECE / registry.bytes_a_second)

    def _fail(self, status: int) -> None:
        body = json.dumps(
            {"errors": [{"code": CODES.get(status, "UNKNOWN"), "message": f"scripted {status}"}]}
        ).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="scripted"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def real_registry(directory: Path) -> Iterator[RealRegistry]:
    """A registry that keeps what is pushed in `directory`, and runs while the block does."""
    require_program()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = directory / "registry.yml"
    storage = {"filesystem": {"rootdirectory": str(directory / "storage")}}
    configuration.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error"},
                "storage": storage,
                "http": {"addr": f"127.0.0.1:{port}"},
            }
        )
    )
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(configuration)], stdout=log, stderr=log)
    try:
        wait_until_up(port, process, directory / "registry.log")
        with proxy(RealRegistry(f"127.0.0.1:{port}")) as made:
            yield made
    finally:
        process.terminate()
        process.wait(30)


def wait_until_up(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.fail(f"{PROGRAM} does not answer: {log.read_text()}")


@contextmanager
def proxy(made: RealRegistry) -> Iterator[RealRegistry]:
    handler = type("BoundProxy", (Proxy,), {"registry": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.host = f"127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield made
    finally:
        made.closing.set()
        server.shutdown()
        server.server_close()
