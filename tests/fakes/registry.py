"""A container registry on loopback that holds one tiny image and fails on demand: enough of the v2 API for `docker pull`.

Docker takes plain HTTP from 127.0.0.0/8, so this needs neither certificates nor a daemon of its own.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import platform
import secrets
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
HERE = ARCHITECTURES.get(platform.machine(), platform.machine())
CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "MANIFEST_UNKNOWN", 429: "TOOMANYREQUESTS", 500: "UNKNOWN"}


class Registry:
    """`repository:latest` is there unless `status`, `cut` or `stall` say otherwise; they may change at any time."""

    def __init__(self, port: int, *, architecture: str = HERE, layer_bytes: int = 200_000) -> None:
        self.host = f"127.0.0.1:{port}"
        self.status = 0
        """Answer manifests with this HTTP status; 0 = be well."""
        self.cut = False
        """Close the connection in the middle of the configuration: the daemon tries layers five times over 75 s."""
        self.stall_manifest = self.stall_layer = False
        """Send nothing for as long as this holds."""
        self.asked: list[str] = []
        layer_tar = tar_of({"file": secrets.token_bytes(layer_bytes)})
        self.layer = gzip.compress(layer_tar)
        config = {
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/file"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer_tar)]},
        }  # fmt: skip
        self.config = json.dumps(config).encode()
        described = {
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "size": len(self.config), "digest": digest(self.config)},
            "layers": [{"mediaType": LAYER_TYPE, "size": len(self.layer), "digest": digest(self.layer)}],
        }  # fmt: skip
        self.manifest = json.dumps(described).encode()
        self.known: dict[str, bytes] = {}
        """Repository → manifest, beside the one image."""
        self.by_digest: dict[str, bytes] = {}
        self.refuse_next = 0
        """Answer so many manifests with 429, then be well."""
        self.closing = threading.Event()

    def offer(self, name: str, image_id: str, layers: Sequence[str]) -> str:
        """An image that the daemon has, under a name of ours: it asks for the manifest and then knows the rest."""
        described = {
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "size": 1, "digest": image_id},
            "layers": [{"mediaType": LAYER_TYPE, "size": 1, "digest": layer} for layer in layers],
        }  # fmt: skip
        self.put(name, json.dumps(described).encode())
        return self.image(name)

    def put(self, name: str, manifest: bytes) -> None:
        """What the name stands for from now on; by its digest it stays."""
        self.known[name] = self.by_digest[digest(manifest)] = manifest

    def image(self, name: str = "some/image") -> str:
        return f"{self.host}/{name}:latest"


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_GET(self) -> None:
        registry, path = self.registry, self.path
        registry.asked.append(path)
        if path == "/v2/":
            self._send(b"{}", "application/json")
        elif "/manifests/" in path:
            self._manifest()
        elif path.endswith(digest(registry.config)):
            self._config()
        elif path.endswith(digest(registry.layer)):
            self._layer()
        else:
            self._fail(404)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass

    def _manifest(self) -> None:
        while self.registry.stall_manifest and not self.registry.closing.wait(0.05):
            pass
        if self.registry.status:
            self._fail(self.registry.status)
        elif self.registry.refuse_next > 0:
            self.registry.refuse_next -= 1
            self._fail(429)
        else:
            name, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
            known = self.registry.known.get(name, self.registry.manifest)
            self._send(self.registry.by_digest.get(tag, known), MANIFEST_TYPE)

    def _layer(self) -> None:
        registry = self.registry
        half = len(registry.layer) // 2
        self._head(200, "application/octet-stream", len(registry.layer))
        self.wfile.write(registry.layer[:half])
        self.wfile.flush()
        while registry.stall_layer and not registry.closing.wait(0.05):
            pass
        with contextlib.suppress(ConnectionError):  # whoever pulled may have given up
            self.wfile.write(registry.layer[half:])

    def _config(self) -> None:
        config = self.registry.config
        if self.registry.cut:
            self._head(200, "application/octet-stream", len(config))
            self.wfile.write(config[: len(config) // 2])
            self.close_connection = True
        else:
            self._send(config, "application/octet-stream")

    def _fail(self, status: int) -> None:
        body = {"errors": [{"code": CODES.get(status, "UNKNOWN"), "message": f"scripted {status}"}]}
        self._send(json.dumps(body).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: int = 200) -> None:
        self._head(status, kind, len(body), digest(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, kind: str, size: int, content_digest: str = "") -> None:
        self.send_response(status)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        if content_digest:
            self.send_header("Docker-Content-Digest", content_digest)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="scripted"')
        self.end_headers()


@contextmanager
def registry(**options: Any) -> Iterator[Registry]:
    """A registry that runs while the block does."""
    handler = type("BoundHandler", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made = handler.registry = Registry(server.server_address[1], **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closing.set()
        server.shutdown()
        server.server_close()
