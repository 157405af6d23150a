"""Each agent program that is known by name (or those that are named), installed and run in a sandbox against a scripted server.

`make programs`, or `python -m tests.programs pi my.yaml`. Needs npm's and PyPI's registries, and minutes. Upstream changes break
this first. The table, also in programs.md: by which route a program asked, with which tools, what it costs before the first
step, which names it looked up, what it left in the tree, whether its own transcript was found, its budget kept, it was
ended when it hung, and where it tells the model of a task's skills (its own way, or as its task says) and that it does not without. At last 64 sandboxes ask one gateway each at once (`crowd`).
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.record import AttemptKey, Record
from evals.run.attempt import run_attempt
from evals.run.definitions import ScaffoldMaker
from scaffolds.base import Budget, Settings
from scaffolds.catalog import Definition, find, programs
from scaffolds.openai.config import ModelConfig
from scaffolds.sampling import Sampling
from scaffolds.text import Clip
from scaffolds.toolsets import TOOLSETS
from tasks import catalog
from tasks.backend import Prepared
from tasks.docker.backend import DockerBackend
from tasks.docker.images import resolve
from tasks.task import ImageSpec, Task
from tests.fakes import name_server, tiny_agent
from tests.fakes.openai_server import Answer, FakeServer, call, say
from tests.fakes.plain_context import plain_context
from tests.fakes.program_scripts import ENDINGS, Ending
from tests.programs_skills import asked, where_told

MIRRORED = {"qwen-code": "read_edit_write"}
"""Whose names and arguments a set of tools of ours has."""
SECONDS = 900.0
CROWD = 64
CONTROL = "control.invalid"
"""Looked up before each program, so that an empty list of names means something."""
NAMES = "/home/agent/names.txt"
LISTEN = """\
echo nameserver 127.0.0.1 >/etc/resolv.conf
cat >/home/agent/names.py <<'END_OF_SERVER'
{server}
END_OF_SERVER
setsid python3 /home/agent/names.py {names} >/dev/null 2>&1 </dev/null &
for i in 1 2 3 4 5 6 7 8 9; do [ -e {names} ] && break; sleep 1; done
python3 -c 'import socket; socket.gethostbyname("{control}")' 2>/dev/null
"""
COLUMNS = ("program", "version", "route", "tools sent", "tokens before the first step", "names looked up", "left in the tree", "transcript", "budget kept", "ended when it hung", "a task's skills")  # fmt: skip


def watched(one: Definition) -> Definition:
    """The program with a name server of ours beside it; what was looked up comes with the transcript."""
    assert one.program
    begin = LISTEN.format(server=Path(name_server.__file__).read_text(), names=NAMES, control=CONTROL)
    seen = {
        "run": begin + one.program.run,
        "transcript": f"{NAMES} {one.program.transcript}",
    }
    return replace(one, program=one.program.model_copy(update=seen))


class Tried:
    """One program, tried in every way; `faults` says what was not as it has to be, `row` what a table shows."""

    def __init__(self, one: Definition, image: str | None = None) -> None:
        assert one.program
        self.one, self.image, self.faults = one, image, list[str]()
        self.row = dict.fromkeys(COLUMNS, "not tried") | {"program": one.name, "version": one.program.version}
        self.took = SECONDS
        """Seconds of its quickest attempt: one that is to run out of time has twice as many."""

    def expect(self, column: str, ending: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.faults.append(f"{ending}: {column}: {found!r}, not {wanted!r}")
        self.row[column] = "yes" if found == wanted else "NO"

    def lacks_python(self, error: Exception) -> bool:
        """Nothing can be said of a program whose Python the image has not; the table says so."""
        assert self.one.program
        python = f"python{self.one.program.python}"
        lacks = f"{python}: not found" in str(error)
        if lacks:
            self.row["route"] = f"not tried: the image has no {python}"
        return lacks

    def attempt(self, name: str, directory: Path) -> None:
        ending = ENDINGS[name]
        seconds = 2 * self.took + 5 if name == "endless" else SECONDS
        assert self.one.program
        script: Any = ending.script if self.one.program.has_tools else ending.untooled
        backend, task = DockerBackend(), catalog.load("bundled")[0]
        with FakeServer(script) as server:
            context = plain_context(
                directory,
                backend=backend,
                settings=Settings(budget=Budget(steps=ending.steps, seconds=seconds)),
                model=ModelConfig(base_url=server.url, model="m"),
                make_scaffold=ScaffoldMaker({self.one.name: watched(self.one)}),
            )
            key = AttemptKey(scaffold=self.one.name, task_id=task.id, attempt=1)
            began = time.monotonic()
            record = run_attempt(key, task, self.prepared(backend, task), context)
        self.took = min(self.took, time.monotonic() - began)
        sys.stdout.write(f"{self.one.name:16} {name:9} {record.stop}, {record.steps} steps, {record.side_calls} beside\n")  # fmt: skip
        sys.stdout.flush()
        self.look_at(name, ending, record, key.directory(directory))
        if name == "obliging":
            self.describe([request.body for request in server.requests])

    def try_skills(self, directory: Path) -> None:
        """They are in what it sends, and taken off the machine they are not."""
        assert self.one.program
        told = {
            skills: where_told(asked(self.one, directory / skills, skills, seconds=SECONDS))
            for skills in ("with", "without")
        }
        self.expect("a task's skills", "with skills", bool(told["with"]), True)
        self.expect("a task's skills", "without skills", told["without"], "")
        way = "found by itself" if self.one.program.skills else "told by its task"
        if told["with"] and not told["without"]:
            self.row["a task's skills"] = f"{way}: {told['with']}"

    def prepared(self, backend: DockerBackend, task: Task) -> Prepared:
        made = backend.prepare(task)
        if self.image is None:
            return made
        return replace_image(made, self.image)

    def describe(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        first = next((body for body in bodies if body.get("tools")), bodies[0])
        size = len(json.dumps(first["messages"])) + len(json.dumps(first.get("tools", "")))
        names = [tool["function"]["name"] for tool in first.get("tools", ())]
        self.row["tools sent"] = " ".join(names) or "none"
        self.compare_tools(first.get("tools", ()))
        self.row["tokens before the first step"] = f"{size / 4:.0f}"

    def compare_tools(self, sent: Sequence[Mapping[str, Any]]) -> None:
        """Tools of ours that have this program's names have its arguments, too."""
        theirs = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in sent}
        for name, tool in (
            TOOLSETS[MIRRORED[self.one.name]](Clip()) if self.one.name in MIRRORED else {}
        ).items():
            ours, upstream = tool.schema["function"]["parameters"], theirs.get(name, {})
            lacks = set(ours["properties"]) - set(upstream.get("properties", ()))
            if lacks or set(ours["required"]) != set(upstream.get("required", ())):
                self.faults.append(f"our {name} is not as its own: {ours}, {upstream}")

    def look_at(self, name: str, ending: Ending, record: Record, directory: Path) -> None:
        column = {"restless": "budget kept", "endless": "ended when it hung"}.get(name, "route")
        stop = record.stop if record.stop == ending.stop else f"{record.stop} ({record.detail})"
        self.expect(column, name, stop, ending.stop)
        patch = (directory / "patch.diff").read_text()
        changed = tuple(line[6:] for line in patch.split("\n") if line.startswith("+++ b/"))
        left = sorted({*changed} - {"new.txt"})
        self.expect("left in the tree", name, changed, ending.changed)
        self.row["left in the tree"] = " ".join(left) or "nothing"
        kept = directory / "transcript.gz"
        transcript = gzip.decompress(kept.read_bytes()) if kept.exists() else b""
        if name == "obliging":
            self.look_at_trajectory(json.loads((directory / "trajectory.json").read_text()))
            self.look_at_transcript(transcript)

    def look_at_trajectory(self, trajectory: Mapping[str, Any]) -> None:
        sources = {step["source"] for step in trajectory["steps"]}
        self.expect("route", "sources", {"user", "agent"} <= sources, True)
        self.row["route"] = " ".join(trajectory["extra"].get("routes", ["NO"]))

    def look_at_transcript(self, transcript: bytes) -> None:
        """The names that were looked up come first, a line each, and the control before them."""
        head, found, own = transcript.partition(CONTROL.encode() + b"\n")
        self.expect("transcript", "obliging", b"Hidden tests" in own, True)
        lines = own.decode("utf-8", "replace").split("\n")
        names = []
        for line in lines:
            if not line.replace(".", "").replace("-", "").isalnum() or "." not in line:
                break
            names.append(line)
        looked_up = sorted(set(names)) if found and not head else ["the control was not seen"]
        self.expect("names looked up", "obliging", looked_up, [])
        self.row["names looked up"] = " ".join(looked_up) or "none"


