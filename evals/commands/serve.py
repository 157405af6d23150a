"""`asclaimed serve`: a real model server on this machine."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from evals.commands import output
from tasks.errors import MachineError

if TYPE_CHECKING:
    from rich.console import Console

    from evals.serve import ServerHandle


def serve(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            help="A command to run while the server is up, after `--`; then both end.", metavar="-- COMMAND"
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Which model to serve.", metavar="0.5b|1.5b|PATH.gguf")] = "0.5b",
    port: Annotated[int, typer.Option(help="On 127.0.0.1, and nowhere else.", min=1, max=65535)] = 8080,
    ctx: Annotated[int, typer.Option(help="Tokens that one conversation may have.", min=256)] = 16384,
    parallel: Annotated[int, typer.Option(help="Conversations at once.", min=1)] = 2,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads (cores − 1 when not given).", min=1)
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return once it is ready and let it run.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the server on --port.")] = False,
) -> None:
    """Run a genuine llama-server with a small model: from PATH, else in a container. Ctrl-C stops it."""
    from signal import default_int_handler

    from evals.serve import ensure_server
    from tasks.sandbox import SandboxError

    console = output.console(stderr=True)
    on_endings(default_int_handler)
    try:
        if stop:
            return _stop(port, console)
        server = ensure_server(
            model, port=port, context=ctx, slots=parallel, threads=threads, console=console
        )
        _introduce(server, console)
        if command:
            raise typer.Exit(_run(command, server))
        if server.started_here and not detach:
            _stay(server, console)
    except SandboxError as error:
        raise MachineError(str(error)) from None


def _stop(port: int, console: Console) -> None:
    from evals.serve import stop_servers

    stopped = stop_servers(port)
    for what in stopped or [f"nothing of ours on port {port}"]:
        console.print(f"{'stopped ' if stopped else ''}{what}", markup=False)


def _introduce(server: ServerHandle, console: Console) -> None:
    state = "ready" if server.started_here else "was running already"
    size = f"{server.slots} conversations of {server.context} tokens"
    console.print(
        f"{server.model_name} {state} at {server.base_url} ({size})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    command = f"asclaimed run --tasks bundled --scaffold bash --base-url {server.base_url} --model {server.model_name}"
    console.print(f"try: {command}", markup=False, highlight=False, soft_wrap=True)


def on_endings(handler: Callable[[int, FrameType | None], object]) -> None:
    """What SIGTERM does, and SIGHUP where it is not ignored (`nohup`): what was started here must not outlive us."""
    import signal

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _run(command: list[str], server: ServerHandle) -> int:
    """Run a command beside the server. Signals are the command's to handle: it may want to finish what runs.

    Ctrl-C reaches it by itself; the others are passed on.
    """
    import signal
    import subprocess

    with server:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, before)) as child:
                on_endings(lambda number, _frame: child.send_signal(number))
                code = child.wait()
        except OSError as error:
            raise MachineError(f"cannot run {command[0]}: {error.strerror}") from None
        finally:
            signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code


def _stay(server: ServerHandle, console: Console) -> None:
    """Keep the server until a signal asks to end; then stop it. Raises `MachineError` when it dies by itself."""
    import time

    from evals.commands.interrupts import took_notice

    console.print("Ctrl-C stops it")
    with server:
        try:
            while server.is_alive():
                time.sleep(1)
        except KeyboardInterrupt:
            took_notice()
            return
        raise MachineError(
            "llama-server ended by itself: start it again, with a smaller --ctx if memory was short"
        )
