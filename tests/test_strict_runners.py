"""Strict for tests that are not Python's: with the real runners where this machine has them, and by name where there is none."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest

from evals.grade.strict.language import Names
from evals.grade.strict.runners import GO, JAVASCRIPT, PYTHON, runner_of
from evals.record import Outcome
from tests.local_runs import PATH, Project, judged, patch

NAMES = Names("/opt/a/site", "m1", "/tmp/r", "k")
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
        ("ant test.instance", "Java under Ant: "),
        ("bundle exec rspec a", "Ruby: "), ("vendor/bin/phpunit --testdox", "PHP: "), ("ctest --test-dir build", "C or C++: "),
        ("npx mocha -R tap a.js", "JavaScript, and neither"), ("npx karma start x", "JavaScript, and neither"), ("./own a", "no runner"),
    ],
)  # fmt: skip
def test_a_runner_whose_report_the_tests_can_write_is_named(command: str, why: str) -> None:
    found = runner_of([command], ["a.txt"])
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