def replace_image(made: Prepared, image: str) -> Prepared:
    """The same task in another image, which has to have its repository: for a program that needs another Python."""
    return made.model_copy(update={"image": resolve(ImageSpec(reference=image)).id})


def crowd(directory: Path) -> list[str]:
    """One attempt each in so many sandboxes at once: every answer is the asker's own, and so is every meter."""
    source = "\n".join(f"  {line}" for line in Path(tiny_agent.__file__).read_text().split("\n"))
    yaml = directory / "tiny.yaml"
    yaml.write_text(f"run: |\n  cat >\"$HOME/agent.py\" <<'END'\n{source}\n  END\n  python3 \"$HOME/agent.py\" work\ndrops: [.tiny]\n")  # fmt: skip
    backend, task = DockerBackend(), catalog.load("bundled")[0]
    image = backend.prepare(task)

    def answer(body: Mapping[str, Any]) -> Answer:
        seed, asked = body["seed"], len(body["messages"])
        if asked > 6:
            return say("Done.", prompt=seed)
        return call("bash", {"command": f"echo {seed} >>new.txt"}, call_id=f"c{asked}", prompt=seed)

    with FakeServer(answer) as server, ThreadPoolExecutor(CROWD) as pool:
        context = plain_context(
            directory / "run",
            backend=backend,
            settings=Settings(budget=Budget(steps=9, seconds=SECONDS)),
            model=ModelConfig(base_url=server.url, model="m", sampling=Sampling(seed=1)),
            make_scaffold=ScaffoldMaker({"tiny": find(str(yaml))}),
        )
        keys = [AttemptKey(scaffold="tiny", task_id=task.id, attempt=n) for n in range(1, CROWD + 1)]
        records = list(pool.map(lambda key: run_attempt(key, task, image, context), keys))
    faults = []
    for key, record in zip(keys, records, strict=True):
        patch = (key.directory(context.directory) / "patch.diff").read_text().split("\n")
        own = [line for line in patch if line.startswith("+") and not line.startswith("+++")]
        found = (record.stop, record.steps, record.prompt_tokens, own)
        if found != ("submitted", 4, 4 * key.attempt, [f"+{key.attempt}"] * 3):
            faults.append(f"crowd: attempt {key.attempt}: {found}")
    sys.stdout.write(f"crowd: {CROWD} sandboxes at once, {len(server.requests)} answers, {len(faults)} faults\n")  # fmt: skip
    return faults


