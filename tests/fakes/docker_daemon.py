"""A Docker daemon on loopback that answers what it is, and nothing else (it fails at images): for daemons that this machine does not have."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VERSION = {"ApiVersion": "1.41", "Arch": "amd64", "Version": "20.10"}


@contextmanager
def daemon_that_says(info: Mapping[str, Any]) -> Iterator[str]:
    """Yields a value for DOCKER_HOST."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = {"version": VERSION, "info": info, "_ping": "OK", "json": []}
            fails = "/images/" in self.path
            said = (
                {"message": "no images here"}
                if fails
                else known.get(self.path.partition("?")[0].rpartition("/")[2], {})
            )
            answer = json.dumps(said).encode()
            self.send_response(500 if fails else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
