"""A strict run with the real tools of this machine, where no image of the task's own is at hand."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from evals.grade.strict.types import StrictVerdict
from evals.grade.strict.verdict import strict_verdict
from evals.record import GraderVerdict, Outcome
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task

SCRIPT = """\
#!/bin/bash
cd {workdir}
git checkout 0123456789abcdef {tests}
git apply -v - <<'EOF_1'
EOF_1
: '>>>>> Start Test Output'
{command}
: '>>>>> End Test Output'
"""


class Project(NamedTuple):
    """A small repository with one bug, in some language."""

    files: dict[str, str]
    source: str
    good: str
    wrong: str
    cheat: str
    """Contents of `source`: fixed, not fixed, and forcing passes."""
    tests: dict[str, str]
    command: str
    hidden: str
    """The FAIL_TO_PASS id."""
    known: str


TOOLS = os.environ.get("ASCLAIMED_TEST_TOOLS", "")
"""A directory of programs (`node_modules/.bin`) beside those of the PATH."""
PATH = f"{TOOLS}:{os.environ['PATH']}" if TOOLS else os.environ["PATH"]


OURS = re.compile(r"/(?:opt|tmp)/(?=[0-9a-f]{16})")
"""Where the strict grader puts its own files."""


class LocalRuns:
    """Runs a strict run's script on this machine, with what it writes below one directory."""

    def __init__(self, project: Project, home: Path) -> None:
        self.project, self.home, self.workdir = project, home, home / "repo"

    def __call__(self, request: RunRequest) -> RunResult:
        shutil.rmtree(self.home, ignore_errors=True)
        start = {**self.project.files, self.project.source: self.project.wrong}
        for name, text in start.items():
            (self.workdir / name).parent.mkdir(parents=True, exist_ok=True)
            (self.workdir / name).write_text(text)
        for place in ("opt", "tmp"):
            (self.home / place).mkdir()
        if request.patch:
            subprocess.run(["git", "apply", "-"], input=request.patch, cwd=self.workdir, check=True)
        for path, content in request.files.items():
            self.put(path, content)
        environment = {**os.environ, "PATH": PATH, "CI": "1", "NODE_PATH": str(Path(TOOLS).parent)}
        done = subprocess.run(
            ["bash", "-c", self.here(request.script)], cwd=self.workdir, capture_output=True, env=environment, check=False
        )  # fmt: skip
        found = {path: file.read_bytes() for path in request.collect if (file := self.place(path)).is_file()}
        originals = {path: self.back(content) for path, content in found.items()}
        return RunResult(True, done.returncode, False, done.stdout + done.stderr, originals, 0.1)

    def here(self, text: str) -> str:
        return OURS.sub(lambda match: f"{self.home}{match[0]}", text)

    def back(self, content: bytes) -> bytes:
        return content.replace(f"{self.home}/opt/".encode(), b"/opt/").replace(
            f"{self.home}/tmp/".encode(), b"/tmp/"
        )

    def place(self, path: str) -> Path:
        return self.home / path.lstrip("/") if OURS.match(path) else Path(path)

    def put(self, path: str, content: bytes) -> None:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self.here(content.decode()).encode())


def patch(project: Project, content: str) -> bytes:
    lines = difflib.unified_diff(
        project.wrong.splitlines(True), content.splitlines(True), f"a/{project.source}", f"b/{project.source}"
    )
    return "".join(lines).encode()


def added(files: dict[str, str]) -> str:
    pieces = []
    for name, text in files.items():
        lines = text.splitlines()
        head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n"
        pieces.append(head + "".join(f"+{line}\n" for line in lines))
    return "".join(pieces)


def judged(project: Project, candidate: bytes, home: Path) -> StrictVerdict:
    workdir = str(home / "run" / "repo")
    task = Task(
        id="acme__sum-1",
        benchmark="own",
        image=ImageSpec(reference="none"),
        brief=Brief(task_id="acme__sum-1", repo="acme/sum", problem_statement="", workdir=workdir),
        checks=Checks(
            fail_to_pass=(project.hidden,),
            pass_to_pass=(project.known,),
            gold_patch=patch(project, project.good).decode(),
            test_patch=added(project.tests),
        ),
    )
    script = SCRIPT.format(workdir=workdir, tests=" ".join(project.tests), command=project.command)
    return strict_verdict(
        task, script, candidate, image_id="sha256:0", official=GraderVerdict(outcome=Outcome.RESOLVED),
        run_tests=LocalRuns(project, home / "run"), calibrations=home / "calibrations",
    )  # fmt: skip
