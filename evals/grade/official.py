"""The official verdict: what a named swebench version says of a recorded test log.

Every version answers from a child process (`official_worker`), so that its imports, its `.env` reading and a parser
that runs away on hostile text stay outside ours. The version that asclaimed depends on runs under our own Python;
any other gets a virtual environment in the user's cache directory on first use. Not here: running the tests.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

from tasks.disk import cache_directory
from tasks.errors import MachineError, TaskError, UserError
from tasks.host import cpu_seconds

DEFAULT = "swebench==5.0.2"
DERIVES = "swebench==4.1.0"
"""The last version with the specifications that a v4 row's script, parser and image come from."""
START_SECONDS = 120.0
ANSWER_SECONDS, STUCK_SECONDS = 60.0, 900.0
"""A parser may compute so long over one log (recorded real ones: 5 ms), on a machine that lets it within so long."""
LOOK_SECONDS = 1.0
WORKER = Path(__file__).with_name("official_worker.py")
V5_COLUMNS = ("image", "eval_script", "log_parser", "eval_type")


class Verdict(NamedTuple):
    """What the official grader says of one log."""

    resolved: bool
    applied: bool
    """The report's `patch_successfully_applied`: the log held results that the grader accepts."""
    tests: dict[str, str]
    """Graded test id → `passed`, `failed`, `error`, `skipped`, `missing`; empty when not `applied`."""
    reason: str
    """Why there is no result, one line; "" when there is one."""
    infra: str
    """swebench's advisory guess at an environment fault, made from text: evidence, never a verdict."""


class GraderFailed(Exception):  # noqa: N818 - what happened; swebench's own failure is a result to its callers
    """swebench raised, died or ran out of time on this log."""


class Stuck(GraderFailed):
    """The machine did not let swebench come to an answer: nothing is known of the log."""


class BadRow(GraderFailed):
    """swebench cannot use this row, whatever the log says."""


class OfficialGrader:
    """One swebench version. Threads may share it; close it, or use it in a `with` block."""

    def __init__(self, name: str = DEFAULT) -> None:
        """`name`: `swebench==X.Y.Z`. Raises `UserError` for any other form; nothing is started or installed yet."""
        if not re.fullmatch(r"swebench==[0-9]+(\.[0-9A-Za-z]+)*", name):
            raise UserError(f"--grader takes swebench==VERSION, such as {DEFAULT}; got {name!r}")
        self.name = name
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def grade(self, row: dict[str, Any], log: Path) -> Verdict:
        """Verdict on the log at `log`. Raises `BadRow`, `Stuck`, and `GraderFailed` where the log brings swebench down."""
        answer = self._ask({"op": "grade", "row": row, "log": str(log)})
        return Verdict(**{field: answer[field] for field in Verdict._fields})

    def script(self, row: dict[str, Any]) -> str:
        """The eval script that this version runs (5.x adds the recorder of the exit code). Raises `BadRow`."""
        return str(self._ask({"op": "script", "row": row})["script"])

    def derive_v5(self, row: dict[str, Any]) -> dict[str, Any]:
        """A v4 row with the columns that 5.x wants; 4.x graders only.

        Raises `TaskError` when this version has no specification for the row's repository and version.
        """
        try:
            return {**row, **self._ask({"op": "derive", "row": row})}
        except GraderFailed as error:
            name = row.get("instance_id", "a row")
            raise TaskError(f"{name}: {self.name} cannot derive an eval script ({error})") from error

    def close(self) -> None:
        """Let the child go; a later question starts a new one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # a question that the child did not live to read
                        stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Somebody else may kill a child, so one that dies is asked again; a log that kills two is itself at fault."""
        with self._lock:
            line = self._exchange(request) or self._exchange(request)
        if not line:
            raise GraderFailed("the grader's process died of it, twice")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise (BadRow if answer.get("bad_row") else GraderFailed)(answer["error"])
        return answer

    def _exchange(self, request: dict[str, Any]) -> str:
        """One line to the child and its answer; "" when the child died."""
        process = self._process or self._start()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = self._answer(process.pid)
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
        return line

    def _answer(self, child: int) -> str:
        """Its next line. Its own time counts: on a busy machine a parser that is slow by the clock is no fault of the log."""
        began, before = time.monotonic(), cpu_seconds(child)
        while True:
            with suppress(queue.Empty):
                return self._answers.get(timeout=LOOK_SECONDS)
            waited, now = time.monotonic() - began, cpu_seconds(child)
            computed = waited if now is None or before is None else now - before
            if computed > ANSWER_SECONDS:
                self.close()
                raise GraderFailed(f"no verdict within {ANSWER_SECONDS:.0f} s")
            if waited > STUCK_SECONDS:
                self.close()
                raise Stuck(
                    f"no verdict within {STUCK_SECONDS:.0f} s, of which swebench computed {computed:.0f} s"
                )

    def _start(self) -> subprocess.Popen[str]:
        command = [str(python_of(self.name)), "-I", "-X", "utf8", str(WORKER)]
        process = subprocess.Popen(  # lives until close
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl-C on the terminal is for us: a grader it killed would judge nothing
        )
        assert process.stdout is not None
        self._answers = queue.Queue()
        threading.Thread(target=_pump, args=(process.stdout, self._answers), daemon=True).start()
        self._process = process
        try:
            hello = json.loads(self._answers.get(timeout=START_SECONDS) or "{}")
        except queue.Empty:
            hello = {}
        if self.name != f"swebench=={hello.get('version')}":
            self.close()
            raise MachineError(f"{self.name} does not start; delete {venv_of(self.name)} and try again")
        return process


def _pump(stream: IO[str], answers: queue.Queue[str]) -> None:
    """Move answers to the queue until the child ends; "" says that it did."""
    try:
        for line in stream:
            answers.put(line)
    except ValueError:  # closed by `close`
        pass
    answers.put("")


def python_of(name: str) -> Path:
    """The Python that has `name` (`swebench==X`) installed; makes its virtual environment when there is none."""
    try:
        if name == f"swebench=={version('swebench')}":
            return Path(sys.executable)
    except PackageNotFoundError:
        pass
    venv = venv_of(name)
    if not (venv / "ready").exists():
        _make_venv(name, venv)
    return venv / "bin" / "python"


def venv_of(name: str) -> Path:
    """Where another version lives; it is made for the Python that runs us."""
    tag = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return cache_directory() / "graders" / f"{name.replace('==', '-')}-{tag}"


def _make_venv(name: str, venv: Path) -> None:
    """Install into a directory of this process and rename it, so that two processes may race and none sees a half."""
    venv.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=venv.parent, prefix=f".{venv.name}.") as scratch:
        fresh = Path(scratch) / "venv"
        for command in _install_commands(name, fresh):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = done.stderr.strip().split("\n")[-1] or "no message"
                raise MachineError(
                    f"cannot install {name}, which needs a package index within reach: {last[:200]}"
                )
        (fresh / "ready").touch()
        try:
            fresh.rename(venv)
        except OSError:
            if not (venv / "ready").exists():
                raise


def _install_commands(name: str, venv: Path) -> list[list[str]]:
    python = str(venv / "bin" / "python")
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(venv)],
            [uv, "pip", "install", "--quiet", "--python", python, name],
        ]
    return [[sys.executable, "-m", "venv", str(venv)], [python, "-m", "pip", "install", "--quiet", name]]
