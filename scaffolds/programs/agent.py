"""An agent program at work: started in the sandbox, followed until it ends or must be ended, and what it leaves collected.

How it ended is decided here: by its exit status, by what the gateway refused it, by its time. What it prints decides nothing.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scaffolds.base import Settings, Stop, ToolCallMode, Trajectory
from scaffolds.model import Model
from scaffolds.programs.gateway import Gateway
from scaffolds.programs.http import serve
from scaffolds.programs.install import PREFIX, installed
from scaffolds.programs.program import Program, filled_in
from tasks.errors import MachineError
from tasks.sandbox import Command, ProgramSandbox, Sandbox, SandboxError, SandboxGone
from tasks.task import Brief
from tasks.untrusted import clean

PORT = 8437
"""Of the gateway, on the container's own loopback."""
HOME = "/home/agent"
TASK_FILE = f"{HOME}/task.md"
TRANSCRIPT = f"{HOME}/.asclaimed-transcript"
LONGEST_LIFE = 7 * 86400.0
"""Seconds after which the sandbox ends it without being asked; the gateway's clock is what counts."""
POLL_SECONDS = 0.2
FILES_SECONDS = 60.0
KEPT_OUTPUT = 1 << 20
KEPT_TRANSCRIPT = 48 << 20
UNKNOWN_WINDOW = 131_072
"""Tokens that a program is told where the server does not say."""


@dataclass(frozen=True)
class ProgramAgent:
    """See the module's docstring."""

    program: Program
    settings: Settings

    def mounts(self) -> Mapping[str, Path]:
        return {PREFIX: installed(self.program)} if self.program.package else {}

    def solve(self, brief: Brief, model: Model, sandbox: Sandbox) -> Trajectory:
        if not isinstance(sandbox, ProgramSandbox):
            raise MachineError("this kind of sandbox cannot run an agent program: it forwards no port")
        result = Trajectory(Stop.SUBMITTED, tool_calls=self._mode, uses_tools=self.program.has_tools)
        gateway = Gateway(model, self.settings, result, has_tools=self.program.has_tools, mode=self._mode)
        try:
            sandbox.forward(PORT, partial(serve, gateway))
            sandbox.write(TASK_FILE, self.program.told(brief).encode())
            before = self._dropped(sandbox)
            code, printed = follow(sandbox, script(self.program, gateway, brief), gateway)
            gateway.close()
            result.stop = self._ended(code, printed, gateway, result)
            result.transcript = self._transcript(sandbox) or printed
            self._tidy(sandbox, before)
        except OSError as error:
            raise SandboxError(f"the sandbox is not fit for an agent program: {error}") from error
        except SandboxGone as gone:
            gateway.close()
            if gateway.failure:
                raise gateway.failure from gone
            result.stop, result.detail = gateway.stop or Stop.SANDBOX_BROKEN, str(gone)
        finally:
            gateway.close()
        result.warnings = tuple(f"program: {what} ×{n}" for what, n in sorted(gateway.refused.items()))
        return result

    @property
    def _mode(self) -> ToolCallMode:
        """A program has native calls; `lenient` adds to them what the model wrote as text."""
        return (
            ToolCallMode.LENIENT if self.settings.tool_calls is ToolCallMode.LENIENT else ToolCallMode.NATIVE
        )

    def _ended(self, code: int, printed: bytes, gateway: Gateway, result: Trajectory) -> Stop:
        """Why it stopped. Raises what was not the agent's doing."""
        if gateway.failure:
            raise gateway.failure
        if gateway.stop:
            return gateway.stop
        last = last_line(printed)
        if not result.steps + result.side_calls and not gateway.overflowed:
            raise SandboxError(f"the program ended with status {code} before the model said anything: {last}")
        if gateway.overflowed:
            return Stop.CONTEXT_OVERFLOW
        if code:
            result.detail = f"status {code}: {last}"
            return Stop.PROGRAM_FAILED
        return Stop.NO_TOOL_CALL if result.last_empty else Stop.SUBMITTED

    def _dropped(self, sandbox: Sandbox) -> set[str]:
        """What is in the repository under the names that the program leaves behind."""
        if not self.program.drops:
            return set()
        patterns = " ".join(self.program.drops)
        listing = f'for f in {patterns}; do if [ -e "$f" ]; then printf "%s\\n" "$f"; fi; done'
        return set(sandbox.exec(listing, timeout=FILES_SECONDS).output.split("\n")) - {""}

    def _tidy(self, sandbox: Sandbox, before: set[str]) -> None:
        """Remove what it left in the repository for itself; what was there before stays."""
        if found := sorted(self._dropped(sandbox) - before):
            sandbox.exec(f"rm -rf -- {shlex.join(found)}", timeout=FILES_SECONDS)

    def _transcript(self, sandbox: Sandbox) -> bytes:
        """What it wrote of its own work; nothing where there is none."""
        if not self.program.transcript:
            return b""
        collect = (
            f"export HOME={HOME}; cat {self.program.transcript} | head -c {KEPT_TRANSCRIPT} >{TRANSCRIPT}"
        )
        sandbox.exec(collect, timeout=FILES_SECONDS)
        with suppress(OSError):
            return sandbox.read(TRANSCRIPT)
        return b""


def script(program: Program, gateway: Gateway, brief: Brief) -> str:
    """What is run: the environment, and then the file's own lines."""
    given = {
        "HOME": HOME,
        "BASE_URL": f"http://127.0.0.1:{PORT}/v1",
        "TOKEN": gateway.token,
        "MODEL": gateway.model_name,
        "WINDOW": str(gateway.window or UNKNOWN_WINDOW),
        "PREFIX": PREFIX,
        "TASK_FILE": TASK_FILE,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in given.items()]
    lines += [
        'export XDG_CONFIG_HOME="$HOME/.config" XDG_DATA_HOME="$HOME/.local/share" XDG_STATE_HOME="$HOME/.local/state"',
        'export XDG_CACHE_HOME="$HOME/.cache"',
        'export PATH="$PREFIX/bin:$PATH"',
        'echo "export PATH=\'$PATH\'" >"$HOME/.profile"',  # a login shell of the agent's keeps what the image set
        'TASK=$(cat "$TASK_FILE")',
        *(f"export {name}={filled_in(value)}" for name, value in program.environment.items()),
        *program.skills_lines(brief),
    ]
    return "\n".join([*lines, program.run])


def follow(sandbox: ProgramSandbox, text: str, gateway: Gateway) -> tuple[int, bytes]:
    """Run it to its end, or to the attempt's; its status, and the end of what it printed."""
    command = sandbox.start(text, timeout=LONGEST_LIFE)
    command.close_input()
    printed = bytearray()
    with ended_in_time(command, gateway):
        while piece := command.output():
            printed += piece
            del printed[:-KEPT_OUTPUT]
        return command.status(), bytes(printed)


@contextmanager
def ended_in_time(command: Command, gateway: Gateway) -> Iterator[None]:
    """Ends the program when its time or its budget is over, from a thread beside."""
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if gateway.late:
                gateway.end(Stop.TIME_LIMIT)
            if gateway.over.wait(POLL_SECONDS) and not done.is_set():
                with suppress(SandboxGone, SandboxError):  # whoever reads its output hears of it
                    command.kill()
                return

    watcher = threading.Thread(target=watch, name="program-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def last_line(printed: bytes) -> str:
    lines = [line for line in printed.decode("utf-8", "replace").split("\n") if line.strip()]
    return clean(lines[-1].strip())[:300] if lines else "it printed nothing"
