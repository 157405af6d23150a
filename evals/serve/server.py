"""One server a port: used again when it fits, started when there is none, ready when this returns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from evals.serve import probe, process
from evals.serve.process import Running, Settings
from evals.serve.weights import model_file, model_name
from tasks.backend import Progress as Report
from tasks.disk import exclusive
from tasks.errors import MachineError, UserError

PORT, CONTEXT, SLOTS = 8080, 16384, 2
LOADING_SECONDS = 300


class ServerHandle:
    """A llama-server that is ready. As a context manager it stops on exit what was started on entry."""

    def __init__(self, port: int, answer: probe.Answer, ours: Running | None) -> None:
        self.base_url = f"http://{probe.HOST}:{port}/v1"
        self.model_name = answer.model
        self.context = answer.context
        """Tokens that one conversation may have."""
        self.slots = answer.slots
        """Conversations at once."""
        self._ours = ours

    @property
    def started_here(self) -> bool:
        """False when it ran before; then it is not ours to stop."""
        return self._ours is not None

    def is_alive(self) -> bool:
        return self._ours is None or self._ours.is_alive()

    def stop(self) -> None:
        """Stop it if this call of `ensure_server` started it; idempotent."""
        if self._ours is not None:
            self._ours.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


def ensure_server(
    model: str = "0.5b",
    *,
    port: int = PORT,
    context: int = CONTEXT,
    slots: int = SLOTS,
    threads: int | None = None,
    console: Console | None = None,
) -> ServerHandle:
    """A llama-server with `model` on 127.0.0.1, ready to answer.

    `model`: `0.5b`, `1.5b` or the path of a GGUF file. `context`: tokens of one conversation. `threads`: cores − 1
    when None, because llama.cpp collapses when it is oversubscribed. Progress goes to `console`.
    Raises `UserError` (unknown model, port taken by another server), `MachineError`, `SandboxError`.
    """
    console = console or Console(quiet=True)
    name = model_name(model)
    with exclusive(
        f"serve-{port}", lambda: console.print(f"waiting for another asclaimed that starts port {port}")
    ):
        if probe.is_taken(port):
            return ServerHandle(port, _reusable(port, name, context, slots), None)
        for dead in process.started_earlier(port):
            dead.stop()
        weights = model_file(model, console)
        settings = Settings(weights, name, port, context, slots, threads or max(1, (os.cpu_count() or 2) - 1))
        with _steps(console) as report:
            ours = process.start(settings, report)
            try:
                return ServerHandle(port, _wait(ours, port, report), ours)
            except BaseException:
                ours.stop()
                raise


def stop_servers(port: int | None = None) -> list[str]:
    """Stop the servers that asclaimed started, on one port or on all; what they were."""
    running = process.started_earlier(port)
    for server in running:
        server.stop()
    return [server.what for server in running]


def _reusable(port: int, name: str, context: int, slots: int) -> probe.Answer:
    """What answers on a port that is taken, if it is what is asked for; else `UserError`."""
    way_out = f"stop it (`asclaimed serve --stop --port {port}` if it is ours) or choose another --port"
    deadline = time.monotonic() + LOADING_SECONDS
    while True:
        try:
            answer = probe.ask(port)
            break
        except probe.NotReady as state:
            if not state.loading or time.monotonic() > deadline:
                raise UserError(f"port {port} is taken by something else ({state}): {way_out}") from None
            time.sleep(0.5)
    if answer.model != name:
        raise UserError(f"port {port} already serves {answer.model[:80]!r}, not {name!r}: {way_out}")
    if answer.context < context or answer.slots < slots:
        has = f"{answer.slots} × {answer.context} tokens"
        raise UserError(f"port {port} serves {name} with {has}, fewer than {slots} × {context}: {way_out}")
    return answer


def _wait(ours: Running, port: int, report: Report) -> probe.Answer:
    """Until the model is loaded. Raises `MachineError` with the server's last line when it dies or takes too long."""
    deadline = time.monotonic() + LOADING_SECONDS
    while time.monotonic() < deadline:
        report("loading the model", None)
        try:
            return probe.ask(port)
        except probe.NotReady:
            time.sleep(0.2)
        if not ours.is_alive():
            raise MachineError(f"llama-server ended while it started: {_last_line(ours.log_tail())}")
    raise MachineError(f"llama-server was not ready after {LOADING_SECONDS} s: {_last_line(ours.log_tail())}")


def _last_line(log: str) -> str:
    """The last line of a log, fit for a terminal."""
    lines = [line for line in log.split("\n") if line.strip()]
    return "".join(c for c in (lines or ["it said nothing"])[-1] if c.isprintable())[:300]


@contextmanager
def _steps(console: Console) -> Iterator[Report]:
    """A bar for steps whose names come with them; where there is no terminal, a line for each new step."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task("", total=None)
        seen: set[str] = set()

        def report(what: str, fraction: float | None) -> None:
            bar.update(
                row, description=what, total=1.0 if fraction is not None else None, completed=fraction or 0
            )
            if what not in seen and not console.is_terminal:
                console.print(what, markup=False, highlight=False)
            seen.add(what)

        yield report
