"""`asclaimed run` against what is no server to measure: one line that says what to do, before anything is written."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evals.commands.server import probe_server
from scaffolds.openai import canary, probe
from scaffolds.openai.config import Deadlines
from tasks.errors import MachineError, UserError
from tests.fakes.faulty_answers import Fault, Planted
from tests.fakes.faulty_server import FaultyServer, Setup
from tests.fakes.openai_server import Answer, FakeServer, error
from tests.served_run import plan_for

PAGE = error(404, {"error": {"message": "no such route"}})
WEB_PAGE = Answer([b"<!DOCTYPE html><html></html>"], content_type="text/html")


def open_to_all(server: FakeServer) -> FakeServer:
    """Says the same to everybody."""
    server.check = None
    server.canary = lambda body: (
        server.script[0] if isinstance(server.script[0], Answer) else server.script[0](body)
    )
    return server


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (lambda: FaultyServer(Fault.WEB_PAGE), r"does not chat: .*web page: give the address of its API"),
        (lambda: FaultyServer(Fault.NOT_JSON), "does not chat: the server sent an answer that is not JSON"),
        (lambda: FaultyServer(Fault.REFUSED_KEY), "does not chat: .*401: bad key .*--api-key-env"),
        (lambda: FaultyServer(Fault.SERVER_ERROR), "does not chat: .*500: CUDA error"),
        (lambda: FaultyServer(Fault.ENDLESS), "does not chat: the answer took longer than .*look at its log"),
        (lambda: FakeServer(PAGE), "does not chat: .*404: no such route .*--base-url"),
        (lambda: FakeServer(PAGE, get={"/v1/models": PAGE}), "does not chat: .*404"),
        (lambda: FakeServer(PAGE, get={"/v1/models": WEB_PAGE}), "refuses us: .*web page"),
        (lambda: FakeServer(PAGE, models=("other",)), "does not serve 'fake'; it has: other"),
        (
            lambda: FaultyServer(setup=Setup(model="other"), pages={"/v1/models": PAGE}),
            "takes any name: .* as 'other'",
        ),
        (lambda: FaultyServer(Planted(Fault.OTHER_MODEL, times=2)), "two servers answer at"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(
    server: Callable[[], FakeServer], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Deadlines(first_byte=0.5, total=0.5)
    monkeypatch.setattr(probe, "SHORT_DEADLINES", short)
    monkeypatch.setattr(canary, "DEADLINES", short)
    with open_to_all(server()) as there, pytest.raises(UserError, match=said) as refused:
        probe_server(plan_for(there.url))
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("fault", [Fault.LOADING, Fault.BUSY, Fault.BAD_GATEWAY])
def test_what_may_pass_is_waited_for_later(fault: Fault) -> None:
    with open_to_all(FaultyServer(fault)) as server:
        facts = probe_server(plan_for(server.url))
    assert facts
    assert facts["models"] == ["fake"]


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A server that speaks TLS with a certificate of its own; its port and that."""
    certificate = tmp_path / "certificate.pem"
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run(
        ["openssl", *words.split(), "-keyout", tmp_path / "key.pem", "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "key.pem")
    quiet = type("Quiet", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as http:
        http.socket = context.wrap_socket(http.socket, server_side=True)
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield http.server_port, certificate
        http.shutdown()


def test_tls_where_it_is_not_and_the_other_way_round(
    certified: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate = certified
    with FaultyServer() as server, pytest.raises(MachineError, match="without TLS write http://"):
        probe_server(plan_for(server.url.replace("http:", "https:")))
    with pytest.raises(MachineError, match="set SSL_CERT_FILE"):
        probe_server(plan_for(f"https://127.0.0.1:{port}/v1"))
    with pytest.raises(MachineError, match="where it speaks TLS write https://"):
        probe_server(plan_for(f"http://127.0.0.1:{port}/v1"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(UserError, match="the server answered 501"):
        probe_server(plan_for(f"https://127.0.0.1:{port}/v1"))
