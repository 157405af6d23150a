"""Each agent program that is known by name (or those that are named), installed and run in a sandbox against a scripted server.

`make programs`, or `python -m tests.programs pi my.yaml`. Needs npm's and PyPI's registries, and minutes. Upstream changes break
this first: it says which route a program took, with which tools, what it cost before the first step, and what it left.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evals.record import AttemptKey
from evals.run.attempt import run_attempt
from evals.run.definitions import ScaffoldMaker
from scaffolds.base import Budget, Settings, Stop
from scaffolds.catalog import Definition, find, programs
from scaffolds.openai.config import ModelConfig
from tasks import catalog
from tasks.docker.backend import DockerBackend
from tests.fakes.openai_server import Answer, FakeServer, call, say
from tests.fakes.plain_context import plain_context

PATCH = "*** Begin Patch\n*** Add File: new.txt\n+changed\n*** End Patch\n"
"""As codex's apply_patch takes it, as bare text."""
COMMAND = "echo changed >new.txt"
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
SHELLS = {
    "bash": "command",
    "run_shell_command": "command",
    "exec_command": "cmd",
    "shell_command": "command",
}
"""What programs call their shell, and its argument."""
MORE = {"run_shell_command": {"is_background": False, "description": "d"}, "bash": {"description": "d"}}


def shell(body: Mapping[str, Any], command: str) -> Answer:
    offered = [tool["function"]["name"] for tool in body.get("tools", ())]
    name = next((name for name in offered if name in SHELLS), None)
    if name is None:
        return say("A title")
    if "apply_patch" in offered and command is COMMAND:
        return call("apply_patch", {"input": PATCH}, call_id=f"c{len(body['messages'])}")
    more = MORE.get(name, {}) if len(offered) > 1 else {}
    return call(name, {SHELLS[name]: command, **more}, call_id=f"c{len(body['messages'])}")


def obliging(body: Mapping[str, Any]) -> Answer:
    """Calls the shell once, and then says that it is done, in words or as mini wants to have it."""
    if not any(message["role"] == "tool" for message in body["messages"]):
        return shell(body, COMMAND)
    return shell(body, SUBMIT) if "COMPLETE_TASK" in json.dumps(body["messages"]) else say("Done.")


def restless(body: Mapping[str, Any]) -> Answer:
    return shell(body, COMMAND)


def sleepy(body: Mapping[str, Any]) -> Answer:
    return shell(body, "sleep 3000")


SECONDS = 600.0
ENDINGS = {
    "obliging": (obliging, 5, Stop.SUBMITTED),
    "restless": (restless, 3, Stop.STEP_LIMIT),
    "sleepy": (sleepy, 50, Stop.TIME_LIMIT),
}


class Tried:
    """One program, tried in every way; `faults` says what was not as it has to be."""

    def __init__(self, one: Definition) -> None:
        self.one, self.faults = one, list[str]()
        self.took = SECONDS
        """Seconds of its first attempt: one that is to run out of time has twice as many."""

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{what}: {found!r}, not {wanted!r}")

    def attempt(self, ending: str, directory: Path) -> None:
        script, steps, stop = ENDINGS[ending]
        seconds = 2 * self.took + 5 if ending == "sleepy" else SECONDS
        backend, task = DockerBackend(), catalog.load("bundled")[0]
        with FakeServer(script) as server:
            context = plain_context(
                directory,
                backend=backend,
                settings=Settings(budget=Budget(steps=steps, seconds=seconds)),
                model=ModelConfig(base_url=server.url, model="m"),
                make_scaffold=ScaffoldMaker({self.one.name: self.one}),
            )
            key = AttemptKey(scaffold=self.one.name, task_id=task.id, attempt=1)
            began = time.monotonic()
            record = run_attempt(key, task, backend.prepare(task), context)
        bodies = [request.body for request in server.requests] or [{"messages": []}]
        first = next((body for body in bodies if body.get("tools")), bodies[0])
        size = len(json.dumps(first["messages"])) + len(json.dumps(first.get("tools", "")))
        tools = " ".join(tool["function"]["name"] for tool in first.get("tools", ()))
        self.took = min(self.took, time.monotonic() - began)
        said = f"{record.stop}, {record.steps} steps, {record.side_calls} beside, {time.monotonic() - began:.1f} s"
        sys.stdout.write(
            f"{self.one.name:16} {ending:9} {said}; first request {size} bytes; tools: {tools}\n"
        )
        self.expect(
            f"{ending}: stop", (record.stop, record.detail if record.stop != stop else ""), (stop, "")
        )
        self.look_at(ending, key.directory(directory))

    def look_at(self, ending: str, directory: Path) -> None:
        patch = (directory / "patch.diff").read_text()
        changed = [line[6:] for line in patch.split("\n") if line.startswith("+++ b/")]
        self.expect(f"{ending}: changed files", changed, [] if ending == "sleepy" else ["new.txt"])
        left = directory / "transcript.gz"
        transcript = gzip.decompress(left.read_bytes()) if left.exists() else b""
        self.expect(f"{ending}: transcript", ending == "restless" or b"Hidden tests" in transcript, True)
        steps = json.loads((directory / "trajectory.json").read_text())["steps"]
        sources = {step["source"] for step in steps}
        self.expect(f"{ending}: sources", {"user", "agent"} <= sources, True)


def main(names: Iterable[str]) -> int:
    faults = []
    for name in names:
        tried = Tried(find(name))
        with tempfile.TemporaryDirectory(prefix="asclaimed-programs-") as directory:
            for ending in ENDINGS:
                try:
                    tried.attempt(ending, Path(directory) / ending)
                except Exception as error:  # the others are tried all the same
                    tried.faults.append(f"{ending}: {type(error).__name__}: {error}")
        faults += [f"{name}: {fault}" for fault in tried.faults]
    sys.stdout.write("\n".join([*faults, f"{len(faults)} faults\n"]))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:] or programs()))
