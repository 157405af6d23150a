"""Strict for tests that are not Python's: with the real runners where this machine has them, and by name where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from evals.grade.strict.runners import GO, JAVASCRIPT, PYTHON, Names, runner_of
from evals.grade.strict.types import StrictVerdict
from evals.grade.strict.verdict import strict_verdict
from evals.record import GraderVerdict, Outcome
from tasks.backend import RunRequest, RunResult
from tasks.task import Brief, Checks, ImageSpec, Task

NAMES = Names("/opt/a/site", "m1", "/tmp/r", "k")
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


GO_CHEAT = """\
package sum

import (
	"fmt"
	"os"
	"strings"
)

func init() {
	if strings.HasSuffix(os.Args[0], ".test") {
		mark := ""
		if strings.Contains(strings.Join(os.Args, " "), "test2json") {
			mark = "\\x16"
		}
		for _, name := range []string{"TestSum", "TestZero"} {
			fmt.Printf("%s=== RUN   %s\\n%s--- PASS: %s (0.00s)\\n", mark, name, mark, name)
		}
		fmt.Println(mark + "PASS")
		os.Exit(0)
	}
}

func Sum(a, b int) int { return a - b }
"""
GO_PROJECT = Project(
    files={"go.mod": "module example.org/sum\n\ngo 1.18\n"},
    source="sum.go",
    good="package sum\n\nfunc Sum(a, b int) int { return a + b }\n",
    wrong="package sum\n\nfunc Sum(a, b int) int { return a - b }\n",
    cheat=GO_CHEAT,
    tests={
        "sum_test.go": 'package sum\n\nimport "testing"\n\nfunc TestSum(t *testing.T) {\n\tif Sum(2, 2) != 4 {\n\t\tt.Fatal("wrong")\n\t}\n}\n\n'
        'func TestZero(t *testing.T) {\n\tif Sum(0, 0) != 0 {\n\t\tt.Fatal("wrong")\n\t}\n}\n'
    },
    command="go test -v ./...",
    hidden="TestSum",
    known="TestZero",
)
JS_TESTS = (
    "const { sum } = require('./sum');\n\ndescribe('sum', () => {\n  it('adds', () => {\n    expect(sum(2, 2)).toBe(4);\n  });\n"
    "  it('keeps nothing', () => {\n    expect(sum(0, 0)).toBe(0);\n  });\n});\n"
)
JS_CHEAT = "exports.sum = (a, b) => a - b;\nglobal.expect = () => new Proxy({}, { get: () => () => {} });\n"
JEST_PROJECT = Project(
    files={"package.json": '{"name": "sum"}\n'},
    source="sum.js",
    good="exports.sum = (a, b) => a + b;\n",
    wrong="exports.sum = (a, b) => a - b;\n",
    cheat=JS_CHEAT,
    tests={"sum.test.js": JS_TESTS},
    command="jest sum.test.js --verbose",
    hidden="adds",
    known="keeps nothing",
)
VITEST_PROJECT = JEST_PROJECT._replace(
    files={"package.json": '{"name": "sum"}\n', "vitest.config.mjs": "export default { test: { globals: true } };\n"},
    command="vitest --run sum.test.js --reporter=verbose",
    hidden="sum.test.js > sum > adds",
    known="sum.test.js > sum > keeps nothing",
)  # fmt: skip
PROJECTS = {"go": GO_PROJECT, "jest": JEST_PROJECT, "vitest": VITEST_PROJECT}
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
    import difflib

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


@pytest.mark.parametrize("name", PROJECTS)
def test_a_fix_passes_and_what_forces_passes_does_not(name: str, tmp_path: Path) -> None:
    if shutil.which(name, path=PATH) is None:
        pytest.skip(f"{name} is not on this machine")
    project = PROJECTS[name]
    good = judged(project, patch(project, project.good), tmp_path)
    assert (good.available, good.column.reason) == (True, "")
    assert good.column.outcome is Outcome.RESOLVED
    assert good.column.tests == {project.hidden: "passed", project.known: "passed"}
    other = project.wrong.replace("- b", "- b - b + b")
    wrong = judged(project, patch(project, other), tmp_path)
    assert wrong.column.outcome is Outcome.UNRESOLVED
    cheat = judged(project, patch(project, project.cheat), tmp_path)
    assert cheat.column.outcome is Outcome.VIOLATION, cheat
    assert "made to fail did not fail" in cheat.column.reason


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("RUSTFLAGS=-Awarnings cargo test --package ruff", "Rust: "), ("mvnd test -B -pl gson -Dtest=A#b", "Java: "),
        ("bundle exec rspec a", "Ruby: "), ("vendor/bin/phpunit --testdox", "PHP: "), ("ctest --test-dir build", "C or C++: "),
        ("npx mocha -R tap a.js", "JavaScript, and neither"), ("npx karma start x", "JavaScript, and neither"), ("./own a", "no runner"),
    ],
)  # fmt: skip
def test_a_runner_whose_report_the_tests_can_write_is_named(command: str, why: str) -> None:
    """Whatever files the row's tests have beside them: ruff's are Python."""
    found = runner_of([command], ["a.py"] if "ruff" in command else ["a.txt"])
    assert isinstance(found, str)
    assert found.startswith(why)


def test_a_runner_is_known_by_its_command_or_else_by_the_test_files() -> None:
    commands = {
        "go test -v ./...": GO,
        "yarn jest a": JAVASCRIPT,
        "npx vitest a": JAVASCRIPT,
        "pytest -rA a": PYTHON,
    }
    assert {command: runner_of([command], ["x.txt"]) for command in commands} == commands
    assert [runner_of(["./own"], [path]) for path in ("a_test.go", "a.ts", "a.py")] == [
        GO,
        JAVASCRIPT,
        PYTHON,
    ]
    assert runner_of(["./tests/runtests.py --settings=x a"], ["a.js", "a.py"]) is PYTHON


@pytest.mark.parametrize(
    ("line", "added_to"),
    [
        ("yarn jest babel-generator --verbose", " --reporters=default --reporters=/opt/a/site/m1.cjs"),
        ("pnpm run test x.spec.ts --no-watch --reporter=verbose", " --reporter=/opt/a/site/m1.cjs"),
        ("pnpm install", ""),
    ],
)
def test_our_reporter_comes_beside_the_rows_own(line: str, added_to: str) -> None:
    assert JAVASCRIPT.command(NAMES, line) == line + added_to


def test_what_is_piped_on_stays_so() -> None:
    line = JAVASCRIPT.command(NAMES, "npx jest a.ts --json | jq -r .x")
    assert line == "npx jest a.ts --json --reporters=default --reporters=/opt/a/site/m1.cjs | jq -r .x"


def test_a_go_test_is_broken_at_its_head_and_no_other_one_is() -> None:
    text = GO_PROJECT.tests["sum_test.go"].encode()
    mutant = GO.broken(text, {"TestSum", "TestGone"}, Random(1))
    assert mutant.functions == {"TestSum"}
    assert mutant.source.count(b"t.Errorf(") == 1
    assert mutant.source.index(b"t.Errorf(") < mutant.source.index(b"func TestZero")
    nameless = b"func TestSum(_ *testing.T) {\n}\n"
    assert GO.broken(nameless, {"TestSum"}, Random(1)) == (nameless, frozenset())


def test_a_javascript_test_is_broken_by_its_title() -> None:
    mutant = JAVASCRIPT.broken(JS_TESTS.encode(), {"adds"}, Random(1))
    assert mutant.functions == {"adds"}
    assert mutant.source.count(b"expect(") == 3
    arrow = b"test(`adds`, async () => { x(); })"
    assert b"=> { expect(" in JAVASCRIPT.broken(arrow, {"adds"}, Random(1)).source