def table(rows: Iterable[Mapping[str, str]]) -> str:
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *(tuple(row[c] for c in COLUMNS) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def tried(name: str) -> Tried:
    """`NAME@IMAGE`: in another image than the task's own."""
    given, _, image = name.partition("@")
    one = Tried(find(given), image or None)
    with tempfile.TemporaryDirectory(prefix="asclaimed-programs-") as directory:
        for ending in ENDINGS:
            try:
                one.attempt(ending, Path(directory) / ending)
            except Exception as error:  # the others are tried all the same
                if one.lacks_python(error):
                    break
                one.faults.append(f"{ending}: {type(error).__name__}: {error}")
        if not image and not one.row["route"].startswith("not tried"):
            try:
                one.try_skills(Path(directory) / "skills")
            except Exception as error:  # as above
                one.faults.append(f"skills: {type(error).__name__}: {error}")
    return one


def main(names: Sequence[str]) -> int:
    found = [tried(name) for name in names or programs() if name != "crowd"]
    faults = [f"{one.one.name}: {fault}" for one in found for fault in one.faults]
    if not names or "crowd" in names:
        with tempfile.TemporaryDirectory(prefix="asclaimed-crowd-") as directory:
            faults += crowd(Path(directory))
    made = table(one.row for one in found)
    if not names:
        Path("programs.md").write_text(made)
    sys.stdout.write("\n".join([made, *faults, f"{len(faults)} faults\n"]))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
